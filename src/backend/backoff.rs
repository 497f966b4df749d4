//! Waits between attempts.
//!
//! Owns the two series of growing waits, for calls and for reconnects. Pure: the caller sleeps.

use std::time::Duration;

use rand::{Rng, RngExt};

const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
const RECONNECT_FIRST: Duration = Duration::from_secs(1);
const RECONNECT_MAX: Duration = Duration::from_secs(60);

/// The wait before retry number `attempt`, counted from 0: 100 ms × 2^`attempt` and up to half
/// of that at random, at most 30 s in all.
pub fn backoff(attempt: u32, rng: &mut impl Rng) -> Duration {
    doubling(BACKOFF_FIRST, BACKOFF_MAX, attempt, rng)
}

/// The waits between attempts to connect a backend that is down: 1 s doubling to 60 s, each with
/// up to half of it more at random, at most 60 s in all. They count in no retry budget.
#[derive(Debug, Default)]
pub struct Reconnect {
    failures: u32,
}

impl Reconnect {
    /// The series after this many failed attempts.
    pub fn after(failures: u32) -> Self {
        Self { failures }
    }

    /// The wait after one more failed attempt.
    pub fn next_delay(&mut self, rng: &mut impl Rng) -> Duration {
        let delay = doubling(RECONNECT_FIRST, RECONNECT_MAX, self.failures, rng);
        self.failures = self.failures.saturating_add(1);
        delay
    }

    /// Starts over, since the backend was reached.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// `first` × 2^`times` and up to half of that at random, at most `max` in all.
fn doubling(first: Duration, max: Duration, times: u32, rng: &mut impl Rng) -> Duration {
    let factor = 1u32.checked_shl(times).unwrap_or(u32::MAX);
    let base = first.saturating_mul(factor).min(max);
    base.saturating_add(rng.random_range(Duration::ZERO..=base / 2))
        .min(max)
}
