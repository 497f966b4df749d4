//! Requests to fetch a backend's lists now.
//!
//! Owns who waits for the next fetch. It must not know how a list is fetched.

use tokio::sync::{Notify, oneshot};

use crate::sync::Mutex;

/// Those who wait for the next fetch of one backend's lists.
#[derive(Debug, Default)]
pub(in crate::backend) struct ListRefresh {
    waiting: Mutex<Vec<oneshot::Sender<()>>>,
    needed: Notify,
}

impl ListRefresh {
    /// Resolves when a fetch is requested.
    pub(in crate::backend) async fn needed(&self) {
        self.needed.notified().await;
    }

    /// Those to notify when the fetch that begins now is done.
    pub(in crate::backend) fn take(&self) -> Vec<oneshot::Sender<()>> {
        std::mem::take(&mut self.waiting.lock())
    }

    /// Requests a fetch. The receiver resolves when it is done.
    pub(super) fn wait(&self) -> oneshot::Receiver<()> {
        let (fetched, done) = oneshot::channel();
        self.waiting.lock().push(fetched);
        self.needed.notify_one();
        done
    }
}
