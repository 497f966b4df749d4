//! The channel from request tasks to the loop.
//!
//! Owns [`TaskEvent`], the one channel from tasks to the loop; [`Exchange`], which passes progress, log
//! messages and server requests of one call on to its client; and [`ClientRequester`], which sends a
//! server request to a legacy client and waits for the response. All of it travels on the channel that
//! the response to the call takes, so that nothing is reordered. It must not know what a call is about.

mod noted;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use crate::backend::{ServerMessageHandler, Subscription};
use crate::call_report::BackendId;
use crate::client::{Filter, capabilities};
use crate::observe::audit::OpenRecord;
use crate::protocol::era::extension::is_foreign;
use crate::protocol::error::INTERNAL_ERROR;
use crate::protocol::message;
use crate::protocol::{ClientProfile, Era, LogLevel, Notification, Outcome, RawJson, Request};
use crate::protocol::{RequestKey, RpcError};
use crate::transport::stdio::DropPolicy;

/// How long a person or a model may take to answer a server request.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);
/// The result of an elicitation that was not answered.
pub(super) const CANCELLED: &str = r#"{"action":"cancel"}"#;

/// What a task reports to the loop.
#[derive(Debug)]
pub(crate) enum TaskEvent {
    /// A line for the client, if the request is still in flight.
    Send {
        /// The request.
        key: RequestKey,
        /// The whole message.
        line: Bytes,
        /// Whether it may be dropped.
        policy: DropPolicy,
    },
    /// A `subscriptions/listen` has begun.
    Listening {
        /// Its request.
        key: RequestKey,
        /// What is honoured of its filter.
        filter: Filter,
    },
    /// The legacy client has subscribed to a resource, or has unsubscribed.
    Subscribed {
        /// The URI of the resource.
        uri: String,
        /// Held until the client unsubscribes; `None` when it does.
        held: Option<Subscription>,
    },
    /// A notification for all who want it: `notifications/resources/updated` as a backend wrote it, or
    /// that the list of tools has changed.
    Updated {
        /// The whole of it.
        notification: Notification,
    },
    /// The state of a task that is kept for clients has changed.
    TaskState {
        /// The backend that has the task.
        backend: BackendId,
        /// The whole of it, in the client's terms but for URIs.
        notification: Notification,
    },
    /// A notification of a backend outside of calls was brought into the client's terms on another
    /// thread.
    Notice {
        /// The backend.
        backend: BackendId,
        /// The whole of it; `None` where that has panicked.
        notification: Option<Notification>,
    },
    /// A server request for the client.
    ServerRequest {
        /// The request in flight that it belongs to, if it belongs to one.
        key: Option<RequestKey>,
        /// Names it for [`TaskEvent::CancelServerRequest`].
        request_id: ServerRequestId,
        /// The method as the backend wrote it.
        method: String,
        /// The params as the backend wrote them, or with the URIs that clients use.
        params: Option<RawJson>,
        /// The URIs are those that clients use.
        is_mapped: bool,
        /// Where the client's response goes.
        answer: oneshot::Sender<Outcome>,
    },
    /// A server request that needs no response any more.
    CancelServerRequest {
        /// Which.
        request_id: ServerRequestId,
    },
    /// The task of a request has ended.
    Done {
        /// The request.
        key: RequestKey,
        /// Its response.
        outcome: Outcome,
    },
}

/// Identity of one server request within this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServerRequestId(u64);

impl ServerRequestId {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// One request in flight, as its task sees it.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    /// The request.
    pub(crate) key: RequestKey,
    /// Its client.
    pub(crate) client: Arc<ClientProfile>,
    /// The channel to the loop.
    pub(crate) events: mpsc::UnboundedSender<TaskEvent>,
    /// What is written down of the request; `None` where nobody reads it.
    pub(crate) record: Option<Arc<OpenRecord>>,
}

impl ServerMessageHandler for Exchange {
    fn notification(&self, notification: Notification) {
        if notification.method == "notifications/resources/updated" {
            // For all subscriptions, not for this call.
            let _ = self.events.send(TaskEvent::Updated { notification });
            return;
        }
        let Notification { method, params } = notification;
        if !self.forwards(&method, params.as_ref()) {
            tracing::debug!("a notification that the client does not support is dropped");
            return;
        }
        let policy = match method.as_str() {
            // The newest progress makes earlier ones obsolete.
            "notifications/progress" => DropPolicy::Coalesce(self.key.number()),
            "notifications/message" => DropPolicy::BestEffort,
            method if is_foreign(method) => DropPolicy::BestEffort,
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
            // A modern client answers with a retry of its request; nothing here could take that.
            let refusal = capabilities::not_available(&request.method);
            return futures_util::future::ready(refusal.into()).boxed();
        }
        let requester = self.requester();
        async move { requester.answer(request).await }.boxed()
    }
}

impl Exchange {
    /// Whether a notification of the backend is passed on. `list_changed` and cancellations are
    /// handled by the gateway itself. A modern client gets log messages only where its request asked
    /// for them (F-M-08).
    fn forwards(&self, method: &str, params: Option<&RawJson>) -> bool {
        match method {
            "notifications/message" if self.client.era == Era::Modern => {
                let level = params.and_then(|params| params.get("level")?.text());
                let level = level.and_then(|level| LogLevel::of(&level));
                level.is_some_and(|level| self.client.log_level.is_some_and(|least| level >= least))
            }
            "notifications/progress" | "notifications/message" => true,
            "notifications/elicitation/complete" => self.client.era == Era::Legacy,
            // The backend's session has seen that it is of an extension of that server.
            _ => is_foreign(method),
        }
    }

    /// Sends server requests on behalf of this call.
    pub(super) fn requester(&self) -> ClientRequester {
        ClientRequester {
            key: Some(self.key),
            client: Arc::clone(&self.client),
            events: self.events.clone(),
        }
    }
}

/// Sends server requests to a client of the legacy era.
pub(super) struct ClientRequester {
    /// The request in flight that they belong to, if they belong to one.
    pub(super) key: Option<RequestKey>,
    /// The client.
    pub(super) client: Arc<ClientProfile>,
    /// The channel to the loop.
    pub(super) events: mpsc::UnboundedSender<TaskEvent>,
}

impl ClientRequester {
    /// The client's response, or an error where it lacks the capability.
    pub(super) async fn answer(&self, request: Request) -> Outcome {
        let Request { method, params, .. } = request;
        match capabilities::missing(&self.client, &method, params.as_ref()) {
            Some(missing) => missing.refusal().into(),
            None => self.ask(method, params).await,
        }
    }

    /// The client's response. Dropping the future cancels the request.
    pub(super) async fn ask(&self, method: String, params: Option<RawJson>) -> Outcome {
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
            is_mapped: false,
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

/// The error for a request whose handler panicked.
pub(crate) fn failed() -> RpcError {
    let message = "the gateway failed on this call: please report it";
    RpcError::new(INTERNAL_ERROR, message)
}

/// The response for a backend whose request the client did not answer.
pub(super) fn unanswered(method: &str) -> Outcome {
    if method == "elicitation/create" {
        return Outcome::Result(RawJson::trusted(CANCELLED));
    }
    let why = format!("the client did not answer {method}");
    RpcError::new(INTERNAL_ERROR, why).into()
}

/// Cancels a server request when nothing waits for its response any more.
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
