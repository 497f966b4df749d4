//! What a backend says, made fit to be quoted: short, escaped, and without our secrets.
//!
//! Owns the list of what must not show, and the spellings in which a server may say it back: as it
//! is, escaped for JSON or a URL, in base64, in other case. It must not know who is quoted, nor
//! where.

use std::fmt;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use reqwest::Url;

use crate::config::Secret;

/// How much is quoted, in characters.
const SNIPPET: usize = 120;
/// What is shorter than this in a path is a word, such as `api` or `sse`, and no secret.
const SECRET_SEGMENT: usize = 8;
/// Of shorter secrets the secret itself is looked for alone, and of any its runs of so many letters
/// and digits: less is ordinary text.
const TELLING: usize = 8;

/// Knows the secrets of one backend.
pub(super) struct Scrubber {
    secrets: Vec<Secret>,
    /// Made when a backend is quoted for the first time, which many never are.
    finder: OnceLock<Finder>,
}

struct Finder {
    /// Finds the longest of all spellings, in one pass: where one is the beginning of another,
    /// the rest of the longer must not stay. `None` if there are too many to be found so.
    spellings: Option<AhoCorasick>,
    /// Bytes of a text that are read: so many that a secret which its end cuts in two lies behind
    /// all that is shown, even if nothing but secrets stands before it.
    window: usize,
}

impl Scrubber {
    /// Knows the values of headers, and what of the URL isn't in the form that people are shown.
    pub(super) fn new(headers: Vec<Secret>, url: &Url, shown_url: &str) -> Self {
        let tokens: Vec<_> = headers.iter().flat_map(without_scheme).collect();
        let secrets = headers.into_iter().chain(tokens);
        let secrets = secrets.chain(of_query(url)).chain(of_path(url, shown_url));
        Self {
            secrets: secrets.collect(),
            finder: OnceLock::new(),
        }
    }

    /// The beginning of a text.
    pub(super) fn snippet(&self, text: &[u8]) -> String {
        let finder = self.finder.get_or_init(|| Finder::of(&self.secrets));
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
        // A table of all steps would be faster to search with, but for a long secret takes many MiB,
        // and seconds to be made.
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

/// Shows nothing, whoever logs it.
impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn spellings(secret: &str) -> Vec<String> {
    let mut all = vec![secret.to_owned()];
    if secret.len() < TELLING {
        return all;
    }
    // However a secret is escaped, and however often, its letters and digits stay.
    let runs = secret.split(|c: char| !c.is_ascii_alphanumeric());
    all.extend(runs.filter(|run| run.len() >= TELLING).map(str::to_owned));
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

/// With all escaped that can be, and as it stands in a path and in a query.
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

/// The token of `Bearer token`, which servers quote alone; of `Basic` what is in it, and the
/// password in that.
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

    #[test]
    fn every_spelling_goes() {
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
