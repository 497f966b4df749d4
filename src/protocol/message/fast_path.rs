//! A message of the usual form, read in one pass.
//!
//! Owns no rule of its own: what it takes, [`parse`](super::parse) reads in the same way, and what
//! it doesn't know it leaves to that.

use std::ops::Range;

use bytes::Bytes;

use super::{Id, Inbound, Notification, Outcome, Request, Response};
use crate::protocol::json_scan;
use crate::protocol::raw::RawJson;

/// Reads a message in one pass over its bytes; `None` if it is odd in any way: then [`json`] and
/// [`parse`] have the word.
pub fn at_once(text: &Bytes) -> Option<Inbound> {
    std::str::from_utf8(text).ok()?;
    let slice = |range: Range<usize>| RawJson::checked(text.slice(range));
    let [
        mut jsonrpc,
        mut id,
        mut method,
        mut params,
        mut result,
        mut error,
    ] = [const { None }; 6];
    let mut at = json_scan::space(text, 0);
    (text.get(at) == Some(&b'{')).then_some(())?;
    loop {
        let name = json_scan::space(text, at + 1);
        let name_end = json_scan::string(text, name)?;
        let colon = json_scan::space(text, name_end);
        (text.get(colon) == Some(&b':')).then_some(())?;
        let start = json_scan::space(text, colon + 1);
        let end = json_scan::value(text, start)?;
        let place = match &text[name..name_end] {
            b"\"jsonrpc\"" => &mut jsonrpc,
            b"\"id\"" => &mut id,
            b"\"method\"" => &mut method,
            b"\"params\"" => &mut params,
            b"\"result\"" => &mut result,
            b"\"error\"" => &mut error,
            _ => return None,
        };
        if place.replace(start..end).is_some() {
            return None;
        }
        at = json_scan::space(text, end);
        match text.get(at)? {
            b',' => {}
            b'}' if json_scan::space(text, at + 1) == text.len() => break,
            _ => return None,
        }
    }
    (&text[jsonrpc?] == b"\"2.0\"").then_some(())?;
    let id = match id {
        Some(range) => Some(Id::from_raw(slice(range))?),
        None => None,
    };
    let object = |range: Range<usize>| (text[range.start] == b'{').then(|| slice(range));
    match (method, params, result, error) {
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

/// What stands in a JSON string, if it is one without escapes.
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
    fn one_pass_or_two_a_message_is_the_same() {
        for text in [
            r#" { "jsonrpc" : "2.0", "id" : "a", "result" : { "x" : [1.10] } } "#,
            r#"{"id":7,"error":{"code":1},"jsonrpc":"2.0"}"#,
            r#"{"jsonrpc":"2.0","id":-1,"method":"tools/call","params":{"a" : "\ud800"}}"#,
            r#"{"method":"ping","jsonrpc":"2.0","id":"\u0061"}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/x","params":{}}"#,
            r#"{"jsonrpc":"2.0","method":""}"#,
        ] {
            let fast_path = at_once(&Bytes::from(text)).expect(text);
            let slow = parse(&json(Bytes::from(text)).unwrap()).expect(text);
            assert_eq!(format!("{fast_path:?}"), format!("{slow:?}"));
        }
    }

    #[test]
    fn what_is_odd_is_left_to_others() {
        for odd in [
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
            assert!(at_once(&Bytes::from(odd)).is_none(), "{odd}");
        }
    }
}
