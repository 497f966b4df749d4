//! How long the threads on a call's way wait for a processor.
//!
//! A busy machine delays each of them by milliseconds, whatever the gateway does: that time belongs to
//! other programs. The system counts it for each thread; where it doesn't, nothing is subtracted.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The files in which the system counts.
#[derive(Clone, Default)]
pub(super) struct Threads(Arc<Mutex<Vec<PathBuf>>>);

impl Threads {
    /// Adds the calling thread, once.
    pub(super) fn add_this(&self) {
        if let Ok(thread) = std::fs::read_link("/proc/thread-self") {
            self.add(PathBuf::from("/proc").join(thread));
        }
    }

    /// Adds the threads that a process has now.
    pub(super) fn add_all_of(&self, pid: u32) {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
        for thread in threads.into_iter().flatten().flatten() {
            self.add(thread.path());
        }
    }

    fn add(&self, thread: PathBuf) {
        let file = thread.join("schedstat");
        let mut files = self.0.lock().unwrap();
        if !files.contains(&file) {
            files.push(file);
        }
    }

    /// How long all of them together have been ready to run without running.
    pub(super) fn waited(&self) -> Duration {
        let files = self.0.lock().unwrap();
        let of_one = |file: &PathBuf| {
            let counts = std::fs::read_to_string(file).ok()?;
            let waited = counts.split(' ').nth(1)?.parse().ok()?;
            Some(Duration::from_nanos(waited))
        };
        files.iter().filter_map(of_one).sum()
    }
}
