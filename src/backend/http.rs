//! One HTTP exchange with one backend.
//!
//! Owns the endpoint (client, address, credentials), sending, redirects, and what an HTTP status
//! means. Reading a good answer is [`super::stream`]'s affair, and what it means that none came
//! [`super::transport_error`]'s. It must not know about retries, sessions or who is asking.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use reqwest::header::{
    ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT,
};
use reqwest::{Body, Client, Method, Request, Response, StatusCode, Url};

use super::credentials;
use super::error::BackendError;
use super::pool::{self, Clients, MAX_IDLE_PER_HOST, Pool};
use super::retry;
use super::scrub::Scrubber;
use super::transport_error;
use crate::budget::Budget;
use crate::config::BackendConfig;

/// The media type of server-sent events.
pub(super) const EVENT_STREAM: &str = "text/event-stream";
const MAX_REDIRECTS: usize = 3;
/// How much of an error's body is read to find out what it says, in bytes.
const ERROR_BODY: usize = 64 * 1024;

/// Where one backend listens and how it is reached.
#[derive(Debug)]
pub struct Endpoint {
    clients: Clients,
    /// Exchanges under way.
    in_flight: AtomicUsize,
    url: Url,
    scrubber: Scrubber,
    headers: HeaderMap,
    /// The cap on one answer or event, in bytes.
    pub max_message_bytes: usize,
    /// Room for what is read.
    pub budget: Budget,
}

impl Endpoint {
    /// Resolves address, secrets and certificates of a backend. Sends nothing.
    ///
    /// # Errors
    /// [`BackendError::Misconfigured`] with the reason.
    pub async fn resolve(
        config: &BackendConfig,
        pool: &Pool,
        max_message_bytes: usize,
        budget: Budget,
    ) -> Result<Self, BackendError> {
        let url = config.url.clone().map_err(BackendError::Misconfigured)?;
        let credentials = credentials::resolve(config)
            .await
            .map_err(BackendError::Misconfigured)?;
        let secrets = [credentials.secrets.as_slice(), &config.expanded].concat();
        let scrubber = Scrubber::new(secrets, &url, &config.shown_url);
        let clients = pool
            .clients(config, &url)
            .map_err(BackendError::Misconfigured)?;
        let mut headers = credentials.headers;
        // With room for what the HTTP client and the session add, since every request copies it.
        headers.reserve(8);
        let us = HeaderValue::from_static(pool::USER_AGENT);
        headers.entry(USER_AGENT).or_insert(us);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        Ok(Self {
            clients,
            in_flight: AtomicUsize::new(0),
            url,
            scrubber,
            headers,
            max_message_bytes,
            budget,
        })
    }

    /// What every POST carries: credentials, who we are, content type and what we accept.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// POSTs one JSON-RPC message with exactly these headers. A response comes back whatever its
    /// status.
    ///
    /// # Errors
    /// When no response came, or a redirect that is not followed.
    pub async fn post(
        &self,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<(Response, InFlightGuard<'_>), BackendError> {
        self.post_to(&self.url, headers, body).await
    }

    /// The same at another address of this origin.
    ///
    /// # Errors
    /// As [`post`](Self::post).
    pub async fn post_to(
        &self,
        url: &Url,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<(Response, InFlightGuard<'_>), BackendError> {
        let (client, in_flight) = self.client();
        let response = self
            .send(client, url, &Method::POST, headers, Some(body))
            .await?;
        Ok((response, in_flight))
    }

    /// POSTs what is answered with a stream that may stay open for days: it takes no place among
    /// the connections that are kept for calls.
    ///
    /// # Errors
    /// As [`post`](Self::post).
    pub async fn post_long_lived(
        &self,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response, BackendError> {
        let client = &self.clients.burst;
        self.send(client, &self.url, &Method::POST, headers, Some(body))
            .await
    }

    /// Asks with GET for such a stream.
    ///
    /// # Errors
    /// As [`post`](Self::post).
    pub async fn get(&self, headers: &HeaderMap) -> Result<Response, BackendError> {
        let client = &self.clients.burst;
        self.send(client, &self.url, &Method::GET, headers, None)
            .await
    }

    /// Where this leads, seen from the backend's address, if that is the same origin.
    ///
    /// # Errors
    /// The target without its secrets, if it is another one.
    pub fn within_origin(&self, target: &str) -> Result<Url, String> {
        match self.url.join(target) {
            Ok(url) if url.origin() == self.url.origin() => Ok(url),
            Ok(url) => Err(self.snippet(without_secrets(&url).as_bytes())),
            Err(_) => Err(self.snippet(target.as_bytes())),
        }
    }

    async fn send(
        &self,
        client: &Client,
        url: &Url,
        method: &Method,
        headers: &HeaderMap,
        body: Option<Bytes>,
    ) -> Result<Response, BackendError> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = Request::new(method.clone(), url);
            *request.headers_mut() = headers.clone();
            *request.body_mut() = body.clone().map(Body::from);
            let sent = client.execute(request).await;
            let response = sent.map_err(|error| transport_error::classify(&error))?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            url = self.redirect(&response)?;
        }
        Err(BackendError::Redirected {
            target: "itself, over and over".into(),
        })
    }

    /// The client for one more exchange, and the mark that it is under way.
    fn client(&self) -> (&Client, InFlightGuard<'_>) {
        let others = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let few = others < MAX_IDLE_PER_HOST;
        (
            if few {
                &self.clients.kept
            } else {
                &self.clients.burst
            },
            InFlightGuard(&self.in_flight),
        )
    }

    /// Sends a request without a body and asks only whether it got through; for DELETE.
    ///
    /// # Errors
    /// When no response came.
    pub async fn send_empty(
        &self,
        method: Method,
        headers: &HeaderMap,
    ) -> Result<StatusCode, BackendError> {
        let response = self
            .clients
            .kept
            .request(method, self.url.clone())
            .headers(headers.clone())
            .send()
            .await
            .map_err(|error| transport_error::classify(&error))?;
        Ok(response.status())
    }

    /// What a status that is no success means. `body` is the beginning of the response's body.
    pub fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> BackendError {
        let snippet = self.snippet(body);
        let retry_after = headers
            .get(RETRY_AFTER)
            .and_then(|value| retry::retry_after(value, SystemTime::now()));
        let status = status.as_u16();
        match status {
            401 | 403 => BackendError::AuthRequired { status, snippet },
            413 => BackendError::RequestTooLarge,
            429 => BackendError::RateLimited { retry_after },
            503 => BackendError::Unavailable {
                retry_after,
                snippet,
            },
            500..=599 => BackendError::ServerError { status, snippet },
            400..=499 => BackendError::Refused { status, snippet },
            _ => BackendError::BadReply(format!("HTTP {status} is no answer to a request")),
        }
    }

    /// The beginning of what a backend said: short, escaped, and without our secrets.
    pub fn snippet(&self, body: &[u8]) -> String {
        self.scrubber.snippet(body)
    }

    /// Reads at most the beginning of a body that is not going to be passed on.
    pub async fn beginning(response: &mut Response) -> Vec<u8> {
        let mut body = Vec::new();
        while body.len() < ERROR_BODY {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) | Err(_) => break,
            }
        }
        body
    }

    /// Where a redirect leads, if it is one that may be followed: 307 or 308 within the same
    /// origin. Nothing, neither header nor body, is ever sent to another one.
    fn redirect(&self, response: &Response) -> Result<Url, BackendError> {
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok());
        let target = location.and_then(|location| response.url().join(location).ok());
        match target {
            Some(url)
                if matches!(response.status().as_u16(), 307 | 308)
                    && url.origin() == self.url.origin() =>
            {
                Ok(url)
            }
            Some(url) => Err(BackendError::Redirected {
                target: self.snippet(without_secrets(&url).as_bytes()),
            }),
            None => Err(BackendError::Redirected {
                target: "nowhere that can be read".into(),
            }),
        }
    }
}

/// An exchange under way: to be kept until the response has been read.
#[derive(Debug)]
pub struct InFlightGuard<'a>(&'a AtomicUsize);

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Scheme, host and path: what of a URL may be shown.
pub fn without_secrets(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

/// What a response says that its body is.
pub(super) enum Media {
    Json,
    EventStream,
    /// Another type, or none.
    Other(String),
}

impl Media {
    pub(super) fn of(response: &Response) -> Self {
        let value = response.headers().get(CONTENT_TYPE);
        let value = value.and_then(|value| value.to_str().ok());
        let kind = value.and_then(|value| value.split(';').next());
        match kind.unwrap_or_default().trim() {
            kind if kind.eq_ignore_ascii_case("application/json") => Self::Json,
            kind if kind.eq_ignore_ascii_case(EVENT_STREAM) => Self::EventStream,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// Whether it is a stream that can be read.
pub(super) fn is_event_stream(response: &Response) -> bool {
    response.status().is_success() && matches!(Media::of(response), Media::EventStream)
}
