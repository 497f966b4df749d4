//! Text of a backend, made fit to be quoted: short, escaped, and without secrets.
//!
//! Owns the secrets of one backend and the spellings in which a server may repeat them: verbatim,
//! escaped for JSON or a URL, in base64, in other case. It must not know where the text is shown.

use std::fmt;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use reqwest::Url;

use crate::config::Secret;
use crate::sync::Mutex;

/// Longest quote, in characters.
const SNIPPET: usize = 120;
/// A shorter path segment is a word, such as `api` or `sse`, and no secret.
const SECRET_SEGMENT: usize = 8;
/// Of a shorter secret only the secret itself is looked for. Of any secret, runs of at least this
/// many letters and digits are; shorter runs are ordinary text.
const MIN_RUN: usize = 8;

/// Removes the secrets of one backend from text. New secrets may be added at any time.
pub(super) struct Scrubber(Mutex<State>);

struct State {
    secrets: Vec<Secret>,
    /// Built when a backend is first quoted, which many never are.
    finder: Option<Arc<Finder>>,
}

struct Finder {
    /// Finds the longest of all spellings in one pass: where one is a prefix of another, the rest
    /// of the longer must not stay. `None` if there are too many.
    spellings: Option<AhoCorasick>,
    /// Bytes of a text that are read: enough that a secret cut in two by the end lies behind all
    /// that is shown, even if only secrets stand before it.
    window: usize,
}

impl Scrubber {
    /// Knows the parts of the URL that differ from the form shown to people.
    pub(super) fn new(url: Option<&Url>, shown_url: &str) -> Self {
        let of_url = |url| of_query(url).chain(of_path(url, shown_url));
        Self(Mutex::new(State {
            secrets: url.into_iter().flat_map(of_url).collect(),
            finder: None,
        }))
    }

    /// Adds values of headers, with the token in each.
    pub(super) fn learn(&self, headers: &[Secret]) {
        let mut state = self.0.lock();
        for secret in headers {
            let known = |known: &Secret| known.reveal() == secret.reveal();
            if !state.secrets.iter().any(known) {
                state.secrets.extend(without_scheme(secret));
                state.secrets.push(secret.clone());
                state.finder = None;
            }
        }
    }

    fn finder(&self) -> Arc<Finder> {
        let State { secrets, finder } = &mut *self.0.lock();
        Arc::clone(finder.get_or_insert_with(|| Arc::new(Finder::of(secrets))))
    }

    /// The beginning of a text, without secrets.
    pub(super) fn snippet(&self, text: &[u8]) -> String {
        let finder = self.finder();
        let text = text.trim_ascii();
        let text = finder.clean(&String::from_utf8_lossy(
            &text[..text.len().min(finder.window)],
        ));
        let cut = text.chars().count() > SNIPPET;
        let shown: String = text
            .chars()
            .take(SNIPPET)
            .flat_map(char::escape_debug)
            .collect();
        if cut { format!("{shown}…") } else { shown }
    }
}

impl Finder {
    fn of(secrets: &[Secret]) -> Self {
        let mut spellings: Vec<String> = secrets
            .iter()
            .flat_map(|secret| spellings(secret.reveal()))
            .filter(|spelling| !spelling.is_empty())
            .collect();
        spellings.sort_unstable();
        spellings.dedup();
        let longest = spellings.iter().map(String::len).max().unwrap_or(0);
        // A DFA would be faster to search, but for a long secret takes many MiB and seconds to build.
        let finder = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .build(&spellings);
        Self {
            spellings: finder.ok(),
            window: (SNIPPET + 1) * longest.max(char::MAX.len_utf8()),
        }
    }

    fn clean(&self, text: &str) -> String {
        const SCRUBBED: &str = "***";
        let Some(spellings) = &self.spellings else {
            return SCRUBBED.to_owned();
        };
        let mut cleaned = String::with_capacity(text.len());
        spellings.replace_all_with(text, &mut cleaned, |_, _, cleaned| {
            cleaned.push_str(SCRUBBED);
            true
        });
        cleaned
    }
}

/// Shows no secret.
impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn spellings(secret: &str) -> Vec<String> {
    let mut all = vec![secret.to_owned()];
    if secret.len() < MIN_RUN {
        return all;
    }
    // Letters and digits stay however often a secret is escaped.
    let runs = secret.split(|c: char| !c.is_ascii_alphanumeric());
    all.extend(runs.filter(|run| run.len() >= MIN_RUN).map(str::to_owned));
    let quoted = serde_json::Value::from(secret).to_string();
    let json = &quoted[1..quoted.len() - 1];
    all.extend([json.to_owned(), json.replace('/', "\\/")]);
    all.extend(in_urls(secret));
    all.extend([
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
    ]);
    all
}

/// Percent-encoded in full, as a path has it, and as a query has it.
fn in_urls(secret: &str) -> Vec<String> {
    let escaped = secret.bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    });
    let mut all = vec![escaped.collect()];
    if let Ok(mut url) = Url::parse("http://host/") {
        url.set_path(secret);
        url.set_query(Some(secret));
        all.push(url.path().trim_start_matches('/').to_owned());
        all.extend(url.query().map(str::to_owned));
    }
    all
}

/// The token of `Bearer token`, which servers quote alone; of `Basic` the decoded pair and its
/// password.
fn without_scheme(header: &Secret) -> Vec<Secret> {
    let Some((scheme, token)) = header.reveal().split_once(' ') else {
        return Vec::new();
    };
    let token = token.trim();
    let mut secrets = vec![token.to_owned()];
    if scheme.eq_ignore_ascii_case("basic")
        && let Ok(pair) = STANDARD.decode(token)
        && let Ok(pair) = String::from_utf8(pair)
    {
        let password = pair
            .split_once(':')
            .map(|(_, password)| password.to_owned());
        secrets.extend(password);
        secrets.push(pair);
    }
    secrets.into_iter().map(Secret::new).collect()
}

/// Values of the query, encoded and decoded.
fn of_query(url: &Url) -> impl Iterator<Item = Secret> {
    let query = url.query().unwrap_or_default();
    let sent = query.split('&').filter_map(|pair| pair.split_once('='));
    let sent = sent.map(|(_, value)| value.to_owned());
    let read = url.query_pairs().map(|(_, value)| value.into_owned());
    sent.chain(read).map(Secret::new)
}

/// Path segments that come from a variable.
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
        let headers: Vec<_> = headers.iter().copied().map(Secret::new).collect();
        let scrubber = Scrubber::new(Some(&url.parse().unwrap()), shown);
        scrubber.learn(&headers);
        scrubber
    }

    #[test]
    fn url_parts_that_are_not_shown_are_secrets() {
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
    fn a_secret_that_is_learned_later_is_removed_too() {
        let scrubber = scrubber(&["first-token"], "http://h/mcp", "http://h/mcp");
        assert_eq!(
            scrubber.snippet(b"first-token second-token"),
            "*** second-token"
        );
        scrubber.learn(&[Secret::new("Bearer second-token")]);
        assert_eq!(scrubber.snippet(b"first-token second-token"), "*** ***");
    }

    #[test]
    fn the_longer_of_two_secrets_is_removed_whole() {
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

    #[test]
    fn every_spelling_is_removed() {
        let scrubber = scrubber(
            &[
                "s3cr\"t/+= k\u{e9}y",
                "sk-\"0123456789abcdef",
                "abc",
                "Basic dTpwYXNz",
            ],
            "http://h/mcp",
            "http://h/mcp",
        );
        for said in [
            "s3cr\"t/+= k\u{e9}y",
            "S3CR\"T/+= K\u{e9}Y",
            "s3cr\\\"t/+= k\u{e9}y",
            "s3cr\\\"t\\/+= k\u{e9}y",
            "s3cr%22t%2F%2B%3D%20k%C3%A9y",
            "s3cr%22t%2f%2b%3d%20k%c3%a9y",
            "s3cr%22t/+=%20k%C3%A9y",
            "czNjciJ0Lys9IGvDqXk",
            "sk-\"0123456789abcdef",
            "0123456789ABCDEF",
            "abc",
            "dTpwYXNz",
            "u:pass",
            "pass",
        ] {
            let text = format!("<{said}> and <{said}>");
            assert_eq!(
                scrubber.snippet(text.as_bytes()),
                "<***> and <***>",
                "{said}"
            );
        }
        for text in ["s3cr", "YWJj", "ab", "01234567"] {
            assert_eq!(scrubber.snippet(text.as_bytes()), text);
        }
        assert_eq!(format!("{scrubber:?}"), "***");
    }
}
