//! The calls of the last minute, by what they ask for.
//!
//! Owns how many of them were the same. It must not know what makes two calls the same.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::sync::Mutex;

/// The time that calls are counted over.
pub(super) const WINDOW: Duration = Duration::from_secs(60);
/// Most calls that are remembered. With more than this in a minute the time gets shorter, in which
/// a loop is still seen.
const MAX_CALLS: usize = 16_384;

/// Calls that were admitted, each as a number that stands for it.
#[derive(Debug, Default)]
pub(super) struct Repeats(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    /// The calls in the order of time.
    calls: VecDeque<(Instant, u64)>,
    /// How often each of them occurs in it.
    counts: BTreeMap<u64, u32>,
}

impl Repeats {
    /// Whether this call may be made once more.
    ///
    /// # Errors
    /// The time until then, if it was made `limit` times in the last minute.
    pub(super) fn check(&self, call: u64, limit: u32) -> Result<(), Duration> {
        let now = Instant::now();
        let mut recent = self.0.lock();
        recent.forget(now);
        if recent.counts.get(&call).is_none_or(|count| *count < limit) {
            return Ok(());
        }
        let mut same = recent
            .calls
            .iter()
            .rev()
            .filter(|(_, other)| *other == call);
        // It may be made again when fewer than `limit` are left.
        let last = same.nth(limit.saturating_sub(1) as usize);
        Err(last.map_or(WINDOW, |(at, _)| *at + WINDOW - now))
    }

    /// Counts a call that is made.
    pub(super) fn record(&self, call: u64) {
        let now = Instant::now();
        let mut recent = self.0.lock();
        recent.forget(now);
        if recent.calls.len() == MAX_CALLS {
            recent.forget_first();
        }
        recent.calls.push_back((now, call));
        *recent.counts.entry(call).or_default() += 1;
    }
}

impl Recent {
    fn forget(&mut self, now: Instant) {
        while self
            .calls
            .front()
            .is_some_and(|(at, _)| *at + WINDOW <= now)
        {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let Some((_, call)) = self.calls.pop_front() else {
            return;
        };
        if let Some(count) = self.counts.get_mut(&call) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&call);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_call_is_counted_over_the_last_minute() {
        let repeats = Repeats::default();
        for _ in 0..3 {
            repeats.check(7, 3).unwrap();
            repeats.record(7);
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        assert_eq!(repeats.check(7, 3), Err(Duration::from_secs(30)));
        assert_eq!(repeats.check(7, 2), Err(Duration::from_secs(40)));
        assert_eq!(repeats.check(7, 4), Ok(()));
        assert_eq!(repeats.check(8, 1), Ok(()));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(repeats.check(7, 3), Ok(()));
        assert_eq!(repeats.check(7, 2), Err(Duration::from_secs(10)));
        tokio::time::advance(WINDOW).await;
        assert_eq!(repeats.check(7, 1), Ok(()));
        let recent = repeats.0.lock();
        assert!(recent.calls.is_empty() && recent.counts.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let repeats = Repeats::default();
        for call in 0..3 * MAX_CALLS as u64 {
            repeats.record(call);
            repeats.record(0);
        }
        let recent = repeats.0.lock();
        assert_eq!(recent.calls.len(), MAX_CALLS);
        assert!(recent.counts.len() <= MAX_CALLS / 2 + 1);
        drop(recent);
        assert!(repeats.check(0, 1000).is_err());
        assert!(repeats.check(1, 1).is_ok());
    }
}
