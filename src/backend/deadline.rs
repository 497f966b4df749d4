//! The deadline of a call.
//!
//! Owns [`Deadline`], which covers queueing, backoff, retries and reading. It is paused while the
//! client answers a request of the server: the backend does not pay for that time, up to `MAX_PAUSED`.

use std::future::Future;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use crate::sync::Mutex;

/// How long all pauses of one deadline together may be: a server that asks again and again gets no more
/// time by that.
const MAX_PAUSED: Duration = Duration::from_secs(60 * 60);

/// A deadline that can be paused. It is monotonic: a change of the wall clock has no effect.
#[derive(Debug)]
pub struct Deadline {
    limit: Duration,
    /// Without any pause.
    deadline: Instant,
    state: Mutex<DeadlineState>,
    resumed: Notify,
    shared_pause: SharedPause,
}

#[derive(Debug)]
struct DeadlineState {
    /// Total of the own pauses that have ended, without the time of shared ones.
    paused: Duration,
    /// Own pauses now open.
    pauses: usize,
    /// When the first of them began.
    paused_at: Instant,
    /// Total of the shared pauses when the deadline was created.
    shared_at_start: Duration,
    /// Total of the shared pauses when the own pause began.
    shared_at_pause: Duration,
}

/// The deadline has passed.
#[derive(Debug, PartialEq, Eq)]
pub struct Expired;

/// Pauses a [`Deadline`] until it is dropped.
#[derive(Debug)]
pub struct Pause<'a>(&'a Deadline);

impl Deadline {
    /// A deadline `limit` after `begun`, paused together with the others of its backend.
    pub(super) fn since(begun: Instant, limit: Duration, shared_pause: SharedPause) -> Self {
        let totals = shared_pause.total();
        let state = Mutex::new(DeadlineState {
            paused: Duration::ZERO,
            pauses: 0,
            paused_at: begun,
            shared_at_start: totals,
            shared_at_pause: totals,
        });
        Self {
            limit,
            deadline: begun + limit,
            state,
            resumed: Notify::new(),
            shared_pause,
        }
    }

    /// The configured limit.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// The time left; zero after the deadline.
    pub fn left(&self) -> Duration {
        let end = self.deadline + self.paused();
        end.saturating_duration_since(Instant::now())
    }

    /// The pauses so far.
    fn paused(&self) -> Duration {
        let state = self.state.lock();
        let shared = self.shared_pause.total();
        let open = match state.pauses {
            0 => Duration::ZERO,
            _ => state.open(shared),
        };
        let all = state.paused + open + shared.saturating_sub(state.shared_at_start);
        all.min(MAX_PAUSED)
    }

    /// Runs `work` until the deadline. After the deadline `work` is not polled at all, so that
    /// nothing is sent whose answer would be too late.
    ///
    /// # Errors
    /// [`Expired`] at the deadline; `work` is dropped.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, Expired> {
        if self.left().is_zero() {
            return Err(Expired);
        }
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.expired() => Err(Expired),
        }
    }

    /// Pauses the deadline. Pauses may overlap.
    pub fn pause(&self) -> Pause<'_> {
        let mut state = self.state.lock();
        if state.pauses == 0 {
            state.paused_at = Instant::now();
            state.shared_at_pause = self.shared_pause.total();
        }
        state.pauses += 1;
        Pause(self)
    }

    /// Resolves at the deadline. It sleeps for the time left and then looks again, so a deadline
    /// that is never paused, as nearly all are, needs no notification.
    async fn expired(&self) {
        loop {
            let left = self.left();
            if left.is_zero() {
                return;
            }
            let at_most = left + MAX_PAUSED.saturating_sub(self.paused());
            let is_paused = self.state.lock().pauses > 0;
            if is_paused {
                let _ = timeout(at_most, self.resumed.notified()).await;
            } else if self.shared_pause.is_active() {
                let _ = timeout(at_most, self.shared_pause.ended()).await;
            } else {
                tokio::time::sleep(left).await;
            }
        }
    }
}

impl DeadlineState {
    /// The own pause that is open now, without the time of shared ones, of which this is the total.
    fn open(&self, shared: Duration) -> Duration {
        let shared = shared.saturating_sub(self.shared_at_pause);
        self.paused_at.elapsed().saturating_sub(shared)
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        let Deadline {
            resumed,
            shared_pause,
            ..
        } = self.0;
        let mut state = self.0.state.lock();
        state.pauses -= 1;
        if state.pauses == 0 {
            let open = state.open(shared_pause.total());
            state.paused += open;
            resumed.notify_one();
        }
    }
}

/// Pauses the deadlines of all calls to one backend: while a request of the server is open that
/// belongs to no call, for any of them may have caused it. Clones share one state.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedPause(watch::Sender<PauseTotals>);

#[derive(Debug, Default)]
struct PauseTotals {
    /// Pauses now open.
    open: usize,
    /// When the first of them began.
    since: Option<Instant>,
    /// Total of the pauses that have ended.
    before: Duration,
}

/// One shared pause; it ends when this is dropped.
pub(super) struct SharedPauseGuard<'a>(&'a SharedPause);

impl SharedPause {
    /// Begins a pause.
    pub(super) fn begin(&self) -> SharedPauseGuard<'_> {
        self.0.send_modify(|totals| {
            totals.open += 1;
            totals.since.get_or_insert_with(Instant::now);
        });
        SharedPauseGuard(self)
    }

    fn total(&self) -> Duration {
        let totals = self.0.borrow();
        totals.before + totals.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Whether one is open.
    pub(super) fn is_active(&self) -> bool {
        self.0.borrow().open > 0
    }

    async fn ended(&self) {
        // `self` holds a sender, so the wait can't fail.
        let _ = self.0.subscribe().wait_for(|totals| totals.open == 0).await;
    }
}

impl Drop for SharedPauseGuard<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|totals| {
            totals.open -= 1;
            if totals.open == 0 {
                let since = totals.since.take();
                totals.before += since.map_or(Duration::ZERO, |since| since.elapsed());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(limit: u64) -> Deadline {
        Deadline::since(
            Instant::now(),
            Duration::from_secs(limit),
            SharedPause::default(),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_the_client_takes_to_answer_is_not_counted() {
        let deadline = started(10);
        let work = async {
            tokio::time::sleep(Duration::from_secs(6)).await;
            let first = deadline.pause();
            tokio::time::sleep(Duration::from_secs(100)).await;
            let second = deadline.pause();
            drop(first);
            tokio::time::sleep(Duration::from_secs(100)).await;
            drop(second);
            tokio::time::sleep(Duration::from_secs(3)).await;
            deadline.left()
        };
        assert_eq!(deadline.run(work).await, Ok(Duration::from_secs(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_holds_over_everything_else() {
        let deadline = started(10);
        let started = Instant::now();
        assert_eq!(
            deadline.run(std::future::pending::<()>()).await,
            Err(Expired)
        );
        assert_eq!(started.elapsed(), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn work_does_not_begin_after_the_deadline() {
        let deadline = started(10);
        tokio::time::advance(Duration::from_secs(10)).await;
        let mut begun = false;
        assert_eq!(deadline.run(async { begun = true }).await, Err(Expired));
        assert!(!begun);
    }

    /// Questions that overlap count once, and all of them together at most [`MAX_PAUSED`].
    #[tokio::test(start_paused = true)]
    async fn a_server_that_asks_without_end_gets_no_call_without_end() {
        const ANSWER: Duration = Duration::from_secs(600);
        for (is_shared, step) in [(false, ANSWER / 2), (true, ANSWER / 2), (false, 2 * ANSWER)] {
            let shared_pause = SharedPause::default();
            let begun = Instant::now();
            let deadline = Deadline::since(begun, Duration::from_secs(10), shared_pause.clone());
            let question = async |number: u32| {
                tokio::time::sleep_until(begun + step * number).await;
                let _own = (!is_shared).then(|| deadline.pause());
                let _shared = is_shared.then(|| shared_pause.begin());
                tokio::time::sleep(ANSWER).await;
            };
            let asking = futures_util::future::join_all((0..100).map(question));
            assert_eq!(deadline.run(asking).await, Err(Expired));
            let most = match step > ANSWER {
                // Between two questions it runs.
                true => ANSWER + Duration::from_secs(10),
                false => MAX_PAUSED + Duration::from_secs(10),
            };
            assert_eq!(begun.elapsed(), most);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn deadlines_of_a_backend_are_paused_together() {
        let shared_pause = SharedPause::default();
        let begun = Instant::now();
        let deadline = Deadline::since(begun, Duration::from_secs(10), shared_pause.clone());
        let asking = async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            let first = shared_pause.begin();
            tokio::time::sleep(Duration::from_secs(100)).await;
            let second = shared_pause.begin();
            // A pause of its own in between counts once.
            let pause = deadline.pause();
            drop(first);
            tokio::time::sleep(Duration::from_secs(100)).await;
            drop(second);
            tokio::time::sleep(Duration::from_secs(50)).await;
            drop(pause);
            assert_eq!(deadline.left(), Duration::from_secs(6));
            std::future::pending::<()>().await;
        };
        assert_eq!(deadline.run(asking).await, Err(Expired));
        assert_eq!(begun.elapsed(), Duration::from_secs(260));
        let later = Deadline::since(Instant::now(), Duration::from_secs(10), shared_pause);
        assert_eq!(later.left(), Duration::from_secs(10));
    }
}
