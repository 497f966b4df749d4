//! What is done in each section. A section doesn't know which party it drives, nor what the figures should be.

use std::thread;
use std::time::Duration;

use super::Result;
use super::call::{JSON_LARGE, JSON_SMALL, PROGRESS_SMALL, SSE_SMALL, Tool};
use super::direct::Direct;
use super::drive::Drive;
use super::process::Program;
use super::sheet::{Lane, Measure, Section, Sheet};
use super::stats::percentile;
use super::stdio::StdioClient;

/// How many calls are side by side.
const WIDTH: usize = 64;

/// From the handshake to the look at an idle process: long enough for its threads to come to rest.
const SETTLING: Duration = Duration::from_millis(300);

/// The parties, and how much they are made to do.
pub(crate) struct Scale {
    pub(crate) gateway: Program,
    pub(crate) relay: Program,
    /// The backend's.
    pub(crate) url: String,
    pub(crate) effort: Effort,
}

/// How much is done in one round. A round is cut into slices, and the parties take turns at each, so that what else the machine does meets
/// all of them.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    slices: usize,
    /// Calls in a slice.
    one_by_one: usize,
    side_by_side: usize,
    /// Turns of one in a round.
    large: usize,
    starts: usize,
}

impl Effort {
    pub(crate) const FULL: Self = Self {
        slices: 10,
        one_by_one: 200,
        side_by_side: 2000,
        large: 9,
        starts: 15,
    };
    pub(crate) const QUICK: Self = Self {
        slices: 5,
        one_by_one: 100,
        side_by_side: 1000,
        large: 3,
        starts: 5,
    };
}

type Client = Box<dyn Drive>;

impl Scale {
    /// Weighs all parties once.
    pub(crate) fn weigh(&self, section: Section, round: usize, sheet: &mut Sheet) -> Result<()> {
        match section {
            Section::Small => self.calls(section, JSON_SMALL, round, sheet),
            Section::Sse => self.calls(section, SSE_SMALL, round, sheet),
            Section::Progress => self.progress(round, sheet),
            Section::Large => self.large(round, sheet),
            Section::Start => self.start(round, sheet),
        }
    }

    fn calls(&self, section: Section, tool: Tool, round: usize, sheet: &mut Sheet) -> Result<()> {
        let mut add = |measure, lane, figure| sheet.add(section, measure, lane, figure);
        let mut parties = self.open(round)?;
        thread::sleep(SETTLING);
        for (lane, party) in &parties {
            if let Some(usage) = party.usage() {
                add(Measure::Idle, *lane, usage.resident);
            }
        }

        // The first slice of each kind warms up.
        let slices = self.effort.slices;
        let calls = |party: &mut Client| party.one_by_one(tool, self.effort.one_by_one);
        in_turn(&mut parties, 1, calls)?;
        for (lane, times) in in_turn(&mut parties, slices, calls)? {
            let mut times = times.concat();
            add(Measure::P50, lane, micros(percentile(&mut times, 0.5)));
            add(Measure::P99, lane, micros(percentile(&mut times, 0.99)));
        }

        let count = self.effort.side_by_side;
        let flood = |party: &mut Client| Ok(party.side_by_side(tool, WIDTH, count)?.wall);
        in_turn(&mut parties, 1, flood)?;
        let before: Vec<_> = parties.iter().map(|(_, party)| party.usage()).collect();
        for (lane, mut walls) in in_turn(&mut parties, slices, flood)? {
            let wall = percentile(&mut walls, 0.5).as_secs_f64();
            add(Measure::CallsPerSecond, lane, count as f64 / wall);
        }
        for ((lane, party), before) in parties.iter().zip(before) {
            if let (Some(before), Some(after)) = (before, party.usage()) {
                let cpu = micros(after.cpu.saturating_sub(before.cpu));
                add(Measure::CpuPerCall, *lane, cpu / (slices * count) as f64);
                add(Measure::Peak, *lane, after.peak);
            }
        }
        Ok(())
    }

    fn progress(&self, round: usize, sheet: &mut Sheet) -> Result<()> {
        let mut add = |measure, lane, figure| sheet.add(Section::Progress, measure, lane, figure);
        let mut parties = self.open(round)?;
        let count = self.effort.side_by_side;
        let flood = |party: &mut Client| party.side_by_side(PROGRESS_SMALL, WIDTH, count);
        for (lane, floods) in in_turn(&mut parties, self.effort.slices, flood)? {
            let mut delays: Vec<_> = floods.into_iter().flat_map(|f| f.progress).collect();
            if delays.is_empty() {
                return Err(format!("{lane:?}: no progress notification came").into());
            }
            add(
                Measure::ProgressP50,
                lane,
                millis(percentile(&mut delays, 0.5)),
            );
            add(
                Measure::ProgressP99,
                lane,
                millis(percentile(&mut delays, 0.99)),
            );
        }
        Ok(())
    }

    fn large(&self, round: usize, sheet: &mut Sheet) -> Result<()> {
        let mut add = |measure, lane, figure| sheet.add(Section::Large, measure, lane, figure);
        let mut parties = self.open(round)?;
        let call = |party: &mut Client| party.one_by_one(JSON_LARGE, 1);
        in_turn(&mut parties, 1, call)?;
        for (lane, times) in in_turn(&mut parties, self.effort.large, call)? {
            let time = percentile(&mut times.concat(), 0.5);
            add(Measure::Wall, lane, millis(time));
        }
        for (lane, party) in &parties {
            if let Some(usage) = party.usage() {
                add(Measure::Peak, *lane, usage.peak);
            }
        }
        Ok(())
    }

    fn start(&self, round: usize, sheet: &mut Sheet) -> Result<()> {
        let mut programs = [(Lane::Gateway, &self.gateway), (Lane::Relay, &self.relay)];
        programs.rotate_left(round % 2);
        let launch = |program: &mut &Program| Ok(StdioClient::launch(program)?.1);
        for (lane, mut times) in in_turn(&mut programs, self.effort.starts, launch)? {
            let time = millis(percentile(&mut times, 0.5));
            sheet.add(Section::Start, Measure::Initialized, lane, time);
        }
        Ok(())
    }

    /// All parties, ready for calls. Fresh ones in each round, since a process may be lucky or unlucky for all its life; and each round another
    /// goes first.
    fn open(&self, round: usize) -> Result<Vec<(Lane, Client)>> {
        let mut parties: Vec<(Lane, Client)> = vec![
            (Lane::Gateway, Box::new(StdioClient::open(&self.gateway)?)),
            (Lane::Relay, Box::new(StdioClient::open(&self.relay)?)),
            (Lane::Direct, Box::new(Direct::open(&self.url)?)),
        ];
        let first = round % parties.len();
        parties.rotate_left(first);
        Ok(parties)
    }
}

/// Has all parties do their slices alternately: what each slice gave, by party.
fn in_turn<P, T>(
    parties: &mut [(Lane, P)],
    slices: usize,
    slice: impl Fn(&mut P) -> Result<T>,
) -> Result<Vec<(Lane, Vec<T>)>> {
    let mut given: Vec<_> = parties
        .iter()
        .map(|(lane, _)| (*lane, Vec::new()))
        .collect();
    for _ in 0..slices {
        for ((_, party), (_, given)) in parties.iter_mut().zip(&mut given) {
            given.push(slice(party)?);
        }
    }
    Ok(given)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
