//! A limit on calls a minute.
//!
//! Owns one token bucket. It must not know whose calls it counts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use crate::config::RateLimit;
use crate::sync::Mutex;

/// A bucket that holds `burst` calls and gets `per_minute` of them back each minute, evenly.
pub(super) struct Rate {
    pub(super) limit: RateLimit,
    limiter: RateLimiter<NotKeyed, FullAt, SinceCreation, NoOpMiddleware<Duration>>,
    due: FullAt,
}

impl Rate {
    /// A full bucket.
    pub(super) fn new(limit: RateLimit) -> Self {
        let due = FullAt::default();
        Self {
            limit,
            limiter: RateLimiter::new(quota(limit), due.clone(), SinceCreation(Instant::now())),
            due,
        }
    }

    /// Takes one call out.
    ///
    /// # Errors
    /// The time until there is one, if it is empty.
    pub(super) fn take(&self) -> Result<(), Duration> {
        let now = self.limiter.clock().now();
        self.limiter
            .check()
            .map_err(|until| until.wait_time_from(now))
    }

    /// Puts back one that was taken for a call that is not made.
    pub(super) fn give_back(&self) {
        let mut due = self.due.0.lock();
        let one = Nanos::from(quota(self.limit).replenish_interval());
        *due = due.map(|due| Nanos::new(due.as_u64().saturating_sub(one.as_u64())));
    }

    /// Whether it is full, as a new one is.
    pub(super) fn is_full(&self) -> bool {
        let now = Nanos::from(self.limiter.clock().now());
        self.due.0.lock().is_none_or(|due| due <= now)
    }
}

fn quota(limit: RateLimit) -> Quota {
    Quota::per_minute(limit.per_minute).allow_burst(limit.burst)
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.limit.fmt(f)
    }
}

/// When the bucket is full again, which is all of its state. The one that governor brings can't take
/// a call back.
#[derive(Debug, Clone, Default)]
struct FullAt(Arc<Mutex<Option<Nanos>>>);

impl StateStore for FullAt {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut due = self.0.lock();
        let (outcome, next) = decide(*due)?;
        *due = Some(next);
        Ok(outcome)
    }
}

/// The time since a bucket was made, by the clock that everything else goes by.
struct SinceCreation(Instant);

impl Clock for SinceCreation {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn rate(per_minute: u32, burst: u32) -> Rate {
        let number = |n| NonZeroU32::new(n).unwrap();
        Rate::new(RateLimit {
            per_minute: number(per_minute),
            burst: number(burst),
        })
    }

    /// How many calls it has now.
    fn drain(rate: &Rate) -> usize {
        std::iter::from_fn(|| rate.take().ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_at_once_and_then_one_at_a_time() {
        let rate = rate(6, 3);
        assert_eq!(drain(&rate), 3);
        assert_eq!(rate.take(), Err(Duration::from_secs(10)));
        tokio::time::advance(Duration::from_millis(9_500)).await;
        assert_eq!(rate.take(), Err(Duration::from_millis(500)));
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(drain(&rate), 1);
        tokio::time::advance(Duration::from_secs(25)).await;
        assert_eq!(drain(&rate), 2);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(drain(&rate), 3, "no more than the burst is saved up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_not_made_is_put_back() {
        let rate = rate(60, 2);
        assert!(rate.is_full());
        rate.take().unwrap();
        assert!(!rate.is_full());
        rate.give_back();
        assert!(rate.is_full());
        assert_eq!(drain(&rate), 2);
        rate.give_back();
        assert_eq!(drain(&rate), 1);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(rate.is_full());
    }

    #[tokio::test(start_paused = true)]
    async fn the_extremes_of_both_numbers_hold() {
        let slow = rate(1, 1_000_000);
        assert_eq!(drain(&slow), 1_000_000);
        assert_eq!(slow.take(), Err(Duration::from_secs(60)));
        let fast = rate(1_000_000, 1);
        assert_eq!(drain(&fast), 1);
        assert_eq!(fast.take(), Err(Duration::from_micros(60)));
    }
}
