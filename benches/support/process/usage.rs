//! CPU time and memory of a process. Read from `/proc`, so only on Linux; elsewhere there is no figure.

use std::time::Duration;

/// CPU time and memory of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// User and system time of all its threads.
    pub(crate) cpu: Duration,
    /// Resident memory now, in MiB.
    pub(crate) resident: f64,
    /// Peak resident memory, in MiB.
    pub(crate) peak: f64,
    /// Voluntary context switches of all running threads, each followed by a wake-up.
    pub(crate) sleeps: u64,
}

impl Usage {
    /// The usage of a process so far; `None` if the system does not provide it.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        accounting::of(pid)
    }
}

#[cfg(not(target_os = "linux"))]
mod accounting {
    pub(super) fn of(_pid: u32) -> Option<super::Usage> {
        None
    }
}

#[cfg(target_os = "linux")]
mod accounting {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use super::Usage;

    pub(super) fn of(pid: u32) -> Option<Usage> {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let status = fs::read_to_string(proc.join("status")).ok()?;
        let mib = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kib / 1024.0)
        };
        Some(Usage {
            // One is coarse, the other misses threads that have ended; neither is too high.
            cpu: cpu_of_process(&proc)?.max(cpu_of_threads(&proc).unwrap_or_default()),
            resident: mib("VmRSS:")?,
            peak: mib("VmHWM:")?,
            sleeps: sleeps(&proc)?,
        })
    }

    /// CPU time of all threads, including those that have ended, in steps of 10 ms.
    fn cpu_of_process(proc: &Path) -> Option<Duration> {
        let stat = fs::read_to_string(proc.join("stat")).ok()?;
        // The second field, the name, may hold anything; the third follows the last parenthesis.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace().skip(14 - 3);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        // proc(5): utime and stime, in USER_HZ, which is 100 on every common architecture.
        Some(Duration::from_millis(10 * (ticks()? + ticks()?)))
    }

    /// CPU time of the running threads, in nanoseconds, if the kernel counts it.
    fn cpu_of_threads(proc: &Path) -> Option<Duration> {
        let threads = fs::read_dir(proc.join("task")).ok()?.flatten();
        let times = threads.filter_map(|thread| {
            let stat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            stat.split_ascii_whitespace().next()?.parse::<u64>().ok()
        });
        Some(Duration::from_nanos(times.sum()))
    }

    fn sleeps(proc: &Path) -> Option<u64> {
        let threads = fs::read_dir(proc.join("task")).ok()?.flatten();
        let counts = threads.filter_map(|thread| {
            let status = fs::read_to_string(thread.path().join("status")).ok()?;
            let key = "voluntary_ctxt_switches:";
            let count = status.lines().find_map(|line| line.strip_prefix(key))?;
            count.trim().parse::<u64>().ok()
        });
        Some(counts.sum())
    }
}
