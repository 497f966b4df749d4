//! Pending requests on a stream that carries responses to many of them.
//!
//! Owns the map from a request's id to the task that waits for its response, and which of them a
//! server request on that stream belongs to. It must not know who sent the request, nor where the
//! stream comes from.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::handler::{ResponseSink, ServerMessageHandler};
use crate::backend::error::BackendError;
use crate::protocol::{Id, Notification, Outcome, Request};
use crate::sync::Mutex;

/// Items queued for one request. Progress and server requests beyond this are dropped; the response
/// never is.
const MAX_QUEUED: usize = 64;

/// The requests whose response comes on one stream.
#[derive(Debug, Default)]
pub(in crate::backend) struct PendingRequests {
    by_id: Mutex<HashMap<Id, Arc<ResponseSlot>>>,
    closed: CancellationToken,
}

#[derive(Debug)]
enum StreamItem {
    Notification(Notification),
    /// A server request, and where its response goes.
    Request(Request, oneshot::Sender<Outcome>),
    Answer(Result<Outcome, BackendError>),
}

/// Which server requests outside of its own stream may belong to a request (X-ML-05).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::backend) enum Takes {
    /// None: nobody can be asked on its behalf.
    Nothing,
    /// Those that name its progress token, or this task.
    Named(Option<String>),
    /// Those that name its progress token, and all while it is the only one: its client, which is of
    /// the modern era, can be asked in no other way.
    WhenAlone,
    /// Those that name its progress token. While it is the only one, others end with it if it is
    /// given up: its client can be asked without it.
    WhenAloneBeside,
}

/// What has come for one request and was not taken yet. Every call has one and few get progress, so
/// it is smaller than a channel with its buffer.
#[derive(Debug)]
pub(super) struct ResponseSlot {
    takes: Takes,
    state: Mutex<SlotState>,
}

#[derive(Debug, Default)]
struct SlotState {
    items: VecDeque<StreamItem>,
    /// The stream has ended.
    closed: bool,
    waker: Option<Waker>,
    /// Cancelled if the request is given up before its response; made where that matters.
    given_up: Option<CancellationToken>,
}

impl PendingRequests {
    /// Registers a request. Do so before it is sent.
    pub(in crate::backend) fn register<'a>(
        &'a self,
        id: &'a Id,
        takes: Takes,
    ) -> PendingResponse<'a> {
        let slot = Arc::new(ResponseSlot {
            takes,
            state: Mutex::default(),
        });
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
            is_over: false,
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

    /// Passes progress to the request whose token it has: an attempt uses its id as its token.
    pub(super) fn progress(&self, token: &Id, notification: Notification) {
        self.deliver(token, StreamItem::Notification(notification));
    }

    /// The request whose progress token this is, if a server request may belong to it.
    pub(super) fn with_token(&self, token: &Id) -> Option<Arc<ResponseSlot>> {
        let by_id = self.by_id.lock();
        let slot = by_id.get(token).filter(|slot| slot.takes != Takes::Nothing);
        slot.cloned()
    }

    /// The request about this task.
    pub(super) fn about_task(&self, task: &str) -> Option<Arc<ResponseSlot>> {
        let by_id = self.by_id.lock();
        let is_about = |slot: &&Arc<ResponseSlot>| matches!(&slot.takes, Takes::Named(Some(named)) if named == task);
        by_id.values().find(is_about).cloned()
    }

    /// The only request that a server request without a name may belong to.
    pub(super) fn alone(&self) -> Option<Arc<ResponseSlot>> {
        let by_id = self.by_id.lock();
        let may_take = |slot: &&Arc<ResponseSlot>| {
            matches!(slot.takes, Takes::WhenAlone | Takes::WhenAloneBeside)
        };
        let mut there = by_id.values().filter(may_take);
        let first = there.next()?;
        there.next().is_none().then(|| Arc::clone(first))
    }
}

impl ResponseSlot {
    /// Whether server requests belong beside it, not to it.
    pub(super) fn takes_beside(&self) -> bool {
        self.takes == Takes::WhenAloneBeside
    }

    /// Has a server request handled on its behalf. The response is dropped where it can't be.
    pub(super) fn ask(&self, request: Request) -> oneshot::Receiver<Outcome> {
        let (answer, answered) = oneshot::channel();
        self.put(StreamItem::Request(request, answer));
        answered
    }

    /// Resolves when it is given up before its response; never, if that comes.
    pub(super) async fn given_up(&self) {
        let given_up = self.state.lock().given_up.get_or_insert_default().clone();
        given_up.cancelled().await;
    }

    /// Queues an item. The last place is kept for the response; a second response is dropped.
    fn put(&self, item: StreamItem) {
        self.change(|state| {
            let places = match item {
                StreamItem::Answer(_) => MAX_QUEUED,
                StreamItem::Notification(_) | StreamItem::Request(..) => MAX_QUEUED - 1,
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
        let mut state = self.state.lock();
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The next item; ready with `None` when the stream has ended.
    fn poll(&self, context: &Context<'_>) -> Poll<Option<StreamItem>> {
        let mut state = self.state.lock();
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
    is_over: bool,
}

/// Server requests that are being handled for one request.
type Asked<'a> = FuturesUnordered<BoxFuture<'a, ()>>;

impl PendingResponse<'_> {
    /// Handles what comes for the request until its response does; `None` when the stream has ended
    /// before. `idle` is the longest silence allowed, but for the time that a server request takes.
    ///
    /// # Errors
    /// [`BackendError::Idle`].
    pub(in crate::backend) async fn response(
        &mut self,
        handler: &dyn ServerMessageHandler,
        idle: Option<Duration>,
    ) -> Result<Option<Result<Outcome, BackendError>>, BackendError> {
        // Nearly every request has none.
        let mut asked: Option<Asked<'_>> = None;
        loop {
            let item = match asked.as_mut().filter(|asked| !asked.is_empty()) {
                None => within(idle, self.recv()).await?,
                Some(asked) => tokio::select! {
                    biased;
                    item = self.recv() => item,
                    _ = asked.next() => continue,
                },
            };
            match item {
                None => return Ok(None),
                Some(StreamItem::Answer(answer)) => return Ok(Some(answer)),
                Some(StreamItem::Notification(notification)) => handler.notification(notification),
                Some(StreamItem::Request(request, answer)) => asked
                    .get_or_insert_with(FuturesUnordered::new)
                    .push(answered(handler, request, answer).boxed()),
            }
        }
    }

    /// The request is over: it ends by itself, and is not given up.
    pub(in crate::backend) fn over(&mut self) {
        self.is_over = true;
    }

    async fn recv(&self) -> Option<StreamItem> {
        poll_fn(|context| self.slot.poll(context)).await
    }
}

impl Drop for PendingResponse<'_> {
    fn drop(&mut self) {
        self.pending.by_id.lock().remove(self.id);
        // Rarely does anybody else have it.
        if !self.is_over && Arc::strong_count(&self.slot) > 1 {
            let mut state = self.slot.state.lock();
            state.given_up.get_or_insert_default().cancel();
        }
    }
}

async fn answered(
    handler: &dyn ServerMessageHandler,
    request: Request,
    mut answer: oneshot::Sender<Outcome>,
) {
    let outcome = tokio::select! {
        biased;
        () = answer.closed() => return,
        outcome = handler.request(request) => outcome,
    };
    let _ = answer.send(outcome);
}

async fn within<T>(
    limit: Option<Duration>,
    work: impl Future<Output = T>,
) -> Result<T, BackendError> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, work)
            .await
            .map_err(|_| BackendError::Idle { limit }),
        None => Ok(work.await),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;
    use crate::backend::stream::NoopHandler;
    use crate::protocol::RawJson;

    /// Counts notifications.
    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl ServerMessageHandler for Counted {
        fn notification(&self, _: Notification) {
            self.0.fetch_add(1, Relaxed);
        }

        fn request(&self, request: Request) -> BoxFuture<'_, Outcome> {
            NoopHandler.request(request)
        }
    }

    #[tokio::test]
    async fn a_full_queue_drops_progress_but_never_the_response() {
        let requests = PendingRequests::default();
        let id = Id::number(1);
        let mut pending = requests.register(&id, Takes::Nothing);
        for _ in 0..10 * MAX_QUEUED {
            let notification = Notification {
                method: "notifications/progress".into(),
                params: None,
            };
            requests.deliver(&id, StreamItem::Notification(notification));
        }
        let answer = Ok(Outcome::Result(RawJson::trusted("{}")));
        assert!(requests.response(&id, answer).is_none());
        let counted = Counted::default();
        let answer = pending.response(&counted, None).await.unwrap();
        assert!(matches!(answer, Some(Ok(_))), "{answer:?}");
        assert_eq!(counted.0.load(Relaxed), MAX_QUEUED - 1);
    }

    #[test]
    fn a_server_request_belongs_to_the_request_that_it_names_or_that_is_alone() {
        let requests = PendingRequests::default();
        let ids: Vec<Id> = (1..=5).map(Id::number).collect();
        let task = |task: &str| Takes::Named(Some(task.to_owned()));
        let _list = requests.register(&ids[0], Takes::Nothing);
        let _result = requests.register(&ids[1], task("t1"));
        let is = |found: Option<Arc<ResponseSlot>>, other: &PendingResponse<'_>| {
            found.is_some_and(|found| Arc::ptr_eq(&found, &other.slot))
        };
        assert!(requests.with_token(&ids[0]).is_none());
        assert!(requests.alone().is_none() && requests.about_task("t2").is_none());
        assert!(is(requests.about_task("t1"), &_result));
        assert!(is(requests.with_token(&ids[1]), &_result));
        for takes in [Takes::WhenAlone, Takes::WhenAloneBeside] {
            let first = requests.register(&ids[2], takes.clone());
            assert!(is(requests.alone(), &first));
            let second = requests.register(&ids[3], takes);
            assert!(requests.alone().is_none());
            assert!(is(requests.with_token(&ids[3]), &second));
            drop(first);
            assert!(is(requests.alone(), &second));
        }
        assert!(requests.alone().is_none());
    }

    #[tokio::test]
    async fn only_a_request_that_is_given_up_says_so() {
        let requests = PendingRequests::default();
        let id = Id::number(1);
        for is_over in [false, true] {
            let mut pending = requests.register(&id, Takes::WhenAloneBeside);
            let slot = requests.alone().unwrap();
            let mut given_up = std::pin::pin!(slot.given_up());
            assert!(given_up.as_mut().now_or_never().is_none());
            if is_over {
                pending.over();
            }
            drop(pending);
            assert_eq!(given_up.now_or_never().is_some(), !is_over);
        }
    }

    #[tokio::test]
    async fn a_pending_request_wakes_on_items_and_on_close() {
        let requests = PendingRequests::default();
        let (one, two) = (Id::number(1), Id::number(2));
        let mut first = requests.register(&one, Takes::Nothing);
        let mut second = requests.register(&two, Takes::Nothing);
        let delivering = async {
            let answer = Ok(Outcome::Result(RawJson::trusted("{}")));
            requests.response(&one, answer);
            requests.close();
        };
        // Polled in this order: both wait before anything is delivered.
        let (answer, nothing, ()) = tokio::join!(
            first.response(&NoopHandler, None),
            second.response(&NoopHandler, None),
            delivering
        );
        assert!(matches!(answer, Ok(Some(Ok(_)))), "{answer:?}");
        assert!(matches!(nothing, Ok(None)), "{nothing:?}");
        let mut late = requests.register(&one, Takes::Nothing);
        let closed = late.response(&NoopHandler, None).await;
        assert!(matches!(closed, Ok(None)), "it is closed");
    }
}
