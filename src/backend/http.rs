//! One HTTP exchange with one backend.
//!
//! Owns the endpoint (client, address, credentials), sending, redirects, and what an HTTP status
//! or a broken connection means. Reading a good answer is [`super::stream`]'s affair. It must not
//! know about retries, sessions or who is asking.

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};

use super::auth::{self, Credentials};
use super::error::BackendError;
use super::pool::{Clients, MAX_IDLE_PER_HOST, Pool};
use super::retry;
use super::scrub::Scrubber;
use crate::config::{BackendConfig, Secret};

/// The media type of server-sent events.
pub(super) const EVENT_STREAM: &str = "text/event-stream";
const MAX_REDIRECTS: usize = 3;
/// How much of a body is quoted in a message, in characters.
const SNIPPET: usize = 120;
/// How much of an error's body is read to find out what it says, in bytes.
const ERROR_BODY: usize = 64 * 1024;

/// Where one backend listens and how it is reached.
#[derive(Debug)]
pub struct Endpoint {
    clients: Clients,
    /// Exchanges under way.
    busy: AtomicUsize,
    url: Url,
    scrubber: Scrubber,
    headers: HeaderMap,
    /// The cap on one answer or event, in bytes.
    pub max_message_bytes: usize,
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
    ) -> Result<Self, BackendError> {
        let url = config.url.clone().map_err(BackendError::Misconfigured)?;
        let Credentials {
            mut headers,
            mut secrets,
        } = auth::resolve(config)
            .await
            .map_err(BackendError::Misconfigured)?;
        secrets.extend(secrets_in(&url));
        secrets.extend_from_slice(&config.expanded);
        let clients = pool
            .clients(config, &url)
            .map_err(BackendError::Misconfigured)?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        Ok(Self {
            clients,
            busy: AtomicUsize::new(0),
            url,
            scrubber: Scrubber::new(&secrets),
            headers,
            max_message_bytes,
        })
    }

    /// What every POST carries: credentials, content type and what we accept.
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
    ) -> Result<(Response, Busy<'_>), BackendError> {
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
    ) -> Result<(Response, Busy<'_>), BackendError> {
        let (client, busy) = self.client();
        let request = |url| client.post(url).headers(headers.clone()).body(body.clone());
        let response = self.send(url, request).await?;
        Ok((response, busy))
    }

    /// POSTs what is answered with a stream that may stay open for days: it takes no place among
    /// the connections that are kept for calls.
    ///
    /// # Errors
    /// As [`post`](Self::post).
    pub async fn post_apart(
        &self,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response, BackendError> {
        let client = &self.clients.wave;
        let request = |url| client.post(url).headers(headers.clone()).body(body.clone());
        self.send(&self.url, request).await
    }

    /// Asks with GET for such a stream.
    ///
    /// # Errors
    /// As [`post`](Self::post).
    pub async fn get(&self, headers: &HeaderMap) -> Result<Response, BackendError> {
        let request = |url| self.clients.wave.get(url).headers(headers.clone());
        self.send(&self.url, request).await
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
        url: &Url,
        request: impl Fn(Url) -> RequestBuilder,
    ) -> Result<Response, BackendError> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = request(url.clone())
                .send()
                .await
                .map_err(|error| self.broken(&error))?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            url = self.redirect(&url, &response)?;
        }
        Err(BackendError::Redirected {
            target: "itself, over and over".into(),
        })
    }

    /// The client for one more exchange, and the mark that it is under way.
    fn client(&self) -> (&Client, Busy<'_>) {
        let others = self.busy.fetch_add(1, Ordering::Relaxed);
        let few = others < MAX_IDLE_PER_HOST;
        (
            if few {
                &self.clients.steady
            } else {
                &self.clients.wave
            },
            Busy(&self.busy),
        )
    }

    /// Sends a request without a body and asks only whether it got through; for DELETE.
    ///
    /// # Errors
    /// When no response came.
    pub async fn bare(
        &self,
        method: Method,
        headers: &HeaderMap,
    ) -> Result<StatusCode, BackendError> {
        let response = self
            .clients
            .steady
            .request(method, self.url.clone())
            .headers(headers.clone())
            .send()
            .await
            .map_err(|error| self.broken(&error))?;
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
        let text = String::from_utf8_lossy(&body[..body.len().min(ERROR_BODY)]);
        let text = if body.len() < ERROR_BODY {
            self.scrubber.clean(text.trim())
        } else {
            self.scrubber.clean_cut(
                text.trim_start()
                    .trim_end_matches(char::REPLACEMENT_CHARACTER),
            )
        };
        let cut = text.chars().count() > SNIPPET;
        let shown: String = text
            .chars()
            .take(SNIPPET)
            .flat_map(char::escape_debug)
            .collect();
        if cut { format!("{shown}…") } else { shown }
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
    fn redirect(&self, from: &Url, response: &Response) -> Result<Url, BackendError> {
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok());
        let target = location.and_then(|location| from.join(location).ok());
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

    /// What it means that no response, or not all of it, came.
    pub fn broken(&self, error: &reqwest::Error) -> BackendError {
        let cause = causes(error)
            .last()
            .map_or_else(|| "unknown".into(), ToString::to_string);
        let cause = self.scrubber.clean(&cause);
        let io = find::<io::Error>(error);
        if let Some(kind) = io
            && out_of_descriptors(kind)
        {
            return BackendError::OutOfResources(format!(
                "this machine is out of resources: {cause}"
            ));
        }
        if error.is_connect() {
            return self.connect_error(error, cause);
        }
        let parse = find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse);
        let malformed = io.is_some_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
            )
        });
        if parse || (malformed && !error.is_request()) {
            return BackendError::BadReply(format!("not HTTP as it should be: {cause}"));
        }
        BackendError::ConnectionLost(cause)
    }

    fn connect_error(&self, error: &reqwest::Error, cause: String) -> BackendError {
        if let Some(tls) = find_in_io::<rustls::Error>(error) {
            let tls = self.scrubber.clean(&tls.to_string());
            return BackendError::Certificate(format!("TLS: {tls}"));
        }
        if error.is_timeout() {
            return BackendError::Connect("connect timeout".into());
        }
        if error.is_dns() {
            return BackendError::Connect(format!("the name can't be resolved: {cause}"));
        }
        match find::<io::Error>(error).map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => {
                BackendError::Connect("connection refused".into())
            }
            _ => BackendError::Connect(format!("no connection: {cause}")),
        }
    }
}

/// An exchange under way: to be kept until the response has been read.
#[derive(Debug)]
pub struct Busy<'a>(&'a AtomicUsize);

impl Drop for Busy<'_> {
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

/// What [`without_secrets`] leaves out, as it is sent and as it reads.
fn secrets_in(url: &Url) -> impl Iterator<Item = Secret> {
    let query = url.query().unwrap_or_default();
    let values = query.split('&').filter_map(|pair| pair.split_once('='));
    let sent = values.map(|(_, value)| value).chain(url.password());
    let read = url.query_pairs().map(|(_, value)| value.into_owned());
    sent.map(str::to_owned).chain(read).map(Secret::new)
}

/// An error's causes, outermost first. The error itself is left out: it names our URL.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

fn find<T: Error + 'static>(error: &reqwest::Error) -> Option<&T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// rustls errors travel inside `io::Error`s, which hide them from `source()`.
fn find_in_io<T: Error + 'static>(error: &reqwest::Error) -> Option<&T> {
    causes(error).find_map(|cause| {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        let mut inner = cause.downcast_ref::<io::Error>()?.get_ref()?;
        loop {
            if let Some(found) = inner.downcast_ref() {
                return Some(found);
            }
            inner = inner.downcast_ref::<io::Error>()?.get_ref()?;
        }
    })
}

/// EMFILE and ENFILE (WSAEMFILE on Windows).
fn out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24 | 10024))
}

/// The media type of a response, in lower case, without its parameters.
pub(super) fn media_type(response: &Response) -> String {
    let value = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    value
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// Whether it is a stream that can be read.
pub(super) fn is_event_stream(response: &Response) -> bool {
    response.status().is_success() && media_type(response) == EVENT_STREAM
}
