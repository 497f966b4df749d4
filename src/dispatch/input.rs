//! What a task says to its client while a call is under way.
//!
//! Owns the exchange between one request in flight and the client: progress and logs on their way
//! out, questions of the backend (sampling, elicitation, roots) and the client's answers to them.
//! What goes out travels on the channel that the reply takes, so that none overtakes another.
//!
//! Within an era a question stays what it is. [`bridge`] decides where it can't: [`legacy_client`] asks a
//! legacy client what a modern backend wants to know; a [`talk`] answers a modern client's
//! requests, one after another, for one call to a legacy backend, and [`parked`] keeps it in between.

mod bridge;
mod capabilities;
mod detached_call;
mod input_requests;
mod legacy_client;
mod parked_calls;
mod request_state;
pub mod unsolicited;
mod urls;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::filter::Filter;
use crate::backend::{ServerMessageHandler, Subscription};
use crate::protocol::error::INTERNAL_ERROR;
use crate::protocol::message;
use crate::protocol::{ClientProfile, Era, LogLevel, Notification, Outcome, RawJson, Request};
use crate::protocol::{RequestKey, RpcError};
use crate::transport::stdio::DropPolicy;

pub(super) use bridge::{forward, resumed};
pub use parked_calls::ParkedCalls;
pub(super) use urls::for_legacy_client;

/// How long a person or a model may take to answer a backend's question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);
/// How often a backend may ask within one call, whatever the era.
const MAX_ROUNDS: u32 = 16;
/// The answer to an elicitation that nobody has answered.
const CANCELLED: &str = r#"{"action":"cancel"}"#;

/// What a task tells the loop.
#[derive(Debug)]
pub enum TaskEvent {
    /// A line for the client, if the request is still in flight.
    Send {
        /// Of the request.
        key: RequestKey,
        /// The whole message.
        line: Bytes,
        /// Whether it must arrive.
        policy: DropPolicy,
    },
    /// A `subscriptions/listen` has begun.
    Listening {
        /// Of its request.
        key: RequestKey,
        /// What of it is honoured.
        filter: Filter,
    },
    /// The legacy client has subscribed to a resource, or no longer has.
    Subscribed {
        /// The resource's.
        uri: String,
        /// To be held for as long as it wants to hear.
        held: Option<Subscription>,
    },
    /// A resource has changed: for all who have subscribed to it.
    Updated {
        /// As the backend wrote it.
        notification: Notification,
    },
    /// A question for the client.
    ServerRequest {
        /// Of the request it came up in; `None` for one that belongs to no request.
        key: Option<RequestKey>,
        /// Names it for [`TaskEvent::CancelServerRequest`].
        request_id: ServerRequestId,
        /// As the backend wrote it.
        method: String,
        /// The same.
        params: Option<RawJson>,
        /// Where the client's answer goes.
        answer: oneshot::Sender<Outcome>,
    },
    /// A question that needs no answer any more.
    CancelServerRequest {
        /// Which.
        request_id: ServerRequestId,
    },
    /// The answer to the request, and the last of its ticket.
    Done {
        /// Of the request.
        key: RequestKey,
        /// The answer.
        outcome: Outcome,
    },
}

/// Names one question to the client within this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerRequestId(u64);

impl ServerRequestId {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// One request in flight, as its task sees it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Of the request.
    pub key: RequestKey,
    /// Who asked.
    pub client: Arc<ClientProfile>,
    /// To the loop.
    pub events: mpsc::UnboundedSender<TaskEvent>,
    /// Calls that outlive their requests.
    pub parked: Arc<ParkedCalls>,
}

impl ServerMessageHandler for Exchange {
    fn notification(&self, notification: Notification) {
        if notification.method == "notifications/resources/updated" {
            // It concerns whoever has subscribed, not this call.
            let _ = self.events.send(TaskEvent::Updated { notification });
            return;
        }
        let Notification { method, params } = notification;
        if !self.forwards(&method, params.as_ref()) {
            tracing::debug!(
                method,
                "a notification that is not the client's business is dropped"
            );
            return;
        }
        let policy = match method.as_str() {
            // The next says more than the last.
            "notifications/progress" => DropPolicy::Coalesce(self.key.number()),
            "notifications/message" => DropPolicy::BestEffort,
            _ => DropPolicy::Keep,
        };
        let line = message::notification(&method, params.as_ref());
        let _ = self.events.send(TaskEvent::Send {
            key: self.key,
            line,
            policy,
        });
    }

    fn request(&self, request: Request) -> BoxFuture<'_, Outcome> {
        if self.client.era == Era::Modern {
            // Nobody is there to take the answer of a client that answers by asking again.
            let refusal = capabilities::not_available(&request.method);
            return futures_util::future::ready(refusal.into()).boxed();
        }
        let requester = self.requester();
        async move { requester.answer(request).await }.boxed()
    }
}

impl Exchange {
    /// Notifications of a backend that are the client's business. Lists and cancellations are
    /// ours. A modern client hears log messages only where its request asked for them (F-M-08).
    fn forwards(&self, method: &str, params: Option<&RawJson>) -> bool {
        match method {
            "notifications/message" if self.client.era == Era::Modern => {
                let level = params.and_then(|params| params.get("level")?.text());
                let level = level.and_then(|level| LogLevel::of(&level));
                level.is_some_and(|level| self.client.log_level.is_some_and(|least| level >= least))
            }
            "notifications/progress" | "notifications/message" => true,
            "notifications/elicitation/complete" => self.client.era == Era::Legacy,
            _ => false,
        }
    }

    fn requester(&self) -> ClientRequester {
        ClientRequester {
            key: Some(self.key),
            client: Arc::clone(&self.client),
            events: self.events.clone(),
        }
    }
}

/// Asks a client of the legacy era.
struct ClientRequester {
    /// Of the request it comes up in, if it belongs to one.
    key: Option<RequestKey>,
    client: Arc<ClientProfile>,
    events: mpsc::UnboundedSender<TaskEvent>,
}

impl ClientRequester {
    /// The client's answer to what a backend asks, or the refusal of what it doesn't offer.
    async fn answer(&self, request: Request) -> Outcome {
        let Request { method, params, .. } = request;
        match capabilities::missing(&self.client, &method, params.as_ref()) {
            Some(missing) => missing.refusal().into(),
            None => self.ask(method, params).await,
        }
    }

    /// The client's answer. Dropping the future takes the question back.
    async fn ask(&self, method: String, params: Option<RawJson>) -> Outcome {
        let (answer, answered) = oneshot::channel();
        let request_id = ServerRequestId::new();
        let mut cancel_guard = CancelGuard {
            events: &self.events,
            request_id,
            needed: true,
        };
        let _ = self.events.send(TaskEvent::ServerRequest {
            key: self.key,
            request_id,
            method: method.clone(),
            params,
            answer,
        });
        match tokio::time::timeout(ANSWER_TIMEOUT, answered).await {
            Ok(Ok(outcome)) => {
                cancel_guard.needed = false;
                outcome
            }
            _ => unanswered(&method),
        }
    }
}

/// What a backend is told where the client stays silent.
fn unanswered(method: &str) -> Outcome {
    if method == "elicitation/create" {
        return Outcome::Result(RawJson::trusted(CANCELLED));
    }
    let why = format!("the client did not answer {method}");
    RpcError::new(INTERNAL_ERROR, why).into()
}

/// Takes the question back from the client when nobody waits for its answer any more.
struct CancelGuard<'a> {
    events: &'a mpsc::UnboundedSender<TaskEvent>,
    request_id: ServerRequestId,
    needed: bool,
}

impl Drop for CancelGuard<'_> {
    fn drop(&mut self) {
        if self.needed {
            let _ = self.events.send(TaskEvent::CancelServerRequest {
                request_id: self.request_id,
            });
        }
    }
}
