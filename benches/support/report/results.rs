//! The figures of a run: a row for each metric, a column for each route, a figure for each round.

use clap::ValueEnum;
use serde::Serialize;

use crate::support::report::stats::Spread;

/// A part of the benchmark that can be run on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Section {
    /// Responses of 1 KiB in JSON: time, calls per second, CPU, memory.
    Small,
    /// The same as event streams.
    Sse,
    /// Responses of 64 KiB in JSON.
    Middle,
    /// The same as event streams.
    MiddleSse,
    /// A response of 8 MiB in JSON.
    Large,
    /// The same as an event stream.
    LargeSse,
    /// A response of 64 MiB in JSON, over the default limit.
    Huge,
    /// The same as an event stream.
    HugeSse,
    /// Arguments of 8 MiB.
    Arguments,
    /// Latency of a progress notification from backend to client, with 64 concurrent calls.
    Progress,
    /// 1,000 progress notifications of one call, without a pause.
    Stream,
    /// 10,000 concurrent calls.
    Crowd,
    /// 50 backends with 10,000 tools.
    Fleet,
    /// Clients and backends of both eras, compared with a legacy client and a legacy backend.
    Eras,
    #[value(skip)]
    LegacyToLegacy,
    #[value(skip)]
    ModernToModern,
    #[value(skip)]
    LegacyToModern,
    #[value(skip)]
    ModernToLegacy,
    /// What a call costs with an audit file, metrics, traces, a sign-in or search: by instructions, counted by valgrind, and by CPU,
    /// compared with a gateway that has none of it. Runs only if named.
    Features,
    #[value(skip)]
    Audit,
    #[value(skip)]
    Prometheus,
    #[value(skip)]
    Otlp,
    #[value(skip)]
    SignedIn,
    #[value(skip)]
    SearchMode,
    /// 10,000 resources of two backends, with the same URIs: their list from memory, and instructions of a call of the backend whose URIs
    /// have aliases, and of one beside a backend with other URIs, compared with the same backend alone. Runs only if named.
    Resources,
    #[value(skip)]
    Aliased,
    #[value(skip)]
    Unaliased,
    /// Time from exec to the response to `initialize`, and the executable's size.
    Start,
    /// Instructions of a call, counted by valgrind. Runs only if named.
    Instructions,
    /// Whether memory grows over a million calls. Takes minutes, and runs only if named.
    Soak,
    /// Allocations of a call; a separate bench.
    #[value(skip)]
    Allocations,
}

impl Section {
    /// The sections that run if none is named.
    pub(crate) fn usual() -> Vec<Self> {
        let all = Self::value_variants().iter().copied();
        all.filter(|section| {
            !matches!(
                section,
                Self::Features | Self::Instructions | Self::Resources | Self::Soak
            )
        })
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
            Self::Crowd => "10,000 concurrent calls",
            Self::Fleet => "50 backends",
            Self::Eras => "eras",
            Self::LegacyToLegacy => "legacy client, legacy backend",
            Self::ModernToModern => "modern client, modern backend",
            Self::LegacyToModern => "legacy client, modern backend",
            Self::ModernToLegacy => "modern client, legacy backend",
            Self::Features => "features",
            Self::Audit => "with an audit file",
            Self::Prometheus => "with metrics for Prometheus",
            Self::Otlp => "with OTLP, a tenth of the traces",
            Self::SignedIn => "signed in",
            Self::SearchMode => "by call_tool in search mode",
            Self::Resources => "two backends, the same URIs",
            Self::Aliased => "of a backend with aliases",
            Self::Unaliased => "of a backend without, beside another",
            Self::Start => "start",
            Self::Soak => "1,000,000 calls",
            Self::Instructions | Self::Allocations => "1 KiB JSON",
        }
    }
}

/// The route that calls take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Through the process under test.
    Gateway,
    /// Through the bare relay.
    Relay,
    /// From the driver to the backend, over HTTP.
    Direct,
    /// Through the gateway, with a legacy client and a legacy backend: the baseline for the other eras.
    Legacy,
    /// The same, the baseline for what is switched on.
    Plain,
}

impl Route {
    /// Its name as a baseline.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Relay => "relay",
            Self::Direct => "direct",
            Self::Legacy => "legacy",
            Self::Plain => "plain",
        }
    }
}

/// A measured quantity, in a unit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Metric {
    P50,
    P99,
    /// With this many concurrent calls.
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
    ResourcesAgain,
    Idle,
    WakeUps,
    Peak,
    Growth,
    Size,
    Instructions,
    Allocations,
}

impl Metric {
    pub(crate) fn title(self) -> String {
        let title = match self {
            Self::P50 => "one at a time, p50",
            Self::P99 => "one at a time, p99",
            Self::CallsPerSecond(width) => return format!("{width} concurrent"),
            Self::CpuPerCall => "64 concurrent, CPU per call",
            Self::RequestsPerCall => "requests to the backend per call",
            Self::ProgressP50 => "notification latency, p50",
            Self::ProgressP99 => "notification latency, p99",
            Self::Delivered => "notifications delivered",
            Self::Wall => "time",
            Self::Initialized => "exec to initialize response",
            Self::Listed => "exec to 10,000 tools listed",
            Self::ListAgain => "10,000 tools listed again",
            Self::ResourcesAgain => "10,000 resources listed again",
            Self::Idle => "memory, idle",
            Self::WakeUps => "idle, wake-ups per second",
            Self::Peak => "memory, peak",
            Self::Growth => "memory, growth",
            Self::Size => "size of the executable",
            Self::Instructions => "64 concurrent, instructions per call",
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
            | Self::ListAgain
            | Self::ResourcesAgain => "ms",
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
pub(crate) struct Results {
    pub(crate) rows: Vec<Row>,
}

pub(crate) struct Row {
    pub(crate) section: Section,
    pub(crate) measure: Metric,
    figures: [Vec<f64>; 5],
}

impl Results {
    /// Adds the figure of one round.
    pub(crate) fn add(&mut self, section: Section, measure: Metric, route: Route, figure: f64) {
        let known = |row: &Row| row.section == section && row.measure == measure;
        let at = self.rows.iter().position(known).unwrap_or_else(|| {
            self.rows.push(Row {
                section,
                measure,
                figures: Default::default(),
            });
            self.rows.len() - 1
        });
        self.rows[at].figures[route as usize].push(figure);
    }
}

impl Row {
    /// The figures of a route over all rounds, in the metric's unit.
    pub(crate) fn value(&self, route: Route) -> Option<Spread> {
        Spread::of(&self.figures[route as usize])
    }

    /// The ratio of the gateway's figures to a baseline's, round by round: other load on the machine affects both.
    pub(crate) fn ratio(&self, to: Route) -> Option<Spread> {
        self.compared(to, |gateway, baseline| gateway / baseline)
    }

    /// The same, with `allowance` subtracted from the gateway's figures.
    pub(crate) fn ratio_past(&self, allowance: f64, to: Route) -> Option<Spread> {
        self.compared(to, |gateway, baseline| (gateway - allowance) / baseline)
    }

    /// The difference between the gateway's figures and a baseline's, round by round.
    pub(crate) fn excess(&self, over: Route) -> Option<Spread> {
        self.compared(over, |gateway, baseline| gateway - baseline)
    }

    fn compared(&self, to: Route, compare: impl Fn(f64, f64) -> f64) -> Option<Spread> {
        let gateway = &self.figures[Route::Gateway as usize];
        let baseline = &self.figures[to as usize];
        let pairs = gateway.iter().zip(baseline);
        let compared = pairs.map(|(a, b)| compare(*a, *b));
        // A ratio of zeros is not a number.
        let compared: Vec<_> = compared.filter(|figure| figure.is_finite()).collect();
        Spread::of(&compared)
    }

    /// The baseline for rows without a target.
    pub(crate) fn baseline(&self) -> Route {
        let routes = [Route::Relay, Route::Legacy, Route::Plain, Route::Direct];
        let has_figures = |route: &Route| !self.figures[*route as usize].is_empty();
        routes.into_iter().find(has_figures).unwrap_or(Route::Relay)
    }
}
