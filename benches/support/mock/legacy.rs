//! A legacy server, with a handshake and sessions.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use bytes::Bytes;
use serde_json::value::RawValue;

use super::reply::{self, json};
use super::{Message, Server};
use crate::support::call::LEGACY_VERSION;

const SESSION: &str = "bench-session";

pub(super) fn answer(
    server: &Server,
    headers: &HeaderMap,
    message: &Message<'_>,
) -> Response<Body> {
    let method = message.method.as_deref();
    if method != Some("initialize") && headers.get("mcp-session-id").is_none_or(|id| id != SESSION)
    {
        return reply::plain(StatusCode::NOT_FOUND, "no such session");
    }
    let (Some(id), Some(method)) = (message.id, method) else {
        return reply::plain(StatusCode::ACCEPTED, "");
    };
    match method {
        "initialize" => initialize_result(id, server.texts.capabilities()),
        "tools/list" => json(id, server.texts.list()),
        "resources/list" => json(id, server.texts.resources()),
        "resources/templates/list" => json(
            id,
            Bytes::from_static(br#""result":{"resourceTemplates":[]}}"#),
        ),
        "tools/call" => reply::call(server, id, message),
        "ping" => json(id, Bytes::from_static(br#""result":{}}"#)),
        _ => json(id, reply::error(-32601, "unknown method")),
    }
}

fn initialize_result(id: &RawValue, capabilities: &str) -> Response<Body> {
    let result = format!(
        r#""result":{{"protocolVersion":"{LEGACY_VERSION}","capabilities":{capabilities},"serverInfo":{{"name":"mock","version":"1"}}}}}}"#
    );
    let mut response = json(id, Bytes::from(result));
    response
        .headers_mut()
        .insert("mcp-session-id", HeaderValue::from_static(SESSION));
    response
}
