//! The handshake with a backend, which finds out what it speaks.
//!
//! Owns the detection of a server's era (B-C-03, B-C-04): `server/discover` of the modern one
//! (MCP 2026-07-28, server/discover) and `initialize` of the legacy one (MCP 2025-11-25,
//! basic/lifecycle). It must not know when to connect, nor whether to try again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use reqwest::header::{HeaderName, HeaderValue};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::attempt::fresh_id;
use super::connection::{Connection, PROTOCOL_VERSION, SESSION_ID};
use super::http_sse::HttpSseTransport;
use super::server_profile::{Negotiated, ServerProfile};
use crate::backend::error::BackendError;
use crate::backend::http::Endpoint;
use crate::backend::stream::{NoopHandler, ResponseReader, ServerMessageHandler};
use crate::protocol::era::modern::{self, key};
use crate::protocol::error::{HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION, code_of};
use crate::protocol::message::elements;
use crate::protocol::{
    ClientProfile, Era, Id, LEGACY_VERSIONS, MODERN_VERSION, Outcome, RawJson, message,
};

/// Most bytes of `instructions` that are read.
const MAX_INSTRUCTIONS: usize = 32 << 10;

/// How long `server/discover` may take at first.
pub(in crate::backend) const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// The era of a server, as far as `server/discover` shows it.
#[derive(Debug)]
pub(in crate::backend) enum Probed {
    /// Modern. The connection is ready.
    Modern(Arc<Connection>),
    /// Not modern: `initialize` is next.
    Legacy,
    /// No response in time. Some legacy servers don't respond to methods that they don't know;
    /// others are slow.
    Silent,
}

/// Sends `server/discover`, for at most `patience`.
///
/// # Errors
/// When the response says nothing about the era: the server can't be reached, refuses our
/// credentials, or fails; or when it is modern and shares no version with us.
pub(in crate::backend) async fn probe(
    endpoint: &Arc<Endpoint>,
    background: &TaskTracker,
    patience: Duration,
) -> Result<Probed, BackendError> {
    let sent_at = Instant::now();
    let probing = tokio::time::timeout(patience, async {
        match discover(endpoint).await {
            // It lists our version all the same: try once more, as the specification says.
            Ok(Outcome::Error(error)) if offers_our_version(&error) => discover(endpoint).await,
            other => other,
        }
    });
    let Ok(response) = probing.await else {
        return Ok(Probed::Silent);
    };
    let latency = sent_at.elapsed();
    match response {
        Ok(Outcome::Result(result)) => match versions_in(result.get("supportedVersions")) {
            Some(versions) if versions.iter().any(|version| version == MODERN_VERSION) => {
                let negotiated = Negotiated {
                    version: MODERN_VERSION,
                    server: discovered(&result, endpoint),
                    latency,
                };
                let connection =
                    Connection::modern(Arc::clone(endpoint), background.clone(), negotiated);
                Ok(Probed::Modern(Arc::new(connection)))
            }
            Some(versions) => legacy_among(&versions, endpoint),
            // A server that answers any method with a result.
            None => Ok(Probed::Legacy),
        },
        Ok(Outcome::Error(error)) => match code_of(&error) {
            Some(UNSUPPORTED_VERSION) => legacy_among(&supported_by(&error), endpoint),
            Some(HEADER_MISMATCH | MISSING_CAPABILITY) => {
                let why = endpoint.snippet(error.as_bytes());
                Err(BackendError::Handshake(format!(
                    "the server refuses server/discover: {why}"
                )))
            }
            _ => Ok(Probed::Legacy),
        },
        Err(BackendError::Refused { .. } | BackendError::BadReply(_)) => Ok(Probed::Legacy),
        Err(other) => Err(other),
    }
}

async fn discover(endpoint: &Endpoint) -> Result<Outcome, BackendError> {
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

/// A modern server that lists no modern version of ours may list a legacy one.
fn legacy_among(versions: &[String], endpoint: &Endpoint) -> Result<Probed, BackendError> {
    let known = |version: &String| LEGACY_VERSIONS.contains(&version.as_str());
    if versions.iter().any(known) {
        return Ok(Probed::Legacy);
    }
    let versions = endpoint.snippet(versions.join(", ").as_bytes());
    Err(BackendError::Handshake(format!(
        "it speaks protocol versions {versions}, none of which this gateway does"
    )))
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

fn discovered(result: &RawJson, endpoint: &Endpoint) -> ServerProfile {
    let info = result.at(&["_meta", key::SERVER_INFO]);
    profile(result, info.as_ref(), endpoint)
}

/// The legacy handshake: `initialize` with the client's profile, then `notifications/initialized`.
/// Where the server refuses the POST, the HTTP with SSE transport of 2024-11-05 is tried (B-L-09);
/// on it, `unsolicited` takes messages that belong to no call.
///
/// # Errors
/// When the backend can't be reached, refuses, or answers with a version that we don't know.
pub(in crate::backend) async fn initialize(
    endpoint: &Arc<Endpoint>,
    client: &ClientProfile,
    background: &TaskTracker,
    unsolicited: Arc<dyn ServerMessageHandler>,
) -> Result<Connection, BackendError> {
    let id = fresh_id();
    let body = message::request(&id, "initialize", Some(&initialize_params(client)));
    let sent_at = Instant::now();
    let background = background.clone();
    let connection = match post_initialize(endpoint, &id, body.clone()).await {
        Ok((outcome, session)) => {
            let negotiated = negotiated(outcome, endpoint, sent_at.elapsed())?;
            Connection::legacy(Arc::clone(endpoint), background, negotiated, session)
        }
        Err(
            refused @ BackendError::Refused {
                status: 400 | 404 | 405,
                ..
            },
        ) => {
            let http_sse = match HttpSseTransport::open(endpoint, unsolicited).await {
                Ok(http_sse) => http_sse,
                Err(wrong @ BackendError::Handshake(_)) => return Err(wrong),
                Err(_) => return Err(refused),
            };
            let outcome = http_sse
                .request(&id, body, None, &NoopHandler, None)
                .await?;
            let negotiated = negotiated(outcome, endpoint, sent_at.elapsed())?;
            Connection::old(Arc::clone(endpoint), background, negotiated, http_sse)
        }
        Err(error) => return Err(error),
    };
    connection.notify("notifications/initialized", None).await?;
    Ok(connection)
}

/// `initialize` over Streamable HTTP: the response, and the session id if the server set one.
async fn post_initialize(
    endpoint: &Endpoint,
    id: &Id,
    body: Bytes,
) -> Result<(Outcome, Option<HeaderValue>), BackendError> {
    let (response, _in_flight) = endpoint.post(endpoint.headers(), body, None).await?;
    let session = response.headers().get(SESSION_ID).cloned();
    let reading = ResponseReader {
        endpoint,
        sink: id,
        era: Era::Legacy,
        probing: false,
        in_session: false,
        idle: None,
        handler: &NoopHandler,
        responder: &|_, _| futures_util::future::ready(Ok(())).boxed(),
        resume: None,
        trace: None,
    };
    Ok((reading.answer(response).await?, session))
}

fn initialize_params(client: &ClientProfile) -> RawJson {
    let info = client.info.clone();
    let info = info.unwrap_or_else(|| RawJson::trusted(r#"{"name":"unknown","version":"0"}"#));
    RawJson::trusted(format!(
        r#"{{"protocolVersion":"{}","capabilities":{},"clientInfo":{}}}"#,
        client.version,
        client.capabilities.as_str(),
        info.as_str()
    ))
}

fn negotiated(
    outcome: Outcome,
    endpoint: &Endpoint,
    latency: Duration,
) -> Result<Negotiated, BackendError> {
    match outcome {
        Outcome::Result(result) => Ok(Negotiated {
            version: negotiated_version(&result, endpoint)?,
            server: profile(&result, result.get("serverInfo").as_ref(), endpoint),
            latency,
        }),
        Outcome::Error(error) => {
            let why = endpoint.snippet(error.as_bytes());
            Err(BackendError::Handshake(format!(
                "the server refuses initialize: {why}"
            )))
        }
    }
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

fn profile(result: &RawJson, info: Option<&RawJson>, endpoint: &Endpoint) -> ServerProfile {
    let shown = |key: &str| {
        let value = info
            .and_then(|info| info.get(key)?.text())
            .unwrap_or_default();
        endpoint.snippet(value.as_bytes())
    };
    let capabilities = result.get("capabilities").filter(RawJson::is_object);
    let instructions = result.get("instructions").and_then(|text| text.text());
    let instructions = instructions.map(|text| beginning(&text, MAX_INSTRUCTIONS).into());
    ServerProfile {
        name: shown("name"),
        version: shown("version"),
        capabilities: capabilities.unwrap_or_else(|| RawJson::trusted("{}")),
        instructions,
    }
}

/// The beginning of a text, cut between two words: a secret that is cut in two can't be recognised.
fn beginning(text: &str, max_bytes: usize) -> &str {
    if text.len() <= max_bytes {
        return text;
    }
    let mut spaces = text.match_indices(char::is_whitespace).map(|(at, _)| at);
    &text[..spaces
        .by_ref()
        .take_while(|at| *at <= max_bytes)
        .last()
        .unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::beginning;

    #[test]
    fn a_text_is_cut_between_words() {
        for (text, expected) in [
            ("one two", "one two"),
            ("one two three", "one two"),
            ("one twothree", "one"),
            ("onetwothree", ""),
            ("éééé é", ""),
        ] {
            assert_eq!(beginning(text, 7), expected, "{text}");
        }
    }
}
