//! One call to a legacy backend that may outlive the modern client's request that began it.
//!
//! Owns the open server requests of the call, the client request that it is attached to, and how it
//! ended. The call runs on while it is attached to none: its stream is read and its pings are
//! answered, and the tool runs once. It must not know where it is kept meanwhile.

mod handle;

use std::mem;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, oneshot};

use super::input_requests::{InputRequest, MAX_ROUNDS};
use crate::backend::{Answer, ServerMessageHandler};
use crate::client::capabilities::{self, MissingCapability};
use crate::dispatch::backend_call::BackendCall;
use crate::dispatch::exchange::{Exchange, unanswered};
use crate::observe::audit::RecordHalf;
use crate::protocol::error::INTERNAL_ERROR;
use crate::protocol::{ClientProfile, Notification, Outcome, RawJson, Request, RpcError};
use crate::sync::Mutex;
pub(super) use handle::CallHandle;

/// Server requests that come within this are passed on together.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// The most open server requests of one call.
const MAX_OPEN: usize = 64;

/// How a call ended.
pub(super) type Ended = Result<Answer, RpcError>;

/// The call, and what it has to do with its client.
pub(super) struct DetachedCall {
    pub(super) call: BackendCall,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    /// The client request that the call is, or was last, attached to.
    exchange: Exchange,
    /// Keeps the record of that request open while it is in flight.
    record: Option<RecordHalf>,
    /// The progress token of that request.
    token: Token,
    /// Whether that request is in flight. Progress meanwhile is dropped.
    attached: bool,
    open: Vec<OpenRequest>,
    requests_made: u64,
    /// Capabilities that server requests needed and the client's requests did not declare.
    missing: Vec<MissingCapability>,
    rounds: u32,
    /// No retry will come.
    closed: bool,
    ended: bool,
    end: Option<Ended>,
}

enum Token {
    /// The one that the call was sent with.
    Original,
    /// The one of a retry, if it has one.
    Replaced(Option<RawJson>),
}

/// A server request without a response yet.
struct OpenRequest {
    input_request: InputRequest,
    answer: oneshot::Sender<Outcome>,
}

impl DetachedCall {
    /// A call on behalf of this request; [`CallHandle`] runs it.
    pub(super) fn new(call: BackendCall, exchange: Exchange) -> Self {
        Self {
            call,
            state: Mutex::new(State {
                record: exchange.keep_record(),
                exchange,
                token: Token::Original,
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

    /// Waits until the call has ended (`Some`) or has open server requests (`None`). Server requests
    /// that come together are gathered.
    pub(super) async fn next_event(&self) -> Option<Ended> {
        self.needs_client().await;
        let _ = tokio::time::timeout(DEBOUNCE, self.until(|state| state.ended)).await;
        self.lock().end.take()
    }

    /// Waits until the call has ended or has open server requests.
    pub(super) async fn needs_client(&self) {
        self.until(|state| state.ended || !state.open.is_empty())
            .await;
    }

    /// Capabilities that server requests needed in vain, and this client still lacks.
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

    /// Takes the open server requests; the client request in flight is answered with them. `None`:
    /// there are none that can be passed on; the call goes on, or has ended.
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
        state.record = None;
        Some(
            state
                .open
                .iter()
                .map(|open| open.input_request.clone())
                .collect(),
        )
    }

    /// Attaches the call to a retry, which answers some of the open server requests.
    pub(super) fn attach(
        &self,
        exchange: Exchange,
        token: Option<RawJson>,
        answer: impl Fn(&str) -> Option<RawJson>,
    ) {
        let mut state = self.lock();
        state.record = exchange.keep_record();
        state.exchange = exchange;
        state.token = Token::Replaced(token);
        state.attached = true;
        state.answer(answer);
    }

    /// No client request waits for it any more, and none will: a task of the client's is kept instead.
    pub(super) fn detach(&self) {
        let mut state = self.lock();
        state.attached = false;
        state.record = None;
    }

    /// The open server requests, as a task asks for them.
    pub(super) fn open_requests(&self) -> Vec<InputRequest> {
        let state = self.lock();
        let open = state.open.iter();
        open.map(|open| open.input_request.clone()).collect()
    }

    /// Answers some of the open server requests.
    pub(super) fn answer(&self, answer: impl Fn(&str) -> Option<RawJson>) {
        self.lock().answer(answer);
        self.changed.notify_one();
    }

    /// Waits until the call has ended (`Some`), or other server requests are open than these.
    pub(super) async fn changed_from(&self, told: &[String]) -> Option<Ended> {
        let open = |state: &State| {
            let mut open = state.open.iter().map(|open| &open.input_request.key);
            open.len() == told.len() && open.all(|key| told.contains(key))
        };
        self.until(|state| state.ended || !open(state)).await;
        self.lock().end.take()
    }

    /// Answers all open server requests with an error.
    pub(super) fn refuse_all(&self, why: &str) {
        self.lock().refuse_all(why);
    }

    /// No retry will come: open server requests are answered in the client's place, further ones
    /// get an error.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.open.clear();
    }

    /// Passes a server request on, with the response to the client request in flight or to its
    /// retry. Dropping the future withdraws it.
    pub(super) async fn ask(&self, request: Request) -> Outcome {
        let method = request.method.clone();
        let (answer, answered) = oneshot::channel();
        let key = match self.open(request, answer) {
            Ok(key) => key,
            Err(refusal) => return refusal.into(),
        };
        let _guard = WithdrawGuard {
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
            let why = format!("{MAX_OPEN} server requests of this call are open already");
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
        self.state.lock()
    }
}

impl ServerMessageHandler for DetachedCall {
    fn notification(&self, notification: Notification) {
        let state = self.lock();
        // Resource updates go to all subscriptions, whether or not this call is attached.
        if !state.attached && notification.method != "notifications/resources/updated" {
            return;
        }
        match (&state.token, notification.method.as_str()) {
            (Token::Replaced(None), "notifications/progress") => {}
            (Token::Replaced(Some(token)), "notifications/progress") => {
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

    /// Not once it has sent a server request: another attempt would send it again, or act twice on
    /// what was answered.
    fn may_be_replayed(&self) -> bool {
        self.lock().requests_made == 0
    }
}

impl State {
    fn answer(&mut self, answer: impl Fn(&str) -> Option<RawJson>) {
        for open in mem::take(&mut self.open) {
            match answer(&open.input_request.key) {
                Some(answer) => {
                    let _ = open.answer.send(Outcome::Result(answer));
                }
                None => self.open.push(open),
            }
        }
    }

    fn note_missing(&mut self, missing: MissingCapability) {
        // Once each: a backend may send any number of requests.
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

/// Withdraws a server request whose response the backend needs no more.
struct WithdrawGuard<'a> {
    detached: &'a DetachedCall,
    key: String,
}

impl Drop for WithdrawGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.detached.lock();
        state.open.retain(|open| open.input_request.key != self.key);
        drop(state);
        self.detached.changed.notify_one();
    }
}

/// The params of a server request as the modern era has them.
fn for_modern(params: RawJson) -> RawJson {
    params.with_members(&[], &["elicitationId"])
}
