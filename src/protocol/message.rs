//! The JSON-RPC envelope (JSON-RPC 2.0; MCP `basic`): one message in, one line out.
//!
//! Owns reading an envelope without reading what it carries, and writing one around text that
//! is already there. It must not know methods, backends or who is asking.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use memchr::memchr2;
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::error::{INVALID_REQUEST, PARSE_ERROR, RpcError};
use super::raw::{RawJson, put_quoted};
pub use array::{MAX_ELEMENTS, elements, first_elements};
pub use fast_path::at_once;

mod array;
mod fast_path;

/// A request id as its sender wrote it: an integer or a string, never null.
///
/// Two ids are equal if they are the same JSON value: `1` and `"1"` differ, `"a"` and
/// `"\u0061"` don't.
#[derive(Debug, Clone)]
pub struct Id(RawJson);

impl Id {
    /// The id of a request that we send: our own ids are plain integers.
    pub fn number(id: u64) -> Self {
        Self(RawJson::trusted(id.to_string()))
    }

    /// Takes a JSON value as an id; `None` for null, floats, booleans, arrays and objects.
    pub fn from_raw(raw: RawJson) -> Option<Self> {
        let integer = |text: &str| {
            let digits = text.strip_prefix('-').unwrap_or(text);
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        let text = raw.as_str();
        (text.starts_with('"') || integer(text)).then_some(Self(raw))
    }

    /// The exact JSON text.
    pub fn raw(&self) -> &RawJson {
        &self.0
    }

    /// What equality looks at: escapes undone, so that spelling doesn't count.
    fn canonical(&self) -> Cow<'_, [u8]> {
        let text = self.0.as_bytes();
        let escaped = text.starts_with(b"\"") && text.contains(&b'\\');
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

/// One message as it came in.
#[derive(Debug)]
pub enum Inbound {
    /// Wants an answer.
    Request(Request),
    /// Wants none.
    Notification(Notification),
    /// Answers a request of ours.
    Response(Response),
}

/// A request; `params` are carried as they are.
#[derive(Debug, Clone)]
pub struct Request {
    /// As the sender wrote it.
    pub id: Id,
    /// E.g. `tools/call`.
    pub method: String,
    /// An object, if any.
    pub params: Option<RawJson>,
}

/// A notification; `params` are carried as they are.
#[derive(Debug, Clone)]
pub struct Notification {
    /// E.g. `notifications/cancelled`.
    pub method: String,
    /// An object, if any.
    pub params: Option<RawJson>,
}

/// A response to a request of ours.
#[derive(Debug, Clone)]
pub struct Response {
    /// The id it answers; `None` for null or none, as servers write when they could not read the request.
    pub id: Option<Id>,
    /// What it says.
    pub outcome: Outcome,
}

/// The two things a response can say, each as raw JSON.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The `result` value.
    Result(RawJson),
    /// The `error` object.
    Error(RawJson),
}

impl Outcome {
    fn text(&self) -> &RawJson {
        let (Self::Result(text) | Self::Error(text)) = self;
        text
    }
}

impl From<RpcError> for Outcome {
    fn from(error: RpcError) -> Self {
        Self::Error(RawJson::of(&error))
    }
}

/// A message that is no JSON-RPC: the error to answer with, and the id where one could be read.
#[derive(Debug)]
pub struct Malformed {
    /// `-32700` or `-32600`.
    pub error: RpcError,
    /// Echoed if readable, else the answer carries null.
    pub id: Option<Id>,
}

/// Reads one envelope. Nothing inside `params`, `result` or `error` is looked at, only checked to be JSON.
///
/// # Errors
/// [`Malformed`] for text that is not JSON (`-32700`) or not a JSON-RPC message (`-32600`):
/// no `"jsonrpc": "2.0"`, wrong types, duplicate members, an id that is neither integer nor string.
pub fn parse(message: &RawJson) -> Result<Inbound, Malformed> {
    let invalid = |why: &str| Malformed::new(message, RpcError::new(INVALID_REQUEST, why));
    // serde would take an array for the members in their order, and quote whatever else it is.
    if !message.is_object() {
        return Err(invalid("not a JSON-RPC message: it must be an object"));
    }
    let envelope: Envelope<'_> = message
        .read()
        .map_err(|error| Malformed::new(message, complaint(&error)))?;
    let part = |raw: &RawValue| message.part(raw);

    if envelope.jsonrpc.as_deref() != Some("2.0") {
        return Err(invalid(
            "not a JSON-RPC 2.0 message: \"jsonrpc\" must be \"2.0\"",
        ));
    }
    let id = match envelope.id {
        None => None,
        Some(raw) if raw.get() == "null" && envelope.method.is_none() => None,
        Some(raw) => Some(
            Id::from_raw(part(raw))
                .ok_or_else(|| invalid("the id must be a string or an integer"))?,
        ),
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

/// Takes bytes as one JSON value, with the JSON-RPC error for those that are none.
///
/// # Errors
/// `-32700` with what is wrong and where.
pub fn json(bytes: Bytes) -> Result<RawJson, RpcError> {
    RawJson::parse(bytes).map_err(|error| RpcError::new(PARSE_ERROR, format!("not JSON: {error}")))
}

/// A request line body: `{"jsonrpc":"2.0","id":…,"method":…,"params":…}`.
pub fn request(id: &Id, method: &str, params: Option<&RawJson>) -> Bytes {
    envelope(Some(id), method, params)
}

/// A notification: a request without an id.
pub fn notification(method: &str, params: Option<&RawJson>) -> Bytes {
    envelope(None, method, params)
}

/// A response to `id` (null where the request's id could not be read).
///
/// The carried text is put on one line: JSON has line ends only between tokens.
pub fn response(id: Option<&Id>, outcome: &Outcome) -> Bytes {
    let text = outcome.text().as_bytes();
    let mut out = response_head(id, outcome, text.len() + RESPONSE_TAIL.len());
    put_on_one_line(&mut out, text);
    out.extend_from_slice(RESPONSE_TAIL);
    out.into()
}

/// A response as it is best written.
#[derive(Debug)]
pub enum Written {
    /// In one piece.
    Whole(Bytes),
    /// In parts, where the carried text is on one line already: it is not copied.
    Parts([Bytes; 3]),
}

/// The same as [`response`], not put together where that would cost.
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

/// What stands before the carried text of a response, with room behind it.
fn response_head(id: Option<&Id>, outcome: &Outcome, room: usize) -> Vec<u8> {
    let parts = [
        &b"{\"jsonrpc\":\"2.0\",\"id\":"[..],
        id.map_or(b"null", |id| id.raw().as_bytes()),
        match outcome {
            Outcome::Result(_) => b",\"result\":",
            Outcome::Error(_) => b",\"error\":",
        },
    ];
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut head = Vec::with_capacity(length + room);
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

/// Keeps `null` apart from absent, which a plain `Option` can't.
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

fn complaint(error: &serde_json::Error) -> RpcError {
    match error.classify() {
        Category::Data => {
            RpcError::new(INVALID_REQUEST, format!("not a JSON-RPC message: {error}"))
        }
        _ => RpcError::new(PARSE_ERROR, format!("not JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Inbound, Malformed> {
        parse(
            &json(Bytes::copy_from_slice(text.as_bytes()))
                .map_err(|error| Malformed { error, id: None })?,
        )
    }

    fn code(text: &str) -> i64 {
        read(text).expect_err("should be refused").error.code
    }

    #[test]
    fn every_legal_id_comes_back_in_kind() {
        for id in [
            "0",
            "-7",
            "123456789012345678901234567890",
            "\"\"",
            "\"1\"",
            "\"\\u00e9 x\"",
        ] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
            let Ok(Inbound::Request(request)) = read(&text) else {
                panic!("{text}")
            };
            assert_eq!(request.id.raw().as_str(), id);
        }
    }

    #[test]
    fn ids_are_equal_by_value_not_by_spelling() {
        let id = |text: &'static str| Id::from_raw(RawJson::trusted(text)).unwrap();
        assert_ne!(id("1"), id("\"1\""));
        assert_eq!(id("\"a/b\""), id("\"\\u0061\\/b\""));
    }

    #[test]
    fn rubbish_gets_the_code_of_its_kind() {
        assert_eq!(code("{"), PARSE_ERROR);
        assert_eq!(code("nonsense"), PARSE_ERROR);
        for text in [
            "1",
            "{}",
            r#"{"id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{}}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
        ] {
            assert_eq!(code(text), INVALID_REQUEST, "{text}");
        }
    }

    #[test]
    fn what_is_no_object_is_no_message_and_not_quoted() {
        let long = format!("\"{}\"", "x".repeat(10_000));
        for text in [r#"["2.0",1,"ping"]"#, "[]", "null", &long] {
            let refused = read(text).expect_err("should be refused").error;
            assert_eq!(refused.code, INVALID_REQUEST, "{text}");
            assert!(refused.message.len() < 200, "{}", refused.message);
        }
    }

    #[test]
    fn a_refusal_echoes_the_id_where_one_can_be_read() {
        let refused = read(r#"{"id":"x","method":"ping"}"#).unwrap_err();
        assert_eq!(refused.id.unwrap().raw().as_str(), "\"x\"");
        assert!(
            read(r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"m"}"#)
                .unwrap_err()
                .id
                .is_none()
        );
    }

    #[test]
    fn carried_text_is_put_on_one_line_and_else_untouched() {
        let result =
            RawJson::parse(Bytes::from_static(b"{\n \"a\": 1.10,\r\n\"s\":\"\\n\"}")).unwrap();
        let line = response(Some(&Id::number(7)), &Outcome::Result(result));
        assert_eq!(
            &line[..],
            &br#"{"jsonrpc":"2.0","id":7,"result":{  "a": 1.10,  "s":"\n"}}"#[..]
        );
    }
}
