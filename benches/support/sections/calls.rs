//! Calls to one backend over all routes: small and large, one at a time and concurrent.

use std::thread;
use std::time::Duration;

use super::{
    Benchmark, CONCURRENCY, Client, Clients, HUGE, RAISED, SETTLE_TIME, USUAL, interleave, micros,
    millis,
};
use crate::support::Result;
use crate::support::call::{Call, JSON_SMALL, MIDDLE, PROGRESS_SMALL, STREAM_SMALL};
use crate::support::client::driver::CallDriver;
use crate::support::client::stdio::StdioClient;
use crate::support::report::results::{Metric, Results, Route, Section};
use crate::support::report::stats::percentile;

/// How long an idle process is measured.
const IDLE: Duration = Duration::from_millis(500);

/// A gateway that admits all calls of [`CROWD`].
const OPEN: (&str, &str) = ("open", "max_in_flight = 10000");
const CROWD: usize = 10_000;

impl Benchmark {
    /// Calls one at a time, then `count` concurrent calls in a slice.
    pub(super) fn calls(
        &self,
        section: Section,
        call: Call,
        count: usize,
        round: usize,
        results: &mut Results,
    ) -> Result<()> {
        let mut add = |measure, route, figure| results.add(section, measure, route, figure);
        let mut clients = self.open(USUAL, call, round)?;
        if section == Section::Small {
            idle(&clients, &mut add);
        }

        // The first slice of each kind is a warm-up.
        let slices = self.effort.slices;
        let one = |client: &mut Client| client.sequential(call, self.effort.sequential);
        interleave(&mut clients, 1, one)?;
        for (route, times) in interleave(&mut clients, slices, one)? {
            let mut times = times.concat();
            add(Metric::P50, route, micros(percentile(&mut times, 0.5)));
            add(Metric::P99, route, micros(percentile(&mut times, 0.99)));
        }

        // The widest comes last, after the memory was measured, since it raises the peak.
        let widths: &[usize] = match call.tool.bytes {
            MIDDLE.. => &[CONCURRENCY],
            _ => &[16, CONCURRENCY, 256],
        };
        for &width in widths {
            let run = |client: &mut Client| Ok(client.concurrent(call, width, count)?.wall);
            interleave(&mut clients, 1, run)?;
            let before: Vec<_> = clients.iter().map(|(_, client)| client.usage()).collect();
            for (route, mut walls) in interleave(&mut clients, slices, run)? {
                let wall = percentile(&mut walls, 0.5).as_secs_f64();
                add(Metric::CallsPerSecond(width), route, count as f64 / wall);
            }
            if width != CONCURRENCY {
                continue;
            }
            for ((route, client), before) in clients.iter().zip(before) {
                if let (Some(before), Some(after)) = (before, client.usage()) {
                    let cpu = micros(after.cpu.saturating_sub(before.cpu));
                    add(Metric::CpuPerCall, *route, cpu / (slices * count) as f64);
                    add(Metric::Peak, *route, after.peak);
                }
            }
        }
        Ok(())
    }

    /// Time of one large request or response, and the peak memory.
    pub(super) fn one_answer(
        &self,
        section: Section,
        call: Call,
        times: usize,
        round: usize,
        results: &mut Results,
    ) -> Result<()> {
        let kind = match call.tool.bytes {
            HUGE.. => RAISED,
            _ => USUAL,
        };
        let mut clients = self.open(kind, call, round)?;
        let one = |client: &mut Client| client.sequential(call, 1);
        interleave(&mut clients, 1, one)?;
        for (route, times) in interleave(&mut clients, times, one)? {
            let time = percentile(&mut times.concat(), 0.5);
            results.add(section, Metric::Wall, route, millis(time));
        }
        for (route, client) in &clients {
            if let Some(usage) = client.usage() {
                results.add(section, Metric::Peak, *route, usage.peak);
            }
        }
        Ok(())
    }

    pub(super) fn progress(&self, round: usize, results: &mut Results) -> Result<()> {
        let mut add =
            |measure, route, figure| results.add(Section::Progress, measure, route, figure);
        let call = PROGRESS_SMALL.into();
        let mut clients = self.open(USUAL, call, round)?;
        let count = self.effort.concurrent;
        let run = |client: &mut Client| client.concurrent(call, CONCURRENCY, count);
        for (route, runs) in interleave(&mut clients, self.effort.slices, run)? {
            let mut delays: Vec<_> = runs.into_iter().flat_map(|f| f.progress).collect();
            if delays.is_empty() {
                return Err(format!("{route:?}: no progress notification came").into());
            }
            let p50 = millis(percentile(&mut delays, 0.5));
            add(Metric::ProgressP50, route, p50);
            let p99 = millis(percentile(&mut delays, 0.99));
            add(Metric::ProgressP99, route, p99);
        }
        Ok(())
    }

    /// Time of a call with many notifications, and how many were delivered: a gateway may drop one that the next one supersedes.
    pub(super) fn stream(&self, round: usize, results: &mut Results) -> Result<()> {
        let call = STREAM_SMALL.into();
        let mut clients = self.open(USUAL, call, round)?;
        let one = |client: &mut Client| client.concurrent(call, 1, 1);
        interleave(&mut clients, 1, one)?;
        for (route, runs) in interleave(&mut clients, self.effort.large, one)? {
            let mut walls: Vec<_> = runs.iter().map(|run| run.wall).collect();
            let wall = millis(percentile(&mut walls, 0.5));
            results.add(Section::Stream, Metric::Wall, route, wall);
            let delivered: usize = runs.iter().map(|run| run.progress.len()).sum();
            let delivered = delivered as f64 / runs.len() as f64;
            results.add(Section::Stream, Metric::Delivered, route, delivered);
        }
        Ok(())
    }

    /// [`CROWD`] concurrent calls. The relay would need as many connections.
    pub(super) fn crowd(&self, results: &mut Results) -> Result<()> {
        if !self.subject.is_gateway() {
            return Ok(());
        }
        let call = JSON_SMALL.into();
        let mut gateway = StdioClient::open(&self.alone(OPEN)?, call)?;
        let wall = gateway.concurrent(call, CROWD, CROWD)?.wall;
        let mut add =
            |measure, figure| results.add(Section::Crowd, measure, Route::Gateway, figure);
        add(Metric::Wall, millis(wall));
        if let Some(usage) = gateway.usage() {
            add(Metric::Peak, usage.peak);
        }
        Ok(())
    }
}

/// Memory and wake-ups of idle processes.
fn idle(clients: &Clients, add: &mut impl FnMut(Metric, Route, f64)) {
    thread::sleep(SETTLE_TIME);
    let settled: Vec<_> = clients.iter().map(|(_, client)| client.usage()).collect();
    thread::sleep(IDLE);
    for ((route, client), settled) in clients.iter().zip(settled) {
        if let (Some(settled), Some(usage)) = (settled, client.usage()) {
            add(Metric::Idle, *route, usage.resident);
            let woken = (usage.sleeps - settled.sleeps) as f64;
            add(Metric::WakeUps, *route, woken / IDLE.as_secs_f64());
        }
    }
}
