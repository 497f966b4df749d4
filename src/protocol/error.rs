//! Errors as JSON-RPC carries them, and the `data` that marks the gateway's own.

use serde::Serialize;

use super::raw::RawJson;

/// The text was not JSON.
pub const PARSE_ERROR: i64 = -32700;
/// JSON, but no JSON-RPC message that can be taken.
pub const INVALID_REQUEST: i64 = -32600;
/// No such method here.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// Unknown tool, bad params, or a request that came too early.
pub const INVALID_PARAMS: i64 = -32602;
/// Something went wrong with a backend, or with us.
pub const INTERNAL_ERROR: i64 = -32603;

/// The legacy era's code for a resource that nobody has (S25 `server/resources`); in the modern
/// era it is [`INVALID_PARAMS`].
pub const RESOURCE_NOT_FOUND: i64 = -32002;
/// Legacy (2025-11-25): a URL must be visited before the request can be served.
pub const URL_ELICITATION_REQUIRED: i64 = -32042;
/// Modern: the headers of a request don't match its body (S26 `basic/transports/streamable-http`).
pub const HEADER_MISMATCH: i64 = -32020;
/// Modern: the request needs a capability that the client did not declare (S26 `basic`).
pub const MISSING_CAPABILITY: i64 = -32021;
/// Modern: the protocol version of the request is not spoken (S26 `basic/versioning`).
pub const UNSUPPORTED_VERSION: i64 = -32022;

/// The code of a JSON-RPC error object.
pub fn code_of(error: &RawJson) -> Option<i64> {
    error.get("code")?.as_str().parse().ok()
}

/// A JSON-RPC error object.
#[derive(Debug, Clone, Serialize)]
pub struct RpcError {
    /// One of the codes above.
    pub code: i64,
    /// Must serve alone: clients drop `data`.
    pub message: String,
    /// What programs may read of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<ErrorData>>,
}

/// `data` of an error that we make.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum ErrorData {
    /// On every error that the gateway makes about a backend.
    Gateway(GatewayData),
    /// As the specification asks for this code.
    Specified(serde_json::Value),
}

impl RpcError {
    /// An error without `data`.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// The same, marked as the gateway's own.
    pub fn with_data(self, data: GatewayData) -> Self {
        Self {
            data: Some(Box::new(ErrorData::Gateway(data))),
            ..self
        }
    }

    /// The same, with the `data` that the specification asks for.
    pub fn specified(self, data: serde_json::Value) -> Self {
        Self {
            data: Some(Box::new(ErrorData::Specified(data))),
            ..self
        }
    }

    /// As the `result` of a `tools/call`: text with `isError`, for clients that hide errors from the model.
    pub fn as_tool_result(&self) -> RawJson {
        RawJson::of(&serde_json::json!({
            "content": [{ "type": "text", "text": self.message }],
            "isError": true,
        }))
    }
}

/// `data` of an error that the gateway itself made, so that none is taken for a backend's.
#[derive(Debug, Clone, Serialize)]
pub struct GatewayData {
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<String>,
    class: Class,
    executed: Executed,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
}

impl GatewayData {
    /// The same, about a resource (S26 `server/resources`, "Error Handling").
    pub fn about(self, uri: &str) -> Self {
        Self {
            uri: Some(uri.to_owned()),
            ..self
        }
    }

    /// `attempts` counts the requests that were tried, 0 where none was.
    pub fn new(backend: Option<&str>, class: Class, executed: Executed, attempts: u32) -> Self {
        Self {
            source: "gateway",
            backend: backend.map(str::to_owned),
            class,
            executed,
            attempts,
            uri: None,
        }
    }
}

/// What kind of trouble it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// No connection: refused, timed out, DNS, TLS, or nothing to connect with.
    Unreachable,
    /// The request was sent, and nobody knows what became of it.
    OutcomeUnknown,
    /// The call's time is up.
    Deadline,
    /// An answer that is no MCP answer.
    BadReply,
    /// A cap of ours, or the backend's 503 to the end.
    Overloaded,
    /// 401 or 403.
    AuthRequired,
    /// Over a size cap, ours or the backend's.
    TooLarge,
    /// 429 to the end.
    RateLimited,
    /// Another 4xx, or a redirect that is not followed.
    Refused,
    /// The gateway is on its way out.
    ShuttingDown,
}

/// Whether the tool ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Executed {
    /// It did not.
    No,
    /// It may have.
    Unknown,
    /// It did.
    Yes,
}
