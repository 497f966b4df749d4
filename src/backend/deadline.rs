//! The time one call has.
//!
//! Owns the deadline over queueing, waits, retries and reading. It stands still while a person or
//! a model behind the client is being asked: that time is not the backend's.

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// A deadline that can be paused. Monotonic: a jump of the wall clock does nothing.
#[derive(Debug)]
pub struct Deadline {
    limit: Duration,
    state: Mutex<DeadlineState>,
    resumed: Notify,
    shared_pause: SharedPause,
}

#[derive(Debug)]
struct DeadlineState {
    /// But for the time that it has stood still together with others since it was started.
    deadline: Instant,
    /// Questions to the client that are open, and since when there has been one.
    pauses: usize,
    paused_at: Instant,
    /// How long all clocks had stood still: at its start, and at its last pause.
    stood_at_start: Duration,
    stood_at_pause: Duration,
}

/// The time is up.
#[derive(Debug, PartialEq, Eq)]
pub struct Expired;

/// Keeps the clock still until it is dropped.
#[derive(Debug)]
pub struct Pause<'a>(&'a Deadline);

impl Deadline {
    /// Has started when it had `begun`, and stands still with the others of its backend.
    pub(super) fn since(begun: Instant, limit: Duration, shared_pause: SharedPause) -> Self {
        let totals = shared_pause.total();
        let state = Mutex::new(DeadlineState {
            deadline: begun + limit,
            pauses: 0,
            paused_at: begun,
            stood_at_start: totals,
            stood_at_pause: totals,
        });
        Self {
            limit,
            state,
            resumed: Notify::new(),
            shared_pause,
        }
    }

    /// The whole time, as configured.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// What is left of it.
    pub fn left(&self) -> Duration {
        let state = self.lock();
        let (now, totals) = match state.pauses {
            0 => (Instant::now(), self.shared_pause.total()),
            _ => (state.paused_at, state.stood_at_pause),
        };
        let end = state.deadline + totals.saturating_sub(state.stood_at_start);
        end.saturating_duration_since(now)
    }

    /// Runs `work` as long as there is time. What comes too late does not even begin: nothing is
    /// sent that nobody can wait for.
    ///
    /// # Errors
    /// [`Expired`] when there is none left; `work` is dropped.
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

    /// Stops the clock. Pauses may overlap.
    pub fn pause(&self) -> Pause<'_> {
        let mut state = self.lock();
        if state.pauses == 0 {
            state.paused_at = Instant::now();
            state.stood_at_pause = self.shared_pause.total();
        }
        state.pauses += 1;
        Pause(self)
    }

    /// Sleeps for what is left, and again for what has come to it meanwhile: so a clock that never
    /// stands still, as nearly all, has nothing to listen to.
    async fn expired(&self) {
        loop {
            let left = self.left();
            if self.lock().pauses > 0 {
                self.resumed.notified().await;
            } else if self.shared_pause.is_active() {
                self.shared_pause.ended().await;
            } else if left.is_zero() {
                return;
            } else {
                tokio::time::sleep(left).await;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, DeadlineState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        let Deadline {
            resumed,
            shared_pause,
            ..
        } = self.0;
        let mut state = self.0.lock();
        state.pauses -= 1;
        if state.pauses == 0 {
            // What all clocks stood still meanwhile counts by itself.
            let shared = shared_pause.total().saturating_sub(state.stood_at_pause);
            let paused = state.paused_at.elapsed().saturating_sub(shared);
            state.deadline += paused;
            resumed.notify_one();
        }
    }
}

/// When the clocks of all calls to one backend stand still: while it has a question open that
/// belongs to none of them, since one of them may be what it asks for. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedPause(watch::Sender<PauseTotals>);

#[derive(Debug, Default)]
struct PauseTotals {
    /// Questions that are open, and since when there has been one.
    open: usize,
    since: Option<Instant>,
    /// How long there was one before that.
    before: Duration,
}

/// Keeps them still until it is dropped.
pub(super) struct SharedPauseGuard<'a>(&'a SharedPause);

impl SharedPause {
    /// One more question is open.
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

    fn is_active(&self) -> bool {
        self.0.borrow().open > 0
    }

    async fn ended(&self) {
        // The sender is ours: the wait can't fail.
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
    async fn time_that_the_client_is_asked_is_not_counted() {
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
    async fn what_comes_too_late_does_not_begin() {
        let deadline = started(10);
        tokio::time::advance(Duration::from_secs(10)).await;
        let mut begun = false;
        assert_eq!(deadline.run(async { begun = true }).await, Err(Expired));
        assert!(!begun);
    }

    #[tokio::test(start_paused = true)]
    async fn the_clocks_of_a_backend_stand_still_together() {
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
