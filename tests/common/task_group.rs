//! A group of tasks that are stopped together, and a wait for the end of all of them.

use std::convert::Infallible;
use std::sync::mpsc;

use tokio::sync::watch;

use super::PATIENCE;

/// Tasks that hold sockets and are stopped together.
pub(super) struct TaskGroup {
    cut: watch::Sender<bool>,
    held: mpsc::Sender<Infallible>,
    /// Disconnected when the last guard is dropped.
    gone: mpsc::Receiver<Infallible>,
}

/// Held by a task of the group for as long as it owns a socket.
pub(super) struct TaskGuard {
    cut: watch::Receiver<bool>,
    _held: mpsc::Sender<Infallible>,
}

impl TaskGroup {
    pub fn new() -> Self {
        let (held, gone) = mpsc::channel();
        let cut = watch::Sender::new(false);
        Self { cut, held, gone }
    }

    pub fn guard(&self) -> TaskGuard {
        TaskGuard {
            cut: self.cut.subscribe(),
            _held: self.held.clone(),
        }
    }

    /// Signals its tasks to stop.
    pub fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Signals its tasks to stop, and waits for their end.
    pub fn end(self) {
        let Self { cut, held, gone } = self;
        cut.send_replace(true);
        drop(held);
        let gone = gone.recv_timeout(PATIENCE);
        assert_eq!(
            gone,
            Err(mpsc::RecvTimeoutError::Disconnected),
            "sockets of a fake backend stay open"
        );
    }
}

impl TaskGuard {
    /// Resolves when this task must stop.
    pub async fn cut(&mut self) {
        let _ = self.cut.wait_for(|cut| *cut).await;
    }
}
