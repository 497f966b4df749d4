//! Pending requests on a stream that carries responses to many of them.
//!
//! Owns the map from a request's id to the task that waits for its response. It must not know who
//! sent the request, nor where the stream comes from.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::handler::{ResponseSink, ServerMessageHandler};
use crate::backend::error::BackendError;
use crate::protocol::{Id, Notification, Outcome, Request};
use crate::sync::Mutex;

/// Items queued for one request. Progress beyond this is dropped; the response never is.
const MAX_QUEUED: usize = 64;

/// The requests whose response comes on one stream.
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

/// What has come for one request and was not taken yet. Every call has one and few get progress, so
/// it is smaller than a channel with its buffer.
#[derive(Debug, Default)]
struct ResponseSlot(Mutex<SlotState>);

#[derive(Debug, Default)]
struct SlotState {
    items: VecDeque<StreamItem>,
    /// The stream has ended.
    closed: bool,
    waker: Option<Waker>,
}

impl PendingRequests {
    /// Registers a request. Do so before it is sent.
    pub(in crate::backend) fn register<'a>(&'a self, id: &'a Id) -> PendingResponse<'a> {
        let slot = Arc::<ResponseSlot>::default();
        let mut by_id = self.by_id.lock();
        // Under the lock: no request is registered after `close`.
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

    /// The stream has ended: every pending request gets `None`.
    pub(in crate::backend) fn close(&self) {
        let mut by_id = self.by_id.lock();
        self.closed.cancel();
        by_id.drain().for_each(|(_, slot)| slot.close());
    }

    /// Whether the stream has ended.
    pub(in crate::backend) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Resolves when the stream has ended.
    pub(in crate::backend) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    fn deliver(&self, id: &Id, item: StreamItem) {
        if let Some(slot) = self.by_id.lock().get(id) {
            slot.put(item);
        }
    }
}

impl ResponseSlot {
    /// Queues an item. The last place is kept for the response; a second response is dropped.
    fn put(&self, item: StreamItem) {
        self.change(|state| {
            let places = match item {
                StreamItem::Answer(_) => MAX_QUEUED,
                StreamItem::Notification(_) => MAX_QUEUED - 1,
            };
            if state.items.len() < places {
                state.items.push_back(item);
            }
        });
    }

    fn close(&self) {
        self.change(|state| state.closed = true);
    }

    fn change(&self, change: impl FnOnce(&mut SlotState)) {
        let mut state = self.0.lock();
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The next item; ready with `None` when the stream has ended.
    fn poll(&self, context: &Context<'_>) -> Poll<Option<StreamItem>> {
        let mut state = self.0.lock();
        if let Some(item) = state.items.pop_front() {
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
}

impl ResponseSink for PendingRequests {
    /// Delivers it and returns `None`: the stream is read on.
    fn response(
        &self,
        id: &Id,
        answer: Result<Outcome, BackendError>,
    ) -> Option<Result<Outcome, BackendError>> {
        self.deliver(id, StreamItem::Answer(answer));
        None
    }
}

/// A registered request. Dropping it removes the registration.
pub(in crate::backend) struct PendingResponse<'a> {
    pending: &'a PendingRequests,
    id: &'a Id,
    slot: Arc<ResponseSlot>,
}

impl PendingResponse<'_> {
    /// The next item; `None` when the stream has ended.
    pub(in crate::backend) async fn recv(&mut self) -> Option<StreamItem> {
        poll_fn(|context| self.slot.poll(context)).await
    }
}

impl Drop for PendingResponse<'_> {
    fn drop(&mut self) {
        self.pending.by_id.lock().remove(self.id);
    }
}

/// Passes progress to the request that it belongs to, and everything else to `other`.
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
        // An attempt uses its id as its progress token.
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
        // Polled in this order: both wait before anything is delivered.
        let (item, nothing, ()) = tokio::join!(first.recv(), second.recv(), delivering);
        assert!(matches!(item, Some(StreamItem::Answer(Ok(_)))), "{item:?}");
        assert!(nothing.is_none(), "{nothing:?}");
        assert!(
            requests.register(&one).recv().await.is_none(),
            "it is closed"
        );
    }
}
