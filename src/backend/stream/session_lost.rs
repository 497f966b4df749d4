//! Words by which servers say that they no longer know a session.
//!
//! Owns the list of them. The specification has a status for it (404). Many servers answer another one,
//! or HTTP 200 with a JSON-RPC error; only their text tells.

use crate::protocol::RawJson;

/// Whether an error body speaks of a lost session.
pub(super) fn says_session_lost(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    let gone = [
        "not found",
        "invalid",
        "expired",
        "unknown",
        "no valid",
        "does not exist",
        "missing",
        "not exist",
        "no such",
        "no longer",
        "terminated",
        "closed",
        "timed out",
        "ended",
        "lost",
    ];
    text.contains("server not initialized")
        || text.contains("server is not initialized")
        || (text.contains("session") && gone.iter().any(|word| text.contains(word)))
}

/// Whether a JSON-RPC error speaks of a lost session. A tool's own error may speak of sessions too,
/// so only the codes that servers use for their transport count.
pub(super) fn error_says_session_lost(error: &RawJson) -> bool {
    let code = error
        .get("code")
        .and_then(|code| code.as_str().parse::<i64>().ok());
    let transport = matches!(code, Some(-32099..=-32000 | -32600));
    let message = error.get("message");
    transport
        && message.is_some_and(|message| {
            message.as_bytes().len() < 80 && says_session_lost(message.as_bytes())
        })
}
