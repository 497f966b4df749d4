//! `server/discover` of the modern era (MCP 2026-07-28, server/discover).
//!
//! Owns what the answer shows of the server's era (B-C-03, B-C-04). It must not know what is tried
//! next.

use futures_util::FutureExt;
use reqwest::header::{HeaderName, HeaderValue};

use super::profile::profile;
use super::search::Failure;
use crate::backend::error::BackendError;
use crate::backend::http::Endpoint;
use crate::backend::session::connection::PROTOCOL_VERSION;
use crate::backend::session::server_profile::ServerProfile;
use crate::backend::stream::{NoopHandler, ResponseReader, fresh_id};
use crate::protocol::era::modern::{self, key};
use crate::protocol::error::{HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION, code_of};
use crate::protocol::message::elements;
use crate::protocol::{
    ClientProfile, Era, LEGACY_VERSIONS, MODERN_VERSION, Outcome, RawJson, message,
};

/// A modern server.
#[derive(Debug)]
pub(super) struct Discovered {
    pub(super) server: ServerProfile,
    /// It names a legacy version too.
    pub(super) is_legacy_too: bool,
}

/// Sends `server/discover`.
///
/// # Errors
/// What the answer shows instead, and the error to tell.
pub(super) async fn discover(endpoint: &Endpoint) -> Result<Discovered, (Failure, BackendError)> {
    let response = match send(endpoint).await {
        // It lists our version all the same: try once more, as the specification says.
        Ok(Outcome::Error(error))
            if offers_our_version(&error) && endpoint.addresses().may_repeat() =>
        {
            send(endpoint).await
        }
        other => other,
    };
    match response {
        Ok(Outcome::Result(result)) => match versions_in(result.get("supportedVersions")) {
            Some(versions) if versions.iter().any(|version| version == MODERN_VERSION) => {
                let info = result.at(&["_meta", key::SERVER_INFO]);
                Ok(Discovered {
                    server: profile(&result, info.as_ref(), endpoint),
                    is_legacy_too: versions.iter().any(|version| is_legacy(version)),
                })
            }
            Some(versions) => Err(without_our_version(&versions, endpoint)),
            // A server that answers any method with a result.
            None => Err(not_modern()),
        },
        Ok(Outcome::Error(error)) => Err(match code_of(&error) {
            Some(UNSUPPORTED_VERSION) => without_our_version(&supported_by(&error), endpoint),
            Some(HEADER_MISMATCH | MISSING_CAPABILITY) => {
                let why = endpoint.snippet(error.as_bytes());
                let why = format!("the server refuses server/discover: {why}");
                (Failure::End, BackendError::Handshake(why))
            }
            _ => not_modern(),
        }),
        Err(error) => Err(unanswered(error)),
    }
}

/// Whether the probe's failure says when to ask again, and that of `initialize` says nothing more useful: the next
/// attempt keeps to it.
pub(super) fn says_when(probe: &BackendError, refused: &BackendError) -> bool {
    let is_less = refused.retry_after().is_none();
    probe.retry_after().is_some()
        && is_less
        && !matches!(refused, BackendError::AuthRequired { .. })
}

/// What a failure of the probe shows. Where no server was reached, no other request reaches one.
fn unanswered(error: BackendError) -> (Failure, BackendError) {
    let asks_to_wait = error.retry_after().is_some_and(|wait| !wait.is_zero());
    match error {
        _ if asks_to_wait => (Failure::Later, error),
        BackendError::Refused { .. } | BackendError::BadReply(_) => not_modern(),
        BackendError::AuthRequired { .. }
        | BackendError::ServerError { .. }
        | BackendError::Unavailable { .. }
        | BackendError::RateLimited { .. }
        | BackendError::Redirected { .. }
        | BackendError::ConnectionLost { .. }
        | BackendError::RequestTooLarge { .. }
        | BackendError::TooLarge { .. } => (Failure::Undecided, error),
        _ => (Failure::End, error),
    }
}

fn not_modern() -> (Failure, BackendError) {
    let why =
        format!("the server does not speak {MODERN_VERSION}: leave out protocol = \"modern\"");
    (Failure::NotModern, BackendError::Handshake(why))
}

/// A modern server that lists no modern version of ours may list a legacy one.
fn without_our_version(versions: &[String], endpoint: &Endpoint) -> (Failure, BackendError) {
    if versions.iter().any(|version| is_legacy(version)) {
        return not_modern();
    }
    let versions = endpoint.snippet(versions.join(", ").as_bytes());
    let why = format!("it speaks protocol versions {versions}, none of which this gateway does");
    (Failure::End, BackendError::Handshake(why))
}

async fn send(endpoint: &Endpoint) -> Result<Outcome, BackendError> {
    let method = "server/discover";
    let params = modern::params_for(None, &ClientProfile::ourselves());
    let id = fresh_id();
    let mut headers = endpoint.headers().clone();
    headers.insert(PROTOCOL_VERSION, HeaderValue::from_static(MODERN_VERSION));
    headers.insert(
        HeaderName::from_static("mcp-method"),
        HeaderValue::from_static(method),
    );
    let body = message::request(&id, method, Some(&params));
    let (response, _in_flight) = endpoint.post(&headers, body, None).await?;
    let reading = ResponseReader {
        endpoint,
        sink: &id,
        era: Era::Modern,
        probing: true,
        in_session: false,
        idle: None,
        handler: &NoopHandler,
        responder: &|_, _| futures_util::future::ready(Ok(())).boxed(),
        resume: None,
        trace: None,
    };
    reading.answer(response).await
}

fn offers_our_version(error: &RawJson) -> bool {
    let unsupported = code_of(error) == Some(UNSUPPORTED_VERSION);
    unsupported
        && supported_by(error)
            .iter()
            .any(|version| version == MODERN_VERSION)
}

/// `data.supported` of an unsupported-version error.
fn supported_by(error: &RawJson) -> Vec<String> {
    versions_in(error.at(&["data", "supported"])).unwrap_or_default()
}

fn versions_in(list: Option<RawJson>) -> Option<Vec<String>> {
    let list = elements(&list?)?;
    list.iter().map(RawJson::text).collect()
}

fn is_legacy(version: &str) -> bool {
    LEGACY_VERSIONS.contains(&version)
}
