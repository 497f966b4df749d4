//! Text with its escapes undone, and where each part of it was written.
//!
//! Owns which escapes are undone: those of JSON strings and of URLs, in any mixture and within each
//! other. Hidden characters and line ends are left out, since they may split a secret. It must not
//! know what is looked for.

use std::ops::Range;

use super::hidden::is_hidden;

/// A text after one or more layers of escapes were undone.
#[derive(Debug)]
pub(super) struct View {
    /// Need not be UTF-8: `%ff` is one byte.
    pub(super) bytes: Vec<u8>,
    /// For each byte, where the text has it written. A text has less than 4 GiB.
    spans: Vec<(u32, u32)>,
}

impl View {
    /// A text of which each part is known already.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            spans: Vec::with_capacity(bytes),
        }
    }

    /// Undoes one layer; `None` where there is nothing to undo.
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        undo(text, |at| (at as u32, at as u32 + 1))
    }

    /// Undoes one more layer.
    pub(super) fn next(&self) -> Option<Self> {
        undo(&self.bytes, |at| self.spans[at])
    }

    /// Adds a part that is written at `span` of the text.
    pub(super) fn push(&mut self, part: &[u8], span: (u32, u32)) {
        for byte in part {
            self.bytes.push(*byte);
            self.spans.push(span);
        }
    }

    /// Where a part of the view, which is not empty, is written in the text.
    pub(super) fn written_at(&self, part: Range<usize>) -> Range<usize> {
        self.spans[part.start].0 as usize..self.spans[part.end - 1].1 as usize
    }
}

fn undo(text: &[u8], span: impl Fn(usize) -> (u32, u32)) -> Option<View> {
    let is_plain = |byte: &u8| (b' '..=b'~').contains(byte) && !matches!(byte, b'\\' | b'%');
    if text.iter().all(is_plain) {
        return None;
    }
    let mut view = View::with_capacity(text.len());
    let mut buffer = [0; 4];
    let mut at = 0;
    let mut changed = false;
    while at < text.len() {
        let (part, len) = first_part(&text[at..], &mut buffer);
        changed |= part != &text[at..at + len];
        view.push(part, (span(at).0, span(at + len - 1).1));
        at += len;
    }
    changed.then_some(view)
}

/// What the beginning of a text stands for, and the number of bytes that it is written with.
fn first_part<'a>(text: &'a [u8], buffer: &'a mut [u8; 4]) -> (&'a [u8], usize) {
    match text {
        [b'\\', b'u', ..] => match escaped_char(text) {
            Some((c, len)) if is_hidden(c) => (&[], len),
            Some((c, len)) => (c.encode_utf8(buffer).as_bytes(), len),
            None => (&text[..1], 1),
        },
        [b'\\', b'"' | b'\\' | b'/', ..] => (&text[1..2], 2),
        [b'\\', b't', ..] => (b"\t", 2),
        [b'\\', b'b' | b'f' | b'n' | b'r', ..] | [b'\r', b'\n', ..] => (&[], 2),
        [b'%', high, low, ..] => match (hex_digit(*high), hex_digit(*low)) {
            (Some(high), Some(low)) => {
                buffer[0] = high << 4 | low;
                (&buffer[..1], 3)
            }
            _ => (&text[..1], 1),
        },
        [b'\n', ..] => (&[], 1),
        [b' '..=b'~' | b'\t', ..] => (&text[..1], 1),
        _ => match first_char(text) {
            Some(c) if is_hidden(c) => (&[], c.len_utf8()),
            Some(c) => (&text[..c.len_utf8()], c.len_utf8()),
            None => (&text[..1], 1),
        },
    }
}

fn first_char(text: &[u8]) -> Option<char> {
    let beginning = &text[..text.len().min(4)];
    let valid = match std::str::from_utf8(beginning) {
        Ok(valid) => valid,
        Err(error) => std::str::from_utf8(&beginning[..error.valid_up_to()]).ok()?,
    };
    valid.chars().next()
}

/// The character of one `\uXXXX`, or of two that are a pair.
fn escaped_char(text: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0_u16, |unit, digit| {
            Some(unit << 4 | u16::from(hex_digit(*digit)?))
        })
    };
    let units = [unit(0)?, unit(6).unwrap_or_default()];
    let c = char::decode_utf16(units).next()?.ok()?;
    Some((c, 6 * c.len_utf16()))
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The text after all layers are undone.
    fn undone(text: &str) -> String {
        let mut view = View::of(text.as_bytes());
        let mut last = text.as_bytes().to_vec();
        while let Some(more) = view {
            last.clone_from(&more.bytes);
            view = more.next();
        }
        String::from_utf8_lossy(&last).into_owned()
    }

    #[test]
    fn escapes_of_json_and_of_urls_are_undone_in_any_layers() {
        for (text, expected) in [
            ("plain", "plain"),
            (r"a\u0062\u0063\/\\d\t", "abc/\\d\t"),
            ("%61%62%C3%a9", "abé"),
            (r"\u0025\u0036\u0031", "a"),
            ("%5Cu0061 %255cu0061", "a a"),
            (r"\ud83d\ude00 \ud83d", "😀 \\ud83d"),
            ("100% %zz % %4", "100% %zz % %4"),
            (r"\q \u12 \", r"\q \u12 \"),
            ("a\u{200b}b\\u200bc\r\nd\\ne\u{1b}f", "abcdef"),
            ("%ff", "\u{fffd}"),
        ] {
            assert_eq!(undone(text), expected, "{text}");
        }
    }

    #[test]
    fn every_part_is_where_it_is_written() {
        let text = r"x\u0061%62\n\u200bcé";
        let view = View::of(text.as_bytes()).unwrap();
        assert_eq!(view.bytes, "xabcé".as_bytes());
        for (part, written) in [
            (0..1, "x"),
            (1..2, r"\u0061"),
            (1..3, r"\u0061%62"),
            (2..4, r"%62\n\u200bc"),
            (4..6, "é"),
        ] {
            assert_eq!(&text[view.written_at(part)], written);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_undone_within_its_own_bounds(text in any::<String>(), escaped in r"([\\%u0a-f4]|\\u00){0,40}") {
            let text = text + &escaped;
            let mut view = View::of(text.as_bytes());
            let mut layers = 0;
            while let Some(more) = view {
                prop_assert!(more.bytes.len() <= text.len());
                for at in 0..more.bytes.len() {
                    let written = more.written_at(at..at + 1);
                    prop_assert!(written.start < written.end && written.end <= text.len());
                }
                layers += 1;
                prop_assert!(layers <= text.len());
                view = more.next();
            }
        }
    }
}
