//! Reads a refusal of `initialize` for what it says.
//!
//! Owns which words of servers mean which kind of refusal. Pure; it must not know what is tried next.

use super::search::{Failure, Refusal};
use crate::protocol::error::{
    HEADER_MISMATCH, INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, MISSING_CAPABILITY,
    PARSE_ERROR, UNSUPPORTED_VERSION, code_of,
};
use crate::protocol::{LEGACY_VERSIONS, RawJson};

/// What it says: `text` is all of it, `error` the JSON-RPC error in it, `status` the HTTP status
/// where that is not 2xx. `asked` is the version that was refused.
pub(super) fn read(
    asked: &str,
    text: &[u8],
    error: Option<&RawJson>,
    status: Option<u16>,
) -> Failure {
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    let code = error.and_then(code_of);
    let is_named = |version: &&str| *version != asked && text.contains(*version);
    let named: Vec<&str> = LEGACY_VERSIONS.into_iter().rev().filter(is_named).collect();
    let of_version = !named.is_empty()
        || code == Some(UNSUPPORTED_VERSION)
        || (text.contains("version") && text.contains("protocol"));
    let refusal = Refusal {
        status,
        named,
        of_version,
        of_request: match code {
            // -32000 and its like are words of the server's own, about anything.
            Some(code) => matches!(
                code,
                PARSE_ERROR | INVALID_REQUEST | INVALID_PARAMS | INTERNAL_ERROR
            ),
            None => error.is_some() || matches!(status, Some(400 | 422)),
        },
        modern: matches!(
            code,
            Some(HEADER_MISMATCH | MISSING_CAPABILITY | UNSUPPORTED_VERSION)
        ),
    };
    match status {
        // Who may ask, and when, whatever is offered.
        Some(401 | 403 | 429 | 503) => Failure::End,
        Some(501) | None => Failure::Refused(refusal),
        Some(500..) if error.is_none() && !of_version => Failure::End,
        Some(_) => Failure::Refused(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &str = "2025-11-25";

    fn refusal(text: &str, status: Option<u16>) -> Refusal {
        let error = RawJson::parse(text.as_bytes().to_vec().into()).ok();
        match read(ASKED, text.as_bytes(), error.as_ref(), status) {
            Failure::Refused(refusal) => refusal,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_version_is_named_in_words_or_in_data() {
        let newest = |text, status| refusal(text, status).named.first().copied();
        let words = "Bad Request: Unsupported protocol version: 2025-11-25 (supported versions: 2025-03-26, 2024-11-05)";
        assert_eq!(newest(words, Some(400)), Some("2025-03-26"));
        let data = r#"{"code":-32602,"message":"Unsupported protocol version","data":{"supported":["2024-11-05"],"requested":"2025-11-25"}}"#;
        assert_eq!(newest(data, None), Some("2024-11-05"));
        let alone = refusal("unknown protocol version 2025-11-25", Some(500));
        assert!(alone.named.is_empty() && alone.of_version);
    }

    #[test]
    fn a_refusal_is_about_the_request_unless_it_is_about_the_method_or_the_place() {
        for (text, status, of_request) in [
            (r#"{"code":-32602,"message":"Invalid params"}"#, None, true),
            (r#"{"code":-32603,"message":"oops"}"#, Some(500), true),
            (r#"{"code":-32000,"message":"not now"}"#, None, false),
            (r#"{"code":-32601,"message":"no such method"}"#, None, false),
            ("Bad Request", Some(400), true),
            ("Not Found", Some(404), false),
            ("", Some(405), false),
            ("", Some(501), false),
        ] {
            let refusal = refusal(text, status);
            assert_eq!(refusal.of_request, of_request, "{text} {status:?}");
            assert!(!refusal.of_version, "{text}");
        }
    }

    #[test]
    fn what_is_no_matter_of_the_offer_ends_the_search() {
        for (text, status) in [
            ("Unsupported protocol version", 401),
            ("", 403),
            ("", 429),
            ("", 503),
            ("Internal Server Error", 500),
            ("<html>502 Bad Gateway</html>", 502),
        ] {
            assert_eq!(
                read(ASKED, text.as_bytes(), None, Some(status)),
                Failure::End
            );
        }
    }
}
