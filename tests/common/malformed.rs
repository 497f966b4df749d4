//! Malformed HTTP responses, for unit-level and end-to-end tests.

/// Bodies that are empty or JSON, and not a valid JSON-RPC response.
pub const INVALID_RESPONSES: [&str; 7] = [
    r#"{"jsonrpc":"2.0","id":"$id","result":{},"error":{"code":1,"message":"m"}}"#,
    r#"{"jsonrpc":"2.0","id":"$id"}"#,
    r#"{"jsonrpc":"2.0","id":"$id","error":"text"}"#,
    "7",
    "[]",
    "{}",
    "",
];

/// Contradictory framing, by name: the headers and body that follow a valid response head.
pub const BAD_FRAMING: [(&str, &str); 4] = [
    (
        "a chunk's size",
        "transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    ),
    (
        "a chunk's end",
        "transfer-encoding: chunked\r\n\r\n2\r\n{}{}{}\r\n0\r\n\r\n",
    ),
    (
        "two lengths",
        "content-length: 2\r\ncontent-length: 4\r\n\r\n{}{}",
    ),
    ("no length", "content-length: many\r\n\r\n{}"),
];
