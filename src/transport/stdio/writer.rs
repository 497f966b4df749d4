//! The writer thread and its queue.
//!
//! Owns the bound on what is queued for a client that reads slowly. A line with a [`DropPolicy`]
//! may be replaced or dropped, and is queued only if the budget has room; any other line is kept.
//! What belongs to no request is written when nothing else waits. Past a limit, or if no byte is
//! taken for too long, the queue is [stuck](WriteEnd::Stuck): a client that reads slowly is not.
//! `outbox` is the way in, `drain` the way out. It must not know what a line contains.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::budget::Budget;
use crate::sync::{Condvar, Mutex};
use drain::drain;
pub(crate) use notices::NoticeSource;
use notices::Notices;
pub(crate) use outbox::{DropPolicy, Outbox};
use queued::{Progress, Queue, State};

mod drain;
mod notices;
mod outbox;
mod queued;
#[cfg(test)]
mod tests;

/// Longest time in which the client takes nothing of what is being written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Why writing has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteEnd {
    /// Closed and drained, or stdout is broken.
    Done,
    /// The client does not read what we write.
    Stuck {
        /// Bytes queued.
        waiting: usize,
    },
}

/// Reports the end of writing. Awaited at exit, so that the last response is not lost.
pub(crate) struct Writer {
    finished: oneshot::Receiver<()>,
    stuck: oneshot::Receiver<usize>,
    queue: Arc<Queue>,
}

/// Starts the writer thread. Queued bytes count against the budget; with more queued than the whole
/// budget, the queue is stuck.
pub(crate) fn write_lines(writer: Box<dyn Write + Send>, budget: Budget) -> (Outbox, Writer) {
    write_within(WRITE_TIMEOUT, writer, budget)
}

fn write_within(
    timeout: Duration,
    writer: Box<dyn Write + Send>,
    budget: Budget,
) -> (Outbox, Writer) {
    let (done, finished) = oneshot::channel();
    let (report_stuck, stuck) = oneshot::channel();
    let queue = Arc::new(Queue {
        state: Mutex::new(State {
            stuck: Some(report_stuck),
            ..State::default()
        }),
        ready: Condvar::default(),
        budget,
        progress: Mutex::new(Progress {
            taken: 0,
            at: Instant::now(),
        }),
        timeout,
    });
    let drained = Arc::clone(&queue);
    let outbox = Outbox {
        queue: Arc::clone(&queue),
    };
    super::spawn("stdout", move || {
        if let Err(error) = drain(&queue, writer) {
            tracing::debug!(%error, "stdout is closed");
        }
        // After an error nothing can be written: later lines are dropped.
        let mut state = queue.lock();
        state.closed = true;
        state.pieces.clear();
        state.notices = Notices::default();
        queue.budget.set_waiting(0);
        drop(state);
        let _ = done.send(());
    });
    let writer = Writer {
        finished,
        stuck,
        queue: drained,
    };
    (outbox, writer)
}

impl Writer {
    /// Waits until nothing more can be written. May be called again; `Stuck` is returned once.
    pub(crate) async fn ended(&mut self) -> WriteEnd {
        // A receiver that has completed must not be polled again.
        if self.finished.is_terminated() {
            return WriteEnd::Done;
        }
        tokio::select! {
            biased;
            _ = &mut self.finished => WriteEnd::Done,
            Ok(waiting) = &mut self.stuck, if !self.stuck.is_terminated() => {
                WriteEnd::Stuck { waiting }
            }
        }
    }

    /// Waits until the last line is written, for as long as the client takes something every
    /// `at_most`. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// The bytes that it does not take.
    pub(crate) async fn join(&mut self, at_most: Duration) -> Result<(), usize> {
        let taken = || self.queue.progress.lock().taken;
        let mut before = taken();
        while !self.finished.is_terminated()
            && tokio::time::timeout(at_most, &mut self.finished)
                .await
                .is_err()
        {
            if taken() == before {
                return Err(self.left());
            }
            before = taken();
        }
        Ok(())
    }

    /// Bytes that are not written yet.
    pub(crate) fn left(&self) -> usize {
        self.queue.lock().bytes
    }
}
