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
pub struct Clock {
    limit: Duration,
    state: Mutex<ClockState>,
    resumed: Notify,
    standstill: Standstill,
}

#[derive(Debug)]
struct ClockState {
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
pub struct Pause<'a>(&'a Clock);

impl Clock {
    /// Has started when it had `begun`, and stands still with the others of its backend.
    pub(super) fn since(begun: Instant, limit: Duration, standstill: Standstill) -> Self {
        let stood = standstill.so_far();
        let state = Mutex::new(ClockState {
            deadline: begun + limit,
            pauses: 0,
            paused_at: begun,
            stood_at_start: stood,
            stood_at_pause: stood,
        });
        Self {
            limit,
            state,
            resumed: Notify::new(),
            standstill,
        }
    }

    /// The whole time, as configured.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// What is left of it.
    pub fn left(&self) -> Duration {
        let state = self.lock();
        let (now, stood) = match state.pauses {
            0 => (Instant::now(), self.standstill.so_far()),
            _ => (state.paused_at, state.stood_at_pause),
        };
        let end = state.deadline + stood.saturating_sub(state.stood_at_start);
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
            state.stood_at_pause = self.standstill.so_far();
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
            } else if self.standstill.is_on() {
                self.standstill.over().await;
            } else if left.is_zero() {
                return;
            } else {
                tokio::time::sleep(left).await;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, ClockState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        let Clock {
            resumed,
            standstill,
            ..
        } = self.0;
        let mut state = self.0.lock();
        state.pauses -= 1;
        if state.pauses == 0 {
            // What all clocks stood still meanwhile counts by itself.
            let shared = standstill.so_far().saturating_sub(state.stood_at_pause);
            let paused = state.paused_at.elapsed().saturating_sub(shared);
            state.deadline += paused;
            resumed.notify_one();
        }
    }
}

/// When the clocks of all calls to one backend stand still: while it has a question open that
/// belongs to none of them, since one of them may be what it asks for. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Standstill(watch::Sender<Stood>);

#[derive(Debug, Default)]
struct Stood {
    /// Questions that are open, and since when there has been one.
    open: usize,
    since: Option<Instant>,
    /// How long there was one before that.
    before: Duration,
}

/// Keeps them still until it is dropped.
pub(super) struct Still<'a>(&'a Standstill);

impl Standstill {
    /// One more question is open.
    pub(super) fn begin(&self) -> Still<'_> {
        self.0.send_modify(|stood| {
            stood.open += 1;
            stood.since.get_or_insert_with(Instant::now);
        });
        Still(self)
    }

    fn so_far(&self) -> Duration {
        let stood = self.0.borrow();
        stood.before + stood.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn is_on(&self) -> bool {
        self.0.borrow().open > 0
    }

    async fn over(&self) {
        // The sender is ours: the wait can't fail.
        let _ = self.0.subscribe().wait_for(|stood| stood.open == 0).await;
    }
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|stood| {
            stood.open -= 1;
            if stood.open == 0 {
                let since = stood.since.take();
                stood.before += since.map_or(Duration::ZERO, |since| since.elapsed());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(limit: u64) -> Clock {
        Clock::since(
            Instant::now(),
            Duration::from_secs(limit),
            Standstill::default(),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_the_client_is_asked_is_not_counted() {
        let clock = started(10);
        let work = async {
            tokio::time::sleep(Duration::from_secs(6)).await;
            let first = clock.pause();
            tokio::time::sleep(Duration::from_secs(100)).await;
            let second = clock.pause();
            drop(first);
            tokio::time::sleep(Duration::from_secs(100)).await;
            drop(second);
            tokio::time::sleep(Duration::from_secs(3)).await;
            clock.left()
        };
        assert_eq!(clock.run(work).await, Ok(Duration::from_secs(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_holds_over_everything_else() {
        let clock = started(10);
        let started = Instant::now();
        assert_eq!(clock.run(std::future::pending::<()>()).await, Err(Expired));
        assert_eq!(started.elapsed(), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_too_late_does_not_begin() {
        let clock = started(10);
        tokio::time::advance(Duration::from_secs(10)).await;
        let mut begun = false;
        assert_eq!(clock.run(async { begun = true }).await, Err(Expired));
        assert!(!begun);
    }

    #[tokio::test(start_paused = true)]
    async fn the_clocks_of_a_backend_stand_still_together() {
        let standstill = Standstill::default();
        let begun = Instant::now();
        let clock = Clock::since(begun, Duration::from_secs(10), standstill.clone());
        let asking = async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            let first = standstill.begin();
            tokio::time::sleep(Duration::from_secs(100)).await;
            let second = standstill.begin();
            // A pause of its own in between counts once.
            let pause = clock.pause();
            drop(first);
            tokio::time::sleep(Duration::from_secs(100)).await;
            drop(second);
            tokio::time::sleep(Duration::from_secs(50)).await;
            drop(pause);
            assert_eq!(clock.left(), Duration::from_secs(6));
            std::future::pending::<()>().await;
        };
        assert_eq!(clock.run(asking).await, Err(Expired));
        assert_eq!(begun.elapsed(), Duration::from_secs(260));
        let later = Clock::since(Instant::now(), Duration::from_secs(10), standstill);
        assert_eq!(later.left(), Duration::from_secs(10));
    }
}
