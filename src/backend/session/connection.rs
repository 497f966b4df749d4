//! An initialized connection to a server: negotiated version, session, and how messages are sent.
//!
//! Owns what every message carries in the negotiated era (headers, session id, `_meta`), cancelling
//! requests that are no longer waited for, and ending the session. [`super::handshake`] makes one.
//! It must not know when to connect, nor whether to try again.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio_util::task::TaskTracker;

use super::attempt::{Answer, Attempt};
use super::http_sse::HttpSseTransport;
use super::server_profile::{Negotiated, ServerProfile};
use crate::backend::error::BackendError;
use crate::backend::http::{AT_ONCE, Credentials, Endpoint};
use crate::backend::stream::{
    NoopHandler, PendingRequests, ServerMessageHandler, deliver, fresh_id,
};
use crate::call_report::CallTrace;
use crate::observe::request_span::RequestSpan;
use crate::protocol::era::modern;
use crate::protocol::era::modern::ResultType;
use crate::protocol::error::{HEADER_MISMATCH, code_of};
use crate::protocol::{
    ClientProfile, Contact, Era, Executed, Id, LogLevel, Outcome, RawJson, Tally, message, task,
};
use crate::sync::Mutex;

mod encode;
mod streams;
mod waits;

pub(in crate::backend) use waits::Waits;

/// The header with the negotiated version.
pub(super) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// Timeout for best-effort messages such as cancellations and DELETE.
pub(in crate::backend) const BEST_EFFORT_TIMEOUT: Duration = Duration::from_secs(2);
/// Most background messages in flight. Past it, further notifications are dropped.
const MAX_BACKGROUND: usize = 1024;

/// A connected backend.
#[derive(Debug)]
pub struct Connection {
    endpoint: Arc<Endpoint>,
    headers: HeaderMap,
    /// The transport of 2024-11-05, where the server has no other.
    http_sse: Option<HttpSseTransport>,
    /// Requests whose response may come on the standalone GET stream.
    pending: PendingRequests,
    background: TaskTracker,
    pub(in crate::backend) waits: Waits,
    /// The log level last set on the server.
    pub(super) level: Mutex<Option<LogLevel>>,
    /// What is remembered of the handshake.
    pub(in crate::backend) contact: Option<Contact>,
    /// Whether the server gets the experimental capabilities of clients with their requests.
    passes_experimental: bool,
    /// The era of its messages.
    pub era: Era,
    /// The negotiated protocol version.
    pub version: &'static str,
    /// What the server said of itself.
    pub server: ServerProfile,
    /// Duration of the handshake, connecting included.
    pub latency: Duration,
}

impl Connection {
    /// A connection of the modern era, which has no session.
    pub(super) fn modern(
        endpoint: Arc<Endpoint>,
        background: TaskTracker,
        negotiated: Negotiated,
    ) -> Self {
        let mut headers = endpoint.headers().clone();
        headers.insert(
            PROTOCOL_VERSION,
            HeaderValue::from_static(negotiated.version),
        );
        Self {
            endpoint,
            headers,
            http_sse: None,
            pending: PendingRequests::default(),
            background,
            waits: Waits::default(),
            level: Mutex::default(),
            contact: None,
            passes_experimental: false,
            era: Era::Modern,
            version: negotiated.version,
            server: negotiated.server,
            latency: negotiated.latency,
        }
    }

    /// This connection, with the experimental capabilities of clients if they pass.
    pub(super) fn with_experimental(self, passes_experimental: bool) -> Self {
        Self {
            passes_experimental,
            ..self
        }
    }

    /// A connection of the legacy era, in a session if the server issued an id.
    pub(super) fn legacy(
        endpoint: Arc<Endpoint>,
        background: TaskTracker,
        negotiated: Negotiated,
        session: Option<HeaderValue>,
    ) -> Self {
        endpoint.begin_session(session);
        Self {
            era: Era::Legacy,
            ..Self::modern(endpoint, background, negotiated)
        }
    }

    /// A connection of the legacy era over the transport of 2024-11-05.
    pub(super) fn old(
        endpoint: Arc<Endpoint>,
        background: TaskTracker,
        negotiated: Negotiated,
        http_sse: HttpSseTransport,
    ) -> Self {
        let connection = Self::modern(Arc::clone(&endpoint), background, negotiated);
        Self {
            era: Era::Legacy,
            headers: endpoint.headers().clone(),
            http_sse: Some(http_sse),
            ..connection
        }
    }

    /// Sends one attempt at a request. A legacy server gets `notifications/cancelled` if the
    /// returned future is dropped before the response, since closing the connection is no
    /// cancellation (B-L-07).
    ///
    /// # Errors
    /// When there is no response that can be passed on.
    pub async fn request(
        self: &Arc<Self>,
        attempt: &Attempt<'_>,
        handler: &dyn ServerMessageHandler,
    ) -> Result<Answer, BackendError> {
        let (headers, params) = self.encode_request(attempt);
        let body = message::request(attempt.id, attempt.method, params.as_ref());
        let mut cancel_on_drop = CancelOnDrop {
            connection: self,
            id: attempt.id,
            given_up: true,
        };
        attempt.trace.mark_sent(body.len());
        let answer = match &self.http_sse {
            Some(http_sse) => {
                let (takes, trace) = (attempt.takes(), Some(attempt.trace));
                http_sse
                    .request(attempt.id, body, attempt.idle, handler, takes, trace)
                    .await
            }
            None if self.era == Era::Legacy => {
                self.exchange_or_get_stream(attempt, &headers, body, handler)
                    .await
            }
            None => self.exchange(attempt, &headers, body, handler).await,
        };
        cancel_on_drop.given_up = matches!(
            answer,
            Err(BackendError::Idle { .. }
                | BackendError::TooLarge { .. }
                | BackendError::OverRatio { .. }
                | BackendError::BudgetExceeded { .. })
        );
        self.check_result_type(attempt, answer?).await
    }

    /// The response's `resultType`; one that this method can't have is an error.
    async fn check_result_type(
        &self,
        attempt: &Attempt<'_>,
        outcome: Outcome,
    ) -> Result<Answer, BackendError> {
        let method = attempt.method;
        let may_be = |kind: &ResultType| match kind {
            ResultType::Complete => true,
            ResultType::InputRequired => modern::may_require_input(method),
            ResultType::Task => {
                let tasks = ["extensions", task::EXTENSION];
                method == "tools/call" && attempt.caller.declares(&tasks)
            }
        };
        let result_type = match &outcome {
            Outcome::Result(result) if self.era == Era::Modern => {
                let kind = self.result_type(result).await;
                ResultType::named(kind.as_ref())
                    .filter(may_be)
                    .ok_or_else(|| {
                        let kind = kind.map(|kind| self.snippet(kind.as_bytes()));
                        let kind = kind.unwrap_or_default();
                        BackendError::BadReply(format!(
                            "resultType {kind} is not allowed for {method}"
                        ))
                    })?
            }
            _ => ResultType::Complete,
        };
        let executed = match (&outcome, &result_type) {
            (Outcome::Result(_), ResultType::Complete | ResultType::Task) => Executed::Yes,
            (Outcome::Result(_), ResultType::InputRequired) => Executed::Unknown,
            (Outcome::Error(error), _) => self.executed(error, attempt.trace),
        };
        let attempts = 1;
        Ok(Answer {
            outcome,
            era: self.era,
            result_type,
            tally: Tally { attempts, executed },
            backend: None,
        })
    }

    /// The member `resultType`. A large result is searched on a thread of its own.
    async fn result_type(&self, result: &RawJson) -> Option<RawJson> {
        if result.as_bytes().len() <= AT_ONCE {
            return result.get("resultType");
        }
        let result = result.clone();
        let search = Box::pin(
            self.endpoint
                .turns
                .off_loop(move || result.get("resultType")),
        );
        search.await.ok().flatten()
    }

    /// What an error says of the request. A modern server refuses a request whose headers are wrong
    /// with status 400, under the request's id; the error alone may come from a tool.
    fn executed(&self, error: &RawJson, trace: &CallTrace) -> Executed {
        let refused = self.era == Era::Modern
            && trace.status() == Some(400)
            && !trace.is_without_id()
            && code_of(error) == Some(HEADER_MISMATCH);
        match refused {
            true => Executed::No,
            false => Executed::Unknown,
        }
    }

    /// Sends a notification; 202 is right, 200 and 204 are tolerated.
    ///
    /// # Errors
    /// When it could not be sent or was refused.
    pub async fn notify(&self, method: &str, params: Option<&RawJson>) -> Result<(), BackendError> {
        self.post(message::notification(method, params)).await
    }

    /// Sends a notification in the background: dropped when it can't be delivered in two seconds,
    /// or while [`MAX_BACKGROUND`] other messages are in flight.
    pub(crate) fn notify_in_background(
        self: &Arc<Self>,
        method: impl Into<Cow<'static, str>>,
        params: Option<RawJson>,
    ) {
        let method = method.into();
        if self.background.len() >= MAX_BACKGROUND {
            return tracing::debug!(
                backend = self.backend(),
                method = &*method,
                "too many background messages are in flight: a notification is dropped"
            );
        }
        let connection = Arc::clone(self);
        self.background.spawn(RequestSpan::carry(async move {
            let side_requests = connection.endpoint.side_requests();
            let sent = connection.notify(&method, params.as_ref());
            if let Ok(Err(error)) = side_requests.run(BEST_EFFORT_TIMEOUT, sent).await {
                tracing::debug!(backend = connection.backend(), method = &*method, %error, "a notification was not taken");
            }
        }));
    }

    /// Sends a request whose response changes nothing, and waits up to two seconds for it.
    pub(in crate::backend) async fn request_best_effort(
        self: &Arc<Self>,
        method: &str,
        params: &RawJson,
    ) {
        let (id, trace) = (fresh_id(), CallTrace::start());
        let us = ClientProfile::ourselves();
        let attempt = Attempt::plain(&id, method, Some(params), &us, &trace);
        let side_requests = self.endpoint.side_requests();
        let sent = self.request(&attempt, &NoopHandler);
        match side_requests.run(BEST_EFFORT_TIMEOUT, sent).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::debug!(backend = self.backend(), method, %error, "a best-effort request failed");
            }
            Err(_) => tracing::debug!(
                backend = self.backend(),
                method,
                "a best-effort request was not answered in time"
            ),
        }
    }

    /// The backend's name in the config.
    pub(in crate::backend) fn backend(&self) -> &str {
        self.endpoint.backend()
    }

    /// The credentials that its requests carry.
    pub(in crate::backend) fn credentials(&self) -> &Credentials {
        self.endpoint.credentials()
    }

    /// The beginning of a text of the backend: short, escaped, without secrets.
    pub fn snippet(&self, text: &[u8]) -> String {
        self.endpoint.snippet(text)
    }

    /// Ends the session with DELETE (MCP 2025-11-25, basic/transports); 405 is accepted.
    pub async fn close(&self) {
        if let Some(http_sse) = &self.http_sse {
            http_sse.close();
        }
        if self.endpoint.in_session() {
            let delete = self.endpoint.send_empty(Method::DELETE, &self.headers);
            let side_requests = self.endpoint.side_requests();
            let _ = side_requests.run(BEST_EFFORT_TIMEOUT, delete).await;
        }
    }

    /// POSTs our response to a request of the server, under the server's own id.
    fn answer(&self, id: Id, outcome: Outcome) -> BoxFuture<'_, Result<(), BackendError>> {
        let body = message::response(Some(&id), &outcome);
        deliver(&self.endpoint, self.post(body)).boxed()
    }

    async fn post(&self, body: Bytes) -> Result<(), BackendError> {
        if let Some(http_sse) = &self.http_sse {
            return http_sse.post(body).await;
        }
        let (mut response, _in_flight) = self.endpoint.post(&self.headers, body, None).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        // Read to the end, so that the connection can be used again.
        let body = response.beginning().await;
        if status.is_success() {
            return Ok(());
        }
        if self.endpoint.in_session() && status.as_u16() == 404 {
            return Err(BackendError::SessionLost { by_status: true });
        }
        Err(self.endpoint.refusal(status, &headers, &body.bytes))
    }
}

/// Cancels the request at a legacy server when dropped before the response.
struct CancelOnDrop<'a> {
    connection: &'a Arc<Connection>,
    id: &'a Id,
    given_up: bool,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        // For a modern server the closed stream is the cancellation (B-M-05).
        let to_be_told = self.given_up && self.connection.era == Era::Legacy;
        if to_be_told && tokio::runtime::Handle::try_current().is_ok() {
            let params = format!(
                r#"{{"requestId":{},"reason":"the client no longer waits"}}"#,
                self.id.raw().as_str()
            );
            self.connection
                .notify_in_background("notifications/cancelled", Some(RawJson::trusted(params)));
        }
    }
}
