//! Where one backend listens, and how requests get there.
//!
//! Owns sending one HTTP request: which client, which headers, which redirects are followed, and
//! what a status other than 2xx means. It must not know retries, sessions or callers.

mod addresses;
mod redirect;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
    USER_AGENT, WWW_AUTHENTICATE,
};
use reqwest::{Body, Client, Method, Request, StatusCode, Url};

use self::addresses::Addresses;
use super::continuity::Continuity;
use super::credentials::{Credentials, Renewal};
use super::decompress::ACCEPTED;
use super::response::Response;
use super::side_requests::SideRequests;
use super::transport_error;
use super::turns::Turns;
use crate::backend::error::{BackendError, Challenge};
use crate::backend::retry::retry_after;
use crate::budget::Budget;
use crate::call_report::CallTrace;
use crate::clock;
use crate::config::{BackendConfig, Closed, is_loopback};
use crate::transport::http::{self, ClientKey, Clients, MAX_IDLE_PER_HOST, Pool};

const MAX_REDIRECTS: usize = 3;

/// The address of one backend, and the way to reach it.
#[derive(Debug)]
pub struct Endpoint {
    clients: Clients,
    /// Exchanges in flight of the client that keeps its connections.
    kept_in_flight: AtomicUsize,
    addresses: Addresses,
    side_requests: Arc<SideRequests>,
    pub(in crate::backend) turns: Turns,
    url: Url,
    /// Where no redirect may lead.
    closed: Closed,
    credentials: Arc<Credentials>,
    continuity: Continuity,
    headers: HeaderMap,
    /// The cap on one response or event, in bytes.
    pub max_message_bytes: usize,
    /// Where response bytes are charged.
    pub budget: Budget,
}

impl Endpoint {
    /// Resolves address, secrets and certificates of a backend. Sends nothing.
    ///
    /// # Errors
    /// [`BackendError::Misconfigured`] with the reason, or what a person has to do.
    pub async fn resolve(
        config: &BackendConfig,
        credentials: Arc<Credentials>,
        pool: &Pool,
        max_message_bytes: usize,
        budget: Budget,
    ) -> Result<Self, BackendError> {
        let url = config.url.clone().map_err(BackendError::Misconfigured)?;
        credentials.resolve().await?;
        let key = ClientKey {
            connect_timeout: config.connect_timeout,
            loopback: is_loopback(&url),
            https: url.scheme() == "https",
            ca_file: config.tls.ca_file.clone(),
            client_cert: config.tls.client_cert.clone(),
            public_host: None,
        };
        let clients = pool
            .clients(key)
            .await
            .map_err(BackendError::Misconfigured)?;
        // With room for what the HTTP client, the session and the credentials add, since every
        // request copies it.
        let mut headers = HeaderMap::with_capacity(12);
        for (name, value) in [(USER_AGENT, http::USER_AGENT), (ACCEPT_ENCODING, ACCEPTED)] {
            if config
                .headers
                .iter()
                .all(|(configured, _)| *configured != name)
            {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        Ok(Self {
            clients,
            kept_in_flight: AtomicUsize::new(0),
            addresses: Addresses::new(),
            side_requests: Arc::new(SideRequests::new()),
            turns: Turns::new(),
            url,
            closed: config.closed.clone(),
            credentials,
            continuity: Continuity::default(),
            headers,
            max_message_bytes,
            budget,
        })
    }

    /// Shares the limit on exchanges beside calls, and the turns, with other endpoints of the backend.
    pub(in crate::backend) fn sharing(
        self,
        side_requests: Arc<SideRequests>,
        turns: Turns,
    ) -> Self {
        Self {
            side_requests,
            turns,
            ..self
        }
    }

    /// The limit on exchanges beside calls.
    pub(in crate::backend) fn side_requests(&self) -> &SideRequests {
        &self.side_requests
    }

    /// Where requests begin, and how often a handshake may repeat them.
    pub(in crate::backend) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The credentials that every request carries.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The backend's name in the config.
    pub(in crate::backend) fn backend(&self) -> &str {
        self.credentials.backend()
    }

    /// What every POST carries besides credentials: user agent, content type, accepted types.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// POSTs one JSON-RPC message with these headers and the credentials. Returns a response of any
    /// status. `trace` counts the redirects that are followed, where the message is a call.
    ///
    /// # Errors
    /// When no response came, or a redirect that is not followed.
    pub async fn post(
        &self,
        headers: &HeaderMap,
        body: Bytes,
        trace: Option<&CallTrace>,
    ) -> Result<(Response, InFlightGuard<'_>), BackendError> {
        self.post_to(&self.url, headers, body, trace).await
    }

    /// POSTs one JSON-RPC message to another address of this origin, as [`post`](Self::post) does.
    ///
    /// # Errors
    /// As [`post`](Self::post).
    pub(crate) async fn post_to(
        &self,
        url: &Url,
        headers: &HeaderMap,
        body: Bytes,
        trace: Option<&CallTrace>,
    ) -> Result<(Response, InFlightGuard<'_>), BackendError> {
        let (client, in_flight) = self.client();
        let response = self
            .send(client, url, &Method::POST, headers, Some(body), trace)
            .await?;
        Ok((response, in_flight))
    }

    /// POSTs a request answered by a long-lived SSE stream, using the client whose idle
    /// connections are not kept.
    ///
    /// # Errors
    /// As [`post`](Self::post).
    pub(crate) async fn post_long_lived(
        &self,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response, BackendError> {
        let client = &self.clients.burst;
        self.send(client, &self.url, &Method::POST, headers, Some(body), None)
            .await
    }

    /// GETs such a stream.
    ///
    /// # Errors
    /// As [`post`](Self::post).
    pub async fn get(&self, headers: &HeaderMap) -> Result<Response, BackendError> {
        let (client, url) = (&self.clients.burst, &self.url);
        let get = || self.send(client, url, &Method::GET, headers, None, None);
        match get().await? {
            refused if self.addresses.leave(url, &refused) => get().await,
            response => Ok(response),
        }
    }

    /// Sends a request with a token that holds. What is no call is sent once more where a 401 has
    /// led to other credentials; the attempts of a call are counted by the call.
    async fn send(
        &self,
        client: &Client,
        url: &Url,
        method: &Method,
        headers: &HeaderMap,
        body: Option<Bytes>,
        trace: Option<&CallTrace>,
    ) -> Result<Response, BackendError> {
        self.credentials.ready().await?;
        let used = self.credentials.generation();
        let response = self
            .follow(client, url, method, headers, body.clone(), trace)
            .await?;
        if trace.is_some() || response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let challenge = Challenge::of(values_of(response.headers(), WWW_AUTHENTICATE));
        // Rare: boxed, these futures take no room in every call.
        let renewal = Box::pin(self.credentials.renew(used, challenge.as_ref()));
        match renewal.await {
            Renewal::Renewed if self.addresses.may_repeat() => {
                Box::pin(self.follow(client, url, method, headers, body, trace)).await
            }
            Renewal::Renewed | Renewal::Same => Ok(response),
            Renewal::Impossible(error) => Err(error),
        }
    }

    async fn follow(
        &self,
        client: &Client,
        asked: &Url,
        method: &Method,
        headers: &HeaderMap,
        body: Option<Bytes>,
        trace: Option<&CallTrace>,
    ) -> Result<Response, BackendError> {
        let mut url = self.addresses.of(method, asked);
        for redirects in 0..=MAX_REDIRECTS {
            if redirects > 0 {
                if !self.addresses.may_repeat() {
                    break;
                }
                tracing::debug!(
                    backend = self.backend(),
                    redirects,
                    "a redirect is followed"
                );
                if let Some(trace) = trace {
                    trace.mark_redirected(body.as_ref().map_or(0, Bytes::len));
                }
            }
            let mut request = self.request(method.clone(), url, headers);
            *request.body_mut() = body.clone().map(Body::from);
            let sent = client.execute(request).await;
            let response = sent.map_err(transport_error::classify)?;
            for cookie in self.continuity.learn(&response) {
                self.credentials.learn_cookie(&cookie);
            }
            let response = self.response(response);
            if !response.status().is_redirection() {
                match redirects {
                    0 => self.addresses.check(method, asked, &response),
                    _ => self.addresses.learn(method, asked, &response),
                }
                return Ok(response);
            }
            url = self.redirect(&response)?;
        }
        Err(BackendError::Redirected {
            target: "one address after the other".into(),
            is_closed: false,
        })
    }

    /// A response of this backend, to be read in its turns.
    pub fn response(&self, response: reqwest::Response) -> Response {
        Response::new(response, self.turns.begin(), self.max_message_bytes)
    }

    /// A request without a body, with the credentials, the session id and the cookies.
    fn request(&self, method: Method, url: Url, headers: &HeaderMap) -> Request {
        let mut headers = headers.clone();
        self.credentials.apply(&mut headers);
        self.continuity.apply(&mut headers, &url);
        let mut request = Request::new(method, url);
        *request.headers_mut() = headers;
        request
    }

    /// A legacy session begins, with this id if the server issued one. From now on every request
    /// carries the newest id.
    pub(in crate::backend) fn begin_session(&self, id: Option<HeaderValue>) {
        self.continuity.begin_session(id);
    }

    /// Whether requests carry a session id.
    pub(in crate::backend) fn in_session(&self) -> bool {
        self.continuity.has_session_id()
    }

    /// The client for one more exchange, and the guard that counts it. While few exchanges of the client that
    /// keeps its connections are in flight, it is that one: none of those is idle while the other opens one.
    fn client(&self) -> (&Client, InFlightGuard<'_>) {
        let others = self.kept_in_flight.fetch_add(1, Ordering::Relaxed);
        let kept = InFlightGuard(Some(&self.kept_in_flight));
        match others < MAX_IDLE_PER_HOST {
            true => (&self.clients.kept, kept),
            // Dropping the guard takes the count back.
            false => (&self.clients.burst, InFlightGuard(None)),
        }
    }

    /// Sends a request without a body, such as DELETE, and returns its status alone.
    ///
    /// # Errors
    /// When no response came.
    pub(crate) async fn send_empty(
        &self,
        method: Method,
        headers: &HeaderMap,
    ) -> Result<StatusCode, BackendError> {
        let url = self.addresses.of(&method, &self.url);
        let request = self.request(method, url, headers);
        let (client, _in_flight) = self.client();
        let sent = client.execute(request).await;
        sent.map(|response| response.status())
            .map_err(transport_error::classify)
    }

    /// The error for a status other than 2xx. `body` is the beginning of the response's body.
    pub fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> BackendError {
        let snippet = self.snippet(body);
        let asked = headers.get(RETRY_AFTER);
        let retry_after = asked.and_then(|value| retry_after(value, clock::wall()));
        let challenge = Challenge::of(values_of(headers, WWW_AUTHENTICATE));
        match status.as_u16() {
            status @ (401 | 403) => BackendError::AuthRequired {
                status,
                anonymous: !self.credentials.are_configured(),
                snippet,
                sign_in: self.credentials.advice(status, challenge.as_ref()),
                challenge,
                renewed: false,
                session_lost: false,
            },
            413 => BackendError::RequestTooLarge { snippet },
            429 => BackendError::RateLimited {
                retry_after,
                snippet,
            },
            503 => BackendError::Unavailable {
                retry_after,
                snippet,
            },
            status @ 500..=599 => BackendError::ServerError { status, snippet },
            status @ 400..=499 => BackendError::Refused { status, snippet },
            status => BackendError::BadReply(format!("HTTP {status} is no answer to a request")),
        }
    }

    /// The beginning of a text of the backend: short, escaped, without secrets.
    pub fn snippet(&self, body: &[u8]) -> String {
        self.credentials.snippet(body)
    }
}

/// Counts an exchange of the client that keeps its connections; `None` for the other client. To be
/// held until the response has been read.
#[derive(Debug)]
pub struct InFlightGuard<'a>(Option<&'a AtomicUsize>);

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        if let Some(in_flight) = self.0 {
            in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn values_of(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    headers.get_all(name).into_iter().map(HeaderValue::as_bytes)
}
