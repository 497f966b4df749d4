//! Points at which a test holds a backend's reply until it opens them.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::PATIENCE;

/// Holds every reply that reaches it until it is opened. Clones are the same gate.
#[derive(Clone)]
pub struct Gate {
    inner: Arc<Inner>,
}

struct Inner {
    count: Mutex<Count>,
    one_more: Condvar,
    open: watch::Sender<bool>,
}

#[derive(Default)]
struct Count {
    arrived: usize,
    /// Replies whose client disconnected while they were held.
    disconnected: usize,
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                count: Mutex::default(),
                one_more: Condvar::new(),
                open: watch::Sender::new(false),
            }),
        }
    }

    /// Releases the held replies and all later ones.
    pub fn open(&self) {
        self.inner.open.send_replace(true);
        // Whoever looks at it does so under this lock.
        drop(self.inner.count.lock().unwrap());
        self.inner.one_more.notify_all();
    }

    /// Blocks the test until this many replies have reached the gate since it was created.
    pub fn wait_for(&self, count: usize) {
        self.wait("should have reached the gate", count, |seen| seen.arrived);
    }

    /// Blocks the test until this many clients have disconnected while their replies were held. To
    /// a modern server that is a cancellation.
    pub fn wait_for_disconnects(&self, count: usize) {
        self.wait("should have lost their client", count, |seen| {
            seen.disconnected
        });
    }

    /// How many clients have disconnected while their replies were held.
    pub fn disconnects(&self) -> usize {
        self.inner.count.lock().unwrap().disconnected
    }

    /// Blocks the test until it is open, or for this long; returns whether it is.
    pub fn opens_within(&self, limit: Duration) -> bool {
        let state = self.inner.count.lock().unwrap();
        let closed = |_: &mut Count| !*self.inner.open.borrow();
        let waited = self.inner.one_more.wait_timeout_while(state, limit, closed);
        !waited.unwrap().1.timed_out()
    }

    fn wait(&self, what: &str, wanted: usize, which: impl Fn(&Count) -> usize) {
        let count = self.inner.count.lock().unwrap();
        let (count, timeout) = self
            .inner
            .one_more
            .wait_timeout_while(count, PATIENCE, |count| which(count) < wanted)
            .unwrap();
        assert!(
            !timeout.timed_out(),
            "{wanted} replies {what}, but {} did",
            which(&count)
        );
    }

    /// The backend's side: counts the reply, and resolves when the gate is open.
    pub(super) async fn pass(&self) {
        self.count(|count| count.arrived += 1);
        let _ = self.inner.open.subscribe().wait_for(|open| *open).await;
    }

    /// The backend's side: the client of a held reply disconnected.
    pub(super) fn disconnected(&self) {
        self.count(|count| count.disconnected += 1);
    }

    fn count(&self, change: impl FnOnce(&mut Count)) {
        change(&mut self.inner.count.lock().unwrap());
        self.inner.one_more.notify_all();
    }
}
