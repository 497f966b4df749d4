//! The turns in which the responses of one backend are worked on.
//!
//! Owns how much work is done before other tasks run. The runtime counts how often a task is polled,
//! not what it does in between: a response whose size the server chooses could keep the only thread
//! for seconds. A response that has used up its first turn is worked on only while it holds its
//! backend's one permit, so that all responses of one backend together get one turn for each turn of
//! every other task. It must not know what the work is.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::sync::Mutex;

/// A turn ends after this much work, in bytes.
const TURN_WORK: usize = 64 * 1024;
/// A turn ends after this time.
const TURN_TIME: Duration = Duration::from_micros(300);
/// In the first turn the clock is read after this much work. Less is not noticed, and is most of what
/// there is.
pub(super) const CLOCK_EVERY: usize = 4 * 1024;
/// In later turns it is read after this much, which is one message: ten of them may take milliseconds.
const CLOCK_EVERY_LATER: usize = 2 * EACH;
/// Largest message that the loop searches or edits, in bytes.
pub(in crate::backend) const AT_ONCE: usize = 256 * 1024;
/// The work of an event or a message, whatever its length, in bytes.
pub(in crate::backend) const EACH: usize = 256;

/// The turns of one backend.
#[derive(Debug, Clone)]
pub(in crate::backend) struct Turns(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// One, which is never closed.
    permits: Arc<Semaphore>,
    /// Of the current turn, of any response that has the permit: responses that wait for each other's tasks pass it
    /// on many times before any other task runs.
    spent: Mutex<Spent>,
}

impl Shared {
    async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        let permits = Arc::clone(&self.permits);
        permits.acquire_owned().await.ok()
    }
}

/// What was done in a turn.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    /// The work that was done, in bytes.
    work: usize,
    time: Duration,
}

impl Turns {
    pub(in crate::backend) fn new() -> Self {
        Self(Arc::new(Shared {
            permits: Arc::new(Semaphore::new(1)),
            spent: Mutex::default(),
        }))
    }

    /// Does work that can't be cut into turns on a thread of its own, or here if there can be none. A
    /// backend has one such thread at a time, even when this future is dropped before it is done.
    ///
    /// # Errors
    /// The payload of the work's panic.
    pub(in crate::backend) async fn off_loop<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> std::thread::Result<T> {
        let done = Arc::new(Mutex::new(None));
        let result = Arc::clone(&done);
        self.run_off_loop(Box::new(move || *result.lock() = Some(work())))
            .await?;
        let done = done.lock().take();
        done.ok_or_else(gone)
    }

    /// Its code, which is the same for all kinds of work.
    async fn run_off_loop(&self, work: Box<dyn FnOnce() + Send>) -> std::thread::Result<()> {
        let permit = self.0.acquire().await;
        // Shared, so that it is not lost if there can be no other thread.
        let shared = Arc::new(Mutex::new(Some((work, permit))));
        let working = move || {
            let (work, _permit) = shared.lock().take()?;
            work();
            Some(())
        };
        let spawn = AssertUnwindSafe(|| tokio::task::spawn_blocking(working.clone()));
        let done = match catch_unwind(spawn) {
            Ok(working) => working.await.map_err(|error| match error.try_into_panic() {
                Ok(panic) => panic,
                Err(_) => gone(),
            }),
            Err(_) => catch_unwind(AssertUnwindSafe(working)),
        };
        done?.ok_or_else(gone)
    }

    /// What one more response takes its turns by.
    pub(super) fn begin(&self) -> Turn {
        Turn {
            turns: Arc::clone(&self.0),
            spent: Spent::default(),
            since: None,
            clock_at: CLOCK_EVERY,
            is_first: true,
            permit: None,
        }
    }
}

/// The panic that stands for work that was dropped, as happens when the runtime ends.
fn gone() -> Box<dyn Any + Send> {
    Box::new("the gateway ends")
}

/// The current turn of one response.
#[derive(Debug)]
pub(in crate::backend) struct Turn {
    turns: Arc<Shared>,
    /// Up to `since`.
    spent: Spent,
    /// When time was last counted; `None` while it waits, and before the clock was read.
    since: Option<Instant>,
    /// The amount of work at which the clock is read next.
    clock_at: usize,
    /// No permit is needed.
    is_first: bool,
    permit: Option<OwnedSemaphorePermit>,
}

impl Turn {
    /// Counts work that was done, and lets other tasks run if the turn is over. Nothing may depend on
    /// the future being polled to its end.
    pub(in crate::backend) async fn spend(&mut self, work: usize) {
        self.count(work);
        self.go_on().await;
    }

    /// Counts work that was done.
    pub(super) fn count(&mut self, work: usize) {
        self.spent.work += work;
    }

    /// Waits for the next turn if this one is over.
    pub(super) async fn go_on(&mut self) {
        loop {
            if !self.is_first && self.permit.is_none() {
                self.permit = self.turns.acquire().await;
                self.join_turn();
            }
            if self.spent.work < self.clock_at || !self.is_over() {
                return;
            }
            self.is_first = false;
            // With the permit: nobody else of this backend gets a turn before the others had theirs.
            tokio::task::yield_now().await;
            self.spent = Spent::default();
            self.since = None;
            self.end();
        }
    }

    /// Goes on with the turn in which another response has stopped.
    fn join_turn(&mut self) {
        let before = *self.turns.spent.lock();
        self.clock_at = before.work + CLOCK_EVERY_LATER;
        self.spent.work += before.work;
        self.spent.time += before.time;
        self.since = Some(Instant::now());
    }

    fn is_over(&mut self) -> bool {
        let every = match self.is_first {
            true => CLOCK_EVERY,
            false => CLOCK_EVERY_LATER,
        };
        self.clock_at = self.spent.work + every;
        let now = Instant::now();
        let since = self.since.replace(now).unwrap_or(now);
        self.spent.time += now - since;
        self.spent.work >= TURN_WORK || self.spent.time >= TURN_TIME
    }

    /// Ends the turn, and works on as [`Turns::off_loop`] does.
    ///
    /// # Errors
    /// The payload of the work's panic.
    pub(in crate::backend) async fn off_loop<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> std::thread::Result<T> {
        self.is_first = false;
        self.end();
        Turns(Arc::clone(&self.turns)).off_loop(work).await
    }

    /// Waits for input. Other responses go on meanwhile.
    pub(super) async fn wait<T>(&mut self, input: impl Future<Output = T>) -> T {
        let mut input = pin!(input);
        std::future::poll_fn(|context| {
            let polled = input.as_mut().poll(context);
            if polled.is_pending() {
                self.end();
            }
            polled
        })
        .await
    }

    /// Nothing is left to do, or not now. The turn goes on with the next response that has work.
    pub(super) fn end(&mut self) {
        if let Some(since) = self.since.take() {
            self.spent.time += since.elapsed();
        }
        if let Some(permit) = self.permit.take() {
            *self.turns.spent.lock() = std::mem::take(&mut self.spent);
            drop(permit);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    /// Works without end, and counts its turns.
    async fn work(turns: Turns, step: usize, taken: Arc<AtomicUsize>) {
        let mut turn = turns.begin();
        loop {
            taken.fetch_add(step, Relaxed);
            turn.spend(step).await;
        }
    }

    /// The work that tasks of these backends do while another task yields this often.
    async fn work_beside(backends: usize, tasks: usize, yields: usize) -> usize {
        let taken = Arc::new(AtomicUsize::new(0));
        let mut working = tokio::task::JoinSet::new();
        for _ in 0..backends {
            let turns = Turns::new();
            for _ in 0..tasks {
                working.spawn(work(turns.clone(), 1024, Arc::clone(&taken)));
            }
        }
        // Each task has its first turn.
        for _ in 0..backends * tasks {
            tokio::task::yield_now().await;
        }
        let before = taken.load(Relaxed);
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        taken.load(Relaxed) - before
    }

    #[tokio::test(start_paused = true)]
    async fn all_responses_of_a_backend_together_have_one_turn_at_a_time() {
        for tasks in [1, 2, 64] {
            let work = work_beside(1, tasks, 100).await;
            assert!(
                (50 * TURN_WORK..=101 * TURN_WORK).contains(&work),
                "{tasks} tasks: {work}"
            );
        }
        let of_three = work_beside(3, 64, 100).await;
        assert!(of_three <= 303 * TURN_WORK, "{of_three}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_response_needs_no_permit_and_a_waiting_one_gives_it_back() {
        let turns = Turns::new();
        let mut large = turns.begin();
        large.spend(TURN_WORK).await;
        assert_eq!(turns.0.permits.available_permits(), 0);
        let mut small = turns.begin();
        small.spend(TURN_WORK - 1).await;
        // The second large one waits until the first one does.
        let mut second = turns.begin();
        let mut spending = Box::pin(second.spend(TURN_WORK));
        for _ in 0..3 {
            assert!(futures_util::poll!(&mut spending).is_pending());
            tokio::task::yield_now().await;
        }
        large.wait(tokio::task::yield_now()).await;
        spending.await;
        assert_eq!(turns.0.permits.available_permits(), 0);
        drop(second);
        assert_eq!(turns.0.permits.available_permits(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_ends_by_time_too() {
        let turns = Turns::new();
        let mut turn = turns.begin();
        turn.spend(CLOCK_EVERY).await;
        assert!(turn.permit.is_none());
        tokio::time::advance(TURN_TIME).await;
        turn.spend(CLOCK_EVERY).await;
        assert!(turn.permit.is_some(), "it goes on in a turn of its own");
    }

    /// Two tasks that wake each other run without end before the runtime looks for anything else.
    #[tokio::test(start_paused = true)]
    async fn a_turn_goes_on_over_short_waits() {
        let turns = Turns::new();
        let mut turn = turns.begin();
        turn.spend(TURN_WORK).await;
        let mut rounds = 0;
        for _ in 0..20 {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            tokio::spawn(async { sender.send(()) });
            turn.wait(receiver).await.unwrap();
            let mut spending = Box::pin(turn.spend(TURN_WORK / 4));
            while futures_util::poll!(&mut spending).is_pending() {
                rounds += 1;
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(rounds, 5);
    }

    #[tokio::test]
    async fn work_off_the_loop_tells_of_its_panic_and_gives_the_permit_back() {
        let turns = Turns::new();
        let panicked = turns.off_loop(|| -> usize { panic!("by the test") }).await;
        let why = panicked.unwrap_err();
        assert_eq!(why.downcast_ref::<&str>(), Some(&"by the test"));
        assert_eq!(turns.off_loop(|| 7).await.unwrap(), 7);
        assert_eq!(turns.0.permits.available_permits(), 1);
    }

    /// Without a runtime there is no other thread, as where the system gives none.
    #[test]
    fn work_off_the_loop_is_done_here_where_there_can_be_no_thread() {
        use futures_util::FutureExt;
        let turns = Turns::new();
        let here = std::thread::current().id();
        let done = turns.off_loop(|| std::thread::current().id());
        assert_eq!(done.now_or_never().unwrap().unwrap(), here);
        let panicked = turns.off_loop(|| -> usize { panic!("by the test") });
        assert!(panicked.now_or_never().unwrap().is_err());
        assert_eq!(turns.0.permits.available_permits(), 1);
    }

    /// Many small pieces are as much work as one large.
    #[tokio::test(start_paused = true)]
    async fn waiting_gives_no_new_first_turn() {
        let turns = Turns::new();
        let mut turn = turns.begin();
        for _ in 0..2 * TURN_WORK / 1024 {
            turn.wait(tokio::task::yield_now()).await;
            turn.spend(1024).await;
        }
        assert!(turn.permit.is_some());
    }
}
