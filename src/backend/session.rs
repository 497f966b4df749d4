//! The standing relation with a backend: agreed version, session, and how to talk within it.
//!
//! Owns the legacy handshake (S25 `basic/lifecycle`), the headers every later message carries,
//! cancelling what we no longer wait for, and the farewell. It must not know when to connect or
//! whether to try again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio_util::task::TaskTracker;

use super::error::BackendError;
use super::http::Endpoint;
use super::stream::{Listener, Reading};
use crate::protocol::{ClientProfile, Id, Kind, LEGACY_VERSIONS, Notification, Outcome, RawJson};
use crate::protocol::{Request, RpcError, error, message};

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// How long a message that nobody waits for (a cancellation, a farewell) may take.
const COURTESY: Duration = Duration::from_secs(2);

/// Ids for our requests, never used twice in a process.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A connected backend.
#[derive(Debug)]
pub struct Link {
    endpoint: Arc<Endpoint>,
    headers: HeaderMap,
    in_session: bool,
    errands: TaskTracker,
    /// The protocol version agreed with the server.
    pub version: &'static str,
    /// What the server said of itself.
    pub server: ServerProfile,
    /// How long it took to answer the handshake, making the connection included.
    pub latency: Duration,
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
}

impl Link {
    /// The legacy handshake: `initialize` with what the client said of itself, then
    /// `notifications/initialized`.
    ///
    /// # Errors
    /// When the backend can't be reached, refuses, or speaks no version that we know.
    pub async fn initialize(
        endpoint: Arc<Endpoint>,
        client: &ClientProfile,
        errands: TaskTracker,
    ) -> Result<Self, BackendError> {
        let params = RawJson::trusted(format!(
            r#"{{"protocolVersion":"{}","capabilities":{},"clientInfo":{}}}"#,
            client.version,
            client.capabilities.as_str(),
            client.info.as_str()
        ));
        let id = fresh_id();
        let headers = endpoint.headers().clone();
        let body = message::request(&id, "initialize", Some(&params));
        let asked = Instant::now();
        let (response, busy) = endpoint.post(&headers, body).await?;
        let session = response.headers().get(SESSION_ID).cloned();
        let reading = Reading {
            endpoint: &endpoint,
            id: &id,
            in_session: false,
            idle: None,
            listener: &Deaf,
            answering: &|_, _| futures_util::future::ready(()).boxed(),
        };
        let result = match reading.answer(response).await? {
            Outcome::Result(result) => result,
            Outcome::Error(error) => {
                let why = endpoint.snippet(error.as_bytes());
                return Err(BackendError::Handshake(format!(
                    "the server refuses initialize: {why}"
                )));
            }
        };
        let latency = asked.elapsed();
        drop(busy);
        let (version, server) = understand(&result, &endpoint)?;
        let mut link = Self {
            endpoint,
            headers,
            in_session: session.is_some(),
            errands,
            version,
            server,
            latency,
        };
        if let Some(session) = session {
            link.headers.insert(SESSION_ID, session);
        }
        link.headers
            .insert(PROTOCOL_VERSION, HeaderValue::from_static(version));
        link.notify("notifications/initialized", None).await?;
        Ok(link)
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
    ) -> Result<Outcome, BackendError> {
        let body = message::request(attempt.id, attempt.method, attempt.params);
        let mut waiting = Waiting {
            link: self,
            id: attempt.id,
            given_up: true,
        };
        attempt.sent.store(true, Ordering::Relaxed);
        let answer = async {
            let (response, _busy) = self.endpoint.post(&self.headers, body).await?;
            let reading = Reading {
                endpoint: &self.endpoint,
                id: attempt.id,
                in_session: self.in_session,
                idle: attempt.idle,
                listener,
                answering: &|id, outcome| self.answer(id, outcome),
            };
            reading.answer(response).await
        }
        .await;
        waiting.given_up = matches!(
            answer,
            Err(BackendError::Idle { .. } | BackendError::TooLarge { .. })
        );
        answer
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
        self.errands.spawn(async move {
            let (id, sent) = (fresh_id(), AtomicBool::new(false));
            let attempt = Attempt {
                id: &id,
                method,
                params: Some(&params),
                idle: None,
                sent: &sent,
            };
            if let Ok(Err(error)) =
                tokio::time::timeout(COURTESY, link.request(&attempt, &Deaf)).await
            {
                tracing::debug!(method, %error, "a request in passing failed");
            }
        });
    }

    /// Text of the backend for a message of ours: short, escaped, without secrets.
    pub fn snippet(&self, text: &[u8]) -> String {
        self.endpoint.snippet(text)
    }

    /// Ends the session (S25 `basic/transports`: DELETE); servers may answer 405.
    pub async fn close(&self) {
        if self.in_session {
            let farewell = self.endpoint.bare(Method::DELETE, &self.headers);
            let _ = tokio::time::timeout(COURTESY, farewell).await;
        }
    }

    /// POSTs our answer to a request of the server, under the server's own id.
    fn answer(&self, id: Id, outcome: Outcome) -> BoxFuture<'_, ()> {
        let body = message::response(Some(&id), &outcome);
        async move {
            if let Err(error) = self.post(body).await {
                tracing::warn!(%error, "an answer to the server was not taken");
            }
        }
        .boxed()
    }

    async fn post(&self, body: Bytes) -> Result<(), BackendError> {
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
        if self.given_up && tokio::runtime::Handle::try_current().is_ok() {
            let params = format!(
                r#"{{"requestId":{},"reason":"the client no longer waits"}}"#,
                self.id.raw().as_str()
            );
            self.link
                .notify_in_passing("notifications/cancelled", Some(RawJson::trusted(params)));
        }
    }
}

fn understand(
    result: &RawJson,
    endpoint: &Endpoint,
) -> Result<(&'static str, ServerProfile), BackendError> {
    let text = |value: Option<RawJson>| value.and_then(|value| value.read::<String>().ok());
    let version = text(result.get("protocolVersion")).ok_or_else(|| {
        BackendError::Handshake("its initialize result names no protocolVersion".into())
    })?;
    let known = LEGACY_VERSIONS.iter().find(|known| **known == version).ok_or_else(|| {
        let version = endpoint.snippet(version.as_bytes());
        BackendError::Handshake(format!(
            "it answers initialize with protocol version {version}, which this gateway does not speak"
        ))
    })?;
    let info = result.get("serverInfo");
    let shown = |key: &str| {
        let value = text(info.as_ref().and_then(|info| info.get(key))).unwrap_or_default();
        endpoint.snippet(value.as_bytes())
    };
    let capabilities = result
        .get("capabilities")
        .filter(|capabilities| capabilities.as_str().starts_with('{'))
        .unwrap_or_else(|| RawJson::trusted("{}"));
    Ok((
        known,
        ServerProfile {
            name: shown("name"),
            version: shown("version"),
            capabilities,
        },
    ))
}
