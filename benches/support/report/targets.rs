//! The targets of the gateway, in one table.

use crate::support::report::results::{Metric, Route, Row, Section};
use crate::support::report::stats::Spread;

pub(crate) struct Target {
    /// Its name in the output of `--check`.
    pub(crate) name: &'static str,
    pub(crate) section: Section,
    pub(crate) measure: Metric,
    /// The required goal: `--check` fails if it is missed.
    pub(crate) must: Option<Goal>,
    /// The desired goal: `--check` names it if it is missed.
    pub(crate) aim: Option<Goal>,
}

#[derive(Clone, Copy)]
pub(crate) struct Goal {
    of: Of,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Of {
    /// The figure itself.
    Value,
    /// The ratio to a baseline in the same round.
    Ratio(Route),
    /// The same, with this allowance subtracted from the figure.
    Past(f64, Route),
    /// The difference to a baseline in the same round.
    Excess(Route),
}

#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

use Metric::{CallsPerSecond, CpuPerCall, Growth, Idle, Initialized, ListAgain, Listed};
use Metric::{P50, Peak, ProgressP50, RequestsPerCall, Size, Wall};
use Section::{Crowd, Fleet, Huge, Large, LegacyToModern, ModernToLegacy, ModernToModern};
use Section::{Progress, Small, Soak, Sse, Start};

const RELAY: Of = Of::Ratio(Route::Relay);
const DIRECT: Of = Of::Ratio(Route::Direct);
const PLAIN: Of = Of::Ratio(Route::Plain);
const ITSELF: Of = Of::Value;

#[rustfmt::skip]
pub(crate) const TARGETS: [Target; 31] = [
    target("time of one call",                      Small,                P50,                   at_most(RELAY, 1.5),     at_most(RELAY, 1.15)),
    target("calls per second",                      Small,                CallsPerSecond(64),    at_least(RELAY, 0.6),    at_least(RELAY, 0.85)),
    target("calls per second beside plain HTTP",    Small,                CallsPerSecond(64),    None,                    at_least(DIRECT, 0.55)),
    target("CPU per call",                          Small,                CpuPerCall,            at_most(RELAY, 2.0),     at_most(RELAY, 1.3)),
    target("memory when idle",                      Small,                Idle,                  at_most(ITSELF, 12.0),   at_most(ITSELF, 8.2)),
    target("memory when busy",                      Small,                Peak,                  at_most(ITSELF, 20.0),   at_most(ITSELF, 14.0)),
    target("time of one streamed call",             Sse,                  P50,                   None,                    at_most(RELAY, 1.2)),
    target("streamed calls per second",             Sse,                  CallsPerSecond(64),    None,                    at_least(RELAY, 0.85)),
    target("CPU per streamed call",                 Sse,                  CpuPerCall,            None,                    at_most(RELAY, 1.35)),
    target("allocations per call",                  Section::Allocations, Metric::Allocations,  None,                    at_most(Of::Excess(Route::Direct), 20.0)),
    target("time of a large answer",                Large,                Wall,                  at_most(RELAY, 1.5),     at_most(RELAY, 1.2)),
    // Three times the answer, and 12 MiB.
    target("memory with a large answer",            Large,                Peak,                  at_most(ITSELF, 64.0),   at_most(ITSELF, 36.0)),
    target("time of a huge answer",                 Huge,                 Wall,                  None,                    at_most(RELAY, 1.2)),
    target("first notification of a call",          Progress,             ProgressP50,           None,                    at_most(ITSELF, 1.0)),
    target("memory with 10,000 concurrent calls",   Crowd,                Peak,                  None,                    at_most(ITSELF, 64.0)),
    target("10,000 tools at start",                 Fleet,                Listed,                at_most(Of::Past(150.0, Route::Direct), 1.5), at_most(Of::Past(150.0, Route::Direct), 1.5)),
    target("10,000 tools from memory",              Fleet,                ListAgain,             at_most(ITSELF, 10.0),   at_most(ITSELF, 5.0)),
    target("round trips within the modern era",     ModernToModern,       RequestsPerCall,       None,                    at_most(ITSELF, 1.0)),
    target("round trips from legacy to modern",     LegacyToModern,       RequestsPerCall,       None,                    at_most(ITSELF, 1.0)),
    target("round trips from modern to legacy",     ModernToLegacy,       RequestsPerCall,       None,                    at_most(ITSELF, 1.0)),
    target("audit file",                            Section::Audit,       Metric::Instructions,  at_most(PLAIN, 1.05),    None),
    target("metrics for Prometheus",                Section::Prometheus,  Metric::Instructions,  at_most(PLAIN, 1.01),    None),
    target("a tenth of the traces over OTLP",       Section::Otlp,        CpuPerCall,            at_most(PLAIN, 1.1),     None),
    target("signed in",                             Section::SignedIn,    Metric::Instructions,  at_most(PLAIN, 1.005),   None),
    target("call_tool",                             Section::SearchMode,  Metric::Instructions,  at_most(PLAIN, 1.15),    None),
    target("10,000 resources from memory",          Section::Resources,   Metric::ResourcesAgain, at_most(ITSELF, 10.0),  None),
    target("aliases of resources",                  Section::Aliased,     Metric::Instructions,  at_most(PLAIN, 1.03),    None),
    target("resources without aliases",             Section::Unaliased,   Metric::Instructions,  at_most(PLAIN, 1.005),   None),
    target("start",                                 Start,                Initialized,           at_most(ITSELF, 20.0),   at_most(RELAY, 1.3)),
    target("size of the executable",                Start,                Size,                  at_most(ITSELF, 10.0),   at_most(ITSELF, 10.0)),
    // Allows for memory that the allocator keeps; a leak of one byte for each call exceeds it.
    target("memory after a million calls",          Soak,                 Growth,                None,                    at_most(ITSELF, 0.5)),
];

const fn target(
    name: &'static str,
    section: Section,
    measure: Metric,
    must: Option<Goal>,
    aim: Option<Goal>,
) -> Target {
    Target {
        name,
        section,
        measure,
        must,
        aim,
    }
}

const fn at_most(of: Of, bound: f64) -> Option<Goal> {
    Some(Goal {
        of,
        bound: Bound::AtMost(bound),
    })
}

const fn at_least(of: Of, bound: f64) -> Option<Goal> {
    Some(Goal {
        of,
        bound: Bound::AtLeast(bound),
    })
}

impl Target {
    /// The baseline of the target, if it has one.
    pub(crate) fn baseline(&self) -> Option<Route> {
        [self.aim, self.must]
            .into_iter()
            .flatten()
            .find_map(|goal| match goal.of {
                Of::Value => None,
                Of::Ratio(route) | Of::Past(_, route) | Of::Excess(route) => Some(route),
            })
    }
}

impl Goal {
    /// Whether the median of the rounds meets it; `None` if there is no figure.
    pub(crate) fn is_met(&self, row: &Row) -> Option<bool> {
        let Spread { median, .. } = match self.of {
            Of::Value => row.value(Route::Gateway),
            Of::Ratio(route) => row.ratio(route),
            Of::Past(allowance, route) => row.ratio_past(allowance, route),
            Of::Excess(route) => row.excess(route),
        }?;
        Some(match self.bound {
            Bound::AtMost(bound) => median <= bound,
            Bound::AtLeast(bound) => median >= bound,
        })
    }

    /// The goal as text, e.g. `≤ 1.5 × relay`.
    pub(crate) fn text(&self, measure: Metric) -> String {
        let (sign, bound) = match self.bound {
            Bound::AtMost(bound) => ('≤', bound),
            Bound::AtLeast(bound) => ('≥', bound),
        };
        let unit = measure.unit();
        match self.of {
            Of::Value => format!("{sign} {bound} {unit}").trim_end().to_owned(),
            Of::Ratio(route) => format!("{sign} {bound} × {}", route.name()),
            Of::Excess(route) => format!("{sign} {} + {bound} {unit}", route.name())
                .trim_end()
                .to_owned(),
            Of::Past(allowance, route) => {
                format!("{sign} {bound} × {} + {allowance} {unit}", route.name())
            }
        }
    }
}
