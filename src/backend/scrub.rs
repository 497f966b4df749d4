//! What a backend says, made fit to be quoted: short, escaped, and without our secrets.
//!
//! Owns the list of what must not show. It must not know who is quoted, nor where.

use std::cmp::Reverse;

use reqwest::Url;

use crate::config::Secret;

/// How much is quoted, in characters.
const SNIPPET: usize = 120;
/// What is shorter than this in a path is a word, such as `api` or `sse`, and no secret.
const SECRET_SEGMENT: usize = 8;

/// The secrets of one backend, longest first: where one is the beginning of another, the rest of
/// the longer must not stay.
#[derive(Debug)]
pub(super) struct Scrubber {
    secrets: Vec<Secret>,
}

impl Scrubber {
    /// Knows the values of headers, and what of the URL isn't in the form that people are shown.
    pub(super) fn new(headers: Vec<Secret>, url: &Url, shown_url: &str) -> Self {
        let tokens: Vec<_> = headers.iter().filter_map(without_scheme).collect();
        let mut secrets = headers;
        secrets.extend(tokens);
        secrets.extend(of_query(url));
        secrets.extend(of_path(url, shown_url));
        secrets.retain(|secret| !secret.reveal().is_empty());
        secrets.sort_by_key(|secret| Reverse(secret.reveal().len()));
        Self { secrets }
    }

    /// The beginning of a text.
    pub(super) fn snippet(&self, text: &[u8]) -> String {
        let text = text.trim_ascii();
        let mut shown =
            String::from_utf8_lossy(&text[..text.len().min(self.window())]).into_owned();
        for secret in &self.secrets {
            shown = shown.replace(secret.reveal(), "***");
        }
        let cut = shown.chars().count() > SNIPPET;
        let shown: String = shown
            .chars()
            .take(SNIPPET)
            .flat_map(char::escape_debug)
            .collect();
        if cut { format!("{shown}…") } else { shown }
    }

    /// Bytes of a text that are read: so many that a secret which its end cuts in two lies behind
    /// all that is shown, even if nothing but secrets stands before it.
    fn window(&self) -> usize {
        let longest = self
            .secrets
            .first()
            .map_or(0, |secret| secret.reveal().len());
        (SNIPPET + 1) * longest.max(char::MAX.len_utf8())
    }
}

/// The token of `Bearer token`, which servers quote alone.
fn without_scheme(header: &Secret) -> Option<Secret> {
    let (_, token) = header.reveal().split_once(' ')?;
    Some(Secret::new(token.trim()))
}

/// Values of the query, as they are sent and as they read.
fn of_query(url: &Url) -> impl Iterator<Item = Secret> {
    let query = url.query().unwrap_or_default();
    let sent = query.split('&').filter_map(|pair| pair.split_once('='));
    let sent = sent.map(|(_, value)| value.to_owned());
    let read = url.query_pairs().map(|(_, value)| value.into_owned());
    sent.chain(read).map(Secret::new)
}

/// Parts of the path that a variable has put there.
fn of_path(url: &Url, shown_url: &str) -> impl Iterator<Item = Secret> {
    let parts = url.path_segments().into_iter().flatten();
    parts
        .filter(|part| part.len() >= SECRET_SEGMENT && !shown_url.contains(part))
        .map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrubber(headers: &[&str], url: &str, shown: &str) -> Scrubber {
        let headers = headers.iter().copied().map(Secret::new).collect();
        Scrubber::new(headers, &url.parse().unwrap(), shown)
    }

    #[test]
    fn of_the_url_what_is_not_shown_is_a_secret() {
        let scrubber = scrubber(
            &[],
            "http://127.0.0.1:1/api/tok-in-path/documents?key=tok%2Din-query&more",
            "http://127.0.0.1:1/api/${TOKEN}/documents",
        );
        assert_eq!(
            scrubber.snippet(b"POST /api/tok-in-path/documents?key=tok%2Din-query or tok-in-query"),
            "POST /api/***/documents?key=*** or ***"
        );
    }

    #[test]
    fn the_longer_of_two_secrets_goes_whole() {
        let scrubber = scrubber(
            &["tok", "tok-en", "Token other"],
            "http://h/mcp",
            "http://h/mcp",
        );
        assert_eq!(scrubber.snippet(b"tok-en, tok, other"), "***, ***, ***");
    }

    #[test]
    fn a_secret_that_the_end_cuts_in_two_is_not_shown() {
        let secret = "s".repeat(3000);
        let scrubber = scrubber(&[&secret], "http://h/mcp", "http://h/mcp");
        for pieces in 1..50 {
            let text = format!("{}{}", " ".repeat(4000), secret.repeat(pieces));
            assert!(!scrubber.snippet(text.as_bytes()).contains('s'));
        }
    }
}
