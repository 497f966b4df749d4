//! The backend: a correct MCP server over Streamable HTTP, on one thread, with answers built beforehand, so that it costs as little as it can.
//!
//! Prints its URL, serves, and ends with its stdin.

use std::borrow::Cow;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::routing::post;
use axum::serve::ListenerExt;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Result;
use super::call::{PROTOCOL_VERSION, Shape, TOOLS, Tool, now};

/// Up to this size an answer is copied into one piece; above it, the shared bytes go out behind a head of their own.
const COPIED: usize = 64 << 10;

/// From the progress notification to the answer.
const PROGRESS_GAP: Duration = Duration::from_millis(5);

const SESSION: &str = "bench-session";

pub(crate) fn run() -> Result<()> {
    super::process::exit_with_stdin();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(serve())
}

async fn serve() -> Result<()> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "http://{}/mcp", listener.local_addr()?)?;
    out.flush()?;
    drop(out);
    let endpoint = post(answer).delete(async || StatusCode::NO_CONTENT);
    let app = Router::new()
        .route("/mcp", endpoint)
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::new(Results::default()));
    let listener = listener.tap_io(|connection| {
        // A connection that can't have it is as good as the others, only slower.
        let _ = connection.set_nodelay(true);
    });
    axum::serve(listener, app).await?;
    Ok(())
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, rename = "progressToken")]
    progress_token: Option<&'a RawValue>,
}

async fn answer(
    State(results): State<Arc<Results>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let Ok(message) = serde_json::from_slice::<Message<'_>>(&body) else {
        return plain(StatusCode::BAD_REQUEST, "not a JSON-RPC message");
    };
    let method = message.method.as_deref();
    if method != Some("initialize") && headers.get("mcp-session-id").is_none_or(|id| id != SESSION)
    {
        return plain(StatusCode::NOT_FOUND, "no such session");
    }
    let (Some(id), Some(method)) = (message.id, method) else {
        return plain(StatusCode::ACCEPTED, "");
    };
    match method {
        "initialize" => initialized(id),
        "tools/list" => json(id, Bytes::from(TOOL_LIST.as_str())),
        "tools/call" => {
            let params = message.params.as_ref();
            let name = params.and_then(|p| p.name.as_deref()).unwrap_or_default();
            let Ok(tool) = name.parse::<Tool>() else {
                return json(
                    id,
                    Bytes::from(r#""error":{"code":-32602,"message":"unknown tool"}}"#),
                );
            };
            let result = results.of(tool.bytes);
            match tool.shape {
                Shape::Json => json(id, result),
                Shape::Sse => event_stream(Body::from_stream(stream::iter(event(id, result)))),
                Shape::Progress => {
                    let token = params.and_then(|p| p.meta.as_ref()?.progress_token);
                    progress(id, token.map_or("null", RawValue::get), result)
                }
            }
        }
        "ping" => json(id, Bytes::from(r#""result":{}}"#)),
        _ => json(
            id,
            Bytes::from(r#""error":{"code":-32601,"message":"unknown method"}}"#),
        ),
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}

fn initialized(id: &RawValue) -> Response<Body> {
    let result = format!(
        r#""result":{{"protocolVersion":"{PROTOCOL_VERSION}","capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"mock","version":"1"}}}}}}"#
    );
    let mut response = json(id, Bytes::from(result));
    response
        .headers_mut()
        .insert("mcp-session-id", header::HeaderValue::from_static(SESSION));
    response
}

/// What stands before the rest of every answer.
fn head(id: &RawValue) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"#)
}

fn json(id: &RawValue, rest: Bytes) -> Response<Body> {
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

/// The answer as one event, in the pieces it is written in.
fn event(id: &RawValue, rest: Bytes) -> Vec<std::result::Result<Bytes, Infallible>> {
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

fn progress(id: &RawValue, token: &str, result: Bytes) -> Response<Body> {
    let token = token.to_owned();
    let notification = stream::once(async move {
        let stamp = now().as_nanos();
        Ok(Bytes::from(format!(
            "event: message\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{\"progressToken\":{token},\"progress\":1,\"message\":\"{stamp}\"}}}}\n\n"
        )))
    });
    let answer = event(id, result);
    let answer = stream::once(async move {
        tokio::time::sleep(PROGRESS_GAP).await;
        stream::iter(answer)
    });
    event_stream(Body::from_stream(notification.chain(answer.flatten())))
}

/// The results by size, each built when it is first asked for: text as servers send it, rows of JSON inside a JSON string.
#[derive(Default)]
struct Results(Mutex<HashMap<usize, Bytes>>);

impl Results {
    fn of(&self, bytes: usize) -> Bytes {
        let mut built = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        built.entry(bytes).or_insert_with(|| build(bytes)).clone()
    }
}

fn build(bytes: usize) -> Bytes {
    const ROW: &str = r#"{\"id\":1815,\"name\":\"Ada Lovelace\",\"email\":\"ada@example.com\",\"city\":\"Lisbon\"}\n"#;
    let mut text = ROW.repeat(bytes / ROW.len());
    text.extend(std::iter::repeat_n('.', bytes - text.len()));
    Bytes::from(format!(
        r#""result":{{"content":[{{"type":"text","text":"{text}"}}],"isError":false}}}}"#
    ))
}

static TOOL_LIST: LazyLock<String> = LazyLock::new(|| {
    let tools = TOOLS.map(|tool| {
        format!(
            r#"{{"name":"{tool}","description":"Answers with {} bytes","inputSchema":{{"type":"object","properties":{{"query":{{"type":"string"}}}}}},"annotations":{{"readOnlyHint":true}}}}"#,
            tool.bytes
        )
    });
    format!(r#""result":{{"tools":[{}]}}}}"#, tools.join(","))
});
