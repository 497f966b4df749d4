//! How long all calls took, since the start.
//!
//! Owns a histogram that only grows, as Prometheus wants it.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the buckets, in seconds; the last bucket has what takes longer.
pub(crate) const BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];
const BUCKETS: usize = BOUNDS.len() + 1;

#[derive(Debug, Default)]
pub(super) struct Durations {
    buckets: [AtomicU64; BUCKETS],
    micros: AtomicU64,
}

/// The histogram as of one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct DurationTotals {
    /// Calls in each bucket alone; those that took longer than all bounds are last.
    pub(crate) buckets: [u64; BUCKETS],
    pub(crate) sum: Duration,
}

impl Durations {
    pub(super) fn add(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().take_while(|bound| seconds > **bound).count();
        self.buckets[bucket].fetch_add(1, Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Relaxed);
    }

    pub(super) fn totals(&self) -> DurationTotals {
        DurationTotals {
            buckets: array::from_fn(|at| self.buckets[at].load(Relaxed)),
            sum: Duration::from_micros(self.micros.load(Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        let durations = Durations::default();
        for millis in [0, 5, 6, 300_000, 300_001] {
            durations.add(Duration::from_millis(millis));
        }
        let totals = durations.totals();
        assert_eq!((totals.buckets[0], totals.buckets[1]), (2, 1));
        assert_eq!(totals.buckets[BUCKETS - 2..], [1, 1]);
        assert_eq!(totals.sum, Duration::from_millis(600_012));
    }
}
