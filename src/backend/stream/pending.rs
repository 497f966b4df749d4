//! Who waits for what on a stream that carries the answers to many.
//!
//! Owns finding the request that an answer or a progress belongs to. It must not know who sent the
//! request, nor where the stream comes from.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::handler::{ResponseSink, ServerMessageHandler};
use crate::backend::error::BackendError;
use crate::protocol::{Id, Notification, Outcome, Request};

/// What may wait to be heard under one id. Progress beyond that may be missed, an answer not.
const MAX_QUEUED: usize = 64;

/// Who waits for what on the stream.
#[derive(Debug, Default)]
pub(in crate::backend) struct PendingRequests {
    by_id: Mutex<HashMap<Id, Arc<ResponseSlot>>>,
    closed: CancellationToken,
}

#[derive(Debug)]
pub(in crate::backend) enum StreamItem {
    Notification(Notification),
    Answer(Result<Outcome, BackendError>),
}

/// What was said to one waiter and not heard yet. Every call has one, and hardly any gets mail: so
/// it is small, where a channel would bring its buffer along.
#[derive(Debug, Default)]
struct ResponseSlot(Mutex<SlotState>);

#[derive(Debug, Default)]
struct SlotState {
    item: VecDeque<StreamItem>,
    /// Nothing comes any more.
    closed: bool,
    waker: Option<Waker>,
}

impl PendingRequests {
    /// Waits for the answer to this request, and hears its progress.
    pub(in crate::backend) fn register<'a>(&'a self, id: &'a Id) -> PendingResponse<'a> {
        let slot = Arc::<ResponseSlot>::default();
        let mut by_id = self.lock();
        // Under the lock, so that none comes in behind the last.
        match self.closed.is_cancelled() {
            true => slot.close(),
            false => drop(by_id.insert(id.clone(), Arc::clone(&slot))),
        }
        PendingResponse {
            pending: self,
            id,
            slot,
        }
    }

    /// Nothing comes any more: whoever still waits, waits in vain.
    pub(in crate::backend) fn close(&self) {
        let mut by_id = self.lock();
        self.closed.cancel();
        by_id.drain().for_each(|(_, slot)| slot.close());
    }

    /// Whether nothing comes any more.
    pub(in crate::backend) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Resolves then.
    pub(in crate::backend) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    fn deliver(&self, id: &Id, item: StreamItem) {
        if let Some(slot) = self.lock().get(id) {
            slot.put(item);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Arc<ResponseSlot>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResponseSlot {
    /// The last place is kept for the answer. Another one after that is nobody's.
    fn put(&self, item: StreamItem) {
        self.change(|state| {
            let places = match item {
                StreamItem::Answer(_) => MAX_QUEUED,
                StreamItem::Notification(_) => MAX_QUEUED - 1,
            };
            if state.item.len() < places {
                state.item.push_back(item);
            }
        });
    }

    fn close(&self) {
        self.change(|state| state.closed = true);
    }

    fn change(&self, change: impl FnOnce(&mut SlotState)) {
        let mut state = self.lock();
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The next of it; ready with `None` when nothing comes any more.
    fn poll(&self, context: &Context<'_>) -> Poll<Option<StreamItem>> {
        let mut state = self.lock();
        if let Some(item) = state.item.pop_front() {
            return Poll::Ready(Some(item));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(context.waker()),
            waker => *waker = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResponseSink for PendingRequests {
    /// Ends nothing: the stream is read on.
    fn response(
        &self,
        id: &Id,
        answer: Result<Outcome, BackendError>,
    ) -> Option<Result<Outcome, BackendError>> {
        self.deliver(id, StreamItem::Answer(answer));
        None
    }
}

/// Waits no longer when dropped.
pub(in crate::backend) struct PendingResponse<'a> {
    pending: &'a PendingRequests,
    id: &'a Id,
    slot: Arc<ResponseSlot>,
}

impl PendingResponse<'_> {
    /// What is said next; `None` when nothing comes any more.
    pub(in crate::backend) async fn recv(&mut self) -> Option<StreamItem> {
        poll_fn(|context| self.slot.poll(context)).await
    }
}

impl Drop for PendingResponse<'_> {
    fn drop(&mut self) {
        self.pending.lock().remove(self.id);
    }
}

/// Hands progress to the call that it belongs to, and all else to whoever hears news.
pub(in crate::backend) struct StreamRouter<'a> {
    pub(in crate::backend) pending: &'a PendingRequests,
    pub(in crate::backend) other: &'a dyn ServerMessageHandler,
}

impl ServerMessageHandler for StreamRouter<'_> {
    fn notification(&self, notification: Notification) {
        if notification.method != "notifications/progress" {
            return self.other.notification(notification);
        }
        let token = notification.params.as_ref();
        let token = token.and_then(|params| params.get("progressToken"));
        // Attempts have their id for a token.
        if let Some(id) = token.and_then(Id::from_raw) {
            self.pending
                .deliver(&id, StreamItem::Notification(notification));
        }
    }

    fn request(&self, request: Request) -> BoxFuture<'_, Outcome> {
        self.other.request(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RawJson;

    #[tokio::test]
    async fn a_full_queue_drops_progress_but_never_the_response() {
        let requests = PendingRequests::default();
        let id = Id::number(1);
        let mut pending = requests.register(&id);
        for _ in 0..10 * MAX_QUEUED {
            let notification = Notification {
                method: "notifications/progress".into(),
                params: None,
            };
            requests.deliver(&id, StreamItem::Notification(notification));
        }
        let answer = Ok(Outcome::Result(RawJson::trusted("{}")));
        assert!(requests.response(&id, answer).is_none());
        let mut progress = 0;
        while let Some(StreamItem::Notification(_)) = pending.recv().await {
            progress += 1;
        }
        assert_eq!(progress, MAX_QUEUED - 1);
    }

    #[tokio::test]
    async fn a_pending_request_wakes_on_items_and_on_close() {
        let requests = PendingRequests::default();
        let (one, two) = (Id::number(1), Id::number(2));
        let (mut first, mut second) = (requests.register(&one), requests.register(&two));
        let delivering = async {
            let answer = Ok(Outcome::Result(RawJson::trusted("{}")));
            requests.response(&one, answer);
            requests.close();
        };
        // In this order: both wait before anything is said.
        let (heard, nothing, ()) = tokio::join!(first.recv(), second.recv(), delivering);
        assert!(
            matches!(heard, Some(StreamItem::Answer(Ok(_)))),
            "{heard:?}"
        );
        assert!(nothing.is_none(), "{nothing:?}");
        assert!(
            requests.register(&one).recv().await.is_none(),
            "it is closed"
        );
    }
}
