//! What became of the calls to one backend, in numbers.
//!
//! Owns the counts since the start, how long the calls of the last minutes took, and the last error. Its
//! memory is fixed, and counting takes a few relaxed atomic operations: only an error takes a lock. It
//! must not know where the numbers are shown.

mod durations;
mod histogram;
mod sessions;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::call_report::CallReport;
use crate::clock;
use crate::protocol::Class;
use crate::sync::Mutex;
use crate::text::{beginning, for_output};
use durations::Durations;
pub(crate) use durations::{BOUNDS, DurationTotals};
use histogram::Recent;
pub(crate) use sessions::{SessionBook, SessionTimes};

/// Most bytes of the last error's text.
const MAX_TEXT: usize = 512;

/// The numbers of one backend.
#[derive(Debug)]
pub(crate) struct CallStats {
    started: Instant,
    queued: AtomicU32,
    in_flight: AtomicU32,
    calls: AtomicU64,
    errors: AtomicU64,
    durations: Durations,
    /// Made by the first call, so that a backend that is not called takes no room.
    recent: OnceLock<Box<Recent>>,
    last_error: Mutex<Option<LastError>>,
}

/// Why the last call without an answer had none.
#[derive(Debug, Clone)]
pub(crate) struct LastError {
    pub(crate) at: SystemTime,
    pub(crate) class: Class,
    /// The error in one line, without secrets.
    pub(crate) text: String,
}

/// The numbers as of one moment.
#[derive(Debug, Clone)]
pub(crate) struct CallNumbers {
    /// Calls that wait for one of `max_in_flight`.
    pub(crate) queued: u32,
    /// Calls that have left this queue and are not over.
    pub(crate) in_flight: u32,
    /// Calls that are over, retries not counted; those that the client cancelled are left out.
    pub(crate) calls: u64,
    /// Those of them without an answer of the backend. An error that the backend itself sent is an answer.
    pub(crate) errors: u64,
    /// How long the calls took.
    pub(crate) durations: DurationTotals,
    /// Calls that ended in the last minute.
    pub(crate) per_minute: f64,
    /// Half of the calls of the last five minutes took no longer; `None` where there was none.
    pub(crate) p50: Option<Duration>,
    /// 99 of 100 took no longer.
    pub(crate) p99: Option<Duration>,
    pub(crate) last_error: Option<LastError>,
}

/// A call that is under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct CountedCall<'a> {
    stats: &'a CallStats,
    has_left_queue: bool,
}

impl CallStats {
    /// Nothing was called yet.
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            queued: AtomicU32::new(0),
            in_flight: AtomicU32::new(0),
            calls: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            durations: Durations::default(),
            recent: OnceLock::new(),
            last_error: Mutex::default(),
        }
    }

    /// A call begins, in the queue.
    pub(crate) fn begin(&self) -> CountedCall<'_> {
        self.queued.fetch_add(1, Relaxed);
        CountedCall {
            stats: self,
            has_left_queue: false,
        }
    }

    /// A call is over. `why` is asked only where there is no answer.
    pub(crate) fn record(&self, report: &CallReport, why: impl FnOnce() -> String) {
        self.calls.fetch_add(1, Relaxed);
        self.durations.add(report.times.done);
        let recent = self.recent.get_or_init(Box::default);
        recent.add(self.started.elapsed(), report.times.done);
        if let Some(class) = report.class {
            self.errors.fetch_add(1, Relaxed);
            // A secret that is cut in two can't be recognised.
            let text = beginning(&for_output(&why()), MAX_TEXT).to_owned();
            *self.last_error.lock() = Some(LastError {
                at: clock::wall(),
                class,
                text,
            });
        }
    }

    /// The numbers of now.
    pub(crate) fn numbers(&self) -> CallNumbers {
        let now = self.started.elapsed();
        let recent = self.recent.get();
        let times = recent.map(|recent| recent.times(now)).unwrap_or_default();
        CallNumbers {
            queued: self.queued.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            calls: self.calls.load(Relaxed),
            errors: self.errors.load(Relaxed),
            durations: self.durations.totals(),
            per_minute: recent.map_or(0.0, |recent| recent.per_minute(now)),
            p50: times.quantile(50),
            p99: times.quantile(99),
            last_error: self.last_error.lock().clone(),
        }
    }
}

impl CountedCall<'_> {
    /// The call has left the queue.
    pub(crate) fn leave_queue(&mut self) {
        self.has_left_queue = true;
        self.stats.in_flight.fetch_add(1, Relaxed);
        self.stats.queued.fetch_sub(1, Relaxed);
    }
}

impl Drop for CountedCall<'_> {
    fn drop(&mut self) {
        let place = match self.has_left_queue {
            true => &self.stats.in_flight,
            false => &self.stats.queued,
        };
        place.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call_report::{BackendId, CallTrace};
    use crate::protocol::Executed;

    async fn call(stats: &CallStats, took: Duration, class: Option<Class>) {
        let mut counted = stats.begin();
        counted.leave_queue();
        let trace = CallTrace::start();
        tokio::time::sleep(took).await;
        let report = trace.finish(BackendId::new(1), class, Executed::No, 1);
        stats.record(&report, || "é".repeat(MAX_TEXT));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_counted_where_they_are_and_what_becomes_of_them() {
        let stats = CallStats::new();
        let waiting = stats.begin();
        let mut running = stats.begin();
        running.leave_queue();
        let numbers = stats.numbers();
        assert_eq!((numbers.queued, numbers.in_flight), (1, 1));
        assert_eq!((numbers.calls, numbers.p50), (0, None));
        drop((waiting, running));
        for _ in 0..3 {
            call(&stats, Duration::from_millis(10), None).await;
        }
        call(&stats, Duration::from_secs(1), Some(Class::Deadline)).await;
        let numbers = stats.numbers();
        assert_eq!((numbers.queued, numbers.in_flight), (0, 0));
        assert_eq!((numbers.calls, numbers.errors), (4, 1));
        let error = numbers.last_error.unwrap();
        assert_eq!(error.class, Class::Deadline);
        assert_eq!(error.text.len(), MAX_TEXT);
    }

    #[tokio::test(start_paused = true)]
    async fn times_and_rate_are_those_of_the_last_minutes() {
        let stats = CallStats::new();
        for _ in 0..100 {
            call(&stats, Duration::from_millis(10), None).await;
        }
        call(&stats, Duration::from_secs(2), None).await;
        call(&stats, Duration::from_secs(2), None).await;
        let within = |time: Option<Duration>, about: f64| {
            let time = time.unwrap().as_secs_f64();
            assert!((time / about - 1.0).abs() < 0.13, "{time} for {about}");
        };
        let numbers = stats.numbers();
        within(numbers.p50, 0.010);
        within(numbers.p99, 2.0);
        assert!((numbers.per_minute - 102.0).abs() < 1.0, "{numbers:?}");
        tokio::time::advance(Duration::from_secs(3 * 60)).await;
        call(&stats, Duration::from_millis(500), None).await;
        let numbers = stats.numbers();
        within(numbers.p99, 2.0);
        assert!((numbers.per_minute - 1.0).abs() < 0.1, "{numbers:?}");
        // The first ones have no part in it any more, though their place is used again.
        tokio::time::advance(Duration::from_secs(4 * 60)).await;
        let numbers = stats.numbers();
        within(numbers.p50, 0.5);
        within(numbers.p99, 0.5);
        assert_eq!(numbers.calls, 103);
        tokio::time::advance(Duration::from_secs(60 * 60)).await;
        let numbers = stats.numbers();
        assert_eq!((numbers.p50, numbers.per_minute), (None, 0.0));
    }
}
