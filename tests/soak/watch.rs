//! Samples of the gateway process's resources, and the processor time of the whole soak test.

use std::fs;
use std::time::{Duration, Instant};

use super::Result;
use super::usage::Usage;

/// The resources of a process at one time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Since the start of the watch.
    pub(crate) at: Duration,
    /// Resident memory, in MiB.
    pub(crate) resident: f64,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
}

/// Samples the gateway once a second.
pub(crate) struct Watch {
    pid: u32,
    begun: Instant,
    pub(crate) samples: Vec<Sample>,
}

impl Watch {
    pub(crate) fn new(pid: u32) -> Self {
        Self {
            pid,
            begun: Instant::now(),
            samples: Vec::new(),
        }
    }

    /// Takes a sample if one is due.
    pub(crate) fn tick(&mut self) {
        let latest = self
            .samples
            .last()
            .map_or(Duration::ZERO, |sample| sample.at);
        if self.begun.elapsed() - latest >= Duration::from_secs(1)
            && let Ok(sample) = self.look()
        {
            self.samples.push(sample);
        }
    }

    /// Samples it now.
    pub(crate) fn look(&self) -> Result<Sample> {
        let usage = usage(self.pid)?;
        let count = |what| {
            Ok::<_, std::io::Error>(fs::read_dir(format!("/proc/{}/{what}", self.pid))?.count())
        };
        Ok(Sample {
            at: self.begun.elapsed(),
            resident: usage.resident,
            descriptors: count("fd")?,
            threads: count("task")?,
        })
    }

    /// Peak resident memory, in MiB.
    pub(crate) fn peak(&self) -> Result<f64> {
        Ok(usage(self.pid)?.peak)
    }
}

/// The growth of memory in MiB an hour, by linear regression.
pub(crate) fn slope(samples: &[Sample]) -> f64 {
    let count = samples.len() as f64;
    let hours = |sample: &Sample| sample.at.as_secs_f64() / 3600.0;
    let mean = |of: &dyn Fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(&hours), mean(&|sample| sample.resident));
    let covariance = samples.iter().map(|s| (hours(s) - x) * (s.resident - y));
    let variance = samples.iter().map(|s| (hours(s) - x).powi(2));
    covariance.sum::<f64>() / variance.sum::<f64>()
}

/// The processor time of a set of processes and of everything else on the machine.
pub(crate) struct Load {
    pids: Vec<u32>,
    before: Cost,
}

/// Shares of the whole machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    /// Used by the processes.
    pub(crate) own: f64,
    /// Used by everything else.
    pub(crate) others: f64,
}

impl Load {
    pub(crate) fn of(pids: Vec<u32>) -> Result<Self> {
        let before = Cost::of(&pids)?;
        Ok(Self { pids, before })
    }

    /// The shares since the last call.
    pub(crate) fn shares(&mut self) -> Result<Shares> {
        let now = Cost::of(&self.pids)?;
        let all = now.all - self.before.all;
        let own = (now.own - self.before.own) / all;
        let others = (now.busy - self.before.busy) / all - own;
        self.before = now;
        Ok(Shares {
            own,
            others: others.max(0.0),
        })
    }
}

/// Processor time so far, in seconds over all cores.
struct Cost {
    own: f64,
    busy: f64,
    all: f64,
}

impl Cost {
    fn of(pids: &[u32]) -> Result<Self> {
        let times = pids.iter().map(|pid| Ok(usage(*pid)?.cpu));
        let own = times.sum::<Result<Duration>>()?.as_secs_f64();
        let stat = fs::read_to_string("/proc/stat")?;
        let line = stat.lines().next().unwrap_or_default();
        let ticks = line
            .split_whitespace()
            .skip(1)
            .map_while(|n| n.parse::<f64>().ok());
        // proc(5): user, nice, system, idle, iowait and what follows, in hundredths of a second;
        // the guests' times, from the ninth on, are in the first two already.
        let seconds: Vec<f64> = ticks.take(8).map(|ticks| ticks / 100.0).collect();
        let idle: f64 = seconds.iter().skip(3).take(2).sum();
        let all: f64 = seconds.iter().sum();
        Ok(Self {
            own,
            busy: all - idle,
            all,
        })
    }
}

fn usage(pid: u32) -> Result<Usage> {
    Usage::of(pid).ok_or_else(|| format!("/proc has no process {pid}").into())
}
