//! Who waits for what on a stream that carries the answers to many.
//!
//! Owns finding the request that an answer or a progress belongs to. It must not know who sent the
//! request, nor where the stream comes from.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::error::BackendError;
use super::listener::{Addressee, Listener};
use crate::protocol::{Id, Notification, Outcome, Request};

/// What may wait to be heard under one id. Progress beyond that may be missed, an answer not.
const MAX_UNHEARD: usize = 64;

/// Who waits for what on the stream.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    by_id: Mutex<HashMap<Id, mpsc::Sender<Said>>>,
    over: CancellationToken,
}

#[derive(Debug)]
pub(super) enum Said {
    Notification(Notification),
    Answer(Result<Outcome, BackendError>),
}

impl Waiters {
    /// Waits for the answer to this request, and hears its progress.
    pub(super) fn wait_for<'a>(&'a self, id: &'a Id) -> (Waiter<'a>, mpsc::Receiver<Said>) {
        let (said, heard) = mpsc::channel(MAX_UNHEARD);
        let mut by_id = self.lock();
        // Under the lock, so that none comes in behind the last.
        if !self.over.is_cancelled() {
            by_id.insert(id.clone(), said);
        }
        (Waiter { waiters: self, id }, heard)
    }

    /// Nothing comes any more: whoever still waits, waits in vain.
    pub(super) fn close(&self) {
        let mut by_id = self.lock();
        self.over.cancel();
        by_id.clear();
    }

    /// Whether nothing comes any more.
    pub(super) fn are_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Resolves then.
    pub(super) async fn over(&self) {
        self.over.cancelled().await;
    }

    /// The last place is kept for the answer. Another one after that is nobody's.
    fn tell(&self, id: &Id, said: Said) {
        let by_id = self.lock();
        if let Some(waiter) = by_id.get(id)
            && (waiter.capacity() > 1 || matches!(said, Said::Answer(_)))
        {
            let _ = waiter.try_send(said);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, mpsc::Sender<Said>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Addressee for Waiters {
    /// Ends nothing: the stream is read on.
    fn response(
        &self,
        id: &Id,
        answer: Result<Outcome, BackendError>,
    ) -> Option<Result<Outcome, BackendError>> {
        self.tell(id, Said::Answer(answer));
        None
    }
}

/// Waits no longer when dropped.
pub(super) struct Waiter<'a> {
    waiters: &'a Waiters,
    id: &'a Id,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.waiters.lock().remove(self.id);
    }
}

/// Hands progress to the call that it belongs to, and all else to whoever hears news.
pub(super) struct Sorting<'a> {
    pub(super) waiters: &'a Waiters,
    pub(super) news: &'a dyn Listener,
}

impl Listener for Sorting<'_> {
    fn notification(&self, notification: Notification) {
        if notification.method != "notifications/progress" {
            return self.news.notification(notification);
        }
        let token = notification.params.as_ref();
        let token = token.and_then(|params| params.get("progressToken"));
        // Attempts have their id for a token.
        if let Some(id) = token.and_then(Id::from_raw) {
            self.waiters.tell(&id, Said::Notification(notification));
        }
    }

    fn request(&self, request: Request) -> BoxFuture<'_, Outcome> {
        self.news.request(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RawJson;

    #[tokio::test]
    async fn who_does_not_listen_misses_progress_but_no_answer() {
        let waiters = Waiters::default();
        let id = Id::number(1);
        let (_waiter, mut heard) = waiters.wait_for(&id);
        for _ in 0..10 * MAX_UNHEARD {
            let notification = Notification {
                method: "notifications/progress".into(),
                params: None,
            };
            waiters.tell(&id, Said::Notification(notification));
        }
        let answer = Ok(Outcome::Result(RawJson::trusted("{}")));
        assert!(waiters.response(&id, answer).is_none());
        let mut progress = 0;
        while let Some(Said::Notification(_)) = heard.recv().await {
            progress += 1;
        }
        assert_eq!(progress, MAX_UNHEARD - 1);
    }
}
