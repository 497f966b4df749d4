//! What has come for one request and was not taken yet.
//!
//! Owns the queue of a request, the task that the request is about, and which server requests may
//! belong to it. It must not know the other requests on the stream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::backend::error::BackendError;
use crate::backend::stream::handler::ServerMessageHandler;
use crate::protocol::{Notification, Outcome, RawJson, Request, task};
use crate::sync::Mutex;

/// Items queued for one request. Progress and server requests beyond this are dropped; the response
/// never is.
pub(super) const MAX_QUEUED: usize = 64;

#[derive(Debug)]
pub(super) enum StreamItem {
    Notification(Notification),
    /// A server request, and where its response goes.
    Request(Request, oneshot::Sender<Outcome>),
    Answer(Result<Outcome, BackendError>),
}

/// Which server requests outside of its own stream may belong to a request (X-ML-05). Whichever it
/// is, those belong to it that name a task which it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::backend) enum Takes {
    /// No others: nobody can be asked on its behalf.
    Nothing,
    /// Those that name its progress token. It is about this task, if it is about one.
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
pub(in crate::backend::stream) struct ResponseSlot {
    pub(super) takes: Takes,
    state: Mutex<SlotState>,
}

#[derive(Debug, Default)]
struct SlotState {
    items: VecDeque<StreamItem>,
    /// The stream has ended.
    closed: bool,
    waker: Option<Waker>,
    /// The task that it is about.
    task: Option<String>,
    /// Cancelled if the request is given up before its response; made where that matters.
    given_up: Option<CancellationToken>,
}

impl ResponseSlot {
    pub(super) fn new(mut takes: Takes) -> Self {
        let task = match &mut takes {
            Takes::Named(task) => task.take(),
            _ => None,
        };
        let state = SlotState {
            task,
            ..SlotState::default()
        };
        Self {
            takes,
            state: Mutex::new(state),
        }
    }

    /// Notes the task that a message on behalf of the request names.
    pub(super) fn note_task(&self, params: Option<&RawJson>) {
        if let Some(task) = params.and_then(task::related_task) {
            self.state.lock().task = Some(task);
        }
    }

    pub(super) fn is_about(&self, task: Option<&str>) -> bool {
        task.is_some() && self.state.lock().task.as_deref() == task
    }

    /// Whether server requests belong beside it, not to it.
    pub(in crate::backend::stream) fn takes_beside(&self) -> bool {
        self.takes == Takes::WhenAloneBeside
    }

    /// Has a server request handled on its behalf. The response is dropped where it can't be.
    pub(in crate::backend::stream) fn ask(&self, request: Request) -> oneshot::Receiver<Outcome> {
        let (answer, answered) = oneshot::channel();
        self.put(StreamItem::Request(request, answer));
        answered
    }

    /// Resolves when it is given up before its response; never, if that comes.
    pub(in crate::backend::stream) async fn given_up(&self) {
        let given_up = self.state.lock().given_up.get_or_insert_default().clone();
        given_up.cancelled().await;
    }

    /// It is given up.
    pub(super) fn give_up(&self) {
        let mut state = self.state.lock();
        state.given_up.get_or_insert_default().cancel();
    }

    /// Queues an item. The last place is kept for the response; a second response is dropped.
    pub(super) fn put(&self, item: StreamItem) {
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

    pub(super) fn close(&self) {
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
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Option<StreamItem>> {
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

/// The messages on a request's own stream.
pub(in crate::backend) struct OwnStream<'a> {
    pub(super) slot: Arc<ResponseSlot>,
    pub(super) handler: &'a dyn ServerMessageHandler,
}

impl ServerMessageHandler for OwnStream<'_> {
    fn notification(&self, notification: Notification) {
        self.slot.note_task(notification.params.as_ref());
        self.handler.notification(notification);
    }

    fn request(&self, request: Request) -> BoxFuture<'_, Outcome> {
        self.slot.note_task(request.params.as_ref());
        self.handler.request(request)
    }

    fn may_be_replayed(&self) -> bool {
        self.handler.may_be_replayed()
    }
}
