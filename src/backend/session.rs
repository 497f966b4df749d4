//! The standing relation with a backend: agreed version, session, and how to talk within it.
//!
//! Owns what every message carries in the era that was agreed (headers, session, `_meta`),
//! cancelling what we no longer wait for, and the farewell. How it was agreed is told by
//! [`super::handshake`]. It must not know when to connect or whether to try again.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio_util::task::TaskTracker;

use super::error::BackendError;
use super::handler::{ServerMessageHandler, delivered};
use super::http::Endpoint;
use super::http_sse::HttpSseTransport;
use super::pending::PendingRequests;
use crate::protocol::era::modern::ResultType;
use crate::protocol::era::{legacy, modern, param_header};
use crate::protocol::{ClientProfile, Era, Id, Kind, LogLevel, Notification, Outcome, RawJson};
use crate::protocol::{Request, RpcError, error, message, task};

mod streams;

pub(super) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");
pub(super) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// How long a message that nobody waits for (a cancellation, a farewell) may take.
pub(super) const BEST_EFFORT_TIMEOUT: Duration = Duration::from_secs(2);
/// How many of those may be under way at a time.
const MAX_BACKGROUND: usize = 1024;

/// Ids for our requests, never used twice in a process.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A connected backend.
#[derive(Debug)]
pub struct Connection {
    endpoint: Arc<Endpoint>,
    headers: HeaderMap,
    in_session: bool,
    /// The stream that everything comes on, with the transport of 2024-11-05.
    http_sse: Option<HttpSseTransport>,
    /// Who waits for an answer, should it come on the stream of [`super::get_stream`].
    pending: PendingRequests,
    background: TaskTracker,
    /// What it was last told about logging.
    pub(super) level: Mutex<Option<LogLevel>>,
    /// The era it is spoken to in.
    pub era: Era,
    /// The protocol version agreed with the server.
    pub version: &'static str,
    /// What the server said of itself.
    pub server: ServerProfile,
    /// How long it took to answer the handshake, making the connection included.
    pub latency: Duration,
}

/// What was agreed with a server, and how long that took.
#[derive(Debug)]
pub(super) struct Negotiated {
    pub(super) version: &'static str,
    pub(super) server: ServerProfile,
    pub(super) latency: Duration,
}

/// An answer that can be passed on, and how it is meant.
#[derive(Debug)]
pub struct Answer {
    /// As the server wrote it.
    pub outcome: Outcome,
    /// The era it is written in.
    pub era: Era,
    /// Always [`ResultType::Complete`] in the legacy era, and for errors.
    pub result_type: ResultType,
}

/// What a server said of itself in the handshake.
#[derive(Debug, Clone)]
pub struct ServerProfile {
    /// `serverInfo.name`, cleaned for display.
    pub name: String,
    /// `serverInfo.version`, cleaned for display.
    pub version: String,
    /// `capabilities`, an object.
    pub capabilities: RawJson,
}

impl ServerProfile {
    /// Whether the server offers lists of this kind.
    pub fn lists(&self, kind: Kind) -> bool {
        self.offers(kind.capability())
    }

    /// Whether the server declared a capability, e.g. `logging`.
    pub fn offers(&self, capability: &str) -> bool {
        self.capabilities
            .get(capability)
            .is_some_and(|value| value.as_str() != "null")
    }

    /// Whether the server tells of changes to single resources.
    pub fn subscribes(&self) -> bool {
        let declared = self.capabilities.at(&["resources", "subscribe"]);
        declared.is_some_and(|value| value.as_str() == "true")
    }
}

impl Connection {
    /// A link of the modern era: nothing but how to address the server.
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
            in_session: false,
            http_sse: None,
            pending: PendingRequests::default(),
            background,
            level: Mutex::default(),
            era: Era::Modern,
            version: negotiated.version,
            server: negotiated.server,
            latency: negotiated.latency,
        }
    }

    /// A link of the legacy era, in a session if the server issued one.
    pub(super) fn legacy(
        endpoint: Arc<Endpoint>,
        background: TaskTracker,
        negotiated: Negotiated,
        session: Option<HeaderValue>,
    ) -> Self {
        let in_session = session.is_some();
        let mut connection = Self::modern(endpoint, background, negotiated);
        connection
            .headers
            .extend(session.map(|id| (SESSION_ID, id)));
        Self {
            in_session,
            era: Era::Legacy,
            ..connection
        }
    }

    /// A link of the legacy era over the transport of 2024-11-05.
    pub(super) fn old(
        endpoint: Arc<Endpoint>,
        background: TaskTracker,
        negotiated: Negotiated,
        http_sse: HttpSseTransport,
    ) -> Self {
        let connection = Self::legacy(Arc::clone(&endpoint), background, negotiated, None);
        Self {
            headers: endpoint.headers().clone(),
            http_sse: Some(http_sse),
            ..connection
        }
    }

    /// One request, one attempt. If the returned future is dropped before the answer, the backend
    /// is told that we no longer wait (B-L-07: hanging up alone is not cancelling).
    ///
    /// # Errors
    /// When there is no answer that can be passed on.
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
        attempt.sent.store(true, Ordering::Relaxed);
        let answer = match &self.http_sse {
            Some(http_sse) => {
                http_sse
                    .request(attempt.id, body, attempt.idle, handler)
                    .await
            }
            None if self.era == Era::Legacy => self.exchange_or_hear(attempt, body, handler).await,
            None => self.exchange(attempt, &headers, body, handler).await,
        };
        cancel_on_drop.given_up = matches!(
            answer,
            Err(BackendError::Idle { .. }
                | BackendError::TooLarge { .. }
                | BackendError::BudgetExceeded { .. })
        );
        self.check_result_type(attempt, answer?)
    }

    /// Headers and params of a request as this server's era wants them.
    fn encode_request<'a>(
        &'a self,
        attempt: &Attempt<'a>,
    ) -> (Cow<'a, HeaderMap>, Option<RawJson>) {
        if self.era == Era::Legacy {
            let params = attempt.params.map(|params| match attempt.caller.era {
                Era::Modern => legacy::params_from_modern(params),
                Era::Legacy => params.clone(),
            });
            return (Cow::Borrowed(&self.headers), params);
        }
        let mut headers = self.headers.clone();
        let named = attempt
            .target
            .map(|name| (MCP_NAME, param_header::encoded(name)));
        let param_headers = attempt.param_headers.iter().cloned();
        for (name, value) in [(MCP_METHOD, attempt.method.to_owned())]
            .into_iter()
            .chain(named)
            .chain(param_headers)
        {
            // What the encoding leaves is what a header may carry.
            headers.extend(
                HeaderValue::from_str(&value)
                    .ok()
                    .map(|value| (name, value)),
            );
        }
        let stamped = attempt.params.filter(|params| {
            params
                .at(&["_meta", modern::key::PROTOCOL_VERSION])
                .is_some()
        });
        let params = stamped
            .cloned()
            .unwrap_or_else(|| modern::params_for(attempt.params, attempt.caller));
        (Cow::Owned(headers), Some(params))
    }

    /// What kind of answer it is; one of a kind that must not be is none.
    fn check_result_type(
        &self,
        attempt: &Attempt<'_>,
        outcome: Outcome,
    ) -> Result<Answer, BackendError> {
        let method = attempt.method;
        let may_be = |kind: &ResultType| match kind {
            ResultType::Complete => true,
            ResultType::InputRequired => modern::may_ask(method),
            ResultType::Task => {
                let tasks = ["extensions", task::EXTENSION];
                method == "tools/call" && attempt.caller.declares(&tasks)
            }
        };
        let result_type = match &outcome {
            Outcome::Result(result) if self.era == Era::Modern => {
                ResultType::of(result).filter(may_be).ok_or_else(|| {
                    let kind = result.get("resultType");
                    let kind = kind.map(|kind| self.snippet(kind.as_bytes()));
                    let kind = kind.unwrap_or_default();
                    BackendError::BadReply(format!("resultType {kind} can't be, for {method}"))
                })?
            }
            _ => ResultType::Complete,
        };
        Ok(Answer {
            outcome,
            era: self.era,
            result_type,
        })
    }

    /// Sends a notification; 202 is right, 200 and 204 are tolerated.
    ///
    /// # Errors
    /// When it could not be sent or was refused.
    pub async fn notify(&self, method: &str, params: Option<&RawJson>) -> Result<(), BackendError> {
        self.post(message::notification(method, params)).await
    }

    /// The same, with nobody waiting: what can't be delivered in two seconds is let go, and so is
    /// what comes while [`MAX_BACKGROUND`] others are under way.
    pub fn notify_in_background(self: &Arc<Self>, method: &'static str, params: Option<RawJson>) {
        if self.background.len() >= MAX_BACKGROUND {
            return tracing::debug!(method, "too much is under way: a notification is let go");
        }
        let connection = Arc::clone(self);
        self.background.spawn(async move {
            let sent = tokio::time::timeout(
                BEST_EFFORT_TIMEOUT,
                connection.notify(method, params.as_ref()),
            );
            if let Ok(Err(error)) = sent.await {
                tracing::debug!(method, %error, "a notification was not taken");
            }
        });
    }

    /// A request whose answer changes nothing for us, with nobody waiting.
    pub fn request_in_background(self: &Arc<Self>, method: &'static str, params: RawJson) {
        let connection = Arc::clone(self);
        self.background
            .spawn(async move { connection.request_best_effort(method, &params).await });
    }

    /// The same, waiting for it, but not for long.
    pub(super) async fn request_best_effort(self: &Arc<Self>, method: &str, params: &RawJson) {
        let (id, sent) = (fresh_id(), AtomicBool::new(false));
        let us = ClientProfile::ourselves();
        let attempt = Attempt::plain(&id, method, Some(params), &us, &sent);
        match tokio::time::timeout(BEST_EFFORT_TIMEOUT, self.request(&attempt, &NoopHandler)).await
        {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(method, %error, "a request in passing failed"),
            Err(_) => tracing::debug!(method, "a request in passing was not answered"),
        }
    }

    /// Text of the backend for a message of ours: short, escaped, without secrets.
    pub fn snippet(&self, text: &[u8]) -> String {
        self.endpoint.snippet(text)
    }

    /// Ends the session (S25 `basic/transports`: DELETE); servers may answer 405.
    pub async fn close(&self) {
        if let Some(http_sse) = &self.http_sse {
            http_sse.close();
        }
        if self.in_session {
            let delete = self.endpoint.send_empty(Method::DELETE, &self.headers);
            let _ = tokio::time::timeout(BEST_EFFORT_TIMEOUT, delete).await;
        }
    }

    /// POSTs our answer to a request of the server, under the server's own id.
    fn answer(&self, id: Id, outcome: Outcome) -> BoxFuture<'_, Result<(), BackendError>> {
        let body = message::response(Some(&id), &outcome);
        async move { delivered(self.post(body).await) }.boxed()
    }

    async fn post(&self, body: Bytes) -> Result<(), BackendError> {
        if let Some(http_sse) = &self.http_sse {
            return http_sse.post(body).await;
        }
        let (mut response, _in_flight) = self.endpoint.post(&self.headers, body).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        // Read to the end, so that the connection can be used again.
        let body = Endpoint::beginning(&mut response).await;
        if status.is_success() {
            return Ok(());
        }
        if self.in_session && status.as_u16() == 404 {
            return Err(BackendError::SessionLost { by_status: true });
        }
        Err(self.endpoint.refusal(status, &headers, &body))
    }
}

/// One try at a request.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// From [`fresh_id`].
    pub id: &'a Id,
    /// E.g. `tools/call`.
    pub method: &'a str,
    /// As the backend gets them.
    pub params: Option<&'a RawJson>,
    /// The longest silence allowed.
    pub idle: Option<Duration>,
    /// Set when the request may have reached the backend.
    pub sent: &'a AtomicBool,
    /// Who asks: modern servers are told with every request.
    pub caller: &'a ClientProfile,
    /// The backend's own name or URI for what is asked; modern HTTP has it in a header too.
    pub target: Option<&'a str>,
    /// Parameters that modern HTTP wants in headers too.
    pub param_headers: &'a [(HeaderName, String)],
}

impl<'a> Attempt<'a> {
    /// One about nothing in particular, such as a list.
    pub fn plain(
        id: &'a Id,
        method: &'a str,
        params: Option<&'a RawJson>,
        caller: &'a ClientProfile,
        sent: &'a AtomicBool,
    ) -> Self {
        Self {
            id,
            method,
            params,
            idle: None,
            sent,
            caller,
            target: None,
            param_headers: &[],
        }
    }
}

/// An id that no other request of this process has.
pub fn fresh_id() -> Id {
    Id::number(NEXT_ID.fetch_add(1, Ordering::Relaxed))
}

/// Hears nothing: refuses what a server asks, but answers its pings.
#[derive(Debug)]
pub struct NoopHandler;

impl ServerMessageHandler for NoopHandler {
    fn notification(&self, _: Notification) {}

    fn request(&self, request: Request) -> BoxFuture<'_, Outcome> {
        let outcome = match request.method.as_str() {
            "ping" => Outcome::Result(RawJson::trusted("{}")),
            method => Outcome::from(RpcError::new(
                error::METHOD_NOT_FOUND,
                format!("the client can't answer {method} here"),
            )),
        };
        futures_util::future::ready(outcome).boxed()
    }
}

/// Tells the backend, when dropped too early, that we no longer wait.
struct CancelOnDrop<'a> {
    connection: &'a Arc<Connection>,
    id: &'a Id,
    given_up: bool,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        // A modern server takes the closed stream for it (B-M-05).
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
