//! One call to a legacy backend that may outlive the request of a modern client it was made for.
//!
//! Owns what the backend has asked and not been told yet, which request hears of the call right
//! now, and how the call ended. The call itself runs on beside it, whoever listens: its stream is
//! read and its pings are answered, and the tool runs once. Who waits for the call in between is
//! told by [`super::parked_calls`].

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, oneshot};

use super::capabilities::MissingCapability;
use super::input_requests::InputRequest;
use super::{Exchange, MAX_ROUNDS, capabilities, unanswered};
use crate::backend::{Answer, ServerMessageHandler};
use crate::dispatch::backend_call::BackendCall;
use crate::protocol::error::INTERNAL_ERROR;
use crate::protocol::{ClientProfile, Notification, Outcome, RawJson, Request, RpcError};

/// Questions that come within this are asked together.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// Questions of one call that may be open at a time.
const MAX_OPEN: usize = 64;

/// How a call ended.
pub(super) type Ended = Result<Answer, RpcError>;

/// The call, and what is between it and its client.
pub(super) struct DetachedCall {
    pub(super) call: BackendCall,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    /// The request that was last in flight for the call.
    exchange: Exchange,
    /// Its progress token, where that is not the one the call was made with.
    token: Token,
    /// Whether it is in flight now. What it doesn't hear is gone.
    attached: bool,
    open: Vec<OpenRequest>,
    requests_made: u64,
    /// What the backend has asked for and the requests did not declare.
    missing: Vec<MissingCapability>,
    rounds: u32,
    /// Nobody will come back.
    closed: bool,
    ended: bool,
    end: Option<Ended>,
}

enum Token {
    AsItIs,
    Now(Option<RawJson>),
}

/// A question without an answer.
struct OpenRequest {
    input_request: InputRequest,
    answer: oneshot::Sender<Outcome>,
}

impl DetachedCall {
    /// The call for this request; [`RunGuard`] makes it.
    pub(super) fn new(call: BackendCall, exchange: Exchange) -> Self {
        Self {
            call,
            state: Mutex::new(State {
                exchange,
                token: Token::AsItIs,
                attached: true,
                open: Vec::new(),
                requests_made: 0,
                missing: Vec::new(),
                rounds: 0,
                closed: false,
                ended: false,
                end: None,
            }),
            changed: Notify::new(),
        }
    }

    /// Waits until the call has ended, or has questions for the client; those that come together
    /// are gathered.
    pub(super) async fn next_event(&self) -> Option<Ended> {
        self.until(|state| state.ended || !state.open.is_empty())
            .await;
        let _ = tokio::time::timeout(DEBOUNCE, self.until(|state| state.ended)).await;
        self.lock().end.take()
    }

    /// What the backend has asked for in vain, and this client still lacks.
    pub(super) fn missing(&self, client: &ClientProfile) -> Vec<MissingCapability> {
        let state = self.lock();
        let missing = state.missing.iter().copied();
        missing
            .filter(|missing| missing.is_lacked_by(client))
            .collect()
    }

    /// Waits for the end of the call.
    pub(super) async fn ended(&self) {
        self.until(|state| state.ended).await;
    }

    /// The questions for the request in flight, which ends with them. `None`: there are none, or
    /// they can't be asked; the call goes on, or has ended.
    pub(super) fn take_requests(&self) -> Option<Vec<InputRequest>> {
        let mut state = self.lock();
        let client = Arc::clone(&state.exchange.client);
        let open = mem::take(&mut state.open);
        for open in open {
            let InputRequest { method, params, .. } = &open.input_request;
            match capabilities::missing(&client, method, params.as_ref()) {
                Some(missing) => {
                    state.note_missing(missing);
                    open.refuse(missing.refusal());
                }
                None => state.open.push(open),
            }
        }
        if state.ended || state.open.is_empty() {
            return None;
        }
        if state.rounds == MAX_ROUNDS {
            let why = format!("the client was asked {MAX_ROUNDS} times for this call already");
            state.refuse_all(&why);
            return None;
        }
        state.rounds += 1;
        state.attached = false;
        Some(
            state
                .open
                .iter()
                .map(|open| open.input_request.clone())
                .collect(),
        )
    }

    /// Another request takes the call over, with answers to some of what is open.
    pub(super) fn attach(
        &self,
        exchange: Exchange,
        token: Option<RawJson>,
        answer: impl Fn(&str) -> Option<RawJson>,
    ) {
        let mut state = self.lock();
        state.exchange = exchange;
        state.token = Token::Now(token);
        state.attached = true;
        let open = mem::take(&mut state.open);
        for open in open {
            match answer(&open.input_request.key) {
                Some(answer) => {
                    let _ = open.answer.send(Outcome::Result(answer));
                }
                None => state.open.push(open),
            }
        }
    }

    /// Tells the backend that what it has asked can't be asked now.
    pub(super) fn refuse_all(&self, why: &str) {
        self.lock().refuse_all(why);
    }

    /// Nobody will come back: what is open is answered in the client's place, and no more is
    /// asked.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.open.clear();
    }

    /// Asks the client, through the request in flight or through the next. Dropping the future
    /// takes the question back.
    pub(super) async fn ask(&self, request: Request) -> Outcome {
        let method = request.method.clone();
        let (answer, answered) = oneshot::channel();
        let key = match self.open(request, answer) {
            Ok(key) => key,
            Err(refusal) => return refusal.into(),
        };
        let _guard = CancelGuard {
            detached: self,
            key,
        };
        answered.await.unwrap_or_else(|_| unanswered(&method))
    }

    fn open(&self, request: Request, answer: oneshot::Sender<Outcome>) -> Result<String, RpcError> {
        let mut state = self.lock();
        let Request { method, params, .. } = request;
        if let Some(missing) =
            capabilities::missing(&state.exchange.client, &method, params.as_ref())
        {
            state.note_missing(missing);
            return Err(missing.refusal());
        }
        if state.closed || state.ended {
            return Err(capabilities::not_available(&method));
        }
        if state.open.len() == MAX_OPEN {
            let why = format!("{MAX_OPEN} questions of this call are open already");
            return Err(RpcError::new(INTERNAL_ERROR, why));
        }
        state.requests_made += 1;
        let key = format!("ask-{}", state.requests_made);
        let input_request = InputRequest {
            params: params.map(for_modern),
            key: key.clone(),
            method,
        };
        state.open.push(OpenRequest {
            input_request,
            answer,
        });
        drop(state);
        self.changed.notify_one();
        Ok(key)
    }

    async fn until(&self, there: impl Fn(&State) -> bool) {
        while !there(&self.lock()) {
            self.changed.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The call while it runs. When it goes out of scope the call has ended, even where it ends in a
/// panic or is cut off.
pub(super) struct RunGuard {
    detached: Arc<DetachedCall>,
    end: Option<Ended>,
}

impl RunGuard {
    /// Not yet sent.
    pub(super) fn new(detached: &Arc<DetachedCall>) -> Self {
        let failed = "the gateway failed on this call: please report it";
        Self {
            detached: Arc::clone(detached),
            end: Some(Err(RpcError::new(INTERNAL_ERROR, failed))),
        }
    }

    /// Makes the call.
    pub(super) async fn run(mut self) {
        let DetachedCall { call, .. } = &*self.detached;
        self.end = Some(call.send(&call.params, &*self.detached).await);
    }
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        let mut state = self.detached.lock();
        state.end = self.end.take();
        state.ended = true;
        state.open.clear();
        drop(state);
        self.detached.changed.notify_one();
    }
}

impl ServerMessageHandler for DetachedCall {
    fn notification(&self, notification: Notification) {
        let state = self.lock();
        // What a resource's subscribers are told is theirs, whether or not this call is heard.
        if !state.attached && notification.method != "notifications/resources/updated" {
            return;
        }
        match (&state.token, notification.method.as_str()) {
            (Token::Now(None), "notifications/progress") => {}
            (Token::Now(Some(token)), "notifications/progress") => {
                let token = ("progressToken", token.clone().into_bytes());
                state.exchange.notification(Notification {
                    params: notification
                        .params
                        .map(|params| params.with_members(&[token], &[])),
                    ..notification
                });
            }
            _ => state.exchange.notification(notification),
        }
    }

    fn request(&self, request: Request) -> BoxFuture<'_, Outcome> {
        self.ask(request).boxed()
    }

    /// Once the client was asked, another run would ask anew, or do what was answered twice.
    fn may_be_replayed(&self) -> bool {
        self.lock().requests_made == 0
    }
}

impl State {
    fn note_missing(&mut self, missing: MissingCapability) {
        // Once each: a backend may ask for ever.
        if !self.missing.contains(&missing) {
            self.missing.push(missing);
        }
    }

    fn refuse_all(&mut self, why: &str) {
        for open in mem::take(&mut self.open) {
            open.refuse(RpcError::new(INTERNAL_ERROR, why));
        }
    }
}

impl OpenRequest {
    fn refuse(self, refusal: RpcError) {
        let _ = self.answer.send(refusal.into());
    }
}

/// Takes a question out that the backend needs no answer to any more.
struct CancelGuard<'a> {
    detached: &'a DetachedCall,
    key: String,
}

impl Drop for CancelGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.detached.lock();
        state.open.retain(|open| open.input_request.key != self.key);
    }
}

/// The params of a question as the modern era has them.
fn for_modern(params: RawJson) -> RawJson {
    params.with_members(&[], &["elicitationId"])
}
