//! HTTP responses of the mock: one JSON body, or an event stream.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::value::RawValue;

use super::{Message, Server};
use crate::support::call::{STREAMED, Shape, Tool, now};

/// Responses up to this many bytes are copied into one buffer; larger ones are sent in parts, without a copy.
const COPIED: usize = 64 << 10;

/// Time from the progress notification to the response.
const PROGRESS_GAP: Duration = Duration::from_millis(5);

/// The response to a call.
pub(super) fn call(server: &Server, id: &RawValue, message: &Message<'_>) -> Response<Body> {
    let Ok(tool) = message.name().unwrap_or_default().parse::<Tool>() else {
        return json(id, error(-32602, "unknown tool"));
    };
    let result = server.texts.result(tool.bytes, server.modern);
    let token = message.meta().and_then(|meta| meta.progress_token);
    let token = token.map_or("null", RawValue::get);
    match tool.shape {
        Shape::Json => json(id, result),
        Shape::Sse => event_stream(Body::from_stream(stream::iter(event(id, result)))),
        Shape::Progress => progress(id, token, result),
        Shape::Stream => many(id, token, result),
    }
}

pub(super) fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}

pub(super) fn error(code: i64, message: &str) -> Bytes {
    Bytes::from(format!(
        r#""error":{{"code":{code},"message":"{message}"}}}}"#
    ))
}

/// The text of a response up to its id.
fn head(id: &RawValue) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"#)
}

pub(super) fn json(id: &RawValue, rest: Bytes) -> Response<Body> {
    let head = head(id);
    let length = head.len() + rest.len();
    let body = if length <= COPIED {
        Body::from([head.as_bytes(), &rest].concat())
    } else {
        let pieces = [Bytes::from(head), rest];
        Body::from_stream(stream::iter(pieces.map(Ok::<_, Infallible>)))
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CONTENT_LENGTH, header::HeaderValue::from(length));
    response
}

fn event_stream(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let value = header::HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

type Piece = Result<Bytes, Infallible>;

/// The response as one event, in the parts that it is sent in.
fn event(id: &RawValue, rest: Bytes) -> Vec<Piece> {
    let head = format!("event: message\ndata: {}", head(id));
    if rest.len() <= COPIED {
        vec![Ok(Bytes::from([head.as_bytes(), &rest, b"\n\n"].concat()))]
    } else {
        vec![
            Ok(Bytes::from(head)),
            Ok(rest),
            Ok(Bytes::from_static(b"\n\n")),
        ]
    }
}

/// A progress notification as an event, with the current time as its message.
fn notification(token: &str, progress: usize) -> Piece {
    let stamp = now().as_nanos();
    Ok(Bytes::from(format!(
        "event: message\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{\"progressToken\":{token},\"progress\":{progress},\"message\":\"{stamp}\"}}}}\n\n"
    )))
}

fn progress(id: &RawValue, token: &str, result: Bytes) -> Response<Body> {
    let token = token.to_owned();
    let notification = stream::once(async move { notification(&token, 1) });
    let answer = event(id, result);
    let answer = stream::once(async move {
        tokio::time::sleep(PROGRESS_GAP).await;
        stream::iter(answer)
    });
    event_stream(Body::from_stream(notification.chain(answer.flatten())))
}

fn many(id: &RawValue, token: &str, result: Bytes) -> Response<Body> {
    let token = token.to_owned();
    let notifications = (1..=STREAMED).map(move |number| notification(&token, number));
    let pieces = notifications.chain(event(id, result));
    event_stream(Body::from_stream(stream::iter(pieces)))
}
