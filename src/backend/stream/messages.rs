//! The JSON-RPC messages of a response body or an SSE event.

use bytes::Bytes;

use crate::protocol::message::{MAX_ELEMENTS, Malformed, elements, parse, parse_fast};
use crate::protocol::{Inbound, RawJson};

/// A parsed message, or why it is none.
pub(super) type Message = Result<Inbound, Malformed>;

/// The messages of a body or an event: one, an array of them (MCP 2025-03-26), or one a line.
///
/// # Errors
/// Why the text is not JSON, or that it has more than [`MAX_ELEMENTS`] messages.
pub(super) fn messages(text: &Bytes) -> Result<impl Iterator<Item = Message>, Unreadable> {
    let (one, several) = match parse_fast(text) {
        Some(message) => (Some(Ok(message)), Vec::new()),
        None => (None, texts(text)?),
    };
    let several = several.into_iter().map(|text| parse(&text));
    Ok(one.into_iter().chain(several))
}

/// The text of each message.
fn texts(text: &Bytes) -> Result<Vec<RawJson>, Unreadable> {
    let texts = match RawJson::parse(text.clone()) {
        Ok(message) if message.as_bytes().starts_with(b"[") => elements(&message),
        Ok(message) => Some(vec![message]),
        Err(error) => {
            let lines: Option<Vec<RawJson>> = text
                .split(|byte| *byte == b'\n')
                .map(<[u8]>::trim_ascii)
                .filter(|line| !line.is_empty())
                .take(MAX_ELEMENTS + 1)
                .map(|line| RawJson::parse(text.slice_ref(line)).ok())
                .collect();
            let lines = lines.filter(|lines| lines.len() > 1);
            let lines = lines.ok_or_else(|| Unreadable::NotJson(error.to_string()))?;
            Some(lines).filter(|lines| lines.len() <= MAX_ELEMENTS)
        }
    };
    texts.ok_or(Unreadable::TooMany)
}

/// Why a text has no messages that can be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("not JSON ({0})")]
    NotJson(String),
    #[error("more than {MAX_ELEMENTS} messages in one")]
    TooMany,
}
