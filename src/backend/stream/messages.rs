//! The JSON-RPC messages of a response body or an SSE event.
//!
//! Owns where a text is parsed: a large one on a thread of its own, since that takes longer than a
//! turn and can't be cut. It must not know what becomes of the messages.

use bytes::Bytes;

use crate::backend::http::Turn;
use crate::protocol::message::{MAX_ELEMENTS, Malformed, elements, parse, parse_fast};
use crate::protocol::{Inbound, RawJson};

/// From this size on a text is parsed on a thread of its own, in bytes.
const LARGE: usize = 64 * 1024;

/// A parsed message, or why it is none.
pub(super) type Message = Result<Inbound, Malformed>;

/// The messages of one text, in their order.
#[derive(Default)]
pub(super) struct Messages {
    /// The only one, as most texts have.
    one: Option<Message>,
    parsed: std::vec::IntoIter<Message>,
    /// Not parsed yet.
    texts: std::vec::IntoIter<RawJson>,
}

impl Iterator for Messages {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        let parsed = self.one.take().or_else(|| self.parsed.next());
        parsed.or_else(|| self.texts.next().map(|text| parse(&text)))
    }
}

/// The messages of a body or an event: one, an array of them (MCP 2025-03-26), or one a line.
///
/// # Errors
/// Why the text is not JSON, or that it has more than [`MAX_ELEMENTS`] messages.
pub(super) async fn messages(text: &Bytes, turn: &mut Turn) -> Result<Messages, Unreadable> {
    if text.len() < LARGE {
        return split(text);
    }
    let text = text.clone();
    let parsing = move || split(&text).map(Iterator::collect::<Vec<Message>>);
    let parsed = turn.off_loop(parsing).await;
    let parsed =
        parsed.unwrap_or_else(|_| Err(Unreadable::NotJson("it can't be parsed".into())))?;
    Ok(Messages {
        parsed: parsed.into_iter(),
        ..Messages::default()
    })
}

fn split(text: &Bytes) -> Result<Messages, Unreadable> {
    let one = parse_fast(text).map(Ok);
    let texts = match one {
        Some(_) => Vec::new(),
        None => texts(text)?,
    };
    Ok(Messages {
        one,
        texts: texts.into_iter(),
        ..Messages::default()
    })
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
