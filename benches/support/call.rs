//! Calls and their responses, as JSON-RPC text.
//!
//! Owns the tools of the mock, the requests of a client, and the check of every received message. It must not know processes or HTTP.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::support::Result;

/// An era of MCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    /// With a handshake.
    Legacy,
    /// Stateless: every request has the client's profile.
    Modern,
}

/// The protocol versions of all processes of the bench.
pub(crate) const LEGACY_VERSION: &str = "2025-06-18";
pub(crate) const MODERN_VERSION: &str = "2026-07-28";

/// Id of the first call; smaller ids belong to the handshake.
pub(crate) const FIRST_CALL: u64 = 100;

/// Number of notifications before the response of [`Shape::Stream`].
pub(crate) const STREAMED: usize = 1000;

/// How the mock responds to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One JSON body with a `Content-Length`.
    Json,
    /// An event stream with the response as its only event.
    Sse,
    /// An event stream: one progress notification with the time of sending, and the response some milliseconds later.
    Progress,
    /// An event stream: [`STREAMED`] progress notifications without a pause, and the response.
    Stream,
}

/// A tool of the mock. Its name gives shape and size: `json_1024` responds with one JSON body around 1024 bytes of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tool {
    pub(crate) shape: Shape,
    /// Size of the text in the result, in bytes.
    pub(crate) bytes: usize,
}

/// All tools that the mock lists.
pub(crate) const TOOLS: [Tool; 10] = [
    JSON_SMALL,
    SSE_SMALL,
    PROGRESS_SMALL,
    STREAM_SMALL,
    tool(Shape::Json, MIDDLE),
    tool(Shape::Sse, MIDDLE),
    tool(Shape::Json, LARGE),
    tool(Shape::Sse, LARGE),
    tool(Shape::Json, HUGE),
    tool(Shape::Sse, HUGE),
];
pub(crate) const JSON_SMALL: Tool = tool(Shape::Json, SMALL);
pub(crate) const SSE_SMALL: Tool = tool(Shape::Sse, SMALL);
pub(crate) const PROGRESS_SMALL: Tool = tool(Shape::Progress, SMALL);
pub(crate) const STREAM_SMALL: Tool = tool(Shape::Stream, SMALL);

/// Sizes of results, in bytes.
pub(crate) const SMALL: usize = 1 << 10;
pub(crate) const MIDDLE: usize = 64 << 10;
pub(crate) const LARGE: usize = 8 << 20;
pub(crate) const HUGE: usize = 64 << 20;

pub(crate) const fn tool(shape: Shape, bytes: usize) -> Tool {
    Tool { shape, bytes }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = match self.shape {
            Shape::Json => "json",
            Shape::Sse => "sse",
            Shape::Progress => "progress",
            Shape::Stream => "stream",
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
            "stream" => Shape::Stream,
            _ => return Err(unknown()),
        };
        let bytes = bytes.parse().map_err(|_| unknown())?;
        Ok(Tool { shape, bytes })
    }
}

/// A call of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) tool: Tool,
    /// Bytes of additional text in its arguments.
    pub(crate) padding: usize,
    pub(crate) era: Era,
    /// The tool is called by `call_tool`, since the gateway lists it only to those who search.
    pub(crate) searched: bool,
}

impl From<Tool> for Call {
    fn from(tool: Tool) -> Self {
        Self {
            tool,
            padding: 0,
            era: Era::Legacy,
            searched: false,
        }
    }
}

impl Call {
    /// The tool that a client must find in the list.
    pub(crate) fn listed(self) -> String {
        match self.searched {
            true => "call_tool".to_owned(),
            false => self.tool.to_string(),
        }
    }

    /// Appends the request, without a line end.
    pub(crate) fn write(self, id: u64, out: &mut Vec<u8>) -> Result<()> {
        let tool = self.tool;
        let (before, after) = match self.searched {
            true => (r#""name":"call_tool","arguments":{"#, "}"),
            false => ("", ""),
        };
        write!(
            out,
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{{before}"name":"{tool}","arguments":{{"query":"select id, name, email from people where city = 'Lisbon' order by name limit 10"#
        )?;
        if self.padding > 0 {
            out.extend_from_slice(br#"","text":""#);
            write_text(self.padding, out);
        }
        out.extend_from_slice(br#""}"#);
        out.extend_from_slice(after.as_bytes());
        let reports = matches!(tool.shape, Shape::Progress | Shape::Stream);
        if reports || self.era == Era::Modern {
            out.extend_from_slice(br#","_meta":{"#);
            if reports {
                write!(out, r#""progressToken":{id}"#)?;
            }
            if self.era == Era::Modern {
                out.extend_from_slice(if reports { b"," } else { b"" });
                write_envelope(out)?;
            }
            out.push(b'}');
        }
        out.extend_from_slice(b"}}");
        Ok(())
    }
}

/// Appends this many bytes of typical text: rows of JSON inside a JSON string.
pub(crate) fn write_text(bytes: usize, out: &mut Vec<u8>) {
    const ROW: &str = r#"{\"id\":1815,\"name\":\"Ada Lovelace\",\"email\":\"ada@example.com\",\"city\":\"Lisbon\"}\n"#;
    let end = out.len() + bytes;
    out.reserve(bytes);
    while out.len() + ROW.len() <= end {
        out.extend_from_slice(ROW.as_bytes());
    }
    out.resize(end, b'.');
}

/// Appends the client's profile of a modern request.
fn write_envelope(out: &mut Vec<u8>) -> Result<()> {
    write!(
        out,
        r#""io.modelcontextprotocol/protocolVersion":"{MODERN_VERSION}","io.modelcontextprotocol/clientInfo":{CLIENT},"io.modelcontextprotocol/clientCapabilities":{{}}"#
    )?;
    Ok(())
}

const CLIENT: &str = r#"{"name":"bench","version":"1"}"#;

impl Era {
    /// The first request of a client.
    pub(crate) fn first_request(self) -> Result<Vec<u8>> {
        match self {
            Self::Legacy => Ok(format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{"protocolVersion":"{LEGACY_VERSION}","capabilities":{{}},"clientInfo":{CLIENT}}}}}"#
            )
            .into_bytes()),
            Self::Modern => self.request(1, "server/discover"),
        }
    }

    /// The notification that follows the first response, if the era has one.
    pub(crate) fn after_first_request(self) -> Option<&'static str> {
        match self {
            Self::Legacy => Some(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#),
            Self::Modern => None,
        }
    }

    /// A request without parameters of its own.
    pub(crate) fn request(self, id: u64, method: &str) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        write!(
            out,
            r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"#
        )?;
        if self == Self::Modern {
            out.extend_from_slice(br#""_meta":{"#);
            write_envelope(&mut out)?;
            out.push(b'}');
        }
        out.extend_from_slice(b"}}");
        Ok(out)
    }
}

/// A valid message from the process under test.
pub(crate) enum Incoming {
    /// The result of the request with this id.
    Answer(u64),
    /// A progress notification of the mock, and the time since it was sent.
    Progress(Duration),
    /// Any other notification.
    Other,
}

impl Incoming {
    /// Reads one message. An error response, and anything else that is not expected from a server, is an error.
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
            _ => Err(format!("not a result: {}", start_of(message)).into()),
        }
    }
}

/// The clock that mock and driver share: time since the Unix epoch.
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
