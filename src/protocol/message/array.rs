//! The elements of JSON arrays.
//!
//! Owns the limit on their number. An array of short elements takes many times the memory of its
//! text once it is split, and its length is chosen by the sender.

use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::protocol::RawJson;
use crate::protocol::json_scan::{skip_space, value_end};

/// Most elements that are read from one array.
pub(crate) const MAX_ELEMENTS: usize = 10_000;

/// The elements of an array, each as its own text; `None` if it is not an array or has more than
/// [`MAX_ELEMENTS`].
pub fn elements(array: &RawJson) -> Option<Vec<RawJson>> {
    let read: Array<'_> = array.read().ok()?;
    (!read.truncated).then(|| read.parts_of(array))
}

/// Like [`elements`], but truncates at [`MAX_ELEMENTS`] instead of returning `None`.
pub(crate) fn first_elements(array: &RawJson) -> Option<Vec<RawJson>> {
    let read: Array<'_> = array.read().ok()?;
    Some(read.parts_of(array))
}

/// The elements of an array, however many, one after the other; none if it is not an array. None is
/// kept, so that it takes no memory.
pub(crate) fn each_element(array: &RawJson) -> impl Iterator<Item = RawJson> {
    let text = array.as_bytes();
    // Of the bracket or comma before an element.
    let mut at = skip_space(text, 0);
    let mut before = b'[';
    std::iter::from_fn(move || {
        if *text.get(at)? != before {
            return None;
        }
        let start = skip_space(text, at + 1);
        let end = value_end(text, start)?;
        at = skip_space(text, end);
        before = b',';
        Some(array.slice(start..end))
    })
}

struct Array<'a> {
    first: Vec<&'a RawValue>,
    /// There are more than [`MAX_ELEMENTS`].
    truncated: bool,
}

impl Array<'_> {
    fn parts_of(self, array: &RawJson) -> Vec<RawJson> {
        self.first.into_iter().map(|raw| array.part(raw)).collect()
    }
}

impl<'de> Deserialize<'de> for Array<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Array<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Array<'de>, A::Error> {
        let mut first = Vec::new();
        while first.len() < MAX_ELEMENTS {
            match elements.next_element()? {
                Some(element) => first.push(element),
                None => {
                    let truncated = false;
                    return Ok(Array { first, truncated });
                }
            }
        }
        let mut truncated = false;
        while elements.next_element::<IgnoredAny>()?.is_some() {
            truncated = true;
        }
        Ok(Array { first, truncated })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zeros(count: usize) -> RawJson {
        RawJson::trusted(format!("[{}]", vec!["0"; count].join(",")))
    }

    #[test]
    fn at_most_max_elements_are_read() {
        let count = |elements: Option<Vec<RawJson>>| elements.map(|elements| elements.len());
        for (written, all, first) in [
            (0, Some(0), 0),
            (2, Some(2), 2),
            (MAX_ELEMENTS, Some(MAX_ELEMENTS), MAX_ELEMENTS),
            (MAX_ELEMENTS + 1, None, MAX_ELEMENTS),
            (3 * MAX_ELEMENTS, None, MAX_ELEMENTS),
        ] {
            assert_eq!(count(elements(&zeros(written))), all, "{written}");
            assert_eq!(count(first_elements(&zeros(written))), Some(first));
            assert_eq!(each_element(&zeros(written)).count(), written);
        }
        for none in ["{}", "0", " [ ] ", "\"[1]\""] {
            assert_eq!(each_element(&RawJson::trusted(none)).count(), 0, "{none}");
        }
        assert_eq!(elements(&RawJson::trusted("{}")), None);
        assert_eq!(first_elements(&RawJson::trusted("0")), None);
    }

    #[test]
    fn elements_keep_their_text() {
        let array = RawJson::trusted(r#"[1.10, {"a":1,"a":2} ,"\ud800"]"#);
        let texts: Vec<String> = elements(&array)
            .unwrap()
            .iter()
            .map(|element| element.as_str().to_owned())
            .collect();
        assert_eq!(texts, ["1.10", r#"{"a":1,"a":2}"#, r#""\ud800""#]);
        let each: Vec<RawJson> = each_element(&array).collect();
        assert_eq!(Some(each), elements(&array));
    }
}
