//! Pending requests on a stream that carries responses to many of them.
//!
//! Owns the map from a request's id to the task that waits for its response, and which of them a
//! server request on that stream belongs to. It must not know who sent the request, nor where the
//! stream comes from.

mod slot;

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::handler::{ResponseSink, ServerMessageHandler};
use super::request_id::was_issued;
use crate::backend::error::BackendError;
use crate::protocol::{Id, Notification, Outcome, RawJson, Request, task};
use crate::sync::Mutex;
pub(super) use slot::ResponseSlot;
use slot::StreamItem;
pub(in crate::backend) use slot::{OwnStream, Takes};

/// The requests whose response comes on one stream.
#[derive(Debug, Default)]
pub(in crate::backend) struct PendingRequests {
    by_id: Mutex<HashMap<Id, Arc<ResponseSlot>>>,
    closed: CancellationToken,
    /// Whether the stream is read now.
    is_read: watch::Sender<bool>,
}

/// While it is held, the stream is read.
#[derive(Debug)]
pub(in crate::backend) struct ReadGuard<'a>(&'a PendingRequests);

impl Drop for ReadGuard<'_> {
    fn drop(&mut self) {
        self.0.is_read.send_replace(false);
    }
}

/// The request that a server request belongs to, by what it names.
#[derive(Debug)]
pub(super) enum Owner {
    /// The one that it names.
    Named(Arc<ResponseSlot>),
    /// It names one that is over, or on whose behalf nobody can be asked.
    NoLonger,
    /// It names none, and there is only this one.
    Alone(Arc<ResponseSlot>),
    /// It names none of these, and their client can't be asked without one of them.
    NoneOf(usize),
    /// There is no pending request that could be the owner.
    Nobody,
}

impl PendingRequests {
    /// Registers a request. Do so before it is sent.
    pub(in crate::backend) fn register<'a>(
        &'a self,
        id: &'a Id,
        takes: Takes,
    ) -> PendingResponse<'a> {
        let slot = Arc::new(ResponseSlot::new(takes));
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

    /// The stream is read, or about to be opened again, while the guard is held.
    pub(in crate::backend) fn read(&self) -> ReadGuard<'_> {
        self.is_read.send_replace(true);
        ReadGuard(self)
    }

    /// Resolves when the stream is not read: no response can come on it.
    pub(in crate::backend) async fn unread(&self) {
        let mut is_read = self.is_read.subscribe();
        // The sender is this one's, so it doesn't close.
        let _ = is_read.wait_for(|is_read| !is_read).await;
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
        let slot = self.by_id.lock().get(token).cloned();
        if let Some(slot) = slot {
            slot.note_task(notification.params.as_ref());
            slot.put(StreamItem::Notification(notification));
        }
    }

    /// The request that a server request with these params belongs to.
    pub(super) fn owner(&self, params: Option<&RawJson>) -> Owner {
        let token = params.and_then(|params| params.at(&["_meta", "progressToken"]));
        // Any other token is one under which the server itself wants progress.
        let token = token.and_then(Id::from_raw).filter(was_issued);
        let task = params.and_then(task::related_task);
        let by_id = self.by_id.lock();
        if let Some(token) = token {
            let named = by_id.get(&token);
            let named = named.filter(|slot| slot.takes != Takes::Nothing);
            return named.map_or(Owner::NoLonger, |slot| Owner::Named(Arc::clone(slot)));
        }
        let about = |slot: &&Arc<ResponseSlot>| slot.is_about(task.as_deref());
        if let Some(about) = only(by_id.values().filter(about)) {
            return Owner::Named(about);
        }
        let may_take = |slot: &&Arc<ResponseSlot>| {
            matches!(slot.takes, Takes::WhenAlone | Takes::WhenAloneBeside)
        };
        match only(by_id.values().filter(may_take)) {
            Some(alone) if task.is_none() => Owner::Alone(alone),
            _ => {
                let needed = by_id.values();
                match needed.filter(|slot| slot.takes == Takes::WhenAlone).count() {
                    0 => Owner::Nobody,
                    several => Owner::NoneOf(several),
                }
            }
        }
    }
}

/// The only one of these.
fn only<'a>(mut slots: impl Iterator<Item = &'a Arc<ResponseSlot>>) -> Option<Arc<ResponseSlot>> {
    let first = slots.next()?;
    slots.next().is_none().then(|| Arc::clone(first))
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
type Answers<'a> = FuturesUnordered<BoxFuture<'a, ()>>;

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
        let mut answers: Option<Answers<'_>> = None;
        loop {
            let item = match answers.as_mut().filter(|answers| !answers.is_empty()) {
                None => within(idle, self.recv()).await?,
                Some(answers) => tokio::select! {
                    biased;
                    item = self.recv() => item,
                    _ = answers.next() => continue,
                },
            };
            match item {
                None => return Ok(None),
                Some(StreamItem::Answer(answer)) => return Ok(Some(answer)),
                Some(StreamItem::Notification(notification)) => handler.notification(notification),
                Some(StreamItem::Request(request, answer)) => answers
                    .get_or_insert_with(FuturesUnordered::new)
                    .push(answered(handler, request, answer).boxed()),
            }
        }
    }

    /// Hands the messages of the request's own stream to `handler`, and notes the task that they name.
    pub(in crate::backend) fn own_stream<'a>(
        &self,
        handler: &'a dyn ServerMessageHandler,
    ) -> OwnStream<'a> {
        OwnStream {
            slot: Arc::clone(&self.slot),
            handler,
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
            self.slot.give_up();
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

    use super::slot::MAX_QUEUED;
    use super::*;
    use crate::backend::stream::{NoopHandler, fresh_id};

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

    fn token(id: &Id) -> RawJson {
        let id = id.raw().as_str();
        RawJson::trusted(format!(r#"{{"_meta":{{"progressToken":{id}}}}}"#))
    }

    fn about(task: &str) -> RawJson {
        let related = r#""io.modelcontextprotocol/related-task""#;
        RawJson::trusted(format!(
            r#"{{"_meta":{{{related}:{{"taskId":"{task}"}}}}}}"#
        ))
    }

    /// Registers requests of which each takes so much, and says which of them a server request
    /// belongs to: by its place, or what else there is to say.
    fn owner_among(takes: &[Takes], params: impl FnOnce(&[Id]) -> Option<RawJson>) -> String {
        let requests = PendingRequests::default();
        let ids: Vec<Id> = takes.iter().map(|_| fresh_id()).collect();
        let registered: Vec<_> = (ids.iter().zip(takes))
            .map(|(id, takes)| requests.register(id, takes.clone()))
            .collect();
        let place = |slot: &Arc<ResponseSlot>| {
            let mut all = registered.iter();
            all.position(|other| Arc::ptr_eq(&other.slot, slot))
                .unwrap()
        };
        match requests.owner(params(&ids).as_ref()) {
            Owner::Named(slot) => format!("named {}", place(&slot)),
            Owner::Alone(slot) => format!("alone {}", place(&slot)),
            Owner::NoLonger => "no longer".into(),
            Owner::NoneOf(several) => format!("none of {several}"),
            Owner::Nobody => "nobody".into(),
        }
    }

    #[test]
    fn a_server_request_belongs_to_the_request_that_it_names_or_that_is_alone() {
        let of_task = |task: &str| Takes::Named(Some(task.to_owned()));
        let (list, result) = (Takes::Nothing, of_task("t1"));
        let (modern, legacy) = (Takes::WhenAlone, Takes::WhenAloneBeside);
        let all = |call: &Takes| [list.clone(), result.clone(), call.clone(), call.clone()];
        let one = |call: &Takes| [list.clone(), result.clone(), call.clone()];
        for call in [&modern, &legacy] {
            // By name, however many there are.
            assert_eq!(
                owner_among(&all(call), |ids| Some(token(&ids[3]))),
                "named 3"
            );
            assert_eq!(
                owner_among(&all(call), |ids| Some(token(&ids[1]))),
                "named 1"
            );
            assert_eq!(owner_among(&all(call), |_| Some(about("t1"))), "named 1");
            // Named, but nobody can be asked there any more.
            assert_eq!(
                owner_among(&one(call), |ids| Some(token(&ids[0]))),
                "no longer"
            );
            assert_eq!(
                owner_among(&one(call), |_| Some(token(&fresh_id()))),
                "no longer"
            );
            // Without a name of ours: a token of the server's own is none.
            assert_eq!(owner_among(&one(call), |_| None), "alone 2");
            assert_eq!(
                owner_among(&one(call), |_| Some(token(&Id::number(3)))),
                "alone 2"
            );
        }
        // It names another one than the only one.
        assert_eq!(
            owner_among(&one(&modern), |_| Some(about("t2"))),
            "none of 1"
        );
        assert_eq!(owner_among(&one(&legacy), |_| Some(about("t2"))), "nobody");
        assert_eq!(owner_among(&all(&modern), |_| None), "none of 2");
        assert_eq!(owner_among(&all(&legacy), |_| None), "nobody");
        assert_eq!(owner_among(&[list, result.clone()], |_| None), "nobody");
        // Two that are about the same task.
        assert_eq!(
            owner_among(&[result.clone(), result], |_| Some(about("t1"))),
            "nobody"
        );
    }

    #[tokio::test]
    async fn a_request_is_about_the_task_that_its_own_messages_name() {
        let requests = PendingRequests::default();
        let (one, two) = (fresh_id(), fresh_id());
        let first = requests.register(&one, Takes::WhenAlone);
        let second = requests.register(&two, Takes::WhenAlone);
        let is = |found: Owner, other: &PendingResponse<'_>| match found {
            Owner::Named(slot) => Arc::ptr_eq(&slot, &other.slot),
            _ => false,
        };
        let named = |task: &str| requests.owner(Some(&about(task)));
        assert!(matches!(named("t1"), Owner::NoneOf(2)));
        let says = |task: &str| Notification {
            method: "notifications/message".into(),
            params: Some(about(task)),
        };
        first.own_stream(&NoopHandler).notification(says("t1"));
        requests.progress(&two, says("t2"));
        assert!(is(named("t1"), &first) && is(named("t2"), &second));
    }

    #[tokio::test]
    async fn only_a_request_that_is_given_up_says_so() {
        let requests = PendingRequests::default();
        let id = Id::number(1);
        for is_over in [false, true] {
            let mut pending = requests.register(&id, Takes::WhenAloneBeside);
            let Owner::Alone(slot) = requests.owner(None) else {
                panic!("it is alone")
            };
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
