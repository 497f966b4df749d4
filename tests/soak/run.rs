//! One soak from beginning to end: warm-up, slices of calm and chaos in turns, the way back to rest.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::Result;
use super::backends::Word;
use super::client::{Client, Ended, Names, Rate};
use super::faults::{STEP, STEPS};
use super::parties::{self, Group, Runs};
use super::report::{Rest, Soaked};
use super::stats::percentile;
use super::watch::{Load, Sample, Shares, Watch};

/// The share that all processes together are to take, of what others leave of the machine: what is
/// compared would say nothing on a machine without room.
const LOAD: f64 = 0.5;
/// What the search for that begins with.
const FIRST_RATE: f64 = 300.0;
/// Of calls to flaky backends: enough to meet every fault, too few to be the load.
const FLAKY_RATE: f64 = 60.0;
/// And to the others at least, so that a slice has a p99.
const LOWEST_RATE: f64 = 200.0;
/// The number of the first request; smaller ones belong to the gateway before.
const FIRST: u64 = 1000;
/// How long a slice is: chaos has every fault in it.
const SLICE: Duration = STEP.saturating_mul(STEPS as u32);
/// A round of the warm-up: so many slices of chaos that every flaky backend has every fault, and
/// one of calm.
const CHAOS_FIRST: u32 = 3;
const ROUND: Duration = SLICE.saturating_mul(CHAOS_FIRST + 1);
/// How much more often than later flaky backends are called in it: an allocator keeps what it once
/// needed, so the most that is ever needed has to come first.
const PRESSURE: f64 = 4.0;
/// The warm-up ends when a round has added no more memory than this, in MiB; at the latest when
/// half the time is over.
const WARM: f64 = 0.5;
/// From rest to the first slice.
const RUN_UP: Duration = Duration::from_secs(1);
/// At the end, calm once more before the gateway comes to rest.
const LAST_CALM: Duration = Duration::from_secs(5);
/// How long it may take to let go of what it held: a pool keeps idle connections for 90 s.
const TO_REST: Duration = Duration::from_secs(120);
/// Descriptors are at rest when their number stands for so long.
const STANDS: Duration = Duration::from_secs(2);

/// Times of the calls to backends that are well, in one slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    pub(crate) chaos: bool,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) count: usize,
}

/// Runs for this long. Whether everything held.
pub(crate) fn run(duration: Duration) -> Result<bool> {
    let mut backends = Backends::start()?;
    let alike = Fresh::measure(&mut backends)?;
    let client = Client::start(&backends.gateway, &backends.config, FIRST)?;
    let mut soak = Soak::begin(client, backends)?;
    let start = soak.come_to_rest(usize::MAX)?;
    let end = Instant::now() + duration;
    soak.warm_up(duration)?;
    let warm = soak.come_to_rest(usize::MAX)?;
    soak.slices(end)?;
    soak.drive(LAST_CALM)?;
    let end = soak.come_to_rest(start.descriptors)?;
    let soaked = soak.end(duration, Rest { start, warm, end }, alike.tasks)?;
    Ok(soaked.print())
}

/// All that the gateway stands in front of.
struct Backends {
    well: Group,
    flaky: Group,
    names: Names,
    gateway: PathBuf,
    config: PathBuf,
}

impl Backends {
    fn start() -> Result<Self> {
        let (well, flaky) = (Group::start("well")?, Group::start("flaky")?);
        Ok(Self {
            config: parties::config(&well, &flaky)?,
            gateway: parties::gateway(),
            names: parties::all_names(),
            well,
            flaky,
        })
    }

    fn hush(&mut self) -> Result<()> {
        self.well.tell(Word::Hush)?;
        self.flaky.tell(Word::Hush)
    }

    fn end(self) -> Result<Runs> {
        let (well, flaky) = (self.well.end()?, self.flaky.end()?);
        Ok(Runs {
            all: well.all + flaky.all,
            twice: well.twice + flaky.twice,
        })
    }
}

/// A gateway that has opened what there is to open and done nothing else.
struct Fresh {
    tasks: Option<u64>,
}

impl Fresh {
    fn measure(backends: &mut Backends) -> Result<Self> {
        let client = Client::start(&backends.gateway, &backends.config, 1)?;
        client.begin(&backends.names)?;
        let watch = Watch::new(client.pid());
        backends.hush()?;
        rest(&watch, usize::MAX)?;
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
    slices: Vec<Slice>,
    shares: Vec<Shares>,
}

impl Soak {
    fn begin(client: Client, backends: Backends) -> Result<Self> {
        client.begin(&backends.names)?;
        let own = std::process::id();
        let pids = vec![own, client.pid(), backends.well.pid(), backends.flaky.pid()];
        Ok(Self {
            watch: Watch::new(client.pid()),
            load: Load::of(pids)?,
            rate: Rate {
                well: FIRST_RATE,
                flaky: FLAKY_RATE,
            },
            slices: Vec::new(),
            shares: Vec::new(),
            client,
            backends,
        })
    }

    /// Finds the rate, and has each thing happen until that takes no more memory.
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

    fn round(&mut self) -> Result<()> {
        for slice in 0..=CHAOS_FIRST {
            let chaos = slice < CHAOS_FIRST;
            self.backends
                .flaky
                .tell(if chaos { Word::Chaos } else { Word::Calm })?;
            let end = Instant::now() + SLICE;
            while Instant::now() < end {
                self.pace(SLICE / STEPS as u32)?;
            }
        }
        Ok(())
    }

    /// Pairs of slices, the one that goes first in a pair alternating, at one rate.
    fn slices(&mut self, end: Instant) -> Result<()> {
        // After the rest connections have to be opened again, which is no part of the comparison.
        self.drive(RUN_UP)?;
        self.client.times();
        self.shares.clear();
        self.watch.samples.clear();
        self.load.shares()?;
        let left = end.saturating_duration_since(Instant::now() + LAST_CALM + STANDS);
        let pairs = left.as_secs_f64() / (2 * SLICE).as_secs_f64();
        for pair in 0..(pairs as usize).max(1) {
            let rate = self.rate;
            for chaos in [pair % 2 == 1, pair % 2 == 0] {
                self.rate = rate;
                self.slice(chaos)?;
                if !self.client.is_well() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn slice(&mut self, chaos: bool) -> Result<()> {
        let word = if chaos { Word::Chaos } else { Word::Calm };
        self.backends.flaky.tell(word)?;
        self.pace(SLICE)?;
        let mut times = self.client.times();
        self.slices.push(Slice {
            chaos,
            p50: percentile(&mut times, 0.5),
            p99: percentile(&mut times, 0.99),
            count: times.len(),
        });
        Ok(())
    }

    /// Drives for this long, and sets the rate by what that cost.
    fn pace(&mut self, time: Duration) -> Result<()> {
        let withheld = self.drive(time)?;
        let shares = self.load.shares()?;
        self.shares.push(shares);
        let wanted = LOAD * (1.0 - shares.others) / shares.own;
        let wanted = if withheld > 0 { 0.8 } else { wanted };
        self.rate.well = (self.rate.well * wanted.clamp(0.7, 1.3)).max(LOWEST_RATE);
        Ok(())
    }

    fn drive(&mut self, time: Duration) -> Result<u64> {
        let until = Instant::now() + time;
        let Self {
            client,
            backends,
            watch,
            ..
        } = self;
        client.drive(&backends.names, self.rate, until, || watch.tick())
    }

    /// Lets everything be answered and every connection go that isn't needed.
    fn come_to_rest(&mut self, descriptors: usize) -> Result<Sample> {
        self.backends.flaky.tell(Word::Calm)?;
        self.client.settle();
        self.backends.hush()?;
        rest(&self.watch, descriptors)
    }

    fn end(self, asked: Duration, rest: Rest, fresh_tasks: Option<u64>) -> Result<Soaked> {
        let peak = self.watch.peak()?;
        let Ended {
            status,
            ledger,
            log,
        } = self.client.end()?;
        Ok(Soaked {
            asked,
            samples: self.watch.samples,
            slices: self.slices,
            shares: self.shares,
            runs: self.backends.end()?,
            rest,
            peak,
            fresh_tasks,
            status,
            ledger,
            log,
        })
    }
}

/// Waits until there are no more than `descriptors` and their number stands.
fn rest(watch: &Watch, descriptors: usize) -> Result<Sample> {
    let begun = Instant::now();
    let mut before = watch.look()?;
    let mut since = Instant::now();
    loop {
        thread::sleep(Duration::from_millis(100));
        let now = watch.look()?;
        if now.descriptors != before.descriptors {
            (before, since) = (now, Instant::now());
        }
        let rests = now.descriptors <= descriptors && since.elapsed() >= STANDS;
        if rests || begun.elapsed() >= TO_REST {
            return Ok(now);
        }
    }
}
