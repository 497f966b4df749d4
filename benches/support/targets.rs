//! What the gateway must reach, in one table.

use super::sheet::{Lane, Measure, Row, Section};
use super::stats::Spread;

pub(crate) struct Target {
    /// How `--check` speaks of it.
    pub(crate) name: &'static str,
    pub(crate) section: Section,
    pub(crate) measure: Measure,
    of: Of,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Of {
    /// The figure itself.
    Value,
    /// The figure over that of a baseline in the same round.
    Ratio(Lane),
}

#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

use Bound::{AtLeast, AtMost};
use Measure::{CallsPerSecond, CpuPerCall, Idle, Initialized, P50, Peak, Wall};
use Of::{Ratio, Value};
use Section::{Large, Small, Start};

#[rustfmt::skip]
pub(crate) const TARGETS: [Target; 8] = [
    target("time of one call",            Small, P50,            Ratio(Lane::Relay), AtMost(1.5)),
    target("calls per second",            Small, CallsPerSecond, Ratio(Lane::Relay), AtLeast(0.6)),
    target("CPU per call",                Small, CpuPerCall,     Ratio(Lane::Relay), AtMost(2.0)),
    target("memory when idle",            Small, Idle,           Value,              AtMost(12.0)),
    target("memory when busy",            Small, Peak,           Value,              AtMost(20.0)),
    target("time of a large answer",      Large, Wall,           Ratio(Lane::Relay), AtMost(1.5)),
    target("memory with a large answer",  Large, Peak,           Value,              AtMost(64.0)),
    target("start",                       Start, Initialized,    Value,              AtMost(20.0)),
];

const fn target(
    name: &'static str,
    section: Section,
    measure: Measure,
    of: Of,
    bound: Bound,
) -> Target {
    Target {
        name,
        section,
        measure,
        of,
        bound,
    }
}

impl Target {
    /// The baseline that the target compares with; the relay where it compares with none.
    pub(crate) fn baseline(&self) -> Lane {
        match self.of {
            Value => Lane::Relay,
            Ratio(lane) => lane,
        }
    }

    /// Whether the median of the rounds reaches it; `None` where the system gives no figure.
    pub(crate) fn is_met(&self, row: &Row) -> Option<bool> {
        let Spread { median, .. } = match self.of {
            Value => row.value(Lane::Gateway),
            Ratio(lane) => row.ratio(lane),
        }?;
        Some(match self.bound {
            AtMost(bound) => median <= bound,
            AtLeast(bound) => median >= bound,
        })
    }

    /// As in `≤ 1.5 × relay`.
    pub(crate) fn text(&self) -> String {
        let (sign, bound) = match self.bound {
            AtMost(bound) => ('≤', bound),
            AtLeast(bound) => ('≥', bound),
        };
        match self.of {
            Value => format!("{sign} {bound} {}", self.measure.unit()),
            Ratio(Lane::Direct) => format!("{sign} {bound} × direct"),
            Ratio(_) => format!("{sign} {bound} × relay"),
        }
    }
}
