//! HTTP/1.1 by hand: reads a request from a socket and writes a reply to it.

use std::io::Write;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::live_stream::{LiveStream, Piece};
use super::reply::{Framing, Reply, Step};

/// In a template: the member that a result has in the era of its request.
const OF_ANY_ERA: &str = "\"resultType\":\"$era\"";

/// A request as received.
#[derive(Clone, Debug)]
pub struct Request {
    /// `POST`, `GET` or `DELETE`.
    pub http_method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The body as JSON; null where there is none.
    pub message: Value,
}

impl Request {
    /// The JSON-RPC method, `response`, or the HTTP method if there is no JSON body.
    pub fn kind(&self) -> &str {
        match (&self.message["method"], &self.message) {
            (Value::String(method), _) => method,
            (_, Value::Null) => &self.http_method,
            _ => "response",
        }
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// `params`, or null.
    pub fn params(&self) -> &Value {
        &self.message["params"]
    }

    /// The tool of a `tools/call`, or an empty name.
    pub fn tool(&self) -> &str {
        self.params()["name"].as_str().unwrap_or_default()
    }

    /// The member `io.modelcontextprotocol/<key>` of `params._meta`.
    pub fn meta(&self, key: &str) -> &Value {
        &self.params()["_meta"][format!("io.modelcontextprotocol/{key}")]
    }

    /// Whether its metadata or its version header declares the modern era.
    pub fn is_modern(&self) -> bool {
        !self.meta("protocolVersion").is_null()
            || self.header("mcp-protocol-version") == Some("2026-07-28")
    }

    /// Fills in a template of [`message`](super::message) for this request.
    pub(super) fn fill_in(&self, template: &str) -> Vec<u8> {
        let id = self.message["id"].to_string();
        let token = self.params()["_meta"]["progressToken"].to_string();
        let filled = template
            .replace("\"$id\"", &id)
            .replace("$text_of_id", id.trim_matches('"'))
            .replace("\"$token\"", &token);
        if !filled.contains(OF_ANY_ERA) {
            return filled.into_bytes();
        }
        let member = match self.is_modern() {
            true => "\"resultType\":\"complete\"",
            false => "\"_meta\":{}",
        };
        filled.replace(OF_ANY_ERA, member).into_bytes()
    }
}

/// Reads the next request. `None` if the client has disconnected.
pub(super) async fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let head_len = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        read_more(stream, &mut bytes).await?;
    };
    let head = String::from_utf8(bytes[..head_len].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap().split(' ').map(str::to_owned);
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .map_or(0, |(_, length)| length.parse().unwrap());
    let mut body = bytes.split_off(head_len + 4);
    while body.len() < length {
        read_more(stream, &mut body).await?;
    }
    Some(Request {
        http_method: first.next().unwrap(),
        target: first.next().unwrap(),
        headers,
        message: serde_json::from_slice(&body).unwrap_or_default(),
        body,
    })
}

async fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let read = stream.read_buf(bytes).await.ok()?;
    (read > 0).then_some(())
}

/// Writes a reply step by step. `None` if the connection has ended.
pub(super) async fn write_reply(
    stream: &mut TcpStream,
    reply: &Reply,
    request: &Request,
) -> Option<()> {
    // The connection may end before a live stream is reached; the stream ends with it too.
    let _open: Vec<_> = reply
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Live(live) => Some(live.opened()),
            _ => None,
        })
        .collect();
    let mut steps: Vec<Step> = reply
        .steps
        .iter()
        .map(|step| match step {
            Step::Text(text) => Step::Bytes(request.fill_in(text)),
            other => other.clone(),
        })
        .collect();
    if reply.gzip {
        let body = gzip(&bytes_of(&steps));
        steps.retain(|step| !matches!(step, Step::Bytes(_)));
        steps.push(Step::Bytes(body));
    }
    let mut head = head(reply, bytes_of(&steps).len());
    for step in &steps {
        if !matches!(step, Step::Hold(_) | Step::Delay(_)) {
            send(stream, &std::mem::take(&mut head), None).await?;
        }
        match step {
            Step::Text(_) => unreachable!("filled in above"),
            Step::Bytes(bytes) if reply.framing == Framing::Chunked && !bytes.is_empty() => {
                send(stream, &chunk(bytes), reply.pace).await?;
            }
            Step::Bytes(bytes) => send(stream, bytes, reply.pace).await?,
            Step::Hold(gate) => tokio::select! {
                () = gate.pass() => {}
                () = hung_up(stream) => {
                    gate.disconnected();
                    return None;
                }
            },
            Step::Pause(pause) | Step::Delay(pause) => tokio::select! {
                () = tokio::time::sleep(*pause) => {}
                () = hung_up(stream) => return None,
            },
            Step::Live(live) => write_live(stream, live, request).await?,
            Step::Stall => {
                hung_up(stream).await;
                return None;
            }
            Step::HangUp => return None,
            Step::Reset => {
                stream.set_zero_linger().unwrap();
                return None;
            }
        }
    }
    send(stream, &head, None).await?;
    match reply.framing {
        Framing::Chunked => send(stream, b"0\r\n\r\n", None).await,
        Framing::Close => None,
        Framing::Length { .. } | Framing::Raw => Some(()),
    }
}

async fn write_live(stream: &mut TcpStream, live: &LiveStream, request: &Request) -> Option<()> {
    loop {
        let piece = tokio::select! {
            piece = live.next() => piece,
            () = hung_up(stream) => return None,
        };
        match piece {
            Piece::Text(text) => send(stream, &chunk(&request.fill_in(&text)), None).await?,
            Piece::End => return Some(()),
            Piece::HangUp => return None,
        }
    }
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

fn head(reply: &Reply, body_len: usize) -> Vec<u8> {
    if reply.framing == Framing::Raw {
        return Vec::new();
    }
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &match reply.framing {
        Framing::Length { excess } => {
            format!("content-length: {}\r\n\r\n", body_len as isize + excess)
        }
        Framing::Chunked => "transfer-encoding: chunked\r\n\r\n".to_owned(),
        Framing::Close | Framing::Raw => "connection: close\r\n\r\n".to_owned(),
    };
    head.into_bytes()
}

fn bytes_of(steps: &[Step]) -> Vec<u8> {
    let pieces = steps.iter().filter_map(|step| match step {
        Step::Bytes(bytes) => Some(bytes.as_slice()),
        _ => None,
    });
    pieces.collect::<Vec<_>>().concat()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

async fn send(stream: &mut TcpStream, bytes: &[u8], pace: Option<Duration>) -> Option<()> {
    let Some(pause) = pace else {
        return stream.write_all(bytes).await.ok();
    };
    for byte in bytes {
        stream.write_all(&[*byte]).await.ok()?;
        tokio::time::sleep(pause).await;
    }
    Some(())
}

async fn hung_up(stream: &mut TcpStream) {
    let mut rest = [0; 1024];
    while matches!(stream.read(&mut rest).await, Ok(1..)) {}
}
