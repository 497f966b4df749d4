//! `initialize` of the legacy era (MCP 2025-11-25, basic/lifecycle).
//!
//! Owns sending one offer and reading its answer. It must not know what is tried next.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::header::HeaderValue;
use tokio::time::Instant;

use super::profile::profile;
use super::refusal;
use super::search::{Failure, Offer};
use crate::backend::error::BackendError;
use crate::backend::http::{Endpoint, SESSION_ID};
use crate::backend::session::http_sse::HttpSseTransport;
use crate::backend::session::server_profile::Negotiated;
use crate::backend::stream::ServerMessageHandler;
use crate::backend::stream::{NoopHandler, RefusalBody, ResponseReader, Takes, fresh_id};
use crate::protocol::{ClientProfile, Era, Id, LEGACY_VERSIONS, Outcome, RawJson, message};
use crate::protocol::{Notification, Request};

/// What a server agreed to, and the session id if it set one.
pub(super) type Agreed = (Negotiated, Option<HeaderValue>);

/// How it failed, and the error to report.
pub(super) type Refused = (Failure, BackendError);

/// Takes the notifications that a server sends before its answer; a request of its has no session yet.
struct NotificationsOnly<'a>(&'a dyn ServerMessageHandler);

impl ServerMessageHandler for NotificationsOnly<'_> {
    fn notification(&self, notification: Notification) {
        self.0.notification(notification);
    }

    fn request(&self, request: Request) -> BoxFuture<'_, Outcome> {
        NoopHandler.request(request)
    }
}

/// Sends `initialize` with this offer for the client; over `http_sse` if that is the offer's transport.
/// Notifications that come before the answer go to `unsolicited`.
///
/// # Errors
/// When the server can't be reached, refuses, or answers with a version that we don't know.
pub(super) async fn initialize(
    endpoint: &Endpoint,
    client: &ClientProfile,
    offer: Offer,
    http_sse: Option<&HttpSseTransport>,
    unsolicited: &dyn ServerMessageHandler,
) -> Result<Agreed, Refused> {
    let id = fresh_id();
    let body = message::request(&id, "initialize", Some(&params(client, offer)));
    let sent_at = Instant::now();
    let (outcome, session) = match http_sse {
        Some(http_sse) => {
            let response = http_sse.request(&id, body, None, &NoopHandler, Takes::Nothing, None);
            (response.await.map_err(failed)?, None)
        }
        None => post(endpoint, &id, body, offer, unsolicited).await?,
    };
    let negotiated = negotiated(outcome, offer, endpoint, sent_at.elapsed())?;
    Ok((negotiated, session))
}

/// A failure that has been read for all that it says.
fn failed(error: BackendError) -> Refused {
    let failure = match &error {
        BackendError::Refused { status, .. } => refusal::read("", &[], None, Some(*status)),
        BackendError::BadReply(_) | BackendError::Handshake(_) => {
            Failure::Refused(Default::default())
        }
        BackendError::Silent(_) => Failure::Silent,
        _ => Failure::End,
    };
    (failure, error)
}

/// `initialize` over Streamable HTTP: the response, and the session id if the server set one.
async fn post(
    endpoint: &Endpoint,
    id: &Id,
    body: Bytes,
    offer: Offer,
    unsolicited: &dyn ServerMessageHandler,
) -> Result<(Outcome, Option<HeaderValue>), Refused> {
    let posted = endpoint.post(endpoint.headers(), body, None).await;
    let (mut response, _in_flight) = posted.map_err(failed)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let session = headers.get(SESSION_ID).cloned();
    if !status.is_success() {
        let body = RefusalBody::read(&mut response).await;
        return match body.answer_to(id) {
            // Only who took the request has a result.
            Some(result @ Outcome::Result(_)) => Ok((result, session)),
            own => {
                let failure = refusal::read(
                    offer.version,
                    body.bytes(),
                    body.error(),
                    Some(status.as_u16()),
                );
                let error = match (own, &failure) {
                    (Some(Outcome::Error(error)), Failure::Refused(_)) => refuses(&error, endpoint),
                    _ => endpoint.refusal(status, &headers, body.bytes()),
                };
                Err((failure, error))
            }
        };
    }
    let reading = ResponseReader {
        endpoint,
        sink: id,
        era: Era::Legacy,
        probing: false,
        in_session: false,
        idle: None,
        handler: &NotificationsOnly(unsolicited),
        responder: &|_, _| futures_util::future::ready(Ok(())).boxed(),
        resume: None,
        trace: None,
    };
    let outcome = reading.answer(response).await.map_err(failed)?;
    Ok((outcome, session))
}

fn params(client: &ClientProfile, offer: Offer) -> RawJson {
    let info = client.info.clone();
    let info = info.unwrap_or_else(|| RawJson::trusted(r#"{"name":"unknown","version":"0"}"#));
    let capabilities = match offer.bare {
        true => "{}",
        false => client.capabilities.as_str(),
    };
    RawJson::trusted(format!(
        r#"{{"protocolVersion":"{}","capabilities":{capabilities},"clientInfo":{}}}"#,
        offer.version,
        info.as_str()
    ))
}

fn negotiated(
    outcome: Outcome,
    offer: Offer,
    endpoint: &Endpoint,
    latency: Duration,
) -> Result<Negotiated, Refused> {
    match outcome {
        Outcome::Result(result) => Ok(Negotiated {
            version: negotiated_version(&result, endpoint).map_err(failed)?,
            server: profile(&result, result.get("serverInfo").as_ref(), endpoint),
            latency,
        }),
        Outcome::Error(error) => Err((
            refusal::read(offer.version, error.as_bytes(), Some(&error), None),
            refuses(&error, endpoint),
        )),
    }
}

fn refuses(error: &RawJson, endpoint: &Endpoint) -> BackendError {
    let why = endpoint.snippet(error.as_bytes());
    BackendError::Handshake(format!("the server refuses initialize: {why}"))
}

fn negotiated_version(result: &RawJson, endpoint: &Endpoint) -> Result<&'static str, BackendError> {
    let version = result.get("protocolVersion").and_then(|value| value.text());
    let version = version.ok_or_else(|| {
        BackendError::Handshake("its initialize result names no protocolVersion".into())
    })?;
    let known = LEGACY_VERSIONS.into_iter().find(|known| *known == version);
    known.ok_or_else(|| {
        let version = endpoint.snippet(version.as_bytes());
        BackendError::Handshake(format!(
            "it answers initialize with protocol version {version}, which this gateway does not speak"
        ))
    })
}
