//! Reads what a server says of itself in a handshake.
//!
//! Owns the bounds on it: names are cleaned for display, and 32 KiB of `instructions` are kept, cut
//! between two words.

use crate::backend::http::Endpoint;
use crate::backend::session::server_profile::ServerProfile;
use crate::protocol::RawJson;

/// Most bytes of `instructions` that are read.
const MAX_INSTRUCTIONS: usize = 32 << 10;

/// The server of a handshake's `result`; `info` is its `serverInfo`.
pub(super) fn profile(
    result: &RawJson,
    info: Option<&RawJson>,
    endpoint: &Endpoint,
) -> ServerProfile {
    let shown = |key: &str| {
        let value = info
            .and_then(|info| info.get(key)?.text())
            .unwrap_or_default();
        endpoint.snippet(value.as_bytes())
    };
    let capabilities = result.get("capabilities").filter(RawJson::is_object);
    let instructions = result.get("instructions").and_then(|text| text.text());
    let instructions = instructions.map(|text| beginning(&text, MAX_INSTRUCTIONS).into());
    ServerProfile {
        name: shown("name"),
        version: shown("version"),
        capabilities: capabilities.unwrap_or_else(|| RawJson::trusted("{}")),
        instructions,
    }
}

/// The beginning of a text, cut between two words: a secret that is cut in two can't be recognised.
fn beginning(text: &str, max_bytes: usize) -> &str {
    if text.len() <= max_bytes {
        return text;
    }
    let mut spaces = text.match_indices(char::is_whitespace).map(|(at, _)| at);
    &text[..spaces
        .by_ref()
        .take_while(|at| *at <= max_bytes)
        .last()
        .unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::beginning;

    #[test]
    fn a_text_is_cut_between_words() {
        for (text, expected) in [
            ("one two", "one two"),
            ("one two three", "one two"),
            ("one twothree", "one"),
            ("onetwothree", ""),
            ("éééé é", ""),
        ] {
            assert_eq!(beginning(text, 7), expected, "{text}");
        }
    }
}
