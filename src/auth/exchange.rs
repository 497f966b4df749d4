//! One exchange with the token endpoint.
//!
//! Owns the request with what identifies the client, and what is kept of the answer: the token, and its
//! end in seconds of Unix time. No secret of either is in any output.

use std::time::UNIX_EPOCH;

use url::Url;

use super::http::{Fetched, Http};
use super::oauth::authorization::OneTime;
use super::oauth::client::{CLIENT_ASSERTION, Client};
use super::oauth::token::{Grant, Refusal, TokenAnswer, TokenError, read_token};
use super::store::StoredToken;
use crate::clock;
use crate::config::BackendConfig;
use crate::text::{Reach, Scrubber};

/// Why there is no token.
#[derive(Debug)]
pub(crate) enum ExchangeError {
    /// The server's word, with an `error`.
    Refused(Refusal),
    /// No answer, or none of a token endpoint. Another attempt may go better.
    Failed(String),
}

impl ExchangeError {
    /// The `error` of the server.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.error.as_deref(),
            Self::Failed(_) => None,
        }
    }
}

/// The reason as it is shown to people.
impl std::fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

/// Asks for a token.
///
/// # Errors
/// Why there is none.
pub(crate) async fn token(
    http: &Http,
    endpoint: &Url,
    client: &Client,
    grant: Grant<'_>,
    resource: Option<&str>,
) -> Result<TokenAnswer, ExchangeError> {
    let Fetched { status, body } = send(http, endpoint, client, grant.form(resource))
        .await
        .map_err(ExchangeError::Failed)?;
    read_token(status, &body).map_err(|error| match error {
        TokenError::Refused(refusal) => ExchangeError::Refused(refusal),
        TokenError::Unusable(why) => ExchangeError::Failed(why),
    })
}

/// POSTs a form with what identifies the client.
///
/// # Errors
/// Why there is no response.
pub(crate) async fn send(
    http: &Http,
    endpoint: &Url,
    client: &Client,
    mut form: Vec<(&'static str, String)>,
) -> Result<Fetched, String> {
    let nonce = OneTime::new().state;
    let authorization = client.authenticate(&mut form, now(), nonce.reveal())?;
    let sending = http.post_form(endpoint, &form, authorization.as_ref());
    let fetched = sending.await?;
    let assertion = form.iter().find(|(name, _)| *name == CLIENT_ASSERTION);
    Ok(match assertion {
        Some((_, assertion)) => Fetched {
            body: without(assertion, fetched.body),
            ..fetched
        },
        None => fetched,
    })
}

/// The body of an answer without a secret that holds for a minute: one more with each request is too
/// much for the backend's own scrubber, and only this answer can quote it.
fn without(secret: &str, body: Vec<u8>) -> Vec<u8> {
    let scrubber = Scrubber::default();
    scrubber.learn(secret, Reach::Everywhere);
    scrubber.bytes(body)
}

/// The token of an answer to a request that was sent at `asked_at`. What the answer leaves out stays
/// as it was.
pub(crate) fn stored(
    answer: TokenAnswer,
    asked_at: u64,
    before: Option<&StoredToken>,
    requested: &[String],
) -> StoredToken {
    let scope = answer
        .scope
        .or_else(|| before.map(|token| token.scope.clone()));
    StoredToken {
        access: answer.access,
        refresh: answer
            .refresh
            .or_else(|| before.and_then(|token| token.refresh.clone())),
        obtained_at: asked_at,
        expires_at: answer
            .expires_in
            .map(|life| asked_at.saturating_add(life.as_secs())),
        scope: scope.unwrap_or_else(|| requested.to_vec()),
    }
}

/// Learns the token as a secret: from now on it is in no output.
pub(crate) fn learn(backend: &BackendConfig, token: &StoredToken) {
    let scrubber = &backend.scrubber;
    for secret in [Some(&token.access), token.refresh.as_ref()]
        .into_iter()
        .flatten()
    {
        scrubber.learn(secret.reveal(), Reach::Everywhere);
    }
}

/// Seconds of Unix time.
pub(crate) fn now() -> u64 {
    let since = clock::wall().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
