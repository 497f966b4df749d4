//! Removes characters from definitions that a person would not see.
//!
//! Descriptions and schemas of a backend become part of a model's context. Owns which characters
//! hide, reorder or disguise text, and their removal from every string value of a definition; every
//! other byte stays. It must not know tools.

use std::ops::Range;

use super::rejected::{MAX_DEPTH, RejectReason};
use crate::protocol::{RawJson, json_scan};

/// Whether a character hides or disguises the text around it: control characters except `\n` and
/// `\t`, bidirectional, zero-width and tag characters, and variation selectors.
pub(super) fn is_hostile(c: char) -> bool {
    matches!(c,
        '\0'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e01ef}')
}

/// The definition without hostile characters, on one line.
///
/// They are found raw and as escapes. A lone surrogate is removed too: many parsers refuse the
/// whole message for it, and two of them must not form a pair when the text between them is
/// removed. Line ends between tokens become spaces. A definition that needs no change is not
/// copied.
///
/// # Errors
/// [`RejectReason::HostileKey`] for a member name with such characters, since a changed name would
/// name another member; [`RejectReason::TooDeep`] for more than [`MAX_DEPTH`] levels.
pub(super) fn clean(definition: &RawJson) -> Result<RawJson, RejectReason> {
    let text = definition.as_str();
    let bytes = text.as_bytes();
    let mut splice = Splice::over(text);
    let mut depth = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let end = json_scan::string_end(bytes, at).unwrap_or(bytes.len());
                let inside = at + 1..end - 1;
                if !is_plain(&bytes[inside.clone()]) {
                    let changed = clean_string(&mut splice, inside);
                    if changed && is_key(bytes, end) {
                        return Err(RejectReason::HostileKey);
                    }
                }
                at = end;
                continue;
            }
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(RejectReason::TooDeep);
                }
            }
            b'}' | b']' => depth -= 1,
            b'\n' | b'\r' => splice.replace(at, at + 1, " "),
            _ => {}
        }
        at += 1;
    }
    Ok(splice
        .finish()
        .map_or_else(|| definition.clone(), RawJson::trusted))
}

/// Removes hostile characters from the inside of one string; returns whether there were any.
fn clean_string(splice: &mut Splice<'_>, inside: Range<usize>) -> bool {
    let mut changed = false;
    let mut at = inside.start;
    while at < inside.end {
        let (c, len) = next_char(&splice.text[at..inside.end]);
        if c.is_none_or(is_hostile) {
            splice.replace(at, at + len, "");
            changed = true;
        }
        at += len;
    }
    changed
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

    fn replace(&mut self, start: usize, end: usize, with: &str) {
        self.out.push_str(&self.text[self.copied..start]);
        self.out.push_str(with);
        self.copied = end;
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
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn raw(text: &str) -> RawJson {
        RawJson::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    fn cleaned(text: &str) -> String {
        clean(&raw(text)).unwrap().as_str().to_owned()
    }

    #[test]
    fn row_72_hostile_characters_are_removed_raw_and_escaped() {
        for hostile in [
            "\u{7f}",
            "\u{85}",
            "\u{202e}",
            "\u{2066}",
            "\u{200e}",
            "\u{61c}",
            "\u{200b}",
            "\u{200d}",
            "\u{feff}",
            "\u{2060}",
            "\u{e0041}",
            "\u{e0100}",
            "\\u0000",
            "\\u001b",
            "\\u009B",
            "\\r",
            "\\b",
            "\\f",
            "\\u202E",
            "\\u200b",
            "\\uFEFF",
            "\\udb40\\udc41",
            "\\uDB40\\uDC7F",
            "\\ud800",
            "\\udc00",
            "\\ud800\\ud800",
            "\\ud800x\\udc00",
        ] {
            let text = format!(r#"{{"a":["say {hostile}no"],"b":1}}"#);
            let x = if hostile.contains('x') { "x" } else { "" };
            assert_eq!(
                cleaned(&text),
                format!(r#"{{"a":["say {x}no"],"b":1}}"#),
                "{hostile:?}"
            );
        }
    }

    #[test]
    fn a_definition_without_hostile_characters_is_not_copied() {
        let text = r#"{ "π" : 1.10,"t":"tab\t line\n \u000a quote\" \\u200b \/ \\","n":2e400, "s":"é 日本 😀 \ud83d\ude00 \u00e9","e":"" }"#;
        let raw = raw(text);
        let same = clean(&raw).unwrap();
        assert_eq!(same.as_str(), text);
        assert_eq!(
            same.as_bytes().as_ptr(),
            raw.as_bytes().as_ptr(),
            "not copied"
        );
    }

    #[test]
    fn lone_surrogates_never_form_a_pair_after_a_removal() {
        assert_eq!(cleaned(r#"["\udb40\u200b\udc41"]"#), r#"[""]"#);
        assert_eq!(
            cleaned(r#"["\ud83d\ud83d\ude00\ude00"]"#),
            r#"["\ud83d\ude00"]"#
        );
    }

    #[test]
    fn a_hostile_member_name_is_refused_at_any_depth() {
        for text in [
            r#"{"a\u200b":1}"#,
            "{\"p\":[{\"a\u{202e}\" \n : \"x\"}]}",
            r#"{"\ud800":1}"#,
            r#"{"p":{"\u001b[2J":{}}}"#,
        ] {
            assert_eq!(clean(&raw(text)), Err(RejectReason::HostileKey), "{text}");
        }
    }

    #[test]
    fn line_ends_between_tokens_become_spaces() {
        assert_eq!(
            cleaned("{\r\n  \"a\":\n[1,\n\t2]\n}"),
            "{    \"a\": [1, \t2] }"
        );
    }

    #[test]
    fn row_73_the_deepest_definition_still_parses_inside_a_list_result() {
        let nested = |levels: usize| raw(&format!("{}{}", "[".repeat(levels), "]".repeat(levels)));
        let deepest = clean(&nested(MAX_DEPTH)).unwrap();
        let message = format!(r#"{{"result":{{"tools":[{}]}}}}"#, deepest.as_str());
        assert!(serde_json::from_str::<serde_json::Value>(&message).is_ok());
        assert_eq!(clean(&nested(MAX_DEPTH + 1)), Err(RejectReason::TooDeep));
        assert_eq!(clean(&nested(100_000)), Err(RejectReason::TooDeep));
    }

    /// The inside of a string, made of plain and hostile parts in any order.
    fn inside() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("\\ud83d"),
            Just("\\ude00"),
            Just("\\udb40"),
            Just("\\udc41"),
            Just("\\\\"),
            Just("\\\""),
            Just("\\n"),
            Just("\\u200b"),
            Just("\u{200d}"),
            Just("u200b"),
            Just("\u{e0041}"),
            Just("é"),
            Just("a"),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn cleaning_is_idempotent_and_leaves_nothing_hostile(value in inside(), other in any::<String>()) {
            let text = format!(r#"{{"a":"{value}","b":{}}}"#, serde_json::to_string(&other).unwrap());
            let once = cleaned(&text);
            prop_assert_eq!(&cleaned(&once), &once);
            let back: serde_json::Value = serde_json::from_str(&once).unwrap();
            prop_assert!(!back["a"].as_str().unwrap().contains(is_hostile));
            let seen: String = other.chars().filter(|c| !is_hostile(*c)).collect();
            prop_assert_eq!(back["b"].as_str().unwrap(), seen);
        }

        #[test]
        fn text_without_hostile_characters_is_untouched(value in any::<String>(), pretty in any::<bool>()) {
            let seen: String = value.chars().filter(|c| !is_hostile(*c)).collect();
            let value = serde_json::json!({ "d": seen, "n": [1, null, { "k": seen }] });
            let raw = raw(&if pretty { format!("{value:#}").replace('\n', " ") } else { value.to_string() });
            prop_assert_eq!(clean(&raw).unwrap().as_bytes().as_ptr(), raw.as_bytes().as_ptr());
        }
    }
}
