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
    count: Mutex<Count>,
    one_more: Condvar,
    open: watch::Sender<bool>,
}

#[derive(Default)]
struct Count {
    arrived: usize,
    /// Whose client hung up before the gate was opened.
    left: usize,
}

impl Gate {
    /// A closed one.
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                count: Mutex::default(),
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
        self.wait("should have come to the gate", count, |seen| seen.arrived);
    }

    /// Blocks the test until this many have lost their client while they were held. To a modern
    /// server that is a cancellation.
    pub fn wait_for_disconnects(&self, count: usize) {
        self.wait("should have lost their client", count, |seen| seen.left);
    }

    /// How many have lost their client while they were held.
    pub fn disconnects(&self) -> usize {
        self.inner.count.lock().unwrap().left
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

    /// The backend's side: arrives, and goes on when the gate is open.
    pub(super) async fn pass(&self) {
        self.count(|count| count.arrived += 1);
        let _ = self.inner.open.subscribe().wait_for(|open| *open).await;
    }

    /// The backend's side: the client hung up.
    pub(super) fn lost(&self) {
        self.count(|count| count.left += 1);
    }

    fn count(&self, change: impl FnOnce(&mut Count)) {
        change(&mut self.inner.count.lock().unwrap());
        self.inner.one_more.notify_all();
    }
}
