//! Requests to fetch a backend's lists now.
//!
//! Owns who waits for the next fetch. It must not know how a list is fetched.

use std::mem;

use tokio::sync::{Notify, oneshot};

use crate::sync::Mutex;

/// Those who wait for the next fetch of one backend's lists.
#[derive(Debug, Default)]
pub(in crate::backend) struct ListRefresh {
    waiting: Mutex<Vec<oneshot::Sender<u64>>>,
    needed: Notify,
}

impl ListRefresh {
    /// Resolves when a fetch is requested.
    pub(in crate::backend) async fn needed(&self) {
        self.needed.notified().await;
    }

    /// Those to notify when the fetch that begins now is done.
    pub(in crate::backend) fn take(&self) -> Waiting<'_> {
        Waiting {
            refresh: self,
            senders: mem::take(&mut self.waiting.lock()),
        }
    }

    /// Requests a fetch. The receiver gets the number of the listing when it is done.
    pub(super) fn wait(&self) -> oneshot::Receiver<u64> {
        let (fetched, done) = oneshot::channel();
        self.waiting.lock().push(fetched);
        self.needed.notify_one();
        done
    }
}

/// Those who wait for a fetch. If it is dropped before the fetch is done, as when the connection is
/// lost, they wait for the next.
#[derive(Debug)]
pub(in crate::backend) struct Waiting<'a> {
    refresh: &'a ListRefresh,
    senders: Vec<oneshot::Sender<u64>>,
}

impl Waiting<'_> {
    /// The lists have been fetched; the listing has this number.
    pub(in crate::backend) fn done(mut self, number: u64) {
        for sender in mem::take(&mut self.senders) {
            // Who no longer waits is not told.
            let _ = sender.send(number);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.refresh.waiting.lock().append(&mut self.senders);
    }
}
