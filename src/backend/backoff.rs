//! Waits between attempts.
//!
//! Owns the series of growing waits ([`Series`]), and [`Backoff`], which keeps attempts of one kind
//! apart: attempts of a call, connections, openings of a stream, fetches of lists, runs of a command.
//! Whatever a server asks for, each of them has a least wait that grows. Pure: the caller sleeps.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, UNIX_EPOCH};

use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::clock;

/// What lasted this long after an attempt has worked: the next attempt is the first of a series.
pub(in crate::backend) const STEADY: Duration = Duration::from_secs(30);

/// Chance for waits, and for nothing else. Unlike the system's source it can't fail: a wait after a
/// failure must not be another one.
pub(crate) fn jitter() -> SmallRng {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let now = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    let drawn = DRAWN.fetch_add(1, Relaxed);
    SmallRng::seed_from_u64(now.as_secs() ^ u64::from(now.subsec_nanos()) << 32 ^ drawn)
}

/// Waits that double: the first, twice the first and so on, each with up to half of it more at
/// random, at most `max` in all.
#[derive(Debug, Clone, Copy)]
pub struct Series {
    first: Duration,
    max: Duration,
}

impl Series {
    /// Between the attempts of one call.
    pub const CALL: Self = Self::of_millis(100, 30_000);
    /// Between attempts to connect a backend that is down. They count in no retry budget.
    pub const RECONNECT: Self = Self::of_millis(1_000, 60_000);
    /// Between attempts to connect a backend that is down, where calls wait for the connection.
    pub const ON_DEMAND: Self = Self::of_millis(100, 1_000);
    /// Between openings of a stream that ends again and again, whatever `retry` the server sends.
    pub const STREAM: Self = Self::of_millis(100, 1_000);
    /// Between fetches of lists that change again and again.
    pub const LISTS: Self = Self::of_millis(100, 2_000);
    /// Between fetches of lists that find no change: at most ten in a minute, the first ones
    /// included.
    pub const UNCHANGED_LISTS: Self = Self::of_millis(400, 12_000);
    /// Between runs of a command that fails to print its secret.
    pub const COMMAND: Self = Self::of_millis(10_000, 300_000);

    const fn of_millis(first: u64, max: u64) -> Self {
        Self {
            first: Duration::from_millis(first),
            max: Duration::from_millis(max),
        }
    }

    /// The wait after so many earlier ones.
    pub fn delay(self, earlier: u32, rng: &mut impl Rng) -> Duration {
        let factor = 1u32.checked_shl(earlier).unwrap_or(u32::MAX);
        let base = self.first.saturating_mul(factor).min(self.max);
        base.saturating_add(rng.random_range(Duration::ZERO..=base / 2))
            .min(self.max)
    }
}

/// The wait before retry number `attempt` of a call, counted from 0: 100 ms × 2^`attempt` and up to
/// half of that at random, at most 30 s in all.
pub fn backoff(attempt: u32, rng: &mut impl Rng) -> Duration {
    Series::CALL.delay(attempt, rng)
}

/// The waits between attempts of one kind.
#[derive(Debug)]
pub struct Backoff {
    series: Series,
    waits: u32,
}

impl Backoff {
    /// A backoff at the start of this series.
    pub const fn new(series: Series) -> Self {
        Self::after(series, 0)
    }

    /// A backoff in this series after so many waits.
    pub const fn after(series: Series, waits: u32) -> Self {
        Self { series, waits }
    }

    /// The wait before the next attempt. The one after that waits longer.
    pub fn next_delay(&mut self, rng: &mut impl Rng) -> Duration {
        let delay = self.series.delay(self.waits, rng);
        self.count();
        delay
    }

    /// Counts an attempt that waits for nothing.
    pub fn count(&mut self) {
        self.waits = self.waits.saturating_add(1);
    }

    /// How many attempts were counted since the start of the series.
    pub fn waits(&self) -> u32 {
        self.waits
    }

    /// What was attempted last has lasted this long. After [`STEADY`] the series starts over.
    pub fn lasted(&mut self, life: Duration) {
        if life >= STEADY {
            self.reset();
        }
    }

    /// Starts over.
    pub fn reset(&mut self) {
        self.waits = 0;
    }
}
