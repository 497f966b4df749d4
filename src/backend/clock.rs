//! The time one call has.
//!
//! Owns the deadline over queueing, waits, retries and reading. It stands still while a person or
//! a model behind the client is being asked: that time is not the backend's.

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// A deadline that can be paused. Monotonic: a jump of the wall clock does nothing.
#[derive(Debug)]
pub struct Clock {
    limit: Duration,
    state: Mutex<ClockState>,
    changed: Notify,
}

#[derive(Debug)]
struct ClockState {
    deadline: Instant,
    /// Questions to the client that are open, and since when there has been one.
    pauses: usize,
    paused_at: Instant,
}

/// The time is up.
#[derive(Debug, PartialEq, Eq)]
pub struct Expired;

/// Keeps the clock still until it is dropped.
#[derive(Debug)]
pub struct Pause<'a>(&'a Clock);

impl Clock {
    /// Starts now.
    pub fn new(limit: Duration) -> Self {
        Self::since(Instant::now(), limit)
    }

    /// Has started then.
    pub fn since(begun: Instant, limit: Duration) -> Self {
        let state = Mutex::new(ClockState {
            deadline: begun + limit,
            pauses: 0,
            paused_at: begun,
        });
        Self {
            limit,
            state,
            changed: Notify::new(),
        }
    }

    /// The whole time, as configured.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// What is left of it.
    pub fn left(&self) -> Duration {
        let state = self.lock();
        let now = if state.pauses > 0 {
            state.paused_at
        } else {
            Instant::now()
        };
        state.deadline.saturating_duration_since(now)
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
        }
        state.pauses += 1;
        drop(state);
        self.changed.notify_one();
        Pause(self)
    }

    async fn expired(&self) {
        loop {
            let deadline = {
                let state = self.lock();
                (state.pauses == 0).then_some(state.deadline)
            };
            match deadline {
                Some(deadline) => tokio::select! {
                    () = tokio::time::sleep_until(deadline) => return,
                    () = self.changed.notified() => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, ClockState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.pauses -= 1;
        if state.pauses == 0 {
            let paused = state.paused_at.elapsed();
            state.deadline += paused;
        }
        drop(state);
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_that_the_client_is_asked_is_not_counted() {
        let clock = Clock::new(Duration::from_secs(10));
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
        let clock = Clock::new(Duration::from_secs(10));
        let started = Instant::now();
        assert_eq!(clock.run(std::future::pending::<()>()).await, Err(Expired));
        assert_eq!(started.elapsed(), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_too_late_does_not_begin() {
        let clock = Clock::new(Duration::from_secs(10));
        tokio::time::advance(Duration::from_secs(10)).await;
        let mut begun = false;
        assert_eq!(clock.run(async { begun = true }).await, Err(Expired));
        assert!(!begun);
    }
}
