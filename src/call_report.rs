//! Which backend a call went to, and what became of it.
//!
//! Owns [`BackendId`], the identity of a backend within one process, and [`CallReport`], the one
//! record that [`HttpBackend::call`](crate::backend::HttpBackend::call) makes of every call; a
//! [`CallTrace`] gathers it while the call runs. The breaker, client errors and logs are made from
//! it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::{Class, Executed, Tally};
use crate::sync::Mutex;

/// Identity of a backend within one process. Never reused, and no index: backends may come and go
/// while the others keep theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendId(u32);

impl BackendId {
    /// The id with this number. The creator of the backends uses each number once.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }
}

/// What became of one call to a backend, its retries included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallReport {
    /// Where it went.
    pub backend: BackendId,
    /// Its requests, redirects that were followed included.
    pub tally: Tally,
    /// Why there is no answer; `None` where there is one, be it an error of the backend's own.
    pub class: Option<Class>,
    /// Bytes of the request bodies, over all attempts.
    pub bytes_sent: u64,
    /// Bytes of the response bodies after decompression, over all attempts.
    pub bytes_received: u64,
    /// When what happened.
    pub times: CallTimes,
}

/// The steps of a call, each as the time since the call began.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct CallTimes {
    /// It left the queue of `max_in_flight`.
    pub queued: Duration,
    /// The last attempt was handed to the HTTP client; `None` where none was.
    pub sent: Option<Duration>,
    /// The headers of the last attempt's response came; `None` where none did.
    pub first_byte: Option<Duration>,
    /// The call was over.
    pub done: Duration,
}

/// Adds up the reports of the calls that one request of the client makes: rounds of
/// `input_required`, or once more with its tool listed again.
#[derive(Debug, Default)]
pub(crate) struct CallSums(Mutex<Sum>);

/// The sum of some reports.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sum {
    /// How many requests were sent.
    pub(crate) attempts: u32,
    /// Whether any of them may have run it; `None` where no call was made.
    pub(crate) executed: Option<Executed>,
    /// The sum of [`CallReport::bytes_sent`].
    pub(crate) bytes_sent: u64,
    /// The sum of [`CallReport::bytes_received`].
    pub(crate) bytes_received: u64,
    /// Time in the queue of `max_in_flight`, over all calls.
    pub(crate) queued: Duration,
    /// When the headers of the last response came.
    pub(crate) first_byte: Option<Instant>,
}

impl CallSums {
    /// The sum so far.
    pub(crate) fn sum(&self) -> Sum {
        self.0.lock().clone()
    }

    fn add(&self, report: &CallReport) {
        let mut sum = self.0.lock();
        sum.attempts += report.tally.attempts;
        sum.executed = sum.executed.max(Some(report.tally.executed));
        sum.bytes_sent += report.bytes_sent;
        sum.bytes_received += report.bytes_received;
        sum.queued += report.times.queued;
        let since = |first_byte| report.times.done.saturating_sub(first_byte);
        if let Some(first_byte) = report.times.first_byte {
            sum.first_byte = Instant::now().checked_sub(since(first_byte));
        }
    }
}

/// The tally of a client's request while it goes to its backend in several calls: rounds of
/// `input_required`, or once more with its tool listed again. Added to through a shared reference.
#[derive(Debug)]
pub(crate) struct RunningTally {
    attempts: AtomicU32,
    may_have_run: AtomicBool,
    /// Where reports go, if anybody wants them.
    sums: Option<Arc<CallSums>>,
}

impl RunningTally {
    /// A tally that begins with what was sent before.
    pub(crate) fn after(before: Tally) -> Self {
        Self {
            attempts: AtomicU32::new(before.attempts),
            may_have_run: AtomicBool::new(before.executed != Executed::No),
            sums: None,
        }
    }

    /// This tally, whose reports are added up in `sums`.
    pub(crate) fn summed(self, sums: Option<Arc<CallSums>>) -> Self {
        Self { sums, ..self }
    }

    /// Where reports are added up, if they are.
    pub(crate) fn sums(&self) -> Option<&Arc<CallSums>> {
        self.sums.as_ref()
    }

    /// One more call is over.
    pub(crate) fn add(&self, report: &CallReport) {
        let tally = report.tally;
        if let Some(sums) = &self.sums {
            sums.add(report);
        }
        self.attempts.fetch_add(tally.attempts, Relaxed);
        self.may_have_run
            .fetch_or(tally.executed != Executed::No, Relaxed);
    }

    /// The tally so far, of a request that has no result.
    pub(crate) fn so_far(&self) -> Tally {
        Tally {
            attempts: self.attempts.load(Relaxed),
            executed: match self.may_have_run.load(Relaxed) {
                true => Executed::Unknown,
                false => Executed::No,
            },
        }
    }
}

/// Gathers the [`CallReport`] of a call while it runs. Attempts write to it through a shared
/// reference.
#[derive(Debug)]
pub struct CallTrace {
    started: Instant,
    queued: AtomicU64,
    sent: AtomicU64,
    first_byte: AtomicU64,
    /// 0 before the headers.
    status: AtomicU16,
    without_id: AtomicBool,
    redirects: AtomicU32,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
}

/// A moment of a [`CallTrace`] that has not come.
const NEVER: u64 = u64::MAX;

impl CallTrace {
    /// The trace of a call that has `started`.
    pub fn since(started: Instant) -> Self {
        Self {
            started,
            queued: AtomicU64::new(0),
            sent: AtomicU64::new(NEVER),
            first_byte: AtomicU64::new(NEVER),
            status: AtomicU16::new(0),
            without_id: AtomicBool::new(false),
            redirects: AtomicU32::new(0),
            bytes_sent: AtomicU64::new(0),
            bytes_received: AtomicU64::new(0),
        }
    }

    /// The trace of a call that starts now.
    pub fn start() -> Self {
        Self::since(Instant::now())
    }

    /// The call has left the queue.
    pub(crate) fn mark_queued(&self) {
        self.queued.store(self.now(), Relaxed);
    }

    /// Another attempt begins.
    pub fn begin_attempt(&self) {
        self.sent.store(NEVER, Relaxed);
        self.first_byte.store(NEVER, Relaxed);
        self.status.store(0, Relaxed);
        self.without_id.store(false, Relaxed);
    }

    /// The attempt's answer is an error without an id, which says less about the request.
    pub(crate) fn mark_without_id(&self) {
        self.without_id.store(true, Relaxed);
    }

    /// Whether the attempt's answer has no id.
    pub(crate) fn is_without_id(&self) -> bool {
        self.without_id.load(Relaxed)
    }

    /// The attempt's request is handed to the HTTP client, with a body of this many bytes. From
    /// now on the backend may have it.
    pub(crate) fn mark_sent(&self, bytes: usize) {
        self.sent.store(self.now(), Relaxed);
        self.bytes_sent.fetch_add(bytes as u64, Relaxed);
    }

    /// The attempt's request is sent again, to the address that a redirect names.
    pub(crate) fn mark_redirected(&self, bytes: usize) {
        self.redirects.fetch_add(1, Relaxed);
        self.bytes_sent.fetch_add(bytes as u64, Relaxed);
    }

    /// The attempt's response headers have come, with this HTTP status.
    pub(crate) fn mark_first_byte(&self, status: u16) {
        self.first_byte.store(self.now(), Relaxed);
        self.status.store(status, Relaxed);
    }

    /// The HTTP status of the attempt's response, if its headers have come.
    pub fn status(&self) -> Option<u16> {
        Some(self.status.load(Relaxed)).filter(|status| *status != 0)
    }

    /// So many more bytes of a response body have come.
    pub fn add_received(&self, bytes: usize) {
        self.bytes_received.fetch_add(bytes as u64, Relaxed);
    }

    /// Whether the backend may have the attempt's request.
    pub fn is_sent(&self) -> bool {
        self.sent.load(Relaxed) != NEVER
    }

    /// The report of the call, which ends now after this many attempts.
    pub fn finish(
        &self,
        backend: BackendId,
        class: Option<Class>,
        executed: Executed,
        attempts: u32,
    ) -> CallReport {
        let attempts = attempts + self.redirects.load(Relaxed);
        let at = |time: &AtomicU64| match time.load(Relaxed) {
            NEVER => None,
            nanos => Some(Duration::from_nanos(nanos)),
        };
        CallReport {
            backend,
            tally: Tally { attempts, executed },
            class,
            bytes_sent: self.bytes_sent.load(Relaxed),
            bytes_received: self.bytes_received.load(Relaxed),
            times: CallTimes {
                queued: Duration::from_nanos(self.queued.load(Relaxed)),
                sent: at(&self.sent),
                first_byte: at(&self.first_byte),
                done: self.started.elapsed(),
            },
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(NEVER - 1)
    }
}
