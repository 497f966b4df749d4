//! Having a backend's lists fetched now, and knowing when that is done.
//!
//! Owns who waits for it. It must not know how a list is fetched.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::HttpBackend;

/// The longest wait for lists.
const PATIENCE: Duration = Duration::from_secs(10);

/// Those who wait for the next fetch of one backend's lists.
#[derive(Debug, Default)]
pub(super) struct ListRefresh {
    waiting: Mutex<Vec<oneshot::Sender<()>>>,
    needed: Notify,
}

impl ListRefresh {
    /// Resolves when somebody waits.
    pub(super) async fn needed(&self) {
        self.needed.notified().await;
    }

    /// Those who are told when the fetch that begins now is done.
    pub(super) fn take(&self) -> Vec<oneshot::Sender<()>> {
        let mut waiting = self.waiting.lock();
        let waiting = waiting
            .as_mut()
            .unwrap_or_else(|poisoned| poisoned.get_mut());
        std::mem::take(waiting)
    }

    fn wait(&self) -> oneshot::Receiver<()> {
        let (fetched, done) = oneshot::channel();
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(fetched);
        self.needed.notify_one();
        done
    }
}

impl HttpBackend {
    /// Has the lists fetched now. `true` when they have been, and [`Listed`] has been sent;
    /// `false` when that takes longer than ten seconds.
    ///
    /// [`Listed`]: super::BackendEvent::Listed
    pub async fn refresh_lists(&self) -> bool {
        let done = tokio::time::timeout(PATIENCE, self.list_refresh.wait()).await;
        matches!(done, Ok(Ok(())))
    }
}
