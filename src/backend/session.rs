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
use super::http::Endpoint;
use super::listener::{Listener, delivered};
use super::old_sse::Channel;
use super::waiters::Waiters;
use crate::budget::NoRoom;
use crate::protocol::era::modern::ResultType;
use crate::protocol::era::{legacy, mirror, modern};
use crate::protocol::{ClientProfile, Era, Id, Kind, LogLevel, Notification, Outcome, RawJson};
use crate::protocol::{Request, RpcError, error, message, task};

mod streams;

pub(super) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");
pub(super) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// How long a message that nobody waits for (a cancellation, a farewell) may take.
pub(super) const COURTESY: Duration = Duration::from_secs(2);

/// Ids for our requests, never used twice in a process.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A connected backend.
#[derive(Debug)]
pub struct Link {
    endpoint: Arc<Endpoint>,
    headers: HeaderMap,
    in_session: bool,
    /// The stream that everything comes on, with the transport of 2024-11-05.
    channel: Option<Channel>,
    /// Who waits for an answer, should it come on the stream of [`super::news`].
    waiters: Waiters,
    errands: TaskTracker,
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
pub(super) struct Agreed {
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

impl Link {
    /// A link of the modern era: nothing but how to address the server.
    pub(super) fn modern(endpoint: Arc<Endpoint>, errands: TaskTracker, agreed: Agreed) -> Self {
        let mut headers = endpoint.headers().clone();
        headers.insert(PROTOCOL_VERSION, HeaderValue::from_static(agreed.version));
        Self {
            endpoint,
            headers,
            in_session: false,
            channel: None,
            waiters: Waiters::default(),
            errands,
            level: Mutex::default(),
            era: Era::Modern,
            version: agreed.version,
            server: agreed.server,
            latency: agreed.latency,
        }
    }

    /// A link of the legacy era, in a session if the server issued one.
    pub(super) fn legacy(
        endpoint: Arc<Endpoint>,
        errands: TaskTracker,
        agreed: Agreed,
        session: Option<HeaderValue>,
    ) -> Self {
        let in_session = session.is_some();
        let mut link = Self::modern(endpoint, errands, agreed);
        link.headers.extend(session.map(|id| (SESSION_ID, id)));
        Self {
            in_session,
            era: Era::Legacy,
            ..link
        }
    }

    /// A link of the legacy era over the transport of 2024-11-05.
    pub(super) fn old(
        endpoint: Arc<Endpoint>,
        errands: TaskTracker,
        agreed: Agreed,
        channel: Channel,
    ) -> Self {
        let link = Self::legacy(Arc::clone(&endpoint), errands, agreed, None);
        Self {
            headers: endpoint.headers().clone(),
            channel: Some(channel),
            ..link
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
        listener: &dyn Listener,
    ) -> Result<Answer, BackendError> {
        let (headers, params) = self.dressed(attempt);
        let body = message::request(attempt.id, attempt.method, params.as_ref());
        let body = self.endpoint.budget.hold(body);
        let body = body.map_err(|NoRoom { limit }| BackendError::NoRoom { limit, sent: false })?;
        let mut waiting = Waiting {
            link: self,
            id: attempt.id,
            given_up: true,
        };
        attempt.sent.store(true, Ordering::Relaxed);
        let answer = match &self.channel {
            Some(channel) => {
                channel
                    .request(attempt.id, body, attempt.idle, listener)
                    .await
            }
            None if self.era == Era::Legacy => self.exchange_or_hear(attempt, body, listener).await,
            None => self.exchange(attempt, &headers, body, listener).await,
        };
        waiting.given_up = matches!(
            answer,
            Err(BackendError::Idle { .. }
                | BackendError::TooLarge { .. }
                | BackendError::NoRoom { .. })
        );
        self.understood(attempt, answer?)
    }

    /// Headers and params of a request as this server's era wants them.
    fn dressed<'a>(&'a self, attempt: &Attempt<'a>) -> (Cow<'a, HeaderMap>, Option<RawJson>) {
        if self.era == Era::Legacy {
            let params = attempt.params.map(|params| match attempt.caller.era {
                Era::Modern => legacy::params_from_modern(params),
                Era::Legacy => params.clone(),
            });
            return (Cow::Borrowed(&self.headers), params);
        }
        let mut headers = self.headers.clone();
        let named = attempt.target.map(|name| (MCP_NAME, mirror::encoded(name)));
        let mirrored = attempt.mirrored.iter().cloned();
        for (name, value) in [(MCP_METHOD, attempt.method.to_owned())]
            .into_iter()
            .chain(named)
            .chain(mirrored)
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
    fn understood(&self, attempt: &Attempt<'_>, outcome: Outcome) -> Result<Answer, BackendError> {
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

    /// The same, with nobody waiting: what can't be delivered in two seconds is let go.
    pub fn notify_in_passing(self: &Arc<Self>, method: &'static str, params: Option<RawJson>) {
        let link = Arc::clone(self);
        self.errands.spawn(async move {
            let sent = tokio::time::timeout(COURTESY, link.notify(method, params.as_ref()));
            if let Ok(Err(error)) = sent.await {
                tracing::debug!(method, %error, "a notification was not taken");
            }
        });
    }

    /// A request whose answer changes nothing for us, with nobody waiting.
    pub fn request_in_passing(self: &Arc<Self>, method: &'static str, params: RawJson) {
        let link = Arc::clone(self);
        self.errands
            .spawn(async move { link.request_shortly(method, &params).await });
    }

    /// The same, waiting for it, but not for long.
    pub(super) async fn request_shortly(self: &Arc<Self>, method: &str, params: &RawJson) {
        let (id, sent) = (fresh_id(), AtomicBool::new(false));
        let us = ClientProfile::ourselves();
        let attempt = Attempt::plain(&id, method, Some(params), &us, &sent);
        match tokio::time::timeout(COURTESY, self.request(&attempt, &Deaf)).await {
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
        if let Some(channel) = &self.channel {
            channel.close();
        }
        if self.in_session {
            let farewell = self.endpoint.bare(Method::DELETE, &self.headers);
            let _ = tokio::time::timeout(COURTESY, farewell).await;
        }
    }

    /// POSTs our answer to a request of the server, under the server's own id.
    fn answer(&self, id: Id, outcome: Outcome) -> BoxFuture<'_, Result<(), BackendError>> {
        let body = message::response(Some(&id), &outcome);
        async move { delivered(self.post(body).await) }.boxed()
    }

    async fn post(&self, body: Bytes) -> Result<(), BackendError> {
        if let Some(channel) = &self.channel {
            return channel.post(body).await;
        }
        let (mut response, _busy) = self.endpoint.post(&self.headers, body).await?;
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
    pub mirrored: &'a [(HeaderName, String)],
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
            mirrored: &[],
        }
    }
}

/// An id that no other request of this process has.
pub fn fresh_id() -> Id {
    Id::number(NEXT_ID.fetch_add(1, Ordering::Relaxed))
}

/// Hears nothing: refuses what a server asks, but answers its pings.
#[derive(Debug)]
pub struct Deaf;

impl Listener for Deaf {
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
struct Waiting<'a> {
    link: &'a Arc<Link>,
    id: &'a Id,
    given_up: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // A modern server takes the closed stream for it (B-M-05).
        let to_be_told = self.given_up && self.link.era == Era::Legacy;
        if to_be_told && tokio::runtime::Handle::try_current().is_ok() {
            let params = format!(
                r#"{{"requestId":{},"reason":"the client no longer waits"}}"#,
                self.id.raw().as_str()
            );
            self.link
                .notify_in_passing("notifications/cancelled", Some(RawJson::trusted(params)));
        }
    }
}
