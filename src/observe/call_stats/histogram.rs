//! How long the calls of the last minutes took.
//!
//! Owns a histogram for each of the last minutes. A bucket is at most a quarter as wide as where it
//! begins, so that its middle is off by at most an eighth.

use std::array;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Whole minutes that quantiles are taken from, beside the one that runs.
const MINUTES: u64 = 5;
const SLOTS: usize = MINUTES as usize + 1;
const MINUTE: Duration = Duration::from_secs(60);

/// Buckets for each doubling of the time, as a power of two.
const STEP_BITS: u32 = 2;
const STEPS: usize = 1 << STEP_BITS;
/// Times up to 2^32 µs, which is 71 minutes; the last bucket has what takes longer.
const BUCKETS: usize = (32 - STEP_BITS as usize + 1) * STEPS;

/// The calls of the last minutes.
#[derive(Debug)]
pub(super) struct Recent {
    /// The minute `m` is at `m % SLOTS`.
    minutes: [Minute; SLOTS],
}

#[derive(Debug)]
struct Minute {
    /// Its number since the start, plus one; 0 where it was never used.
    number: AtomicU64,
    calls: AtomicU32,
    buckets: [AtomicU32; BUCKETS],
}

/// Buckets of several minutes, added.
#[derive(Debug, Default)]
pub(super) struct Times(Vec<u64>);

impl Default for Recent {
    fn default() -> Self {
        Self {
            minutes: array::from_fn(|_| Minute {
                number: AtomicU64::new(0),
                calls: AtomicU32::new(0),
                buckets: array::from_fn(|_| AtomicU32::new(0)),
            }),
        }
    }
}

impl Recent {
    /// A call that took this long ends `now`, a time since the start.
    pub(super) fn add(&self, now: Duration, took: Duration) {
        let number = minute(now);
        let slot = &self.minutes[(number % SLOTS as u64) as usize];
        let before = slot.number.load(Relaxed);
        if before != number
            && (slot.number)
                .compare_exchange(before, number, Relaxed, Relaxed)
                .is_ok()
        {
            // Another thread may count in between; one call more or less does not matter.
            slot.calls.store(0, Relaxed);
            slot.buckets
                .iter()
                .for_each(|bucket| bucket.store(0, Relaxed));
        }
        slot.calls.fetch_add(1, Relaxed);
        slot.buckets[bucket_of(took)].fetch_add(1, Relaxed);
    }

    /// The times of the last five minutes and the one that runs.
    pub(super) fn times(&self, now: Duration) -> Times {
        let number = minute(now);
        let mut sum = vec![0; BUCKETS];
        let is_recent = |slot: &&Minute| {
            let of = slot.number.load(Relaxed);
            of != 0 && of <= number && number - of <= MINUTES
        };
        for slot in self.minutes.iter().filter(is_recent) {
            for (sum, bucket) in sum.iter_mut().zip(&slot.buckets) {
                *sum += u64::from(bucket.load(Relaxed));
            }
        }
        Times(sum)
    }

    /// Calls of the last 60 s, if those of the minute before were spread evenly.
    pub(super) fn per_minute(&self, now: Duration) -> f64 {
        let number = minute(now);
        let calls = |number: u64| {
            let slot = &self.minutes[(number % SLOTS as u64) as usize];
            match slot.number.load(Relaxed) == number {
                true => f64::from(slot.calls.load(Relaxed)),
                false => 0.0,
            }
        };
        let passed = (now.as_secs_f64() % MINUTE.as_secs_f64()) / MINUTE.as_secs_f64();
        let before = match number {
            0 | 1 => 0.0,
            _ => calls(number - 1),
        };
        before * (1.0 - passed) + calls(number)
    }
}

impl Times {
    /// The time that so many percent of the calls did not exceed; `None` where there were none.
    pub(super) fn quantile(&self, percent: u64) -> Option<Duration> {
        let all: u64 = self.0.iter().sum();
        let rank = (all * percent).div_ceil(100).max(1);
        let mut below = 0;
        let bucket = self.0.iter().position(|count| {
            below += count;
            below >= rank
        })?;
        Some(middle(bucket))
    }
}

fn minute(now: Duration) -> u64 {
    now.as_secs() / MINUTE.as_secs() + 1
}

fn bucket_of(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    if micros < STEPS as u64 {
        return micros as usize;
    }
    let power = micros.ilog2();
    let step = (micros >> (power - STEP_BITS)) as usize & (STEPS - 1);
    let bucket = (power - STEP_BITS + 1) as usize * STEPS + step;
    bucket.min(BUCKETS - 1)
}

fn middle(bucket: usize) -> Duration {
    if bucket < STEPS {
        return Duration::from_micros(bucket as u64);
    }
    let width = 1_u64 << (bucket / STEPS - 1);
    let begin = (STEPS + bucket % STEPS) as u64 * width;
    Duration::from_micros(begin) + Duration::from_micros(width) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_bucket_is_near_to_what_is_in_it() {
        let mut micros = 1_u64;
        while micros < 1 << 32 {
            let time = Duration::from_micros(micros);
            let bucket = bucket_of(time);
            let shown = middle(bucket).as_secs_f64() / time.as_secs_f64();
            assert!((0.875..=1.125).contains(&shown), "{micros}: {shown}");
            assert!(bucket_of(middle(bucket)) == bucket);
            micros += micros / 7 + 1;
        }
        assert_eq!(bucket_of(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_backend_takes_little_memory() {
        assert!(size_of::<Recent>() <= 3 * 1024, "{}", size_of::<Recent>());
    }
}
