//! Exchanges with a backend that belong to no call: responses to its requests, notifications,
//! cancellations, best-effort requests, the end of a session.
//!
//! Owns how many of them run at once, how many wait, and that none lasts for ever: a backend decides
//! how many requests it sends and how fast it takes our responses, and each exchange takes a
//! connection. It must not know what is sent.

use std::future::Future;
use std::time::Duration;

use tokio::sync::Semaphore;

/// Exchanges at once. With four lists, and a stream and a handshake for each of two sessions, that
/// makes less than 16 connections beside those of calls.
const MAX_RUNNING: usize = 8;
/// Exchanges that run or wait.
const MAX_OPEN: usize = 1024;

/// The limit of one backend, shared by its sessions.
#[derive(Debug)]
pub(in crate::backend) struct SideRequests {
    running: Semaphore,
    open: Semaphore,
}

/// Why an exchange was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::backend) enum GivenUp {
    /// It was never sent.
    #[error("too many messages to this server are on their way")]
    TooMany,
    /// Its time was over, whether or not it was sent.
    #[error("the server did not take it in time")]
    OutOfTime,
}

impl SideRequests {
    pub(in crate::backend) const fn new() -> Self {
        Self {
            running: Semaphore::const_new(MAX_RUNNING),
            open: Semaphore::const_new(MAX_OPEN),
        }
    }

    /// Runs one exchange when it is its turn, first come first served, for at most `limit` in all.
    ///
    /// # Errors
    /// Why it was given up.
    pub(in crate::backend) async fn run<T>(
        &self,
        limit: Duration,
        exchange: impl Future<Output = T>,
    ) -> Result<T, GivenUp> {
        let Ok(_open) = self.open.try_acquire() else {
            return Err(GivenUp::TooMany);
        };
        let when_it_is_its_turn = async {
            // Never closed.
            let _running = self.running.acquire().await;
            exchange.await
        };
        tokio::time::timeout(limit, when_it_is_its_turn)
            .await
            .map_err(|_| GivenUp::OutOfTime)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use futures_util::future::join_all;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn fault_94_few_run_at_once_and_the_rest_waits_its_turn() {
        let side = SideRequests::new();
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let exchange = || async {
            most.fetch_max(running.fetch_add(1, Relaxed) + 1, Relaxed);
            tokio::time::sleep(Duration::from_millis(1)).await;
            running.fetch_sub(1, Relaxed);
        };
        let all = join_all((0..MAX_OPEN + 10).map(|_| side.run(LIMIT, exchange()))).await;
        assert_eq!(most.load(Relaxed), MAX_RUNNING);
        let refused = all.iter().filter(|run| **run == Err(GivenUp::TooMany));
        assert_eq!(refused.count(), 10);
        assert_eq!(all.iter().filter(|run| run.is_ok()).count(), MAX_OPEN);
    }

    #[tokio::test(start_paused = true)]
    async fn fault_94_exchanges_that_never_end_make_way() {
        let side = SideRequests::new();
        let stalled = join_all((0..3 * MAX_RUNNING).map(|_| side.run(LIMIT, pending::<()>())));
        assert!(
            stalled
                .await
                .iter()
                .all(|run| *run == Err(GivenUp::OutOfTime))
        );
        assert_eq!(side.run(LIMIT, async { 7 }).await, Ok(7));
    }
}
