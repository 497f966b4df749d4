//! HTTP with authorization servers.
//!
//! Owns the limits: sizes, times, redirects, and which addresses are asked at all (MCP 2026-07-28,
//! security best practices, server-side request forgery). It must not know what is exchanged.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Client, Method, Request};
use url::Url;

use super::oauth::UrlRules;
use super::oauth::token::Refusal;
use crate::config::{BackendConfig, Secret, SignIn, is_loopback};
use crate::protocol::LATEST_LEGACY;
use crate::transport::address::{address_of, is_private};
use crate::transport::http::{ClientKey, Pool, PrivateAddress};

const GET_TIMEOUT: Duration = Duration::from_secs(10);
const POST_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_BODY: usize = 256 << 10;
const MAX_REDIRECTS: usize = 3;

/// Asks the authorization server of one backend.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    pool: Pool,
    backend: Arc<BackendConfig>,
    /// The backend's.
    pub(crate) url: Url,
    /// What is allowed of URLs that servers name.
    pub(crate) rules: UrlRules,
    /// Private addresses are not asked.
    guarded: bool,
}

/// A response of any status.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Http {
    /// For this backend. Private addresses may be asked where its own is one.
    ///
    /// # Errors
    /// If the backend has no URL.
    pub(crate) async fn new(
        pool: &Pool,
        backend: &Arc<BackendConfig>,
        sign_in: &SignIn,
    ) -> Result<Self, String> {
        let url = backend.url.clone()?;
        let rules = UrlRules {
            backend_on_loopback: is_loopback(&url),
            allow_insecure: backend.allow_insecure,
        };
        Ok(Self {
            pool: pool.clone(),
            backend: Arc::clone(backend),
            guarded: !sign_in.allow_private && !is_at_private_address(&url).await,
            url,
            rules,
        })
    }

    /// GETs a document. Redirects are followed within the origin.
    ///
    /// # Errors
    /// Why there is no response, for people, with the URL.
    pub(crate) async fn get(&self, url: &Url) -> Result<Fetched, String> {
        let fetching = async {
            let mut at = url.clone();
            for _ in 0..=MAX_REDIRECTS {
                let mut request = Request::new(Method::GET, at.clone());
                let version = HeaderValue::from_static(LATEST_LEGACY);
                request
                    .headers_mut()
                    .insert("mcp-protocol-version", version);
                let (fetched, location) = self.send(request).await?;
                let target = location.and_then(|location| at.join(&location).ok());
                match target {
                    Some(target) if (300..400).contains(&fetched.status) => {
                        if target.origin() != url.origin() {
                            return Err("it redirects to another server".to_owned());
                        }
                        at = target;
                    }
                    _ => return Ok(fetched),
                }
            }
            Err("it redirects from one address to the other".to_owned())
        };
        self.within(GET_TIMEOUT, url, fetching).await
    }

    /// POSTs a form, with the value of `Authorization` where there is one. No redirect is followed.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) async fn post_form(
        &self,
        url: &Url,
        form: &[(&str, String)],
        authorization: Option<&Secret>,
    ) -> Result<Fetched, String> {
        let body = {
            let mut body = url::form_urlencoded::Serializer::new(String::new());
            body.extend_pairs(form).finish()
        };
        self.post(
            url,
            "application/x-www-form-urlencoded",
            body,
            authorization,
        )
        .await
    }

    /// POSTs a JSON document. No redirect is followed.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) async fn post_json(&self, url: &Url, body: String) -> Result<Fetched, String> {
        self.post(url, "application/json", body, None).await
    }

    async fn post(
        &self,
        url: &Url,
        content_type: &'static str,
        body: String,
        authorization: Option<&Secret>,
    ) -> Result<Fetched, String> {
        let mut request = Request::new(Method::POST, url.clone());
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(secret) = authorization {
            let mut value = HeaderValue::from_str(secret.reveal())
                .map_err(|_| "the client secret has characters that no header can carry")?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        *request.body_mut() = Some(body.into());
        let sending = async { Ok(self.send(request).await?.0) };
        self.within(POST_TIMEOUT, url, sending).await
    }

    async fn within<T>(
        &self,
        limit: Duration,
        url: &Url,
        work: impl Future<Output = Result<T, String>>,
    ) -> Result<T, String> {
        let seconds = limit.as_secs();
        let result = tokio::time::timeout(limit, work).await;
        let result = result.unwrap_or_else(|_| Err(format!("no answer within {seconds} s")));
        result.map_err(|why| format!("{}: {why}", shown(url)))
    }

    /// Sends a request; returns the response and its `Location`.
    async fn send(&self, mut request: Request) -> Result<(Fetched, Option<String>), String> {
        let client = self.client(request.url()).await?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(ACCEPT, json);
        let sent = client.execute(request).await;
        let mut response = sent.map_err(|error| cause(&error))?;
        let location = response.headers().get(LOCATION);
        let location = location
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| cause(&error))? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BODY {
                return Err(format!("the answer has more than {MAX_BODY} bytes"));
            }
        }
        let status = response.status().as_u16();
        if Refusal::of(status, &body).is_some() {
            // Whole, before a quote cuts a secret in two that the server repeats.
            body = self.backend.scrubber.bytes(body);
        }
        Ok((Fetched { status, body }, location))
    }

    async fn client(&self, url: &Url) -> Result<Client, String> {
        let is_private = address_of(url).is_some_and(is_private) || is_loopback(url);
        if self.guarded && is_private {
            return Err(not_asked(PrivateAddress));
        }
        let same_origin = url.origin() == self.url.origin();
        let tls = &self.backend.tls;
        let host = url.host_str().map(str::to_owned);
        let key = ClientKey {
            connect_timeout: self.backend.connect_timeout,
            loopback: is_loopback(url),
            https: url.scheme() == "https",
            ca_file: tls.ca_file.clone(),
            client_cert: tls.client_cert.clone().filter(|_| same_origin),
            public_host: host.filter(|_| self.guarded),
        };
        Ok(self.pool.clients(key).await?.kept)
    }
}

/// Scheme, host and path of a URL, as a message shows it.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

async fn is_at_private_address(url: &Url) -> bool {
    if is_loopback(url) {
        return true;
    }
    if let Some(address) = address_of(url) {
        return is_private(address);
    }
    let host = url.host_str().unwrap_or_default();
    let addresses = tokio::net::lookup_host((host, 0)).await;
    addresses.is_ok_and(|mut all| all.any(|address| is_private(address.ip())))
}

fn not_asked(why: PrivateAddress) -> String {
    format!("{why}, which is not asked; oauth.allow_private = true allows it")
}

/// What is underneath an error, without the URL in it.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
        if let Some(private) = cause.downcast_ref::<PrivateAddress>() {
            return not_asked(*private);
        }
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Overrides, load};

    async fn asking(backend: &str) -> Http {
        let flags = Overrides {
            backends: vec![("a".to_owned(), backend.to_owned())],
            ..Overrides::default()
        };
        let environment = Environment::new("no-such-folder").with_state("no-such-folder");
        let config = load(&flags, &environment).unwrap();
        let backend = &config.backends[0];
        let sign_in = backend.sign_in.as_ref().unwrap();
        Http::new(&Pool::default(), backend, sign_in).await.unwrap()
    }

    #[tokio::test]
    async fn a_private_address_is_not_asked_for_a_public_backend() {
        let public = asking("https://8.8.8.8/mcp").await;
        for target in [
            "https://10.0.0.1/x",
            "https://[::1]/x",
            "https://localhost/x",
        ] {
            let why = public.get(&Url::parse(target).unwrap()).await.unwrap_err();
            assert!(
                why.contains("at a private address, which is not asked"),
                "{why}"
            );
            assert!(why.contains("oauth.allow_private"), "{why}");
        }
        for private in ["https://10.0.0.1/mcp", "http://127.0.0.1:1/mcp"] {
            assert!(!asking(private).await.guarded, "{private}");
        }
    }
}
