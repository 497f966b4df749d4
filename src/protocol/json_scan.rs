//! Finding the end of a JSON value, at the speed of memory.
//!
//! Owns one thing: whether a stretch of bytes is one JSON value (RFC 8259), and where it ends.
//! It builds nothing and recurses nowhere. serde_json does the same byte by byte, which is the
//! larger part of what an answer of many MiB costs; here, many bytes of a string are looked at
//! together.

use std::hint::black_box;

use wide::{u8x16, u8x64};

/// The end of the value that begins at `at`, white space before it allowed; `None` if there is
/// no valid one. `text` must be UTF-8.
pub fn value(text: &[u8], mut at: usize) -> Option<usize> {
    let mut open = Open::default();
    loop {
        at = space(text, at);
        match *text.get(at)? {
            b'{' => {
                at = space(text, at + 1);
                if *text.get(at)? != b'}' {
                    at = key(text, at)?;
                    open.push(true);
                    continue;
                }
                at += 1;
            }
            b'[' => {
                at = space(text, at + 1);
                if *text.get(at)? != b']' {
                    open.push(false);
                    continue;
                }
                at += 1;
            }
            b'"' => at = string(text, at)?,
            b't' => at = literal(text, at, b"true")?,
            b'f' => at = literal(text, at, b"false")?,
            b'n' => at = literal(text, at, b"null")?,
            _ => at = number(text, at)?,
        }
        // A value has ended, and with it perhaps what it stands in.
        loop {
            let Some(in_object) = open.last() else {
                return Some(at);
            };
            let close = if in_object { b'}' } else { b']' };
            at = space(text, at);
            let found = *text.get(at)?;
            at += 1;
            if found == close {
                open.pop();
                continue;
            }
            if found != b',' {
                return None;
            }
            if in_object {
                at = key(text, space(text, at))?;
            }
            break;
        }
    }
}

/// The objects and arrays that are open: a bit each, and bytes only where they are many, so that
/// what is not deep costs no allocation.
#[derive(Default)]
struct Open {
    bits: u64,
    depth: u32,
    deeper: Vec<bool>,
}

impl Open {
    fn push(&mut self, object: bool) {
        if self.depth < u64::BITS {
            self.bits = self.bits << 1 | u64::from(object);
            self.depth += 1;
        } else {
            self.deeper.push(object);
        }
    }

    /// Whether the innermost is an object; `None` where nothing is open.
    fn last(&self) -> Option<bool> {
        let shallow = (self.depth > 0).then_some(self.bits & 1 == 1);
        self.deeper.last().copied().or(shallow)
    }

    fn pop(&mut self) {
        if self.deeper.pop().is_none() {
            self.bits >>= 1;
            self.depth -= 1;
        }
    }
}

/// The end of the string that begins at `at`, its quotes included.
pub fn string(text: &[u8], at: usize) -> Option<usize> {
    let mut at = (text.get(at) == Some(&b'"')).then_some(at + 1)?;
    if let Some(end) = short_string(text, at) {
        return Some(end);
    }
    // Whether the block before ends in a backslash that escapes.
    let mut open = false;
    let mut near = at + PREFETCH_BYTES;
    while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk) {
        if at >= near {
            prefetch(&text[at..]);
            near += PREFETCH_BYTES;
        }
        let block = Block::new(*block);
        let (all_quotes, backslashes) = (block.is(b'"'), block.is(b'\\'));
        let (escaped, still_open) = escaped_in(backslashes, open);
        let quotes = all_quotes & !escaped;
        let inside = before_the_first(quotes);
        let rare = escaped & inside & !(all_quotes | backslashes | block.is(b'n'));
        if block.is_control() & inside != 0 || !are_escapes(text, at, rare) {
            return None;
        }
        if quotes != 0 {
            return Some(at + quotes.trailing_zeros() as usize + 1);
        }
        open = still_open;
        at += BLOCK;
    }
    at -= usize::from(open);
    loop {
        match *text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' if is_escape(text, at + 1) => at += 2,
            0x20.. if text[at] != b'\\' => at += 1,
            _ => return None,
        }
    }
}

/// Bytes that are fetched together.
const PREFETCH_BYTES: usize = 4096;
/// What memory comes in.
const LINE: usize = 64;

/// Touches what comes next. A block takes so many instructions that the processor sees few blocks
/// ahead, and would wait for memory at nearly each: of a large text it waits for a stretch at once.
fn prefetch(text: &[u8]) {
    let lines = text.iter().step_by(LINE).take(PREFETCH_BYTES / LINE);
    black_box(lines.fold(0, |all, byte| all ^ byte));
}

/// The end of what begins at `at`, if it is a few bytes without escapes, as nearly all names are.
fn short_string(text: &[u8], at: usize) -> Option<usize> {
    let few = u8x16::new(*text.get(at..)?.first_chunk()?);
    let odd = few.simd_lt(u8x16::splat(0x20)) | few.simd_eq(u8x16::splat(b'\\'));
    let quotes = u64::from(few.simd_eq(u8x16::splat(b'"')).to_bitmask());
    let odd = u64::from(odd.to_bitmask());
    let is_short = quotes != 0 && odd & before_the_first(quotes) == 0;
    is_short.then_some(at + quotes.trailing_zeros() as usize + 1)
}

/// Bytes of a string that are looked at together: as many as a word has bits.
const BLOCK: usize = 64;

/// What stands where in a block: a bit for each byte that is so.
struct Block(u8x64);

impl Block {
    fn new(bytes: [u8; BLOCK]) -> Self {
        Self(u8x64::new(bytes))
    }

    fn is(&self, byte: u8) -> u64 {
        self.0.simd_eq(u8x64::splat(byte)).to_bitmask()
    }

    fn is_control(&self) -> u64 {
        self.0.simd_lt(u8x64::splat(0x20)).to_bitmask()
    }
}

/// All bits below the lowest one; all there are, if there is none.
fn before_the_first(bits: u64) -> u64 {
    bits.wrapping_sub(1) & !bits
}

/// Whether each of these bytes of the block at `at` makes an escape with the backslash before it.
fn are_escapes(text: &[u8], at: usize, mut places: u64) -> bool {
    while places != 0 {
        if !is_escape(text, at + places.trailing_zeros() as usize) {
            return false;
        }
        places &= places - 1;
    }
    true
}

/// Which bytes of a block a backslash before them escapes, and whether the last byte escapes the
/// one behind the block. A run of backslashes escapes what follows if it is of an odd length: to add
/// where the runs begin carries through each of them, and shows where it ends.
fn escaped_in(backslashes: u64, open: bool) -> (u64, bool) {
    const EVEN: u64 = 0x5555_5555_5555_5555;
    let open = u64::from(open);
    let backslashes = backslashes & !open;
    let followers = backslashes << 1 | open;
    let odd_starts = backslashes & !EVEN & !followers;
    let (carried, still_open) = odd_starts.overflowing_add(backslashes);
    ((EVEN ^ (carried << 1)) & followers, still_open)
}

/// Whether what begins at `at` makes an escape with the backslash before it.
fn is_escape(text: &[u8], at: usize) -> bool {
    match text.get(at) {
        Some(b'u') => {
            let digits = text.get(at + 1..at + 5);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        }
        letter => letter.is_some_and(|letter| b"\"\\/bfnrt".contains(letter)),
    }
}

/// The first byte from `at` on that is no white space.
pub fn space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The end of a member's name and its colon.
fn key(text: &[u8], at: usize) -> Option<usize> {
    let at = space(text, string(text, at)?);
    (text.get(at) == Some(&b':')).then_some(at + 1)
}

fn literal(text: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    text[at..].starts_with(word).then_some(at + word.len())
}

fn number(text: &[u8], mut at: usize) -> Option<usize> {
    if text.get(at) == Some(&b'-') {
        at += 1;
    }
    at = match text.get(at)? {
        b'0' => at + 1,
        _ => digits(text, at)?,
    };
    if text.get(at) == Some(&b'.') {
        at = digits(text, at + 1)?;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(text.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        at = digits(text, at)?;
    }
    Some(at)
}

/// The end of one digit or more.
fn digits(text: &[u8], at: usize) -> Option<usize> {
    let count = text
        .get(at..)?
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    (count > 0).then_some(at + count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    /// Whether the whole text is one value, as we see it and as serde_json does.
    fn both(text: &str) -> (bool, bool) {
        let bytes = text.as_bytes();
        let ours = value(bytes, 0).is_some_and(|end| space(bytes, end) == bytes.len());
        (ours, serde_json::from_str::<&RawValue>(text).is_ok())
    }

    #[test]
    fn values_and_what_only_looks_like_one() {
        for text in [
            "0",
            "-0",
            "01",
            "1.",
            "1.5e+3",
            "1e",
            "-",
            ".5",
            "+1",
            "tru",
            "true",
            "nulll",
            "\"\"",
            "\"\\u00e\"",
            "\"\\ud800\"",
            "\"\\x\"",
            "\"a\nb\"",
            "\"",
            "[]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{}",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "{\"a\":[{\"b\":null}]}",
            "[1}",
            "",
            " ",
            "{\"a\" : \t1 , \"a\" : [ ] }",
            "[[[[]]]]",
            "{\"\\\"\":\"\\\\\"}",
        ] {
            let (ours, theirs) = both(text);
            assert_eq!(ours, theirs, "{text:?}");
        }
    }

    #[test]
    fn objects_and_arrays_are_told_apart_at_any_depth() {
        for levels in [1, 31, 32, 33, 64, 100] {
            let text = format!("{}1{}", "[{\"a\":".repeat(levels), "}]".repeat(levels));
            let crossed = text.replacen("}]", "]}", 1);
            let ours = |text: &str| value(text.as_bytes(), 0) == Some(text.len());
            assert!(ours(&text), "{levels}");
            assert!(!ours(&crossed), "{levels}");
        }
    }

    #[test]
    fn a_bad_escape_is_found_wherever_it_stands() {
        for before in 0..2 * BLOCK {
            for (escape, sound) in [("\\y", false), ("\\u12g4", false), ("\\u12a4", true)] {
                let (head, tail) = ("x".repeat(before), "x".repeat(2 * BLOCK));
                let text = format!("\"{head}{escape}{tail}\"");
                assert_eq!(string(text.as_bytes(), 0).is_some(), sound, "{text}");
            }
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let text = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(value(text.as_bytes(), 0), Some(text.len()));
    }

    proptest! {
        #[test]
        fn it_agrees_with_serde_json(text in r#"[\[\]{}:,"\\a0-2eEu.+tfn \-]{0,24}"#) {
            let (ours, theirs) = both(&text);
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn it_agrees_on_strings_over_several_blocks(
            pieces in proptest::collection::vec(
                proptest::sample::select(vec![
                    "\\\\", "\\", "\\\"", "\\n", "\\u0041", "\\u00g1", "\\x", "a", "plain text of some length",
                    "ä", "\t",
                ]),
                0..40,
            ),
            plain in 0_usize..70,
        ) {
            let text = format!("\"{}{}\"", "-".repeat(plain), pieces.concat());
            let (ours, theirs) = both(&text);
            prop_assert_eq!(ours, theirs, "{}", text);
            let rare = text.replace("\\x", "").replace("\\u00g1", "").replace('\t', "");
            let (ours, theirs) = both(&rare);
            prop_assert_eq!(ours, theirs, "{}", rare);
        }

        #[test]
        fn it_agrees_on_words_of_the_language(
            words in proptest::collection::vec(
                proptest::sample::select(vec![
                    "{", "}", "[", "]", ":", ",", "\"a\"", "\"\\u0041\"", "1", "-2.5e3", "true", "null", " ",
                ]),
                0..16,
            )
        ) {
            let (ours, theirs) = both(&words.concat());
            prop_assert_eq!(ours, theirs);
        }
    }
}
