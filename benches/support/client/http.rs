//! An MCP endpoint over HTTP without any policy, for the relay and the direct baseline.

use std::sync::OnceLock;

use bytes::Bytes;
use memchr::memmem;
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Body, Client, Response};

use crate::support::Result;
use crate::support::call::LEGACY_VERSION;

const SESSION: &str = "mcp-session-id";

pub(crate) struct Endpoint {
    http: Client,
    url: String,
    session: OnceLock<HeaderValue>,
}

impl Endpoint {
    pub(crate) fn new(url: &str) -> Result<Self> {
        // Fails if a provider is installed already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(
            header::ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        headers.insert(
            "mcp-protocol-version",
            HeaderValue::from_static(LEGACY_VERSION),
        );
        let http = Client::builder()
            .default_headers(headers)
            .no_proxy()
            // Loopback needs no TLS: skips loading the system's certificates.
            .tls_certs_only([])
            .build()?;
        Ok(Self {
            http,
            url: url.to_owned(),
            session: OnceLock::new(),
        })
    }

    /// Sends one message and delivers each message of the response as soon as it is complete. Returns at the end of the body.
    pub(crate) async fn post(
        &self,
        message: impl Into<Body>,
        deliver: impl FnMut(Bytes) -> Result<()>,
    ) -> Result<()> {
        let mut request = self.http.post(&self.url).body(message);
        if let Some(session) = self.session.get() {
            request = request.header(SESSION, session);
        }
        let response = request.send().await?.error_for_status()?;
        if let Some(session) = response.headers().get(SESSION) {
            self.session.get_or_init(|| session.clone());
        }
        let is_stream = response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if is_stream {
            events(response, deliver).await
        } else {
            body(response, deliver).await
        }
    }
}

async fn body(response: Response, mut deliver: impl FnMut(Bytes) -> Result<()>) -> Result<()> {
    let body = response.bytes().await?;
    if body.is_empty() {
        Ok(())
    } else {
        deliver(body)
    }
}

/// Splits a stream at its blank lines. Reads only the form that the mock writes: one `data:` line for each event.
async fn events(
    mut response: Response,
    mut deliver: impl FnMut(Bytes) -> Result<()>,
) -> Result<()> {
    let mut buffer = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let mut searched = buffer.len().saturating_sub(1);
        buffer.extend_from_slice(&chunk);
        while let Some(end) = memmem::find(&buffer[searched..], b"\n\n") {
            let rest = buffer.split_off(searched + end + 2);
            let event = Bytes::from(std::mem::replace(&mut buffer, rest));
            let data = memmem::find(&event, b"data: ").ok_or("an event without data")?;
            deliver(event.slice(data + "data: ".len()..event.len() - 2))?;
            searched = 0;
        }
    }
    Ok(())
}
