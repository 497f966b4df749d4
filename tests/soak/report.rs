//! What came of it: the figures, and whether each promise held.

use std::io::Write;
use std::process::ExitStatus;
use std::time::Duration;

use super::client::Log;
use super::ledger::Ledger;
use super::parties::Runs;
use super::run::Slice;
use super::stats::Spread;
use super::watch::{Sample, Shares, slope};

/// How much more memory than after the warm-up is none, in MiB.
const GROWTH: f64 = 2.0;
/// From this length on memory is judged by its slope, which may be so many MiB an hour.
const LONG: Duration = Duration::from_secs(3600);
const SLOPE: f64 = 1.0;
/// How much longer a call may take when other backends misbehave.
const SLOWER: f64 = 2.0;

/// The gateway at rest: before the load, after the warm-up, at the end.
pub(crate) struct Rest {
    pub(crate) start: Sample,
    pub(crate) warm: Sample,
    pub(crate) end: Sample,
}

/// All that was seen.
pub(crate) struct Soaked {
    pub(crate) asked: Duration,
    pub(crate) samples: Vec<Sample>,
    pub(crate) slices: Vec<Slice>,
    pub(crate) shares: Vec<Shares>,
    pub(crate) runs: Runs,
    pub(crate) rest: Rest,
    /// The most memory that there ever was, in MiB.
    pub(crate) peak: f64,
    /// Tasks of a gateway that has done nothing yet.
    pub(crate) fresh_tasks: Option<u64>,
    pub(crate) status: Option<ExitStatus>,
    pub(crate) ledger: Ledger,
    pub(crate) log: Log,
}

/// A promise, the figures for it, and whether it held.
type Line = (&'static str, String, bool);

impl Soaked {
    /// Prints everything. Whether all held.
    pub(crate) fn print(&self) -> bool {
        let mut text = self.figures();
        let verdict = self.verdict();
        let holds = verdict.iter().all(|(.., held)| *held);
        text += "\n";
        for (promise, figures, held) in &verdict {
            let word = if *held { "held  " } else { "BROKEN" };
            text += &format!("{word}  {promise:<44}  {figures}\n");
        }
        for failure in &self.ledger.failures {
            text += &format!("        {failure}\n");
        }
        if !holds {
            text += "\nthe end of the gateway's log:\n";
            for line in &self.log.latest {
                text += &format!("  {line}\n");
            }
        }
        // Who started it may have gone; the exit code still tells.
        let _ = std::io::stdout().write_all(text.as_bytes());
        holds
    }

    fn figures(&self) -> String {
        let counts = &self.ledger.counts;
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
        let Rest { start, warm, end } = &self.rest;
        let holds = |sample: &Sample| {
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
                "asked for",
                format!("{:?}, in {} slices", self.asked, self.slices.len()),
            ),
            (
                "share of the machine",
                format!("{own:.0} %, {others:.0} % to others"),
            ),
            (
                "requests, answers",
                format!("{}, {}", counts.requests, counts.answers),
            ),
            ("cancelled", counts.cancelled.to_string()),
            (
                "second under an id, refused",
                format!("{} of {}", counts.refused, counts.copies),
            ),
            (
                "progress, questions answered",
                format!("{}, {}", counts.progress, counts.questions),
            ),
            ("errors about flaky backends", errors.join(", ")),
            (
                "calls that ran, retries logged",
                format!("{}, {}", self.runs.all, self.log.retries),
            ),
            ("calls timed", driven.to_string()),
            ("p50, p99 in calm", self.times(false)),
            ("p50, p99 in chaos", self.times(true)),
            ("at rest before", holds(start)),
            ("at rest after the warm-up", holds(warm)),
            ("at rest in the end", holds(end)),
            ("memory as time went by, MiB", self.course()),
            ("memory at the peak", format!("{:.1} MiB", self.peak)),
        ];
        rows.iter()
            .map(|(what, figure)| format!("{what:<38}  {figure}\n"))
            .collect()
    }

    /// A dozen samples at most, from the warm-up to the end.
    fn course(&self) -> String {
        let apart = self.samples.len().div_ceil(12).max(1);
        let samples = self.samples.iter().step_by(apart);
        let shown: Vec<String> = samples
            .map(|sample| format!("{:.1}", sample.resident))
            .collect();
        shown.join(" ")
    }

    fn times(&self, chaos: bool) -> String {
        let of = |which: fn(&Slice) -> Duration| self.spread(chaos, which);
        match (of(|slice| slice.p50), of(|slice| slice.p99)) {
            (Some(p50), Some(p99)) => format!(
                "{:.2} ms, {:.2} ms (slices: {:.2} to {:.2})",
                p50.median, p99.median, p99.min, p99.max
            ),
            _ => "none".into(),
        }
    }

    /// Of a figure of all slices of a kind, in milliseconds.
    fn spread(&self, chaos: bool, which: fn(&Slice) -> Duration) -> Option<Spread> {
        let slices = self.slices.iter().filter(|slice| slice.chaos == chaos);
        let figures: Vec<f64> = slices
            .map(|slice| which(slice).as_secs_f64() * 1e3)
            .collect();
        Spread::of(&figures)
    }

    fn verdict(&self) -> Vec<Line> {
        let counts = &self.ledger.counts;
        let wrong = counts.wrong + counts.late;
        let Runs { all, twice } = self.runs;
        // A second request under an id is one more call, unless it was refused.
        let twice = twice.saturating_sub(counts.copies - counts.refused);
        let none = |count: u64| (count.to_string(), count == 0);
        let line = |promise, (figures, held)| (promise, figures, held);
        vec![
            line("no answer is lost", none(counts.lost)),
            line("none is doubled", none(counts.doubled)),
            line("each is right, in time, well where it can be", none(wrong)),
            (
                "no call ran twice",
                format!("{twice} of {all}"),
                twice == 0 && all > 0,
            ),
            line("memory", self.memory()),
            line("descriptors", self.descriptors()),
            line("tasks", self.tasks()),
            line("p99 beside misbehaving backends", self.slower()),
            line("no panic", none(self.log.panics)),
            line("the gateway ends well", self.ending()),
        ]
    }

    fn memory(&self) -> (String, bool) {
        let (warm, end) = (self.rest.warm.resident, self.rest.end.resident);
        if self.asked < LONG {
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
        let (start, end) = (self.rest.start.descriptors, self.rest.end.descriptors);
        (format!("{start} before, {end} after"), end <= start)
    }

    fn tasks(&self) -> (String, bool) {
        let (fresh, end) = (self.fresh_tasks, self.log.tasks);
        let shown = |tasks: Option<u64>| tasks.map_or("not told".into(), |tasks| tasks.to_string());
        let figures = format!("{} in a fresh gateway, {} after", shown(fresh), shown(end));
        (figures, fresh.is_some() && end.is_some() && end <= fresh)
    }

    fn slower(&self) -> (String, bool) {
        let p99 = |chaos| self.spread(chaos, |slice| slice.p99);
        let (Some(calm), Some(chaos)) = (p99(false), p99(true)) else {
            return ("not measured".into(), false);
        };
        let ratio = chaos.median / calm.median;
        (
            format!("{ratio:.2} × that in calm, {SLOWER} allowed"),
            ratio <= SLOWER,
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
