//! Where the figures of a run are written down: one row a measure, one column a party, one figure a round.

use clap::ValueEnum;
use serde::Serialize;

use super::stats::Spread;

/// What can be weighed on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Section {
    /// Answers of 1 KiB in JSON: time, calls a second, CPU, memory.
    Small,
    /// The same as event streams.
    Sse,
    /// From a progress notification's leaving the backend to its being read, 64 calls side by side.
    Progress,
    /// An answer of 8 MiB.
    Large,
    /// From exec to `initialize` answered.
    Start,
}

/// Who is weighed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// The process under test.
    Gateway,
    /// The same process shape without any policy.
    Relay,
    /// No process in between.
    Direct,
}

/// What is weighed; each is written down in one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measure {
    P50,
    P99,
    CallsPerSecond,
    CpuPerCall,
    ProgressP50,
    ProgressP99,
    Wall,
    Initialized,
    Idle,
    Peak,
}

impl Measure {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::P50 => "one at a time, p50",
            Self::P99 => "one at a time, p99",
            Self::CallsPerSecond => "64 side by side",
            Self::CpuPerCall => "64 side by side, CPU per call",
            Self::ProgressP50 => "notification's way, p50",
            Self::ProgressP99 => "notification's way, p99",
            Self::Wall => "one answer",
            Self::Initialized => "exec to initialize answered",
            Self::Idle => "memory, idle",
            Self::Peak => "memory, peak",
        }
    }

    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::P50 | Self::P99 | Self::CpuPerCall => "µs",
            Self::CallsPerSecond => "calls/s",
            Self::ProgressP50 | Self::ProgressP99 | Self::Wall | Self::Initialized => "ms",
            Self::Idle | Self::Peak => "MiB",
        }
    }
}

/// All figures of a run.
#[derive(Default)]
pub(crate) struct Sheet {
    pub(crate) rows: Vec<Row>,
}

pub(crate) struct Row {
    pub(crate) section: Section,
    pub(crate) measure: Measure,
    figures: [Vec<f64>; 3],
}

impl Sheet {
    /// Writes down the figure of one round.
    pub(crate) fn add(&mut self, section: Section, measure: Measure, lane: Lane, figure: f64) {
        let known = |row: &Row| row.section == section && row.measure == measure;
        let at = self.rows.iter().position(known).unwrap_or_else(|| {
            self.rows.push(Row {
                section,
                measure,
                figures: Default::default(),
            });
            self.rows.len() - 1
        });
        self.rows[at].figures[lane as usize].push(figure);
    }
}

impl Row {
    /// The figures of a party over all rounds, in the measure's unit.
    pub(crate) fn value(&self, lane: Lane) -> Option<Spread> {
        Spread::of(&self.figures[lane as usize])
    }

    /// The gateway's figures over those of a baseline, round by round: what slows a round slows both.
    pub(crate) fn ratio(&self, to: Lane) -> Option<Spread> {
        let gateway = &self.figures[Lane::Gateway as usize];
        let baseline = &self.figures[to as usize];
        let ratios: Vec<_> = gateway.iter().zip(baseline).map(|(a, b)| a / b).collect();
        Spread::of(&ratios)
    }
}
