//! The elements of arrays: of batches, lists, and whatever else a message holds.
//!
//! Owns the bound on them. A text of mere zeros and commas would take many times its own memory
//! as elements, and its length is the other side's to choose.

use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::protocol::RawJson;

/// Elements that are read of one array.
pub const MAX_ELEMENTS: usize = 10_000;

/// The elements of an array, each as its own text; `None` if it is no array, or has more than
/// [`MAX_ELEMENTS`].
pub fn elements(array: &RawJson) -> Option<Vec<RawJson>> {
    let read: Array<'_> = array.read().ok()?;
    (!read.goes_on).then(|| read.parts_of(array))
}

/// The same, but of an array that has more the first ones.
pub fn first_elements(array: &RawJson) -> Option<Vec<RawJson>> {
    let read: Array<'_> = array.read().ok()?;
    Some(read.parts_of(array))
}

struct Array<'a> {
    first: Vec<&'a RawValue>,
    /// There are more.
    goes_on: bool,
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
                    let goes_on = false;
                    return Ok(Array { first, goes_on });
                }
            }
        }
        let mut goes_on = false;
        while elements.next_element::<IgnoredAny>()?.is_some() {
            goes_on = true;
        }
        Ok(Array { first, goes_on })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zeros(count: usize) -> RawJson {
        RawJson::trusted(format!("[{}]", vec!["0"; count].join(",")))
    }

    #[test]
    fn so_many_elements_are_read_and_no_more() {
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
    }
}
