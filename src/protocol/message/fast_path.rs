//! A message in the usual form, read in one pass.
//!
//! Owns no rule: it reads a message exactly as [`parse`](super::parse) does, or leaves it to that.

use std::ops::Range;

use bytes::Bytes;

use super::{Id, Inbound, Notification, Outcome, Request, Response};
use crate::protocol::json_scan::{self, Member};
use crate::protocol::raw::RawJson;

/// The members of an envelope, as byte ranges of its text.
#[derive(Default)]
struct Envelope {
    jsonrpc: Option<Range<usize>>,
    id: Option<Range<usize>>,
    method: Option<Range<usize>>,
    params: Option<Range<usize>>,
    result: Option<Range<usize>>,
    error: Option<Range<usize>>,
}

/// Reads a message in one pass over its bytes; `None` if it is unusual in any way. The caller then
/// falls back to [`json`](super::json) and [`parse`](super::parse).
pub fn parse_fast(text: &Bytes) -> Option<Inbound> {
    std::str::from_utf8(text).ok()?;
    let envelope = Envelope::scan(text)?;
    if &text[envelope.jsonrpc?] != b"\"2.0\"" {
        return None;
    }
    let slice = |range: Range<usize>| RawJson::checked(text.slice(range));
    let object = |range: Range<usize>| (text[range.start] == b'{').then(|| slice(range));
    let id = match envelope.id {
        Some(range) => Some(Id::from_raw(slice(range))?),
        None => None,
    };
    match (
        envelope.method,
        envelope.params,
        envelope.result,
        envelope.error,
    ) {
        (Some(method), params, None, None) => {
            let method = plain_text(&text[method])?.to_owned();
            let params = match params {
                Some(range) => Some(object(range)?),
                None => None,
            };
            Some(match id {
                Some(id) => Inbound::Request(Request { id, method, params }),
                None => Inbound::Notification(Notification { method, params }),
            })
        }
        (None, None, Some(result), None) => Some(Inbound::Response(Response {
            id: Some(id?),
            outcome: Outcome::Result(slice(result)),
        })),
        (None, None, None, Some(error)) => Some(Inbound::Response(Response {
            id: Some(id?),
            outcome: Outcome::Error(object(error)?),
        })),
        _ => None,
    }
}

impl Envelope {
    /// `None` for anything but an object, for an unknown member and for one that occurs twice.
    fn scan(text: &[u8]) -> Option<Self> {
        let mut envelope = Self::default();
        let mut at = json_scan::skip_space(text, 0);
        if text.get(at) != Some(&b'{') {
            return None;
        }
        loop {
            let Member {
                name, value, end, ..
            } = json_scan::member(text, at)?;
            let member = match &text[name] {
                b"\"jsonrpc\"" => &mut envelope.jsonrpc,
                b"\"id\"" => &mut envelope.id,
                b"\"method\"" => &mut envelope.method,
                b"\"params\"" => &mut envelope.params,
                b"\"result\"" => &mut envelope.result,
                b"\"error\"" => &mut envelope.error,
                _ => return None,
            };
            if member.replace(value).is_some() {
                return None;
            }
            match text.get(end)? {
                b',' => at = end,
                b'}' if json_scan::skip_space(text, end + 1) == text.len() => {
                    return Some(envelope);
                }
                _ => return None,
            }
        }
    }
}

/// The content of a JSON string without escapes; `None` for anything else.
fn plain_text(literal: &[u8]) -> Option<&str> {
    let inner = literal.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let plain = !inner.contains(&b'\\');
    std::str::from_utf8(inner).ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::{json, parse};

    #[test]
    fn both_parsers_read_the_same_message() {
        for text in [
            r#" { "jsonrpc" : "2.0", "id" : "a", "result" : { "x" : [1.10] } } "#,
            r#"{"id":7,"error":{"code":1},"jsonrpc":"2.0"}"#,
            r#"{"jsonrpc":"2.0","id":-1,"method":"tools/call","params":{"a" : "\ud800"}}"#,
            r#"{"method":"ping","jsonrpc":"2.0","id":"\u0061"}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/x","params":{}}"#,
            r#"{"jsonrpc":"2.0","method":""}"#,
        ] {
            let fast = parse_fast(&Bytes::from(text)).expect(text);
            let slow = parse(&json(Bytes::from(text)).unwrap()).expect(text);
            assert_eq!(format!("{fast:?}"), format!("{slow:?}"));
        }
    }

    #[test]
    fn unusual_messages_are_left_to_the_full_parser() {
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":1,"result":2}"#,
            r#"{"jsonrpc":"2.0","id":null,"result":1}"#,
            r#"{"jsonrpc":"2.0","result":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","result":1}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"\u0070ing"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[1]}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":null}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","more":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{]}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":1} x"#,
            r#"{"jsonrpc":"1.0","id":1,"result":1}"#,
            r#"[{"jsonrpc":"2.0","id":1,"method":"x"}]"#,
            "{}",
            "",
        ] {
            assert!(parse_fast(&Bytes::from(text)).is_none(), "{text}");
        }
    }
}
