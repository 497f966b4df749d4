//! JSON-RPC error objects.
//!
//! Owns the error codes and the `data` that marks an error as the gateway's own. It must not know
//! what causes an error.

use std::sync::LazyLock;
use std::time::Duration;

use memchr::memmem::Finder;
use serde::Serialize;

use super::raw::RawJson;

/// The text is not JSON.
pub const PARSE_ERROR: i64 = -32700;
/// JSON, but not a valid JSON-RPC message.
pub const INVALID_REQUEST: i64 = -32600;
/// The method is unknown.
pub(crate) const METHOD_NOT_FOUND: i64 = -32601;
/// Unknown tool, invalid params, or a request before `initialize`.
pub(crate) const INVALID_PARAMS: i64 = -32602;
/// A backend or the gateway failed.
pub(crate) const INTERNAL_ERROR: i64 = -32603;

/// Legacy: no such resource (MCP 2025-11-25, server/resources). In the modern era the code is
/// [`INVALID_PARAMS`].
pub(crate) const RESOURCE_NOT_FOUND: i64 = -32002;
/// Legacy: a URL must be visited before the request can be served (MCP 2025-11-25,
/// client/elicitation).
pub(crate) const URL_ELICITATION_REQUIRED: i64 = -32042;
/// Modern: the headers of a request don't match its body (MCP 2026-07-28,
/// basic/transports/streamable-http).
pub(crate) const HEADER_MISMATCH: i64 = -32020;
/// Modern: the request needs a capability that the client did not declare (MCP 2026-07-28, basic).
pub(crate) const MISSING_CAPABILITY: i64 = -32021;
/// Modern: the protocol version of the request is not supported (MCP 2026-07-28,
/// basic/versioning).
pub(crate) const UNSUPPORTED_VERSION: i64 = -32022;

/// Errors up to this size are read to their end to know their code, in bytes.
const READ_WHOLE: usize = 64 * 1024;

/// The code of a JSON-RPC error object; `None` if it has no integer `code`. Of a large one only the
/// beginning is read: servers write the code first, and its data may be of any size.
pub(crate) fn code_of(error: &RawJson) -> Option<i64> {
    let code = match error.as_bytes().len() {
        ..=READ_WHOLE => error.get("code"),
        _ => error.get_within(READ_WHOLE, "code"),
    };
    code?.as_str().parse().ok()
}

/// Whether any reader can find this code in a JSON-RPC error object: of several, and as `-32042.0`.
pub(crate) fn may_have_code(error: &RawJson, code: i64) -> bool {
    let mut codes = error.every("code");
    codes.any(|found| found.as_str().parse::<f64>() == Ok(code as f64))
}

/// Whether a result is an error of the tool's own.
pub(crate) fn is_tool_error(result: &RawJson) -> bool {
    let text = result.as_bytes();
    // Nearly all results say no, or nothing; reading their members takes ten times as long. A name may be written in escapes.
    let may_say_so = IS_ERROR.find_iter(text).any(|at| {
        let mut rest = text[at + IS_ERROR.needle().len()..].trim_ascii_start();
        rest = rest.strip_prefix(b":").unwrap_or_default();
        rest.trim_ascii_start().first() == Some(&b't')
    });
    if !may_say_so && ESCAPE.find(text).is_none() {
        return false;
    }
    let is_error = result.get("isError");
    is_error.is_some_and(|is_error| is_error.as_str() == "true")
}

static IS_ERROR: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("\"isError\""));
static ESCAPE: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("\\u"));

/// A JSON-RPC error object.
#[derive(Debug, Clone, Serialize)]
pub struct RpcError {
    /// One of the codes above.
    pub code: i64,
    /// Complete without `data`, which many clients drop.
    pub message: String,
    /// Details for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Box<ErrorData>>,
}

/// `data` of an error that the gateway makes.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum ErrorData {
    /// The `data` of every error that the gateway makes about a backend.
    Gateway(GatewayData),
    /// The object that the specification requires for this code.
    Specified(serde_json::Value),
}

impl RpcError {
    /// An error without `data`.
    pub(crate) fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// This error, marked as the gateway's own.
    pub(crate) fn with_data(self, data: GatewayData) -> Self {
        Self {
            data: Some(Box::new(ErrorData::Gateway(data))),
            ..self
        }
    }

    /// How the request failed, where this is an error of the gateway's own about it.
    pub(crate) fn failure(&self) -> Option<(Class, Tally)> {
        match self.data.as_deref()? {
            ErrorData::Gateway(data) => Some((
                data.class,
                Tally {
                    attempts: data.attempts,
                    executed: data.executed,
                },
            )),
            ErrorData::Specified(_) => None,
        }
    }

    /// What was sent, where a person can do something about it by signing in.
    pub(crate) fn awaits_sign_in(&self) -> Option<Tally> {
        let awaits = matches!(
            self.data.as_deref()?,
            ErrorData::Gateway(data) if data.class == Class::AuthRequired && data.command.is_some()
        );
        self.failure().filter(|_| awaits).map(|(_, tally)| tally)
    }

    /// This error, with the `data` that the specification requires.
    pub(crate) fn specified(self, data: serde_json::Value) -> Self {
        Self {
            data: Some(Box::new(ErrorData::Specified(data))),
            ..self
        }
    }

    /// This error as the `result` of a `tools/call`: text with `isError`, for clients that hide
    /// JSON-RPC errors from the model.
    pub(crate) fn as_tool_result(&self) -> RawJson {
        RawJson::of(&serde_json::json!({
            "content": [{ "type": "text", "text": self.message }],
            "isError": true,
        }))
    }
}

/// `data` of an error that the gateway itself made. Distinguishes such an error from a backend's.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct GatewayData {
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<String>,
    class: Class,
    executed: Executed,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    /// What a person types to sign in.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    /// The scopes that the request lacks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
    /// Milliseconds until the same call may be admitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl GatewayData {
    /// This data, for an error after which a person has to sign in.
    pub(crate) fn with_sign_in(self, command: &str, scopes: &[String]) -> Self {
        Self {
            command: Some(command.to_owned()),
            scopes: scopes.to_vec(),
            ..self
        }
    }

    /// This data, about a resource (MCP 2026-07-28, server/resources, "Error Handling").
    pub(crate) fn about(self, uri: &str) -> Self {
        Self {
            uri: Some(uri.to_owned()),
            ..self
        }
    }

    /// This data, of a call that may be made again after this time.
    pub(crate) fn with_retry_after(self, wait: Option<Duration>) -> Self {
        // Rounded up: a call a moment too early is refused again.
        let millis = wait.map(|wait| wait.as_nanos().div_ceil(1_000_000));
        Self {
            retry_after_ms: millis.and_then(|millis| u64::try_from(millis).ok()),
            ..self
        }
    }

    /// The data of an error about a request with this tally.
    pub(crate) fn new(backend: Option<&str>, class: Class, tally: Tally) -> Self {
        Self {
            source: "gateway",
            backend: backend.map(str::to_owned),
            class,
            executed: tally.executed,
            attempts: tally.attempts,
            uri: None,
            command: None,
            scopes: Vec::new(),
            retry_after_ms: None,
        }
    }
}

/// The kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// No connection: refused, timed out, DNS, TLS, or nothing to connect with.
    Unreachable,
    /// The request was sent, and its outcome is unknown.
    OutcomeUnknown,
    /// The call's deadline has passed.
    Deadline,
    /// The response is not valid MCP.
    BadReply,
    /// A limit of the gateway was reached, or the backend answered 503 until retries ended.
    Overloaded,
    /// The backend answered 401 or 403.
    AuthRequired,
    /// Over a size limit, the gateway's or the backend's.
    TooLarge,
    /// The backend answered 429 until retries ended.
    RateLimited,
    /// Another 4xx, or a redirect that is not followed.
    Refused,
    /// The gateway is shutting down.
    ShuttingDown,
}

impl Class {
    /// As `data` of an error has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Deadline => "deadline",
            Self::BadReply => "bad_reply",
            Self::Overloaded => "overloaded",
            Self::AuthRequired => "auth_required",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::Refused => "refused",
            Self::ShuttingDown => "shutting_down",
        }
    }
}

/// Whether the tool ran. What the attempts of a call show together is the greatest of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Executed {
    /// The tool did not run.
    No,
    /// It may have.
    Unknown,
    /// The tool did run.
    Yes,
}

impl Executed {
    /// As `data` of an error has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Unknown => "unknown",
            Self::Yes => "yes",
        }
    }
}

/// How often a call was sent, and whether it may have run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Requests that were sent, or would have been had there been a connection.
    pub attempts: u32,
    /// Whether any of them may have run it.
    pub executed: Executed,
}

impl Tally {
    /// Nothing was sent.
    pub(crate) const NONE: Self = Self {
        attempts: 0,
        executed: Executed::No,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tools_own_error_is_known_however_it_is_written() {
        for (result, expected) in [
            (r#"{"content":[],"isError":true}"#, true),
            (r#"{"isError" : true,"content":[]}"#, true),
            ("{\"isError\"\n:\ttrue}", true),
            (r#"{"is\u0045rror":true}"#, true),
            (r#"{"content":[],"isError":false}"#, false),
            (r#"{"content":[]}"#, false),
            (r#"{"isError":"true"}"#, false),
            (r#"{"structuredContent":{"isError":true}}"#, false),
            (r#"{"content":[{"text":"\"isError\":true"}]}"#, false),
            (
                r#"{"structuredContent":{"isError":false},"isError":true}"#,
                true,
            ),
            (r#"{"a":"\"isError\"","isError":true}"#, true),
        ] {
            assert_eq!(
                is_tool_error(&RawJson::trusted(result)),
                expected,
                "{result}"
            );
        }
    }
}
