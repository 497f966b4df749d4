//! Takes secrets out of what a backend said, before it is quoted.
//!
//! Owns the spellings in which a server may say a secret back: as it is, escaped for JSON or a
//! URL, in base64, in other case. It must not know where secrets come from.

use std::fmt;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use reqwest::Url;

use crate::config::Secret;

const SCRUBBED: &str = "***";
/// Of shorter secrets only the secret itself is looked for, and of any its runs of so many letters
/// and digits: less is ordinary text.
const TELLING: usize = 8;
/// From this length on, the beginning of a secret at the end of a text gives something away.
const PART: usize = 4;

/// Knows the secrets of one backend.
pub(super) struct Scrubber {
    spellings: Vec<String>,
    /// Finds the longest of them, in one pass. `None` if there are too many to be found so.
    finder: Option<AhoCorasick>,
}

impl Scrubber {
    pub(super) fn new(secrets: &[Secret]) -> Self {
        let mut spellings: Vec<String> = secrets
            .iter()
            .flat_map(|secret| spellings(secret.reveal()))
            .filter(|spelling| !spelling.is_empty())
            .collect();
        spellings.sort_unstable();
        spellings.dedup();
        let finder = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .build(&spellings)
            .ok();
        Self { spellings, finder }
    }

    /// The text with `***` in place of every secret.
    pub(super) fn clean(&self, text: &str) -> String {
        let Some(finder) = &self.finder else {
            return SCRUBBED.to_owned();
        };
        let mut cleaned = String::with_capacity(text.len());
        finder.replace_all_with(text, &mut cleaned, |_, _, cleaned| {
            cleaned.push_str(SCRUBBED);
            true
        });
        cleaned
    }

    /// The same of a text that was cut: what it ends with may be the beginning of a secret.
    pub(super) fn clean_cut(&self, text: &str) -> String {
        let text = self.clean(text);
        let parts = self.spellings.iter().filter_map(|spelling| {
            let lengths = (PART..spelling.len()).rev();
            let mut parts = lengths.filter_map(|length| spelling.get(..length));
            parts.find_map(|part| without_end(&text, part))
        });
        match parts.min_by_key(|rest| rest.len()) {
            Some(rest) => format!("{rest}{SCRUBBED}"),
            None => text,
        }
    }
}

/// The text without this at its end, in whatever case.
fn without_end<'a>(text: &'a str, end: &str) -> Option<&'a str> {
    let (rest, last) = text.split_at_checked(text.len().checked_sub(end.len())?)?;
    last.eq_ignore_ascii_case(end).then_some(rest)
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "s3cr\"t/+= k\u{e9}y";
    const TOKEN: &str = "sk-\"0123456789abcdef";

    fn scrubber() -> Scrubber {
        Scrubber::new(&[SECRET, TOKEN, "abc", ""].map(Secret::new))
    }

    #[test]
    fn every_spelling_goes() {
        for said in [
            SECRET,
            "s3cr\\\"t/+= k\u{e9}y",
            "s3cr\\\"t\\/+= k\u{e9}y",
            "s3cr%22t%2F%2B%3D%20k%C3%A9y",
            "s3cr%22t%2f%2b%3d%20k%c3%a9y",
            "s3cr%22t/+=%20k%C3%A9y",
            "czNjciJ0Lys9IGvDqXk",
            "S3CR\"T/+= K\u{e9}Y",
            TOKEN,
            "0123456789ABCDEF",
            "abc",
        ] {
            let text = format!("<{said}> and <{said}>");
            assert_eq!(scrubber().clean(&text), "<***> and <***>", "{said}");
        }
    }

    #[test]
    fn what_is_none_stays() {
        for text in ["", "s3cr", "YWJj", "***", "ab", "01234567"] {
            assert_eq!(scrubber().clean(text), text);
        }
    }

    #[test]
    fn the_beginning_of_a_secret_at_a_cut_goes_too() {
        for (text, expected) in [
            ("bad key s3cr\"t/+", "bad key ***"),
            ("bad key s3c", "bad key s3c"),
            ("bad key s3cr\"t/+= k\u{e9}y", "bad key ***"),
            ("czNjciJ0Lys9IGvDqX", "***"),
            (
                "twice escaped: sk-\\\\\"0123456789AB",
                "twice escaped: sk-\\\\\"***",
            ),
        ] {
            assert_eq!(scrubber().clean_cut(text), expected);
        }
    }

    #[test]
    fn a_scrubber_shows_nothing() {
        assert_eq!(format!("{:?}", scrubber()), "***");
    }
}
