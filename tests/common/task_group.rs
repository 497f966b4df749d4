//! Tasks that are ended together, with certainty about when they are gone.

use std::convert::Infallible;
use std::sync::mpsc;

use tokio::sync::watch;

use super::PATIENCE;

/// Tasks that hold sockets and end together.
pub(super) struct TaskGroup {
    cut: watch::Sender<bool>,
    held: mpsc::Sender<Infallible>,
    /// Disconnected when the last member is gone.
    gone: mpsc::Receiver<Infallible>,
}

/// Held by a task of the group for as long as it holds a socket.
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

    pub fn member(&self) -> TaskGuard {
        TaskGuard {
            cut: self.cut.subscribe(),
            _held: self.held.clone(),
        }
    }

    /// Tells its members to end.
    pub fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Ends its members, and waits until they are gone.
    pub fn end(self) {
        let Self { cut, held, gone } = self;
        cut.send_replace(true);
        drop(held);
        let gone = gone.recv_timeout(PATIENCE);
        assert_eq!(
            gone,
            Err(mpsc::RecvTimeoutError::Disconnected),
            "sockets of a fake stay open"
        );
    }
}

impl TaskGuard {
    /// Resolves when this member is to end.
    pub async fn cut(&mut self) {
        let _ = self.cut.wait_for(|cut| *cut).await;
    }
}
