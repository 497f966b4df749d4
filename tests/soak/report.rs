//! The report: the figures, and whether each check passed.

use std::io::Write;
use std::process::ExitStatus;
use std::time::Duration;

use super::common::beside::Measured;
use super::common::gateway_log::GatewayLog;
use super::processes::Runs;
use super::run::Slice;
use super::stats::Spread;
use super::tracker::Tracker;
use super::watch::{Sample, Shares, slope};

/// The permitted growth of memory since the warm-up, in MiB.
const GROWTH: f64 = 2.0;
/// Runs of at least this length are checked by the slope of their memory instead.
const LONG: Duration = Duration::from_secs(3600);
/// The permitted slope, in MiB an hour.
const SLOPE: f64 = 1.0;
/// The permitted ratio of the p99 with faulty backends to that without faults.
const SLOWER: f64 = 2.0;

/// The idle gateway: before the load, after the warm-up, at the end.
pub(crate) struct IdleSamples {
    pub(crate) start: Sample,
    pub(crate) warm: Sample,
    pub(crate) end: Sample,
}

/// Everything that was measured.
pub(crate) struct Outcome {
    pub(crate) duration: Duration,
    pub(crate) samples: Vec<Sample>,
    pub(crate) slices: Vec<Slice>,
    pub(crate) shares: Vec<Shares>,
    pub(crate) runs: Runs,
    pub(crate) idle: IdleSamples,
    /// The peak memory, in MiB.
    pub(crate) peak: f64,
    /// How often the config was changed, and a switch set.
    pub(crate) reloads: u64,
    pub(crate) switches: u64,
    /// The tasks of a gateway without load.
    pub(crate) baseline_tasks: Option<u64>,
    pub(crate) status: Option<ExitStatus>,
    pub(crate) tracker: Tracker,
    pub(crate) log: GatewayLog,
}

/// A check, its figures, and whether it passed.
type Line = (&'static str, String, bool);

impl Outcome {
    /// Prints everything. Returns whether every check passed.
    pub(crate) fn print(&self) -> bool {
        let mut text = self.figures();
        let verdict = self.verdict();
        let passed = verdict.iter().all(|(.., held)| *held);
        text += "\n";
        for (check, figures, held) in &verdict {
            let result = if *held { "passed" } else { "FAILED" };
            text += &format!("{result}  {check:<44}  {figures}\n");
        }
        for failure in &self.tracker.failures {
            text += &format!("        {failure}\n");
        }
        if !passed {
            text += "\nthe end of the gateway's log:\n";
            for line in &self.log.latest {
                text += &format!("  {line}\n");
            }
        }
        // If stdout is closed, the exit code still shows the result.
        let _ = std::io::stdout().write_all(text.as_bytes());
        passed
    }

    fn figures(&self) -> String {
        let counts = &self.tracker.counts;
        let driven: usize = self.slices.iter().map(|slice| slice.count).sum();
        let mean = |of: fn(&Shares) -> f64| {
            100.0 * self.shares.iter().map(of).sum::<f64>() / self.shares.len().max(1) as f64
        };
        let (own, others) = (mean(|shares| shares.own), mean(|shares| shares.others));
        let errors: Vec<String> = counts
            .errors
            .iter()
            .map(|(class, count)| format!("{class} {count}"))
            .collect();
        let IdleSamples { start, warm, end } = &self.idle;
        let usage = |sample: &Sample| {
            let Sample {
                resident,
                descriptors,
                threads,
                ..
            } = sample;
            format!("{resident:.1} MiB, {descriptors} descriptors, {threads} threads")
        };
        let rows = [
            (
                "duration",
                format!("{:?}, in {} slices", self.duration, self.slices.len()),
            ),
            (
                "share of the machine",
                format!("{own:.0} %, {others:.0} % to others"),
            ),
            (
                "changes of the config, switches",
                format!("{}, {}", self.reloads, self.switches),
            ),
            (
                "requests, answers",
                format!("{}, {}", counts.requests, counts.answers),
            ),
            ("cancelled", counts.cancelled.to_string()),
            (
                "duplicates of an id, refused",
                format!("{} of {}", counts.refused, counts.copies),
            ),
            (
                "progress, elicitations answered",
                format!("{}, {}", counts.progress, counts.input_requests),
            ),
            ("errors about flaky backends", errors.join(", ")),
            (
                "calls that ran, retries logged",
                format!("{}, {}", self.runs.all, self.log.retries),
            ),
            ("calls timed", driven.to_string()),
            ("p50, p99 without faults", self.times(false)),
            ("p50, p99 with faults", self.times(true)),
            ("idle before the load", usage(start)),
            ("idle after the warm-up", usage(warm)),
            ("idle at the end", usage(end)),
            ("memory over time, MiB", self.memory_over_time()),
            ("memory at the peak", format!("{:.1} MiB", self.peak)),
        ];
        rows.iter()
            .map(|(what, figure)| format!("{what:<38}  {figure}\n"))
            .collect()
    }

    /// At most a dozen samples, from the warm-up to the end.
    fn memory_over_time(&self) -> String {
        let step = self.samples.len().div_ceil(12).max(1);
        let samples = self.samples.iter().step_by(step);
        let shown: Vec<String> = samples
            .map(|sample| format!("{:.1}", sample.resident))
            .collect();
        shown.join(" ")
    }

    fn times(&self, faulty: bool) -> String {
        let of = |which: fn(&Slice) -> Duration| self.spread(faulty, which);
        match (of(|slice| slice.p50), of(|slice| slice.p99)) {
            (Some(p50), Some(p99)) => format!(
                "{:.2} ms, {:.2} ms (slices: {:.2} to {:.2})",
                p50.median, p99.median, p99.min, p99.max
            ),
            _ => "none".into(),
        }
    }

    /// The spread of a figure over all slices with or without faults, in milliseconds.
    fn spread(&self, faulty: bool, which: fn(&Slice) -> Duration) -> Option<Spread> {
        let slices = self.slices.iter().filter(|slice| slice.faulty == faulty);
        let figures: Vec<f64> = slices
            .map(|slice| which(slice).as_secs_f64() * 1e3)
            .collect();
        Spread::of(&figures)
    }

    fn verdict(&self) -> Vec<Line> {
        let counts = &self.tracker.counts;
        let wrong = counts.wrong + counts.late;
        let Runs { all, twice } = self.runs;
        // A duplicate of an id is one more call, unless it was refused.
        let twice = twice.saturating_sub(counts.copies - counts.refused);
        let none = |count: u64| (count.to_string(), count == 0);
        let line = |check, (figures, held)| (check, figures, held);
        vec![
            line("no answer is lost", none(counts.lost)),
            line("no answer is duplicated", none(counts.doubled)),
            line("every answer is right and in time", none(wrong)),
            (
                "no call ran twice",
                format!("{twice} of {all}"),
                twice == 0 && all > 0,
            ),
            line("memory", self.memory()),
            line("descriptors", self.descriptors()),
            line("tasks", self.tasks()),
            line("p99 with faulty backends", self.slower()),
            line("another backend's calls and ping", self.beside()),
            line("no panic", none(self.log.panics)),
            line("the gateway exits successfully", self.ending()),
        ]
    }

    fn memory(&self) -> (String, bool) {
        let (warm, end) = (self.idle.warm.resident, self.idle.end.resident);
        if self.duration < LONG {
            let growth = end - warm;
            return (
                format!("{growth:+.2} MiB since the warm-up, {GROWTH} allowed"),
                growth <= GROWTH,
            );
        }
        let slope = slope(&self.samples);
        (
            format!("{slope:+.2} MiB an hour, {SLOPE} allowed"),
            slope <= SLOPE,
        )
    }

    fn descriptors(&self) -> (String, bool) {
        let (start, end) = (self.idle.start.descriptors, self.idle.end.descriptors);
        (format!("{start} before, {end} after"), end <= start)
    }

    fn tasks(&self) -> (String, bool) {
        let (baseline, end) = (self.baseline_tasks, self.log.tasks);
        let shown =
            |tasks: Option<u64>| tasks.map_or("not logged".into(), |tasks| tasks.to_string());
        let figures = format!("{} without load, {} after", shown(baseline), shown(end));
        (
            figures,
            baseline.is_some() && end.is_some() && end <= baseline,
        )
    }

    fn slower(&self) -> (String, bool) {
        let p99 = |faulty| self.spread(faulty, |slice| slice.p99);
        let (Some(faultless), Some(faulty)) = (p99(false), p99(true)) else {
            return ("not measured".into(), false);
        };
        let ratio = faulty.median / faultless.median;
        (
            format!("{ratio:.2} × that without faults, {SLOWER} allowed"),
            ratio <= SLOWER,
        )
    }

    /// By the bounds of the fault table. Every slice with faults has all of them, so the median is
    /// what they cost, and not what else the machine did.
    fn beside(&self) -> (String, bool) {
        let millis = |millis: f64| Duration::from_secs_f64(millis / 1e3);
        let p99 = |faulty| self.spread(faulty, |slice| slice.second_p99);
        let ping = self.spread(true, |slice| slice.longest_ping);
        let (Some(alone), Some(beside), Some(ping)) = (p99(false), p99(true), ping) else {
            return ("not measured".into(), false);
        };
        let measured = Measured {
            alone: millis(alone.median),
            beside: millis(beside.median),
            ping: millis(ping.median),
            peak_memory: 0,
            memory_at_rest: 0,
        };
        let calls = self
            .slices
            .iter()
            .map(|slice| slice.second_count)
            .sum::<usize>();
        let worst = format!("worst slice {:.1} ms, {:.1} ms", beside.max, ping.max);
        (
            format!("{measured} ({calls} calls; {worst})"),
            measured.holds() && self.slices.iter().all(|slice| slice.second_count >= 100),
        )
    }

    fn ending(&self) -> (String, bool) {
        let held = self.status.is_some_and(|status| status.success());
        let figures = self
            .status
            .map_or("it had to be killed".into(), |status| status.to_string());
        (figures, held)
    }
}
