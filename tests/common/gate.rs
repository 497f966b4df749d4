//! Points at which a test holds a backend until it says so.

use std::sync::{Arc, Condvar, Mutex};

use tokio::sync::watch;

use super::PATIENCE;

/// A closed gate holds every reply that comes to it. Clones are the same gate.
#[derive(Clone)]
pub struct Gate {
    inner: Arc<Inner>,
}

struct Inner {
    arrived: Mutex<usize>,
    one_more: Condvar,
    open: watch::Sender<bool>,
}

impl Gate {
    /// A closed one.
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                arrived: Mutex::new(0),
                one_more: Condvar::new(),
                open: watch::Sender::new(false),
            }),
        }
    }

    /// Lets all pass from now on.
    pub fn open(&self) {
        self.inner.open.send_replace(true);
    }

    /// Blocks the test until this many replies have come to the gate since it was made.
    pub fn wait_for(&self, count: usize) {
        let arrived = self.inner.arrived.lock().unwrap();
        let (arrived, timeout) = self
            .inner
            .one_more
            .wait_timeout_while(arrived, PATIENCE, |arrived| *arrived < count)
            .unwrap();
        assert!(
            !timeout.timed_out(),
            "{count} replies should have come to the gate, but {arrived} did"
        );
    }

    /// The backend's side: arrives, and goes on when the gate is open.
    pub(super) async fn pass(&self) {
        *self.inner.arrived.lock().unwrap() += 1;
        self.inner.one_more.notify_all();
        let _ = self.inner.open.subscribe().wait_for(|open| *open).await;
    }
}
