//! Requests of one connection that wait, as far as they show whether the server answers at all.
//!
//! Owns the numbers of requests that wait for the head of their response and of those that no longer do.
//! It must not know what is concluded from them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use tokio::sync::Notify;

/// The requests that wait for the head of their response.
#[derive(Debug, Default)]
pub(in crate::backend) struct Waits {
    waiting: AtomicUsize,
    answered: AtomicUsize,
    failed: AtomicBool,
    begun: Notify,
}

/// One that waits, until it is dropped.
#[derive(Debug)]
pub(in crate::backend) struct Waiting<'a>(&'a Waits);

impl Waits {
    /// A request is sent.
    pub(in crate::backend) fn begin(&self) -> Waiting<'_> {
        if self.waiting.fetch_add(1, Relaxed) == 0 {
            self.begun.notify_one();
        }
        Waiting(self)
    }

    /// A request has failed by its status.
    pub(super) fn fail(&self) {
        self.failed.store(true, Relaxed);
        self.begun.notify_one();
    }

    /// Resolves when a request waits, or has failed.
    pub(in crate::backend) async fn begun(&self) {
        self.begun.notified().await;
    }

    /// How many wait now.
    pub(in crate::backend) fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// How many no longer wait.
    pub(in crate::backend) fn answered(&self) -> usize {
        self.answered.load(Relaxed)
    }

    /// Whether one has failed since this was last called.
    pub(in crate::backend) fn has_failed(&self) -> bool {
        self.failed.swap(false, Relaxed)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.answered.fetch_add(1, Relaxed);
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}
