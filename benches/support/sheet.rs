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
    /// Answers of 64 KiB in JSON.
    Middle,
    /// The same as event streams.
    MiddleSse,
    /// An answer of 8 MiB in JSON.
    Large,
    /// The same as an event stream.
    LargeSse,
    /// An answer of 64 MiB in JSON, past the usual cap.
    Huge,
    /// The same as an event stream.
    HugeSse,
    /// Arguments of 8 MiB.
    Arguments,
    /// From a progress notification's leaving the backend to its being read, 64 calls side by side.
    Progress,
    /// 1,000 progress notifications of one call, back to back.
    Stream,
    /// 10,000 calls at once.
    Crowd,
    /// 50 backends with 10,000 tools.
    Fleet,
    /// Clients and backends of both eras, against a legacy client before a legacy backend.
    Eras,
    #[value(skip)]
    LegacyToLegacy,
    #[value(skip)]
    ModernToModern,
    #[value(skip)]
    LegacyToModern,
    #[value(skip)]
    ModernToLegacy,
    /// From exec to `initialize` answered, and the executable's size.
    Start,
    /// Instructions that a call takes, counted by valgrind. Weighed only if named.
    Instructions,
    /// Whether memory grows over a million calls. Takes minutes, and is weighed only if named.
    Soak,
    /// What a call allocates; a bench of its own.
    #[value(skip)]
    Allocations,
}

impl Section {
    /// What is weighed if nothing is named.
    pub(crate) fn usual() -> Vec<Self> {
        let all = Self::value_variants().iter().copied();
        all.filter(|section| !matches!(section, Self::Instructions | Self::Soak))
            .collect()
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Small => "1 KiB JSON",
            Self::Sse => "1 KiB SSE",
            Self::Middle => "64 KiB JSON",
            Self::MiddleSse => "64 KiB SSE",
            Self::Large => "8 MiB JSON",
            Self::LargeSse => "8 MiB SSE",
            Self::Huge => "64 MiB JSON",
            Self::HugeSse => "64 MiB SSE",
            Self::Arguments => "8 MiB of arguments",
            Self::Progress => "progress",
            Self::Stream => "1,000 notifications",
            Self::Crowd => "10,000 calls at once",
            Self::Fleet => "50 backends",
            Self::Eras => "eras",
            Self::LegacyToLegacy => "legacy client, legacy backend",
            Self::ModernToModern => "modern client, modern backend",
            Self::LegacyToModern => "legacy client, modern backend",
            Self::ModernToLegacy => "modern client, legacy backend",
            Self::Start => "start",
            Self::Soak => "1,000,000 calls",
            Self::Instructions | Self::Allocations => "1 KiB JSON",
        }
    }
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
    /// The gateway between a client and a backend that are both legacy: the baseline of the other eras.
    Legacy,
}

impl Lane {
    /// As a baseline is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Relay => "relay",
            Self::Direct => "direct",
            Self::Legacy => "legacy",
        }
    }
}

/// What is weighed; each is written down in one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measure {
    P50,
    P99,
    /// With so many calls side by side.
    CallsPerSecond(usize),
    CpuPerCall,
    RequestsPerCall,
    ProgressP50,
    ProgressP99,
    Delivered,
    Wall,
    Initialized,
    Listed,
    ListAgain,
    Idle,
    WakeUps,
    Peak,
    Growth,
    Size,
    Instructions,
    Allocations,
}

impl Measure {
    pub(crate) fn title(self) -> String {
        let title = match self {
            Self::P50 => "one at a time, p50",
            Self::P99 => "one at a time, p99",
            Self::CallsPerSecond(width) => return format!("{width} side by side"),
            Self::CpuPerCall => "64 side by side, CPU per call",
            Self::RequestsPerCall => "requests to the backend per call",
            Self::ProgressP50 => "notification's way, p50",
            Self::ProgressP99 => "notification's way, p99",
            Self::Delivered => "notifications delivered",
            Self::Wall => "time",
            Self::Initialized => "exec to initialize answered",
            Self::Listed => "exec to 10,000 tools listed",
            Self::ListAgain => "10,000 tools listed again",
            Self::Idle => "memory, idle",
            Self::WakeUps => "idle, wake-ups a second",
            Self::Peak => "memory, peak",
            Self::Growth => "memory, growth",
            Self::Size => "size of the executable",
            Self::Instructions => "64 side by side, instructions per call",
            Self::Allocations => "allocations per call",
        };
        title.to_owned()
    }

    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::P50 | Self::P99 | Self::CpuPerCall => "µs",
            Self::CallsPerSecond(_) => "calls/s",
            Self::ProgressP50
            | Self::ProgressP99
            | Self::Wall
            | Self::Initialized
            | Self::Listed
            | Self::ListAgain => "ms",
            Self::Idle | Self::Peak | Self::Growth | Self::Size => "MiB",
            Self::RequestsPerCall
            | Self::WakeUps
            | Self::Delivered
            | Self::Instructions
            | Self::Allocations => "",
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
    figures: [Vec<f64>; 4],
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
        self.compared(to, |gateway, baseline| gateway / baseline)
    }

    /// The same, less what the gateway may take on top.
    pub(crate) fn ratio_past(&self, allowance: f64, to: Lane) -> Option<Spread> {
        self.compared(to, |gateway, baseline| (gateway - allowance) / baseline)
    }

    /// What the gateway's figures have on top of a baseline's, round by round.
    pub(crate) fn excess(&self, over: Lane) -> Option<Spread> {
        self.compared(over, |gateway, baseline| gateway - baseline)
    }

    fn compared(&self, to: Lane, compare: impl Fn(f64, f64) -> f64) -> Option<Spread> {
        let gateway = &self.figures[Lane::Gateway as usize];
        let baseline = &self.figures[to as usize];
        let pairs = gateway.iter().zip(baseline);
        let compared = pairs.map(|(a, b)| compare(*a, *b));
        // Nothing over nothing compares with nothing.
        let compared: Vec<_> = compared.filter(|figure| figure.is_finite()).collect();
        Spread::of(&compared)
    }

    /// What the gateway is compared with where no target says it.
    pub(crate) fn baseline(&self) -> Lane {
        let lanes = [Lane::Relay, Lane::Legacy, Lane::Direct];
        let has_figures = |lane: &Lane| !self.figures[*lane as usize].is_empty();
        lanes.into_iter().find(has_figures).unwrap_or(Lane::Relay)
    }
}
