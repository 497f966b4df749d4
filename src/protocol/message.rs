//! JSON-RPC messages (JSON-RPC 2.0; MCP 2025-11-25, basic).
//!
//! Owns reading an envelope without parsing `params`, `result` or `error`, and writing one around
//! text that exists already. It must not know methods, backends or the sender.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use memchr::memchr2;
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::error::{INVALID_REQUEST, PARSE_ERROR, RpcError};
use super::raw::{RawJson, put_quoted};
pub use array::elements;
pub(crate) use array::{MAX_ELEMENTS, each_element, first_elements};
pub use fast_path::parse_fast;

mod array;
mod fast_path;

/// Longest id that is unescaped to be compared, in bytes.
const MAX_ESCAPED: usize = 1024;

/// A request id, byte for byte as received: an integer or a string, never null.
///
/// Two ids are equal if they are the same JSON value: `1` and `"1"` differ, `"a"` and
/// `"\u0061"` don't. Ids of over 1,024 bytes are equal if their texts are.
#[derive(Debug, Clone)]
pub struct Id(RawJson);

impl Id {
    /// The id of a request that the gateway sends, which is a plain integer.
    pub fn number(id: u64) -> Self {
        Self(RawJson::trusted(id.to_string()))
    }

    /// Takes a JSON value as an id; `None` for null, floats, booleans, arrays and objects.
    pub(crate) fn from_raw(raw: RawJson) -> Option<Self> {
        let integer = |text: &str| {
            let digits = text.strip_prefix('-').unwrap_or(text);
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        let text = raw.as_str();
        (text.starts_with('"') || integer(text)).then_some(Self(raw))
    }

    /// Takes the id of a response. Any number is one: some servers read ids as numbers and write `7`
    /// as `7.0`. It equals no id that the gateway has sent.
    fn of_response(raw: RawJson) -> Option<Self> {
        let begins_number = |c: char| c == '-' || c.is_ascii_digit();
        match raw.as_str().starts_with(begins_number) {
            true => Some(Self(raw)),
            false => Self::from_raw(raw),
        }
    }

    /// Whether this, which the gateway sent as an integer, is the same value in another JSON type:
    /// `"7"`, `7.0` or `70e-1` for `7`. To be asked only where no other request can be meant.
    pub(crate) fn is_value_of(&self, other: &Self) -> bool {
        if other.is_long() {
            return false;
        }
        let own = self.0.as_str();
        if let Ok(text) = other.0.read::<String>() {
            return text == own;
        }
        // Doubles tell all integers below 2^53 apart.
        let own = own.parse::<u64>().ok().filter(|own| *own < 1 << 53);
        let other = other.0.as_str().parse::<f64>().ok();
        own.zip(other)
            .is_some_and(|(own, other)| own as f64 == other)
    }

    /// Whether it is longer than any id that the gateway sends.
    pub(crate) fn is_long(&self) -> bool {
        self.0.as_bytes().len() > MAX_ESCAPED
    }

    /// The exact JSON text.
    pub fn raw(&self) -> &RawJson {
        &self.0
    }

    /// The form that is compared: unescaped, so that spelling doesn't count, unless it is long: an id
    /// may be compared with many others.
    fn canonical(&self) -> Cow<'_, [u8]> {
        let text = self.0.as_bytes();
        let escaped = !self.is_long() && text.starts_with(b"\"") && text.contains(&b'\\');
        match escaped.then(|| self.0.read::<String>()) {
            Some(Ok(decoded)) => Cow::Owned(format!("\"{decoded}\"").into_bytes()),
            _ => Cow::Borrowed(text),
        }
    }
}

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }
}

impl Eq for Id {}

impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical().hash(state);
    }
}

/// One received message.
#[derive(Debug)]
pub enum Inbound {
    /// Has an id and a method.
    Request(Request),
    /// Has a method and no id.
    Notification(Notification),
    /// Answers a request of the gateway.
    Response(Response),
}

/// A request. `params` are kept byte for byte.
#[derive(Debug, Clone)]
pub struct Request {
    /// The id as received.
    pub id: Id,
    /// E.g. `tools/call`.
    pub method: String,
    /// An object, if any.
    pub params: Option<RawJson>,
}

/// A notification. `params` are kept byte for byte.
#[derive(Debug, Clone)]
pub struct Notification {
    /// E.g. `notifications/cancelled`.
    pub method: String,
    /// An object, if any.
    pub params: Option<RawJson>,
}

/// A response to a request of the gateway.
#[derive(Debug, Clone)]
pub struct Response {
    /// The id of the request; `None` for null or a missing id, which servers send if they could not
    /// read the request.
    pub id: Option<Id>,
    /// The result or the error.
    pub outcome: Outcome,
}

/// The content of a response, as raw JSON.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The `result` value.
    Result(RawJson),
    /// The `error` object.
    Error(RawJson),
}

impl Outcome {
    /// The result or the error.
    pub(crate) fn text(&self) -> &RawJson {
        let (Self::Result(text) | Self::Error(text)) = self;
        text
    }

    /// The outcome, with line ends between tokens as spaces.
    pub(crate) fn on_one_line(self) -> Self {
        let one_line = |text: RawJson| {
            if memchr2(b'\n', b'\r', text.as_bytes()).is_none() {
                return text;
            }
            let mut out = Vec::with_capacity(text.as_bytes().len());
            put_on_one_line(&mut out, text.as_bytes());
            RawJson::checked(out.into())
        };
        match self {
            Self::Result(result) => Self::Result(one_line(result)),
            Self::Error(error) => Self::Error(one_line(error)),
        }
    }
}

impl From<RpcError> for Outcome {
    fn from(error: RpcError) -> Self {
        Self::Error(RawJson::of(&error))
    }
}

/// A message that is not JSON-RPC: the error to answer with, and the id if it could be read.
#[derive(Debug)]
pub struct Malformed {
    /// `-32700` or `-32600`.
    pub error: RpcError,
    /// The id to answer under; `None` for null.
    pub id: Option<Id>,
}

/// Reads one envelope. `params`, `result` and `error` are only checked to be JSON.
///
/// # Errors
/// [`Malformed`] for text that is not JSON (`-32700`) or not a JSON-RPC message (`-32600`):
/// no `"jsonrpc": "2.0"`, wrong types, duplicate members, an id that is neither integer nor string.
pub fn parse(message: &RawJson) -> Result<Inbound, Malformed> {
    let invalid = |why: &str| Malformed::new(message, RpcError::new(INVALID_REQUEST, why));
    // serde would read an array as the members in their order, and quote other values in its error.
    if !message.is_object() {
        return Err(invalid("not a JSON-RPC message: it must be an object"));
    }
    let envelope: Envelope<'_> = message
        .read()
        .map_err(|error| Malformed::new(message, rejection(&error)))?;
    let part = |raw: &RawValue| message.part(raw);

    if envelope.jsonrpc.as_deref() != Some("2.0") {
        return Err(invalid(
            "not a JSON-RPC 2.0 message: \"jsonrpc\" must be \"2.0\"",
        ));
    }
    let id = match envelope.id {
        None => None,
        Some(raw) if raw.get() == "null" && envelope.method.is_none() => None,
        Some(raw) => {
            let id = match envelope.method {
                Some(_) => Id::from_raw(part(raw)),
                None => Id::of_response(part(raw)),
            };
            Some(id.ok_or_else(|| invalid("the id must be a string or an integer"))?)
        }
    };
    if let Some(method) = envelope.method {
        let params = match envelope.params {
            None => None,
            Some(raw) if raw.get() == "null" => None,
            Some(raw) if raw.get().starts_with('{') => Some(part(raw)),
            Some(_) => return Err(invalid("params must be an object")),
        };
        let method = method.into_owned();
        return Ok(match id {
            Some(id) => Inbound::Request(Request { id, method, params }),
            None => Inbound::Notification(Notification { method, params }),
        });
    }
    let outcome = match (envelope.result, envelope.error) {
        (Some(result), None) => Outcome::Result(part(result)),
        (None, Some(error)) if error.get().starts_with('{') => Outcome::Error(part(error)),
        (Some(_), Some(_)) => return Err(invalid("a response has a result or an error, not both")),
        (None, Some(_)) => return Err(invalid("an error must be an object")),
        (None, None) => return Err(invalid("neither a method nor a result nor an error")),
    };
    Ok(Inbound::Response(Response { id, outcome }))
}

/// Checks that bytes are one JSON value.
///
/// # Errors
/// The JSON-RPC error -32700, with what is wrong and where.
pub fn json(bytes: Bytes) -> Result<RawJson, RpcError> {
    RawJson::parse(bytes).map_err(|error| RpcError::new(PARSE_ERROR, format!("not JSON: {error}")))
}

/// The text of a request, on one line: `{"jsonrpc":"2.0","id":…,"method":…,"params":…}`.
pub fn request(id: &Id, method: &str, params: Option<&RawJson>) -> Bytes {
    envelope(Some(id), method, params)
}

/// The text of a notification, on one line.
pub fn notification(method: &str, params: Option<&RawJson>) -> Bytes {
    envelope(None, method, params)
}

/// The text of a response, on one line. `id` is `None` (null) if the request's id could not be
/// read.
pub fn response(id: Option<&Id>, outcome: &Outcome) -> Bytes {
    let text = outcome.text().as_bytes();
    let mut out = response_head(id, outcome, text.len() + RESPONSE_TAIL.len());
    put_on_one_line(&mut out, text);
    out.extend_from_slice(RESPONSE_TAIL);
    out.into()
}

/// The text of a response, in one buffer or several.
#[derive(Debug)]
pub enum Written {
    /// One buffer.
    Whole(Bytes),
    /// Several buffers. The outcome is on one line already, so it is not copied.
    Parts([Bytes; 3]),
}

/// The text of a response, as [`response`] makes it, without a copy of the outcome where it is on
/// one line already.
pub fn response_as_is(id: &Id, outcome: &Outcome) -> Written {
    let carried = outcome.text();
    if memchr2(b'\n', b'\r', carried.as_bytes()).is_some() {
        return Written::Whole(response(Some(id), outcome));
    }
    let head = response_head(Some(id), outcome, 0);
    let tail = Bytes::from_static(RESPONSE_TAIL);
    Written::Parts([head.into(), carried.clone().into_bytes(), tail])
}

const RESPONSE_TAIL: &[u8] = b"}";

/// The text of a response before its outcome, with capacity for `more` bytes.
fn response_head(id: Option<&Id>, outcome: &Outcome, more: usize) -> Vec<u8> {
    let parts = [
        &b"{\"jsonrpc\":\"2.0\",\"id\":"[..],
        id.map_or(b"null", |id| id.raw().as_bytes()),
        match outcome {
            Outcome::Result(_) => b",\"result\":",
            Outcome::Error(_) => b",\"error\":",
        },
    ];
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut head = Vec::with_capacity(length + more);
    parts.iter().for_each(|part| head.extend_from_slice(part));
    head
}

fn envelope(id: Option<&Id>, method: &str, params: Option<&RawJson>) -> Bytes {
    let size = params.map_or(0, |params| params.as_bytes().len());
    let mut out = Vec::with_capacity(64 + method.len() + size);
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",");
    if let Some(id) = id {
        out.extend_from_slice(b"\"id\":");
        out.extend_from_slice(id.raw().as_bytes());
        out.push(b',');
    }
    out.extend_from_slice(b"\"method\":");
    put_quoted(&mut out, method);
    if let Some(params) = params {
        out.extend_from_slice(b",\"params\":");
        put_on_one_line(&mut out, params.as_bytes());
    }
    out.push(b'}');
    out.into()
}

/// Appends JSON text with its line ends replaced: they occur only between tokens.
fn put_on_one_line(out: &mut Vec<u8>, mut text: &[u8]) {
    while let Some(at) = memchr2(b'\n', b'\r', text) {
        out.extend_from_slice(&text[..at]);
        out.push(b' ');
        text = &text[at + 1..];
    }
    out.extend_from_slice(text);
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// Tells `null` apart from a missing member, which a plain `Option` can't.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Malformed {
    fn new(message: &RawJson, error: RpcError) -> Self {
        let ids: Vec<RawJson> = message
            .members()
            .unwrap_or_default()
            .iter()
            .filter(|(name, _)| name == "id")
            .map(|(_, raw)| message.part(raw))
            .collect();
        let id = match <[RawJson; 1]>::try_from(ids) {
            Ok([only]) => Id::from_raw(only),
            Err(_) => None,
        };
        Self { error, id }
    }
}

/// The error for an envelope that serde can't read.
fn rejection(error: &serde_json::Error) -> RpcError {
    match error.classify() {
        Category::Data => {
            RpcError::new(INVALID_REQUEST, format!("not a JSON-RPC message: {error}"))
        }
        _ => RpcError::new(PARSE_ERROR, format!("not JSON: {error}")),
    }
}

#[cfg(test)]
mod tests;
