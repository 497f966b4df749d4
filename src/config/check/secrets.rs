//! Which parts of a backend's entry are secrets.
//!
//! Owns two answers: whether something that is sent counts as a credential, which plain http must
//! not carry to another machine; and what is removed from a text of the backend before it is
//! written anywhere. It must not know how a secret is resolved.

use std::ops::Range;

use reqwest::header::HeaderName;

use super::expand::{Expanded, expand, has_variables};
use crate::config::SecretSource;
use crate::config::environment::Environment;
use crate::config::read::file::{Backend, HeaderForm};
use crate::text::{Reach, Scrubber};

/// Shorter texts are words more often than keys.
const MIN_KEY: usize = 12;

/// A URL, with its variables expanded, by its parts.
struct Parts<'a> {
    url: &'a Expanded,
    /// End of scheme, user, host and port.
    authority: usize,
    /// End of path and query.
    end: usize,
}

impl<'a> Parts<'a> {
    fn of(url: &'a Expanded) -> Self {
        let text = url.text.as_str();
        let start = text.find("://").map_or(0, |at| at + 3);
        let find = |from: usize, chars: &[char]| {
            text[from..].find(chars).map_or(text.len(), |at| from + at)
        };
        let authority = find(start, &['/', '\\', '?', '#']);
        Self {
            url,
            authority,
            end: find(authority, &['#']),
        }
    }

    /// The parts of this range that come from variables.
    fn values_in(&self, range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let within =
            move |value: &Range<usize>| value.start.max(range.start)..value.end.min(range.end);
        let values = self.url.values.iter().map(within);
        values.filter(|value| !value.is_empty())
    }

    /// Where user and password are, if they are there.
    fn user(&self) -> Range<usize> {
        let before = &self.url.text[..self.authority];
        0..before.rfind('@').unwrap_or(0)
    }

    fn path_end(&self) -> usize {
        let query = self.url.text[self.authority..self.end].find('?');
        query.map_or(self.end, |at| self.authority + at)
    }

    /// The segments of the path.
    fn segments(&self) -> Vec<Range<usize>> {
        let path = self.authority..self.path_end();
        split(&self.url.text, path, &['/', '\\'])
    }

    /// Names and values of the query.
    fn pairs(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let text = &self.url.text;
        let query = (self.path_end() + 1).min(self.end)..self.end;
        let pairs = split(text, query, &['&']).into_iter();
        pairs.filter_map(|pair| {
            let at = pair.start + text[pair.clone()].find('=')?;
            Some((pair.start..at, at + 1..pair.end))
        })
    }
}

/// Whether the entry has something that must not travel unencrypted: a bearer, any header, anything
/// in path or query that comes from a variable, or a query parameter that is named like a secret.
pub(super) fn has_credentials(written: &Backend, url: &Expanded) -> bool {
    let parts = Parts::of(url);
    let from_variable = parts.values_in(parts.authority..parts.end).next().is_some()
        || parts.values_in(parts.user()).next().is_some();
    let is_named = parts
        .pairs()
        .any(|(name, _)| names_a_secret(&url.text[name]));
    written.bearer.is_some() || !written.headers.0.is_empty() || from_variable || is_named
}

/// What must be removed from a backend's text, as far as it is known before files and commands are
/// read.
pub(super) fn scrubber(
    written: &Backend,
    url: &Expanded,
    bearer: Option<&SecretSource>,
    headers: &[(HeaderName, SecretSource)],
    env: &Environment,
) -> Scrubber {
    let scrubber = Scrubber::default();
    learn_url(&scrubber, url);
    if let Some(SecretSource::Value(secret)) = bearer {
        scrubber.learn(secret.reveal(), Reach::Everywhere);
    }
    for (name, source) in headers {
        let SecretSource::Value(secret) = source else {
            continue;
        };
        let value = secret.reveal();
        let mut reach = Reach::Everywhere;
        let mut forms = written.headers.0.iter();
        let form = forms.find(|(key, _)| key.value.eq_ignore_ascii_case(name.as_str()));
        if let Some((_, form)) = form
            && let HeaderForm::Text(text) = &form.value
        {
            let header = expand(text, env).unwrap_or_default();
            for value in header.values {
                scrubber.learn(&header.text[value], Reach::Everywhere);
            }
            if !has_variables(text) && !names_a_secret(name.as_str()) && !is_like_a_key(value) {
                reach = Reach::Quotes;
            }
        }
        scrubber.learn_header(value, reach);
    }
    scrubber
}

/// A host is no secret, and a path may be made of words; what a variable put into a query is.
fn learn_url(scrubber: &Scrubber, url: &Expanded) {
    let parts = Parts::of(url);
    let learn = |part: Range<usize>, reach| scrubber.learn(&url.text[part], reach);
    for value in parts.values_in(0..parts.authority) {
        learn(value, Reach::Quotes);
    }
    let by_looks = |part: &Range<usize>| match is_like_a_key(&url.text[part.clone()]) {
        true => Reach::Everywhere,
        false => Reach::Quotes,
    };
    for value in parts.values_in(parts.authority..parts.end) {
        learn(value.clone(), by_looks(&value));
    }
    for segment in parts.segments() {
        for value in parts.values_in(segment.clone()) {
            learn(value.clone(), by_looks(&value));
            learn(segment.clone(), by_looks(&segment));
        }
    }
    for (name, pair) in parts.pairs() {
        let mut reach = by_looks(&pair);
        if names_a_secret(&url.text[name]) {
            reach = Reach::Everywhere;
        }
        for value in &url.values {
            // Not one that holds the whole query.
            if pair.start <= value.start && value.start < pair.end {
                reach = Reach::Everywhere;
                learn(value.start..value.end.min(pair.end), reach);
            }
        }
        learn(pair, reach);
    }
}

/// Whether a header or query parameter of this name probably holds a credential.
fn names_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["auth", "cookie", "key", "password", "secret", "token"]
        .iter()
        .any(|part| name.contains(part))
}

/// Whether a text is rather a key than words: long, with letters and digits.
fn is_like_a_key(text: &str) -> bool {
    let has = |is: fn(&char) -> bool| text.chars().any(|c| is(&c));
    text.len() >= MIN_KEY && has(char::is_ascii_digit) && has(char::is_ascii_alphabetic)
}

fn split(text: &str, range: Range<usize>, at: &[char]) -> Vec<Range<usize>> {
    let mut start = range.start;
    let mut parts = Vec::new();
    for part in text[range].split(at) {
        parts.push(start..start + part.len());
        start += part.len() + 1;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Variables are written `<value>`.
    fn expanded(text: &str) -> Expanded {
        let mut expanded = Expanded::default();
        for (at, part) in text.split(['<', '>']).enumerate() {
            let start = expanded.text.len();
            expanded.text.push_str(part);
            if at % 2 == 1 {
                expanded.values.push(start..expanded.text.len());
            }
        }
        expanded
    }

    #[test]
    fn a_url_has_credentials_where_a_variable_reaches_path_or_query() {
        let entry = Backend::default();
        for (url, expected) in [
            ("http://h/mcp", false),
            ("http://<h>:<1>/mcp", false),
            ("<http>://h/mcp?a=b", false),
            ("http://<h>", false),
            ("<http://h>", false),
            ("http://h/<>", false),
            ("http://h/mcp#<f>", false),
            ("http://h/<x>/mcp", true),
            ("http://h/mcp?a=<x>", true),
            ("http://h/mcp?<x>", true),
            ("http://<h/x>", true),
            ("<http://h/mcp>", true),
            ("http://<u>@h/mcp", true),
            ("http://h/mcp?api_key=literal", true),
        ] {
            assert_eq!(has_credentials(&entry, &expanded(url)), expected, "{url}");
        }
    }

    #[test]
    fn what_a_variable_put_into_a_url_is_removed_and_words_from_quotes_only() {
        let url = "http://<gateway-host>/api/<tok-in-path-1>/pre-<documents>/x?key=<tok%2Din-query>&f=database&m=<s3cr>et#x";
        let scrubber = Scrubber::default();
        learn_url(&scrubber, &expanded(url));
        let said = "gateway-host api tok-in-path-1 documents tok%2Din-query tok-in-query database";
        assert_eq!(
            scrubber.snippet(said.as_bytes()),
            "*** api *** *** *** *** ***"
        );
        assert_eq!(
            scrubber.message(said),
            "gateway-host api *** documents *** *** database"
        );
    }

    #[test]
    fn a_url_that_is_one_variable_makes_no_words_secret() {
        let scrubber = Scrubber::default();
        let url = "<https://host.example/sessions?features=database&token=sesame-open>";
        learn_url(&scrubber, &expanded(url));
        assert_eq!(
            scrubber.message("sessions, database, sesame-open"),
            "sessions, database, ***"
        );
    }
}
