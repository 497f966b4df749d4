//! A 401 or 403 with `WWW-Authenticate`: no message contains the header.

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use sentinel_gateway::backend::BackendError;
use sentinel_gateway::backend::http::Endpoint;
use sentinel_gateway::protocol::{Class, Executed};

use super::assert_readable;
use super::reply::{SECRET, with_endpoint};

/// The header value up to the first empty line; the body follows.
pub fn check(data: &[u8]) {
    let end = data.windows(2).position(|two| two == b"\n\n");
    let (header, body) = end.map_or((data, &b""[..]), |at| (&data[..at], &data[at + 2..]));
    let Ok(value) = HeaderValue::from_bytes(header) else {
        return;
    };
    let headers: HeaderMap = [(WWW_AUTHENTICATE, value)].into_iter().collect();
    with_endpoint(|endpoint| stays_readable(endpoint, &headers, body));
}

fn stays_readable(endpoint: &Endpoint, headers: &HeaderMap, body: &[u8]) {
    for status in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
        let error = endpoint.refusal(status, headers, body);
        assert!(
            matches!(error, BackendError::AuthRequired { .. }),
            "{error:?}"
        );
        let executed = match status {
            StatusCode::UNAUTHORIZED => Executed::No,
            _ => Executed::Unknown,
        };
        assert_eq!(error.executed(true), executed);
        assert_eq!(error.class(executed), Class::AuthRequired);
        let message = error.explain("http://127.0.0.1/mcp");
        assert_readable(&message);
        assert!(!message.contains(SECRET), "{message}");
        let without = endpoint.refusal(status, &HeaderMap::new(), body);
        assert_eq!(
            message,
            without.explain("http://127.0.0.1/mcp"),
            "the message depends on the header"
        );
    }
}
