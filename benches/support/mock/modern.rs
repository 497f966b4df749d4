//! A modern server, stateless: checks the version in `_meta` and the headers that repeat parts of the body.

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode};
use bytes::Bytes;

use super::reply::{self, json};
use super::texts::{CACHEABLE, SERVER_INFO};
use super::{Message, Server};
use crate::support::call::MODERN_VERSION;

const HEADER_MISMATCH: i64 = -32020;
const UNSUPPORTED_VERSION: i64 = -32022;

pub(super) fn answer(
    server: &Server,
    headers: &HeaderMap,
    message: &Message<'_>,
) -> Response<Body> {
    let (Some(id), Some(method)) = (message.id, message.method.as_deref()) else {
        return reply::plain(StatusCode::ACCEPTED, "");
    };
    let refused = |code, why| {
        let mut response = json(id, reply::error(code, why));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
    };
    if message.meta().and_then(|meta| meta.version.as_deref()) != Some(MODERN_VERSION) {
        return refused(UNSUPPORTED_VERSION, "not a request of 2026-07-28");
    }
    let has_header =
        |header: &str, value: &str| headers.get(header).is_some_and(|found| found == value);
    let names_the_tool = match (method, message.name()) {
        ("tools/call", Some(name)) => has_header("mcp-name", name),
        _ => true,
    };
    if !has_header("mcp-protocol-version", MODERN_VERSION)
        || !has_header("mcp-method", method)
        || !names_the_tool
    {
        return refused(HEADER_MISMATCH, "headers and body differ");
    }
    match method {
        "server/discover" => json(id, discover_result()),
        "tools/list" => json(id, server.texts.modern_list()),
        "tools/call" => reply::call(server, id, message),
        _ => {
            let mut response = json(id, reply::error(-32601, "unknown method"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    }
}

fn discover_result() -> Bytes {
    Bytes::from(format!(
        r#""result":{{"supportedVersions":["{MODERN_VERSION}"],"capabilities":{{"tools":{{}}}},{CACHEABLE},{SERVER_INFO}}}}}"#
    ))
}
