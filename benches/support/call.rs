//! What is asked and what is answered: the tools of the mock, the lines of the client, the check of every message that comes back.
//!
//! Knows JSON-RPC text alone; neither processes nor HTTP.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Result;

/// The protocol version that all parties of the bench speak.
pub(crate) const PROTOCOL_VERSION: &str = "2025-06-18";

/// Id of the first call; smaller ids belong to the handshake.
pub(crate) const FIRST_CALL: u64 = 100;

/// How the mock answers a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One JSON body with its length told beforehand.
    Json,
    /// An event stream with the answer as its only event.
    Sse,
    /// An event stream: one progress notification, stamped as it leaves, and the answer some milliseconds later.
    Progress,
}

/// A tool of the mock. Its name says how it answers: `json_1024` is one JSON body around 1024 bytes of result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tool {
    pub(crate) shape: Shape,
    /// Size of the result, in bytes.
    pub(crate) bytes: usize,
}

/// All tools that the mock lists.
pub(crate) const TOOLS: [Tool; 4] = [JSON_SMALL, SSE_SMALL, PROGRESS_SMALL, JSON_LARGE];
pub(crate) const JSON_SMALL: Tool = tool(Shape::Json, 1 << 10);
pub(crate) const SSE_SMALL: Tool = tool(Shape::Sse, 1 << 10);
pub(crate) const PROGRESS_SMALL: Tool = tool(Shape::Progress, 1 << 10);
pub(crate) const JSON_LARGE: Tool = tool(Shape::Json, 8 << 20);

const fn tool(shape: Shape, bytes: usize) -> Tool {
    Tool { shape, bytes }
}

impl Tool {
    /// Appends the request for this tool, without a line end.
    pub(crate) fn write_call(self, id: u64, out: &mut Vec<u8>) -> Result<()> {
        write!(
            out,
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{self}","arguments":{{"query":"select id, name, email from people where city = 'Lisbon' order by name limit 10"}}"#
        )?;
        if self.shape == Shape::Progress {
            write!(out, r#","_meta":{{"progressToken":{id}}}"#)?;
        }
        out.extend_from_slice(b"}}");
        Ok(())
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = match self.shape {
            Shape::Json => "json",
            Shape::Sse => "sse",
            Shape::Progress => "progress",
        };
        write!(f, "{shape}_{}", self.bytes)
    }
}

impl FromStr for Tool {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        let unknown = || format!("no tool of the mock: {name}");
        let (shape, bytes) = name.split_once('_').ok_or_else(unknown)?;
        let shape = match shape {
            "json" => Shape::Json,
            "sse" => Shape::Sse,
            "progress" => Shape::Progress,
            _ => return Err(unknown()),
        };
        let bytes = bytes.parse().map_err(|_| unknown())?;
        Ok(Tool { shape, bytes })
    }
}

/// The handshake's first line, without a line end.
pub(crate) fn initialize() -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{"protocolVersion":"{PROTOCOL_VERSION}","capabilities":{{}},"clientInfo":{{"name":"bench","version":"1"}}}}}}"#
    )
}

/// The handshake's second line: no answer follows.
pub(crate) const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// Asks for the tools, which also waits for the backend behind a gateway.
pub(crate) const LIST_TOOLS: &str = r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#;

/// A message that came back, seen to be well.
pub(crate) enum Incoming {
    /// The result of the request with this id.
    Answer(u64),
    /// A progress notification of the mock, and how long ago it left there.
    Progress(Duration),
    /// Any other notification.
    Other,
}

impl Incoming {
    /// Reads one message; an error answer and anything that is no message of a server are errors.
    pub(crate) fn read(message: &[u8]) -> Result<Self> {
        let envelope: Envelope<'_> = serde_json::from_slice(message)
            .map_err(|e| format!("not a message: {e}: {}", start_of(message)))?;
        match envelope {
            Envelope {
                id: Some(id),
                result: Some(_),
                ..
            } => Ok(Self::Answer(id)),
            Envelope {
                params: Some(Params {
                    message: Some(stamp),
                }),
                ..
            } => Ok(Self::Progress(
                now().saturating_sub(Duration::from_nanos(stamp.parse()?)),
            )),
            Envelope {
                id: None,
                method: Some(_),
                ..
            } => Ok(Self::Other),
            _ => Err(format!("not an answer: {}", start_of(message)).into()),
        }
    }
}

/// The clock that the mock and the driver share: time since the Unix epoch.
pub(crate) fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

#[derive(Deserialize)]
struct Envelope<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
}

fn start_of(message: &[u8]) -> String {
    String::from_utf8_lossy(&message[..message.len().min(300)]).into_owned()
}
