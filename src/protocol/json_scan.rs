//! A JSON scanner (RFC 8259): where values, strings and members end.
//!
//! Owns checking that bytes are valid JSON, and finding the parts of it. Builds no values and does
//! not recurse. serde_json checks strings byte by byte, which is most of the cost of a response of
//! many MiB; here a string is checked in blocks of 64 bytes. It must not know MCP.

use std::hint::black_box;
use std::ops::Range;

use wide::{u8x16, u8x64};

/// Where a member of an object lies, as byte ranges of its text.
pub(super) struct Member {
    /// The first byte after the brace or comma before it.
    pub(super) start: usize,
    /// Its name, with quotes.
    pub(super) name: Range<usize>,
    pub(super) value: Range<usize>,
    /// The comma or brace after it.
    pub(super) end: usize,
}

/// Reads the member that follows the brace or comma at `at`; `None` if there is no valid one.
/// `text` must be UTF-8. The caller checks the byte at [`Member::end`].
#[inline]
pub(super) fn member(text: &[u8], at: usize) -> Option<Member> {
    let start = at + 1;
    let name = skip_space(text, start);
    let name = name..string_end(text, name)?;
    let value = skip_space(text, colon(text, name.end)?);
    let value = value..value_end(text, value)?;
    Some(Member {
        start,
        end: skip_space(text, value.end),
        name,
        value,
    })
}

/// The end of the value that begins at `at`, after any white space; `None` if there is no valid
/// one. `text` must be UTF-8.
#[inline]
pub fn value_end(text: &[u8], mut at: usize) -> Option<usize> {
    let mut nesting = Nesting::default();
    loop {
        at = skip_space(text, at);
        match *text.get(at)? {
            b'{' => {
                at = skip_space(text, at + 1);
                if *text.get(at)? != b'}' {
                    at = key_end(text, at)?;
                    nesting.push(true);
                    continue;
                }
                at += 1;
            }
            b'[' => {
                at = skip_space(text, at + 1);
                if *text.get(at)? != b']' {
                    nesting.push(false);
                    continue;
                }
                at += 1;
            }
            b'"' => at = string_end(text, at)?,
            b't' => at = literal_end(text, at, b"true")?,
            b'f' => at = literal_end(text, at, b"false")?,
            b'n' => at = literal_end(text, at, b"null")?,
            _ => at = number_end(text, at)?,
        }
        // A value has ended: close the arrays and objects that end with it.
        loop {
            let Some(in_object) = nesting.last() else {
                return Some(at);
            };
            let close = if in_object { b'}' } else { b']' };
            at = skip_space(text, at);
            let found = *text.get(at)?;
            at += 1;
            if found == close {
                nesting.pop();
                continue;
            }
            if found != b',' {
                return None;
            }
            if in_object {
                at = key_end(text, skip_space(text, at))?;
            }
            break;
        }
    }
}

/// The objects and arrays that are open. The outer 64 levels take a bit each, so only deeper text
/// allocates.
#[derive(Default)]
struct Nesting {
    bits: u64,
    depth: u32,
    deeper: Vec<bool>,
}

impl Nesting {
    #[inline]
    fn push(&mut self, object: bool) {
        if self.depth < u64::BITS {
            self.bits = self.bits << 1 | u64::from(object);
            self.depth += 1;
        } else {
            self.deeper.push(object);
        }
    }

    /// Whether the innermost one is an object; `None` if none is open.
    #[inline]
    fn last(&self) -> Option<bool> {
        let shallow = (self.depth > 0).then_some(self.bits & 1 == 1);
        self.deeper.last().copied().or(shallow)
    }

    #[inline]
    fn pop(&mut self) {
        if self.deeper.pop().is_none() {
            self.bits >>= 1;
            self.depth -= 1;
        }
    }
}

/// The end of the string that begins with the quote at `at`, after its closing quote; `None` if
/// there is no valid one. `text` must be UTF-8.
pub(crate) fn string_end(text: &[u8], at: usize) -> Option<usize> {
    let mut at = (text.get(at) == Some(&b'"')).then_some(at + 1)?;
    if let Some(end) = short_string(text, at) {
        return Some(end);
    }
    // Whether the previous block ends in a backslash that escapes the next byte.
    let mut escapes_next = false;
    let mut near = at + PREFETCH_BYTES;
    while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk) {
        if at >= near {
            prefetch(&text[at..]);
            near += PREFETCH_BYTES;
        }
        let block = Block::new(*block);
        let (all_quotes, backslashes) = (block.is(b'"'), block.is(b'\\'));
        if backslashes == 0 && !escapes_next {
            // As most blocks are: nothing in it is escaped.
            if block.is_control() & below_lowest(all_quotes) != 0 {
                return None;
            }
            if all_quotes != 0 {
                return Some(at + all_quotes.trailing_zeros() as usize + 1);
            }
            at += BLOCK;
            continue;
        }
        let (escaped, still_escapes) = escaped_in(backslashes, escapes_next);
        let quotes = all_quotes & !escaped;
        let inside = below_lowest(quotes);
        let rare = escaped & inside & !(all_quotes | backslashes | block.is(b'n'));
        if block.is_control() & inside != 0 || !are_escapes(text, at, rare) {
            return None;
        }
        if quotes != 0 {
            return Some(at + quotes.trailing_zeros() as usize + 1);
        }
        escapes_next = still_escapes;
        at += BLOCK;
    }
    at -= usize::from(escapes_next);
    loop {
        match *text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' if is_escape(text, at + 1) => at += 2,
            0x20.. if text[at] != b'\\' => at += 1,
            _ => return None,
        }
    }
}

/// Bytes that are loaded into the cache together.
const PREFETCH_BYTES: usize = 4096;
/// Size of a cache line, in bytes.
const LINE: usize = 64;

/// Loads the next bytes into the cache. A block takes so many instructions that the processor looks
/// few blocks ahead and would stall on memory at nearly each; this way it stalls once per
/// [`PREFETCH_BYTES`].
fn prefetch(text: &[u8]) {
    let lines = text.iter().step_by(LINE).take(PREFETCH_BYTES / LINE);
    black_box(lines.fold(0, |all, byte| all ^ byte));
}

/// The end of a string whose first byte after the quote is at `at`, if it is shorter than 16 bytes
/// and has no escapes, as nearly all names are.
#[inline]
fn short_string(text: &[u8], at: usize) -> Option<usize> {
    let few = u8x16::new(*text.get(at..)?.first_chunk()?);
    let special = few.simd_lt(u8x16::splat(0x20)) | few.simd_eq(u8x16::splat(b'\\'));
    let quotes = u64::from(few.simd_eq(u8x16::splat(b'"')).to_bitmask());
    let special = u64::from(special.to_bitmask());
    let is_short = quotes != 0 && special & below_lowest(quotes) == 0;
    is_short.then_some(at + quotes.trailing_zeros() as usize + 1)
}

/// Bytes of a string that are checked together: one for each bit of a `u64`.
const BLOCK: usize = 64;

/// A block of a string. Its methods return a mask with a bit for each byte that matches.
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

/// All bits below the lowest set bit; all 64 if none is set.
fn below_lowest(bits: u64) -> u64 {
    bits.wrapping_sub(1) & !bits
}

/// Whether each byte in `places`, of the block at `at`, forms a valid escape with the backslash
/// before it.
fn are_escapes(text: &[u8], at: usize, mut places: u64) -> bool {
    while places != 0 {
        if !is_escape(text, at + places.trailing_zeros() as usize) {
            return false;
        }
        places &= places - 1;
    }
    true
}

/// Which bytes of a block are escaped by a backslash before them, and whether the last byte escapes
/// the first one of the next block. `escapes_next` is the latter for the previous block. A run of
/// backslashes escapes the byte after it if its length is odd: adding the starts of the runs
/// carries through each run and marks its end.
fn escaped_in(backslashes: u64, escapes_next: bool) -> (u64, bool) {
    const EVEN: u64 = 0x5555_5555_5555_5555;
    let first = u64::from(escapes_next);
    let backslashes = backslashes & !first;
    let followers = backslashes << 1 | first;
    let odd_starts = backslashes & !EVEN & !followers;
    let (carried, still_escapes) = odd_starts.overflowing_add(backslashes);
    ((EVEN ^ (carried << 1)) & followers, still_escapes)
}

/// Whether the bytes at `at` form a valid escape with the backslash before them.
fn is_escape(text: &[u8], at: usize) -> bool {
    match text.get(at) {
        Some(b'u') => {
            let digits = text.get(at + 1..at + 5);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        }
        letter => letter.is_some_and(|letter| b"\"\\/bfnrt".contains(letter)),
    }
}

/// The index of the first byte from `at` on that is not white space.
#[inline]
pub fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The end of a member's name and its colon.
#[inline]
fn key_end(text: &[u8], at: usize) -> Option<usize> {
    colon(text, string_end(text, at)?)
}

/// The end of a colon, after any white space.
#[inline]
fn colon(text: &[u8], at: usize) -> Option<usize> {
    let at = skip_space(text, at);
    (text.get(at) == Some(&b':')).then_some(at + 1)
}

#[inline]
fn literal_end(text: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    text[at..].starts_with(word).then_some(at + word.len())
}

#[inline]
fn number_end(text: &[u8], mut at: usize) -> Option<usize> {
    if text.get(at) == Some(&b'-') {
        at += 1;
    }
    at = match text.get(at)? {
        b'0' => at + 1,
        _ => digits_end(text, at)?,
    };
    if text.get(at) == Some(&b'.') {
        at = digits_end(text, at + 1)?;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(text.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        at = digits_end(text, at)?;
    }
    Some(at)
}

/// The end of one or more digits.
#[inline]
fn digits_end(text: &[u8], at: usize) -> Option<usize> {
    let count = text
        .get(at..)?
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    (count > 0).then_some(at + count)
}

#[cfg(test)]
mod tests;
