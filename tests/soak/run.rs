//! A complete soak run: the warm-up, alternating slices with and without faults, and the return to
//! idle.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::Result;
use super::backends::{BackendCommand, QUIET};
use super::changes::Changes;
use super::client::{Client, Ended, Names, Rate};
use super::common::process::executable;
use super::faults::{STEP, STEPS};
use super::processes::{self, Group, Runs};
use super::report::{IdleSamples, Outcome};
use super::second::SecondClient;
use super::stats::percentile;
use super::watch::{Load, Sample, Shares, Watch};

/// The share of the machine's free processor time that all processes together should use. On a
/// saturated machine the measured times would mean nothing.
const LOAD: f64 = 0.5;
/// Requests a second at the start of the search for that load.
const FIRST_RATE: f64 = 300.0;
/// Calls a second to flaky backends: enough to meet every fault, too few to dominate the load.
const FLAKY_RATE: f64 = 60.0;
/// The minimum of calls a second to good backends, so that a slice has a p99.
const LOWEST_RATE: f64 = 200.0;
/// The number of the first request. The baseline gateway uses smaller ones.
const FIRST: u64 = 1000;
/// The length of a slice. A slice with faults has every fault.
const SLICE: Duration = STEP.saturating_mul(STEPS as u32);
/// The slices with faults in a round of the warm-up, so that every flaky backend has every fault. One
/// without faults follows.
const WARM_UP_SLICES: u32 = 3;
const ROUND: Duration = SLICE.saturating_mul(WARM_UP_SLICES + 1);
/// How much more often flaky backends are called in the warm-up: an allocator keeps its peak memory,
/// so the peak must occur in the warm-up.
const PRESSURE: f64 = 4.0;
/// The warm-up ends when a round adds no more memory than this, in MiB, or after half the time.
const WARM: f64 = 0.5;
/// Load before the first slice, to reopen connections.
const RUN_UP: Duration = Duration::from_secs(1);
/// Load without faults at the end, before the gateway becomes idle.
const FINAL_LOAD: Duration = Duration::from_secs(5);
/// The most that the gateway may take to become idle.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The gateway is idle when its number of descriptors is unchanged for so long.
const STABLE: Duration = Duration::from_secs(2);

/// The durations of calls to good backends in one slice, and those of the second client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    pub(crate) faulty: bool,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) count: usize,
    pub(crate) second_p99: Duration,
    pub(crate) second_count: usize,
    pub(crate) longest_ping: Duration,
}

/// Runs for this long. Returns whether every check passed.
pub(crate) fn run(duration: Duration) -> Result<bool> {
    let mut backends = Backends::start()?;
    let baseline = Baseline::measure(&mut backends)?;
    let client = Client::start(&backends.gateway, &backends.config, FIRST)?;
    let mut soak = Soak::begin(client, backends)?;
    let start = soak.become_idle(usize::MAX)?;
    let end = Instant::now() + duration;
    soak.warm_up(duration)?;
    let warm = soak.become_idle(usize::MAX)?;
    soak.slices(end)?;
    soak.drive(FINAL_LOAD)?;
    let end = soak.become_idle(start.descriptors)?;
    let outcome = soak.end(duration, IdleSamples { start, warm, end }, baseline.tasks)?;
    Ok(outcome.print())
}

/// The gateway's backends, its executable and its config.
struct Backends {
    good: Group,
    flaky: Group,
    quiet: Group,
    names: Names,
    gateway: PathBuf,
    config: PathBuf,
}

impl Backends {
    fn start() -> Result<Self> {
        let (good, flaky) = (Group::start("good")?, Group::start("flaky")?);
        let quiet = Group::start(QUIET)?;
        Ok(Self {
            config: processes::config([&good, &quiet], &flaky)?,
            gateway: executable(),
            names: processes::all_names(),
            good,
            flaky,
            quiet,
        })
    }

    fn close_connections(&mut self) -> Result<()> {
        self.good.tell(BackendCommand::CloseConnections)?;
        self.quiet.tell(BackendCommand::CloseConnections)?;
        self.flaky.tell(BackendCommand::CloseConnections)
    }

    fn end(self) -> Result<Runs> {
        let groups = [self.good.end()?, self.flaky.end()?, self.quiet.end()?];
        Ok(Runs {
            all: groups.iter().map(|runs| runs.all).sum(),
            twice: groups.iter().map(|runs| runs.twice).sum(),
        })
    }
}

/// A gateway that has opened its sessions and has had no load.
struct Baseline {
    tasks: Option<u64>,
}

impl Baseline {
    fn measure(backends: &mut Backends) -> Result<Self> {
        let client = Client::start(&backends.gateway, &backends.config, 1)?;
        client.begin(&backends.names)?;
        let watch = Watch::new(client.pid());
        backends.close_connections()?;
        wait_until_stable(&watch)?;
        let tasks = client.end()?.log.tasks;
        Ok(Self { tasks })
    }
}

struct Soak {
    client: Client,
    backends: Backends,
    rate: Rate,
    load: Load,
    watch: Watch,
    changes: Changes,
    slices: Vec<Slice>,
    shares: Vec<Shares>,
}

impl Soak {
    fn begin(client: Client, backends: Backends) -> Result<Self> {
        client.begin(&backends.names)?;
        let own = std::process::id();
        let groups = [&backends.good, &backends.flaky, &backends.quiet];
        let mut pids = vec![own, client.pid()];
        pids.extend(groups.map(Group::pid));
        Ok(Self {
            watch: Watch::new(client.pid()),
            load: Load::of(pids)?,
            rate: Rate {
                good: FIRST_RATE,
                flaky: FLAKY_RATE,
            },
            changes: Changes::of(backends.config.clone())?,
            slices: Vec::new(),
            shares: Vec::new(),
            client,
            backends,
        })
    }

    /// Finds the rate, and runs rounds until they add no more memory.
    fn warm_up(&mut self, duration: Duration) -> Result<()> {
        let latest = Instant::now() + duration / 2 - ROUND;
        self.rate.flaky *= PRESSURE;
        loop {
            let before = self.watch.look()?.resident;
            self.round()?;
            let growth = self.watch.look()?.resident - before;
            if growth <= WARM || Instant::now() > latest {
                break;
            }
        }
        self.rate.flaky = FLAKY_RATE;
        Ok(())
    }

    /// The slices of the warm-up, and bursts: whenever a machine pauses for a moment, as many
    /// requests wait as the client allows, and as many connections are opened for them.
    fn round(&mut self) -> Result<()> {
        for slice in 0..=WARM_UP_SLICES {
            let faulty = slice < WARM_UP_SLICES;
            self.backends.flaky.tell(if faulty {
                BackendCommand::Faults
            } else {
                BackendCommand::NoFaults
            })?;
            let end = Instant::now() + SLICE;
            while Instant::now() < end {
                self.pace(SLICE / STEPS as u32)?;
            }
            self.client.settle();
            self.client.burst(&self.backends.names)?;
            self.client.settle();
        }
        Ok(())
    }

    /// Pairs of slices, with and without faults in alternating order, at one rate.
    fn slices(&mut self, end: Instant) -> Result<()> {
        // An idle gateway has to reopen connections, which is not part of the comparison.
        let second = SecondClient::start(self.client.line(), self.backends.names.quiet);
        let timed = self.timed_slices(end, &second);
        second.end()?;
        timed
    }

    fn timed_slices(&mut self, end: Instant, second: &SecondClient) -> Result<()> {
        self.drive(RUN_UP)?;
        self.client.times();
        second.times();
        self.shares.clear();
        self.watch.samples.clear();
        self.load.shares()?;
        let remaining = end.saturating_duration_since(Instant::now() + FINAL_LOAD + STABLE);
        let pairs = remaining.as_secs_f64() / (2 * SLICE).as_secs_f64();
        for pair in 0..(pairs as usize).max(1) {
            let rate = self.rate;
            for faulty in [pair % 2 == 1, pair % 2 == 0] {
                self.rate = rate;
                self.slice(faulty, second)?;
                if !self.client.is_healthy() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn slice(&mut self, faulty: bool, second: &SecondClient) -> Result<()> {
        let command = if faulty {
            BackendCommand::Faults
        } else {
            BackendCommand::NoFaults
        };
        self.backends.flaky.tell(command)?;
        self.pace(SLICE)?;
        let (mut times, mut beside) = (self.client.times(), second.times());
        self.slices.push(Slice {
            faulty,
            p50: percentile(&mut times, 0.5),
            p99: percentile(&mut times, 0.99),
            count: times.len(),
            second_p99: percentile(&mut beside.calls, 0.99),
            second_count: beside.calls.len(),
            longest_ping: beside.pings.into_iter().max().unwrap_or_default(),
        });
        Ok(())
    }

    /// Sends requests for this long, and then adjusts the rate to the load.
    fn pace(&mut self, time: Duration) -> Result<()> {
        let unsent = self.drive(time)?;
        let shares = self.load.shares()?;
        self.shares.push(shares);
        let wanted = LOAD * (1.0 - shares.others) / shares.own;
        let wanted = if unsent > 0 { 0.8 } else { wanted };
        self.rate.good = (self.rate.good * wanted.clamp(0.7, 1.3)).max(LOWEST_RATE);
        Ok(())
    }

    fn drive(&mut self, time: Duration) -> Result<u64> {
        let until = Instant::now() + time;
        let Self {
            client,
            backends,
            watch,
            changes,
            ..
        } = self;
        let mut changed = Ok(());
        let unsent = client.drive(&backends.names, self.rate, until, || {
            watch.tick();
            if changed.is_ok() {
                changed = changes.tick();
            }
        });
        changed.and(unsent)
    }

    /// Waits until everything is answered and every unneeded connection is closed.
    fn become_idle(&mut self, descriptors: usize) -> Result<Sample> {
        self.backends.flaky.tell(BackendCommand::NoFaults)?;
        self.changes.undo()?;
        self.client.settle();
        let begun = Instant::now();
        loop {
            self.backends.close_connections()?;
            let sample = wait_until_stable(&self.watch)?;
            // What is fetched on a new connection leaves an idle one for the pool, which keeps it.
            if sample.descriptors <= descriptors || begun.elapsed() >= IDLE_TIMEOUT {
                return Ok(sample);
            }
        }
    }

    fn end(
        self,
        duration: Duration,
        idle: IdleSamples,
        baseline_tasks: Option<u64>,
    ) -> Result<Outcome> {
        let peak = self.watch.peak()?;
        let Ended {
            status,
            tracker,
            log,
        } = self.client.end()?;
        Ok(Outcome {
            duration,
            samples: self.watch.samples,
            slices: self.slices,
            shares: self.shares,
            runs: self.backends.end()?,
            idle,
            peak,
            reloads: self.changes.reloads,
            switches: self.changes.switches,
            baseline_tasks,
            status,
            tracker,
            log,
        })
    }
}

/// Waits until the number of descriptors is stable.
fn wait_until_stable(watch: &Watch) -> Result<Sample> {
    let begun = Instant::now();
    let mut before = watch.look()?;
    let mut since = Instant::now();
    loop {
        thread::sleep(Duration::from_millis(100));
        let now = watch.look()?;
        if now.descriptors != before.descriptors {
            (before, since) = (now, Instant::now());
        }
        if since.elapsed() >= STABLE || begun.elapsed() >= IDLE_TIMEOUT {
            return Ok(now);
        }
    }
}
