//! Checks how often backends and tools may be called.
//!
//! Owns the default of `burst`: as many calls as `rate_per_minute`.

use std::num::NonZeroU32;

use super::Checker;
use crate::config::read::file::{Backend, Tools};
use crate::config::read::join;
use crate::config::{RateLimit, ToolRule};
use crate::text::Glob;

impl Checker<'_> {
    /// `rate_per_minute` and `burst` of a backend.
    pub(super) fn rate(&mut self, written: &Backend, path: &str) -> Option<RateLimit> {
        let per_minute = written.rate_per_minute.as_ref().map(|rate| rate.value);
        if let (None, Some(burst)) = (per_minute, &written.burst) {
            let what =
                "has no effect without rate_per_minute; add that, such as rate_per_minute = 60";
            self.report.add(&burst.location, &join(path, "burst"), what);
        }
        let burst = written.burst.as_ref().map(|burst| burst.value);
        per_minute.map(|per_minute| limit(per_minute, burst))
    }

    /// `rate_per_minute` and `burst` of a backend's tools, by glob. The globs are added to `rules`
    /// too.
    pub(super) fn rates(
        &mut self,
        written: &Tools,
        path: &str,
        rules: &mut Vec<ToolRule>,
    ) -> Vec<(Glob, RateLimit)> {
        let (rates, bursts) = (&written.rate_per_minute, &written.burst.0);
        for (glob, _) in bursts {
            if rates.0.iter().all(|(rated, _)| rated.value != glob.value) {
                let path = join(&join(path, "burst"), &glob.value);
                let what =
                    "has no effect without the same glob in tools.rate_per_minute; add it there";
                self.report.add(&glob.location, &path, what);
            }
        }
        let burst_of = |glob: &Glob| {
            let mut bursts = bursts.iter();
            let burst = bursts.find(|(written, _)| written.value == glob.written());
            burst.map(|(_, burst)| burst.value)
        };
        let rates = self.values_by_glob(rates, "tools.rate_per_minute", path, rules);
        let rates = rates.into_iter().map(|(glob, per_minute)| {
            let burst = burst_of(&glob);
            (glob, limit(per_minute, burst))
        });
        rates.collect()
    }
}

fn limit(per_minute: NonZeroU32, burst: Option<NonZeroU32>) -> RateLimit {
    RateLimit {
        per_minute,
        burst: burst.unwrap_or(per_minute),
    }
}
