//! Calls of one backend by all parties: small and large, one at a time and side by side.

use std::thread;
use std::time::Duration;

use super::{
    Client, HUGE, Parties, RAISED, SETTLING, Scale, USUAL, WIDTH, in_turn, micros, millis,
};
use crate::support::Result;
use crate::support::call::{Call, JSON_SMALL, MIDDLE, PROGRESS_SMALL, STREAM_SMALL};
use crate::support::drive::Drive;
use crate::support::sheet::{Lane, Measure, Section, Sheet};
use crate::support::stats::percentile;
use crate::support::stdio::StdioClient;

/// How long processes are watched doing nothing.
const IDLE: Duration = Duration::from_millis(500);

/// A gateway that lets a crowd in.
const OPEN: (&str, &str) = ("open", "max_in_flight = 10000");
const CROWD: usize = 10_000;

impl Scale {
    /// One at a time, then `count` in a slice side by side.
    pub(super) fn calls(
        &self,
        section: Section,
        call: Call,
        count: usize,
        round: usize,
        sheet: &mut Sheet,
    ) -> Result<()> {
        let mut add = |measure, lane, figure| sheet.add(section, measure, lane, figure);
        let mut parties = self.open(USUAL, call, round)?;
        if section == Section::Small {
            idle(&parties, &mut add);
        }

        // The first slice of each kind warms up.
        let slices = self.effort.slices;
        let one = |party: &mut Client| party.one_by_one(call, self.effort.one_by_one);
        in_turn(&mut parties, 1, one)?;
        for (lane, times) in in_turn(&mut parties, slices, one)? {
            let mut times = times.concat();
            add(Measure::P50, lane, micros(percentile(&mut times, 0.5)));
            add(Measure::P99, lane, micros(percentile(&mut times, 0.99)));
        }

        // The widest come last, and after the look at memory, which never forgets.
        let widths: &[usize] = match call.tool.bytes {
            MIDDLE.. => &[WIDTH],
            _ => &[16, WIDTH, 256],
        };
        for &width in widths {
            let flood = |party: &mut Client| Ok(party.side_by_side(call, width, count)?.wall);
            in_turn(&mut parties, 1, flood)?;
            let before: Vec<_> = parties.iter().map(|(_, party)| party.usage()).collect();
            for (lane, mut walls) in in_turn(&mut parties, slices, flood)? {
                let wall = percentile(&mut walls, 0.5).as_secs_f64();
                add(Measure::CallsPerSecond(width), lane, count as f64 / wall);
            }
            if width != WIDTH {
                continue;
            }
            for ((lane, party), before) in parties.iter().zip(before) {
                if let (Some(before), Some(after)) = (before, party.usage()) {
                    let cpu = micros(after.cpu.saturating_sub(before.cpu));
                    add(Measure::CpuPerCall, *lane, cpu / (slices * count) as f64);
                    add(Measure::Peak, *lane, after.peak);
                }
            }
        }
        Ok(())
    }

    /// One large thing, there or back, and the most memory that it took.
    pub(super) fn one_answer(
        &self,
        section: Section,
        call: Call,
        times: usize,
        round: usize,
        sheet: &mut Sheet,
    ) -> Result<()> {
        let kind = match call.tool.bytes {
            HUGE.. => RAISED,
            _ => USUAL,
        };
        let mut parties = self.open(kind, call, round)?;
        let one = |party: &mut Client| party.one_by_one(call, 1);
        in_turn(&mut parties, 1, one)?;
        for (lane, times) in in_turn(&mut parties, times, one)? {
            let time = percentile(&mut times.concat(), 0.5);
            sheet.add(section, Measure::Wall, lane, millis(time));
        }
        for (lane, party) in &parties {
            if let Some(usage) = party.usage() {
                sheet.add(section, Measure::Peak, *lane, usage.peak);
            }
        }
        Ok(())
    }

    pub(super) fn progress(&self, round: usize, sheet: &mut Sheet) -> Result<()> {
        let mut add = |measure, lane, figure| sheet.add(Section::Progress, measure, lane, figure);
        let call = PROGRESS_SMALL.into();
        let mut parties = self.open(USUAL, call, round)?;
        let count = self.effort.side_by_side;
        let flood = |party: &mut Client| party.side_by_side(call, WIDTH, count);
        for (lane, floods) in in_turn(&mut parties, self.effort.slices, flood)? {
            let mut delays: Vec<_> = floods.into_iter().flat_map(|f| f.progress).collect();
            if delays.is_empty() {
                return Err(format!("{lane:?}: no progress notification came").into());
            }
            let p50 = millis(percentile(&mut delays, 0.5));
            add(Measure::ProgressP50, lane, p50);
            let p99 = millis(percentile(&mut delays, 0.99));
            add(Measure::ProgressP99, lane, p99);
        }
        Ok(())
    }

    /// How long a call with very many notifications takes, and how many of them came: a gateway may leave out what the next one says again.
    pub(super) fn stream(&self, round: usize, sheet: &mut Sheet) -> Result<()> {
        let call = STREAM_SMALL.into();
        let mut parties = self.open(USUAL, call, round)?;
        let one = |party: &mut Client| party.side_by_side(call, 1, 1);
        in_turn(&mut parties, 1, one)?;
        for (lane, floods) in in_turn(&mut parties, self.effort.large, one)? {
            let mut walls: Vec<_> = floods.iter().map(|flood| flood.wall).collect();
            let wall = millis(percentile(&mut walls, 0.5));
            sheet.add(Section::Stream, Measure::Wall, lane, wall);
            let delivered: usize = floods.iter().map(|flood| flood.progress.len()).sum();
            let delivered = delivered as f64 / floods.len() as f64;
            sheet.add(Section::Stream, Measure::Delivered, lane, delivered);
        }
        Ok(())
    }

    /// All calls at once, each answered. The relay would need as many connections.
    pub(super) fn crowd(&self, sheet: &mut Sheet) -> Result<()> {
        if !self.subject.is_gateway() {
            return Ok(());
        }
        let call = JSON_SMALL.into();
        let mut gateway = StdioClient::open(&self.alone(OPEN)?, call)?;
        let wall = gateway.side_by_side(call, CROWD, CROWD)?.wall;
        let mut add = |measure, figure| sheet.add(Section::Crowd, measure, Lane::Gateway, figure);
        add(Measure::Wall, millis(wall));
        if let Some(usage) = gateway.usage() {
            add(Measure::Peak, usage.peak);
        }
        Ok(())
    }
}

/// What processes take that do nothing.
fn idle(parties: &Parties, add: &mut impl FnMut(Measure, Lane, f64)) {
    thread::sleep(SETTLING);
    let settled: Vec<_> = parties.iter().map(|(_, party)| party.usage()).collect();
    thread::sleep(IDLE);
    for ((lane, party), settled) in parties.iter().zip(settled) {
        if let (Some(settled), Some(usage)) = (settled, party.usage()) {
            add(Measure::Idle, *lane, usage.resident);
            let woken = (usage.sleeps - settled.sleeps) as f64;
            add(Measure::WakeUps, *lane, woken / IDLE.as_secs_f64());
        }
    }
}
