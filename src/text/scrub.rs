//! The secrets of one backend, and their removal from messages.
//!
//! Owns the secrets, which are learned when the config is read and while the gateway runs. It must
//! not know where a message is written.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::hidden::visible;
use super::spellings::{Finder, MAX_ESCAPED, Reach};
use crate::sync::Mutex;

/// Longest quote, in characters.
const SNIPPET: usize = 120;
/// What stands in the place of a secret.
pub(super) const SCRUBBED: &str = "***";

/// Removes the secrets of one backend from text. Secrets may be added at any time. Clones share
/// them.
#[derive(Clone, Default)]
pub(crate) struct Scrubber(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Never printed: this type has no `Debug`.
    secrets: Vec<(String, Reach)>,
    /// Built when it is first needed, which it never is for many backends.
    finder: Option<Option<Arc<Finder>>>,
}

impl Scrubber {
    /// Whether it has clones.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Whether both are clones of one.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Adds a secret.
    pub(crate) fn learn(&self, secret: &str, reach: Reach) {
        let mut state = self.0.lock();
        let known = state.secrets.iter_mut().find(|(known, _)| known == secret);
        match known {
            Some((_, known)) if *known >= reach => return,
            Some((_, known)) => *known = reach,
            None => state.secrets.push((secret.to_owned(), reach)),
        }
        state.finder = None;
    }

    /// Adds the value of a header, with the token in it that servers quote alone: that of
    /// `Bearer token`, and of `Basic` the decoded pair and its password.
    pub(crate) fn learn_header(&self, value: &str, reach: Reach) {
        self.learn(value, reach);
        let Some((scheme, token)) = value.split_once(' ') else {
            return;
        };
        let token = token.trim();
        self.learn(token, reach);
        if scheme.eq_ignore_ascii_case("basic")
            && let Ok(pair) = STANDARD.decode(token)
            && let Ok(pair) = String::from_utf8(pair)
        {
            if let Some((_, password)) = pair.split_once(':') {
                self.learn(password, reach);
            }
            self.learn(&pair, reach);
        }
    }

    /// Finds the secrets as they are now; `None` where there are none.
    pub(super) fn finder(&self) -> Option<Arc<Finder>> {
        let State { secrets, finder } = &mut *self.0.lock();
        let build = || {
            let all = secrets
                .iter()
                .map(|(secret, reach)| (secret.as_str(), *reach));
            Finder::of(all).map(Arc::new)
        };
        finder.get_or_insert_with(build).clone()
    }

    /// A message without the secrets that reach everywhere; not copied where it has none.
    pub(crate) fn message<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.finder() {
            Some(finder) => without(text, &finder, Reach::Everywhere),
            None => Cow::Borrowed(text),
        }
    }

    /// Bytes without the secrets that reach everywhere. Where one was found, what is no UTF-8 is
    /// replaced, too.
    pub(crate) fn bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        match self.message(&String::from_utf8_lossy(&bytes)) {
            Cow::Owned(text) => text.into_bytes(),
            Cow::Borrowed(_) => bytes,
        }
    }

    /// The beginning of a text of the backend, to be quoted: short, escaped, without secrets and
    /// without hidden characters.
    pub(crate) fn snippet(&self, text: &[u8]) -> String {
        let finder = self.finder();
        let longest = finder.as_ref().map_or(1, |finder| finder.longest());
        // Enough that a secret cut in two by the end lies behind all that is shown, even if only
        // secrets stand before it.
        let window = (SNIPPET + 1) * longest.max(char::MAX.len_utf8()) * MAX_ESCAPED;
        let text = text.trim_ascii();
        let text = String::from_utf8_lossy(&text[..text.len().min(window)]);
        let text = match &finder {
            Some(finder) => without(&text, finder, Reach::Quotes),
            None => text,
        };
        let text = visible(&text);
        let cut = text.chars().nth(SNIPPET).is_some();
        let shown: String = text
            .chars()
            .take(SNIPPET)
            .flat_map(char::escape_debug)
            .collect();
        if cut { format!("{shown}…") } else { shown }
    }
}

/// Shows no secret.
impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SCRUBBED)
    }
}

fn without<'a>(text: &'a str, finder: &Finder, reach: Reach) -> Cow<'a, str> {
    let places = finder.places(text, reach);
    if places.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut scrubbed = String::with_capacity(text.len());
    let mut copied = 0;
    for place in places {
        scrubbed.push_str(&text[copied..place.start]);
        scrubbed.push_str(SCRUBBED);
        copied = place.end;
    }
    scrubbed.push_str(&text[copied..]);
    Cow::Owned(scrubbed)
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE};

    use super::*;
    use crate::hex::hex;

    fn knowing(secrets: &[&str]) -> Scrubber {
        let scrubber = Scrubber::default();
        for secret in secrets {
            scrubber.learn_header(secret, Reach::Everywhere);
        }
        scrubber
    }

    #[test]
    fn a_secret_that_is_learned_later_is_removed_too() {
        let scrubber = knowing(&["first-token"]);
        assert_eq!(
            scrubber.snippet(b"first-token second-token"),
            "*** second-token"
        );
        scrubber.learn_header("Bearer second-token", Reach::Everywhere);
        assert_eq!(scrubber.snippet(b"first-token second-token"), "*** ***");
        assert_eq!(scrubber.message("a first-token"), "a ***");
    }

    #[test]
    fn overlapping_secrets_are_removed_whole() {
        let scrubber = knowing(&["token-one", "token-one-more", "more-token-two"]);
        assert_eq!(
            scrubber.snippet(b"token-one, token-one-more, token-one-more-token-two"),
            "***, ***, ***"
        );
    }

    #[test]
    fn a_short_secret_is_removed_where_it_stands_alone() {
        let scrubber = knowing(&["tok", "e", "X dev"]);
        assert_eq!(
            scrubber.snippet(b"tok, (tok) TOK: token toks; e dev developer"),
            "***, (***) ***: token toks; e *** developer"
        );
        assert_eq!(scrubber.message("tok"), "tok", "only in quotes");
    }

    #[test]
    fn what_may_be_a_word_is_removed_from_quotes_only() {
        let scrubber = knowing(&["pass-production"]);
        scrubber.learn("localhost", Reach::Quotes);
        assert_eq!(scrubber.snippet(b"localhost production"), "*** ***");
        assert_eq!(
            scrubber.message("localhost production"),
            "localhost production"
        );
        scrubber.learn("localhost", Reach::Everywhere);
        assert_eq!(scrubber.message("localhost"), "***");
        scrubber.learn("localhost", Reach::Quotes);
        assert_eq!(scrubber.message("localhost"), "***");
    }

    #[test]
    fn a_secret_that_the_end_cuts_in_two_is_not_shown() {
        let secret = "s".repeat(3000);
        let scrubber = knowing(&[&secret]);
        for pieces in 1..50 {
            let text = format!("{}{}", " ".repeat(4000), secret.repeat(pieces));
            assert!(!scrubber.snippet(text.as_bytes()).contains('s'));
        }
    }

    #[test]
    fn every_spelling_is_removed() {
        let odd = "s3cr\"t/+= k\u{e9}y";
        let scrubber = knowing(&[odd, "sk-\"0123456789abcdef", "Basic dTpwYXNzd29yZA=="]);
        let percent = |secret: &str| -> String {
            secret.bytes().map(|byte| format!("%{byte:02X}")).collect()
        };
        let escaped = |secret: &str| -> String {
            secret
                .encode_utf16()
                .map(|unit| format!("\\u{unit:04X}"))
                .collect()
        };
        let mut spellings = vec![
            odd.to_owned(),
            odd.to_uppercase().replace('\u{c9}', "\u{e9}"),
            "s3cr\\\"t\\/+= k\u{e9}y".into(),
            "s3cr\\\\\\\"t/+= k\u{e9}y".into(),
            "s3cr%22t%2F%2B%3D%20k%C3%A9y".into(),
            "s3cr%22t%2f%2b%3d%20k%c3%a9y".into(),
            "s3cr%2522t%252f%252b%253d%2520k%25c3%25a9y".into(),
            "s3cr\"t/+=+k\u{e9}y".into(),
            "s3c\u{200b}r\"t/+\u{feff}= k\u{e9}y".into(),
            "s3cr\"t/\n+= k\u{e9}y".into(),
            percent(odd),
            percent(odd).to_lowercase(),
            escaped(odd),
            escaped(odd).to_lowercase(),
            percent(&escaped(odd)),
            hex(odd.as_bytes()),
            hex(odd.as_bytes()).to_uppercase(),
            "sk-\"0123456789abcdef".into(),
            "0123456789ABCDEF".into(),
            "u:password".into(),
            "password".into(),
        ];
        spellings.extend([&STANDARD, &STANDARD_NO_PAD, &URL_SAFE].map(|code| {
            let encoded = code.encode(odd);
            encoded.trim_end_matches('=').to_owned()
        }));
        for said in &spellings {
            let text = format!("<{said}> and <{said}>");
            assert_eq!(
                scrubber.snippet(text.as_bytes()),
                "<***> and <***>",
                "{said}"
            );
        }
        for text in ["s3cr", "pass", "01234567", "dTpw"] {
            assert_eq!(scrubber.snippet(text.as_bytes()), text);
        }
        assert_eq!(format!("{scrubber:?}"), "***");
    }

    #[test]
    fn base64_of_a_secret_within_other_text_is_removed_at_each_alignment() {
        let scrubber = knowing(&["sk-0123456789abcdef"]);
        for before in ["", "a", "ab", "abc", "Bearer "] {
            for after in ["", "z", "zz"] {
                for code in [&STANDARD, &URL_SAFE] {
                    let encoded = code.encode(format!("{before}sk-0123456789abcdef{after}"));
                    let shown = scrubber.snippet(encoded.as_bytes());
                    assert!(shown.contains("***"), "{encoded}");
                    let left = shown.replace("***", "");
                    let around = before.len().div_ceil(3) + after.len().div_ceil(3);
                    assert!(left.len() <= 4 * (around + 1), "{shown}");
                }
            }
        }
    }

    #[test]
    fn a_message_that_is_json_stays_json() {
        let scrubber = knowing(&["nabcdefgh", "12345678\\"]);
        for text in [r#"{"a":"x\nabcdefgh"}"#, r#"{"a":"12345678\"}"}"#] {
            let scrubbed = scrubber.message(text);
            assert!(scrubbed.contains("***"), "{scrubbed}");
            serde_json::from_str::<serde_json::Value>(&scrubbed).unwrap();
        }
    }

    #[test]
    fn hidden_characters_are_not_quoted() {
        let quoted = Scrubber::default().snippet("a\u{e0041}\u{200b}b\u{202e}c\n".as_bytes());
        assert_eq!(quoted, "abc");
    }
}
