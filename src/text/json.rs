//! JSON that a backend wrote and a model reads: definitions and capabilities.
//!
//! Owns the removal of hidden characters and of secrets from every string value and number of a
//! text, in one pass; every other byte stays. It must not know what the JSON is.

use std::ops::Range;

use super::hidden::{is_hidden, is_removed, was_removed_in_version_1};
use super::scrub::{SCRUBBED, Scrubber};
use super::spellings::{Finder, Reach};
use super::unescape::View;
use crate::protocol::{RawJson, json_scan};

/// Most levels of arrays and objects. Parsers commonly stop at 128 levels of a message, and a list
/// result adds three levels around a definition: one deeper definition would make the entire list
/// unreadable for the client.
pub(crate) const MAX_DEPTH: usize = 120;

/// Why a text can't be cleaned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unclean {
    /// The name of a member has hidden characters: a changed name would name another member.
    HiddenKey,
    /// The name of a member has a secret.
    SecretKey,
    /// It has more than [`MAX_DEPTH`] levels.
    TooDeep,
}

/// The text without hidden characters and secrets, on one line.
///
/// Hidden characters are found raw and as escapes. A lone surrogate is removed too: many parsers
/// refuse the whole message for it, and two of them must not form a pair when the text between
/// them is removed. A secret in a string becomes `***`, a number that has one becomes `0`. Line
/// ends between tokens become spaces. A text that needs no change is not copied.
///
/// # Errors
/// If a name of a member would change, or it is nested too deep.
pub(crate) fn clean_json(json: &RawJson, scrubber: &Scrubber) -> Result<RawJson, Unclean> {
    clean(json, scrubber.finder().as_deref(), is_removed)
}

/// The text as version 1 of the lock had it, to be compared with a hash in such a lock.
///
/// # Errors
/// Like [`clean_json`].
pub(crate) fn clean_json_as_in_version_1(json: &RawJson) -> Result<RawJson, Unclean> {
    clean(json, None, was_removed_in_version_1)
}

/// Whether a character of a text, by its place in it, is removed.
type IsRemoved = fn(&[char], usize) -> bool;

fn clean(
    json: &RawJson,
    finder: Option<&Finder>,
    is_removed: IsRemoved,
) -> Result<RawJson, Unclean> {
    let text = json.as_str();
    let bytes = text.as_bytes();
    let mut splice = Splice::over(text);
    let mut depth = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let end = json_scan::string_end(bytes, at).unwrap_or(bytes.len());
                let changed = clean_string(&mut splice, at + 1..end - 1, finder, is_removed);
                if let Some(unclean) = changed
                    && is_key(bytes, end)
                {
                    return Err(unclean);
                }
                at = end;
                continue;
            }
            b'0'..=b'9' if finder.is_some() => {
                let end = number_end(bytes, at);
                clean_number(&mut splice, at..end, finder);
                at = end;
                continue;
            }
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(Unclean::TooDeep);
                }
            }
            b'}' | b']' => depth -= 1,
            b'\n' | b'\r' => splice.replace(at..at + 1, " "),
            _ => {}
        }
        at += 1;
    }
    Ok(splice
        .finish()
        .map_or_else(|| json.clone(), RawJson::trusted))
}

/// Cleans the inside of one string; returns what was wrong with it, a secret first.
fn clean_string(
    splice: &mut Splice<'_>,
    inside: Range<usize>,
    finder: Option<&Finder>,
    is_removed: IsRemoved,
) -> Option<Unclean> {
    let written = &splice.text[inside.clone()];
    if !is_plain(written.as_bytes()) {
        return clean_escaped(splice, inside, finder, is_removed);
    }
    let secrets = finder?.places(written, Reach::Everywhere);
    for secret in &secrets {
        splice.replace(
            inside.start + secret.start..inside.start + secret.end,
            SCRUBBED,
        );
    }
    (!secrets.is_empty()).then_some(Unclean::SecretKey)
}

/// Cleans the inside of a string in which some characters are escaped or are not ASCII.
fn clean_escaped(
    splice: &mut Splice<'_>,
    inside: Range<usize>,
    finder: Option<&Finder>,
    is_removed: IsRemoved,
) -> Option<Unclean> {
    let Decoded { chars, written } = Decoded::of(&splice.text[inside.clone()]);
    let secrets = finder.map_or_else(Vec::new, |finder| {
        finder.places_in(view_of(&chars, &written), Reach::Everywhere)
    });
    let mut left = secrets.iter().peekable();
    let mut has_hidden = false;
    let mut start = 0;
    for (at, &Written { end, is_lone }) in written.iter().enumerate() {
        let place = inside.start + start..inside.start + end;
        match left.peek() {
            Some(secret) if secret.start < end => {
                if secret.start == start {
                    splice.replace(place.start..inside.start + secret.end, SCRUBBED);
                }
                if secret.end <= end {
                    left.next();
                }
            }
            _ if is_lone || is_removed(&chars, at) => {
                splice.replace(place, "");
                has_hidden = true;
            }
            _ => {}
        }
        start = end;
    }
    if secrets.is_empty() {
        has_hidden.then_some(Unclean::HiddenKey)
    } else {
        Some(Unclean::SecretKey)
    }
}

/// The characters of a string's inside.
#[derive(Default)]
struct Decoded {
    /// A lone surrogate is U+FFFD.
    chars: Vec<char>,
    /// One for each character.
    written: Vec<Written>,
}

/// How a character is written.
struct Written {
    /// Where that ends.
    end: usize,
    /// It is a lone surrogate.
    is_lone: bool,
}

impl Decoded {
    fn of(inside: &str) -> Self {
        let mut decoded = Self::default();
        let mut end = 0;
        while end < inside.len() {
            let (c, len) = next_char(&inside[end..]);
            end += len;
            decoded.chars.push(c.unwrap_or(char::REPLACEMENT_CHARACTER));
            let is_lone = c.is_none();
            decoded.written.push(Written { end, is_lone });
        }
        decoded
    }
}

/// The characters as a text in which secrets are looked for: without hidden ones and line ends.
fn view_of(chars: &[char], written: &[Written]) -> View {
    let mut view = View::with_capacity(chars.len());
    let mut buffer = [0; 4];
    let mut start = 0;
    for (c, Written { end, is_lone }) in chars.iter().zip(written) {
        if !is_lone && !is_hidden(*c) && *c != '\n' {
            let part = c.encode_utf8(&mut buffer).as_bytes();
            view.push(part, (start as u32, *end as u32));
        }
        start = *end;
    }
    view
}

fn clean_number(splice: &mut Splice<'_>, number: Range<usize>, finder: Option<&Finder>) {
    let Some(finder) = finder else { return };
    let written = &splice.text[number.clone()];
    if !finder.places(written, Reach::Everywhere).is_empty() {
        splice.replace(number, "0");
    }
}

fn number_end(bytes: &[u8], at: usize) -> usize {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-');
    let length = bytes[at..].iter().take_while(|byte| is_part(byte)).count();
    at + length
}

/// The first character of a string's inside, `None` for a lone surrogate, and the number of bytes
/// it is written with. `text` is not empty.
fn next_char(text: &str) -> (Option<char>, usize) {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some('\\'), Some('u')) => {}
        (Some('\\'), Some(escaped)) => {
            let c = match escaped {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                other => other,
            };
            return (Some(c), 1 + escaped.len_utf8());
        }
        (Some(c), _) => return (Some(c), c.len_utf8()),
        (None, _) => return (None, 1),
    }
    let units = [escaped_unit(text), text.get(6..).and_then(escaped_unit)];
    match char::decode_utf16(units.into_iter().map_while(|unit| unit)).next() {
        Some(Ok(c)) => (Some(c), 6 * c.len_utf16()),
        _ => (None, 6.min(text.len())),
    }
}

/// The UTF-16 unit of a `\uXXXX` at the start of `text`.
fn escaped_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}

/// Whether the inside of a string is printable ASCII without escapes, as in most strings.
fn is_plain(inside: &[u8]) -> bool {
    inside
        .iter()
        .all(|&byte| (0x20..0x7f).contains(&byte) && byte != b'\\')
}

/// Whether the string that ends at `end` is the name of a member.
fn is_key(bytes: &[u8], end: usize) -> bool {
    bytes.get(json_scan::skip_space(bytes, end)) == Some(&b':')
}

/// A text with parts replaced from left to right. Copied only if a part is replaced.
struct Splice<'a> {
    text: &'a str,
    out: String,
    copied: usize,
}

impl<'a> Splice<'a> {
    fn over(text: &'a str) -> Self {
        Self {
            text,
            out: String::new(),
            copied: 0,
        }
    }

    fn replace(&mut self, part: Range<usize>, with: &str) {
        self.out.push_str(&self.text[self.copied..part.start]);
        self.out.push_str(with);
        self.copied = part.end;
    }

    fn finish(mut self) -> Option<String> {
        if self.copied == 0 {
            return None;
        }
        self.out.push_str(&self.text[self.copied..]);
        Some(self.out)
    }
}

#[cfg(test)]
mod tests;
