//! The array that a JSON text consists of, for the most part.
//!
//! Owns where it is, and where its elements are. It must not know pages.

use std::ops::Range;

use crate::protocol::json_scan::{skip_space, string_end, value_end};

/// The place of an array in a text: positions of its brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Array {
    /// The position of `[`.
    open: usize,
    /// The position of `]`.
    close: usize,
    /// How many elements it has.
    pub(super) count: usize,
}

/// Most objects that are around the array, one in the other.
const MAX_AROUND: usize = 16;

impl Array {
    /// The array in this JSON text: the text itself, or the largest value in an object, or in an
    /// object in it, and so on. `None` where there is none, or it is less than half of the text.
    pub(super) fn find(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let mut at = skip_space(bytes, 0);
        if !matches!(bytes.get(at), Some(b'[' | b'{')) {
            return None;
        }
        let mut end = value_end(bytes, at)?;
        if skip_space(bytes, end) != bytes.len() {
            return None;
        }
        // Each object around the array is read to its end once more.
        let mut around = 0;
        while bytes[at] == b'{' {
            around += 1;
            if around > MAX_AROUND || end - at < bytes.len() / 2 {
                return None;
            }
            Range { start: at, end } = largest_member(bytes, at)?;
        }
        if bytes[at] != b'[' || end - at < bytes.len() / 2 {
            return None;
        }
        let array = Self {
            open: at,
            close: end - 1,
            count: 0,
        };
        let count = array.elements(text).count();
        Some(Self { count, ..array })
    }

    /// The text up to and with `[`.
    pub(super) fn before<'a>(&self, text: &'a str) -> &'a str {
        &text[..=self.open]
    }

    /// The text from `]` on.
    pub(super) fn after<'a>(&self, text: &'a str) -> &'a str {
        &text[self.close..]
    }

    /// Where the elements are, in their order.
    pub(super) fn elements(&self, text: &str) -> impl Iterator<Item = Range<usize>> {
        let (bytes, close) = (text.as_bytes(), self.close);
        // Of the bracket or comma before an element.
        let mut at = self.open;
        std::iter::from_fn(move || {
            let start = skip_space(bytes, at + 1);
            if at >= close || start >= close {
                return None;
            }
            let end = value_end(bytes, start)?;
            at = skip_space(bytes, end);
            Some(start..end)
        })
    }
}

/// Where the largest value of an object is; `None` if it has none.
fn largest_member(text: &[u8], object: usize) -> Option<Range<usize>> {
    let mut largest: Option<Range<usize>> = None;
    // Of the brace or comma before a member.
    let mut at = object;
    loop {
        let name = skip_space(text, at + 1);
        if text.get(name) == Some(&b'}') {
            return largest;
        }
        let colon = skip_space(text, string_end(text, name)?);
        let start = skip_space(text, colon + 1);
        let end = value_end(text, start)?;
        if largest
            .as_ref()
            .is_none_or(|known| known.len() < end - start)
        {
            largest = Some(start..end);
        }
        at = skip_space(text, end);
        if text.get(at) != Some(&b',') {
            return largest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_deep_in_objects_is_not_looked_for() {
        let deep = |objects: usize| {
            let items = "[1,2]".repeat(2_000).replace("][", ",");
            format!(
                "{}{items}{}",
                "{\"a\":".repeat(objects),
                "}".repeat(objects)
            )
        };
        assert!(Array::find(&deep(MAX_AROUND)).is_some());
        // Each of them would be read to its end: some 10^9 bytes.
        assert!(Array::find(&deep(40_000)).is_none());
    }

    #[test]
    fn the_array_is_the_text_or_the_most_of_it() {
        for (text, found) in [
            ("[1, [2], \"]\"]", Some(vec!["1", "[2]", "\"]\""])),
            (" [ ] ", Some(vec![])),
            (
                r#"{ "n" : 2, "items" : [ {"name":"an item ]"} , {} ] }"#,
                Some(vec![r#"{"name":"an item ]"}"#, "{}"]),
            ),
            (
                r#"{"data":{"next":null,"items":["the first one","the second"]}}"#,
                Some(vec![r#""the first one""#, r#""the second""#]),
            ),
            (r#"{"text":"the most of it is this","items":[1]}"#, None),
            (
                r#"{"one":["a","b"],"two":["c","d"],"three":["e","f"]}"#,
                None,
            ),
            ("{}", None),
            ("[1,]", None),
            ("[1] and more", None),
            ("\"[1]\"", None),
            ("text", None),
            ("", None),
        ] {
            let array = Array::find(text);
            let elements = array.map(|array| {
                let elements: Vec<&str> = array.elements(text).map(|at| &text[at]).collect();
                assert_eq!(elements.len(), array.count, "{text}");
                elements
            });
            assert_eq!(elements, found, "{text}");
        }
    }
}
