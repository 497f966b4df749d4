//! JSON text that is carried, not read.
//!
//! Owns [`RawJson`], a shared slice of bytes known to be one JSON value, and finding what stands
//! where in it; [`edit`] changes a few places. It must not know MCP.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json_scan;

mod edit;

/// Members of an object that are taken apart: each costs many times what it is written in.
const MAX_MEMBERS: usize = 10_000;

/// One JSON value as text: valid JSON, valid UTF-8, cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct RawJson(Bytes);

impl RawJson {
    /// Checks that `bytes` are exactly one JSON value (white space around it is dropped).
    ///
    /// # Errors
    /// The parser's complaint, when they are not.
    pub fn parse(bytes: Bytes) -> Result<Self, serde_json::Error> {
        let raw: &RawValue = serde_json::from_slice(&bytes)?;
        let inner = bytes.slice_ref(raw.get().as_bytes());
        Ok(Self(inner))
    }

    /// Takes text that this program wrote itself and knows to be one JSON value.
    pub fn trusted(text: impl Into<Bytes>) -> Self {
        let bytes = text.into();
        debug_assert!(serde_json::from_slice::<&RawValue>(&bytes).is_ok());
        Self(bytes)
    }

    /// Takes text that [`super::json_scan`] has found to be one JSON value in UTF-8.
    pub(super) fn checked(text: Bytes) -> Self {
        Self(text)
    }

    /// Serializes a value of our own.
    ///
    /// # Panics
    /// Never for the plain structs and `json!` values it is made for: those always serialize.
    pub fn of(value: &impl serde::Serialize) -> Self {
        Self(Bytes::from(
            serde_json::to_vec(value).unwrap_or_else(|_| b"null".to_vec()),
        ))
    }

    /// The part of this text that `raw` borrows, without copying.
    ///
    /// `raw` must have been parsed out of this very value.
    pub fn part(&self, raw: &RawValue) -> Self {
        Self(self.0.slice_ref(raw.get().as_bytes()))
    }

    /// The same text in memory of its own, without what it was cut out of.
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // Every constructor has checked it; the fallback keeps `unsafe` out of the house.
        std::str::from_utf8(&self.0).unwrap_or("null")
    }

    /// The bytes of the text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes of the text, shared.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Reads it as a `T`, which may borrow from it.
    ///
    /// # Errors
    /// When the value has another shape.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.0)
    }

    /// The members of an object in their order, duplicate keys included; `None` for anything else,
    /// and for more than 10,000 of them.
    pub fn members(&self) -> Option<Vec<(String, &RawValue)>> {
        self.read::<Members<'_>>().ok().map(|members| members.0)
    }

    /// Where the values of these members stand, found in one pass.
    ///
    /// # Errors
    /// A key that stands there twice: who reads the first of two would mean something else than who
    /// reads the last.
    pub fn locate_members<'a, const N: usize>(
        &self,
        keys: [&'a str; N],
    ) -> Result<[Option<Range<usize>>; N], &'a str> {
        let mut picked = [const { None }; N];
        for place in self.places() {
            for (at, key) in keys.into_iter().enumerate() {
                if self.is_named(&place, key) && picked[at].replace(place.value.clone()).is_some() {
                    return Err(key);
                }
            }
        }
        Ok(picked)
    }

    /// The value that stands at a place that [`locate_members`](Self::locate_members) has found.
    pub fn slice(&self, place: Range<usize>) -> Self {
        Self(self.0.slice(place))
    }

    /// The value of the last member of that name, if this is an object that has it.
    pub fn get(&self, key: &str) -> Option<Self> {
        let place = self
            .places()
            .filter(|place| self.is_named(place, key))
            .last()?;
        Some(Self(self.0.slice(place.value)))
    }

    /// The value at the end of a path of members, as in `_meta`, `progressToken`.
    pub fn at(&self, path: &[&str]) -> Option<Self> {
        let mut found = self.clone();
        for key in path {
            found = found.get(key)?;
        }
        Some(found)
    }

    /// The text inside a JSON string, escapes undone; `None` for anything else.
    pub fn text(&self) -> Option<String> {
        self.0
            .starts_with(b"\"")
            .then(|| self.read().ok())
            .flatten()
    }

    /// Whether it is a JSON object.
    pub fn is_object(&self) -> bool {
        self.0.starts_with(b"{")
    }

    /// Where the members of an object stand, in their order; none for anything else.
    fn places(&self) -> impl Iterator<Item = Place> {
        let text = &self.0[..];
        let mut at = self.is_object().then_some(0);
        std::iter::from_fn(move || {
            let start = at? + 1;
            let name = json_scan::space(text, start);
            let name_end = json_scan::string(text, name)?;
            let value = json_scan::space(text, json_scan::space(text, name_end) + 1);
            let value_end = json_scan::value(text, value)?;
            let end = json_scan::space(text, value_end);
            at = (text.get(end) == Some(&b',')).then_some(end);
            Some(Place {
                start,
                name: name..name_end,
                value: value..value_end,
                end,
            })
        })
    }

    fn is_named(&self, place: &Place, key: &str) -> bool {
        let name = &self.0[place.name.clone()];
        let inner = &name[1..name.len() - 1];
        if inner.first() != key.as_bytes().first() && !inner.starts_with(b"\\") {
            return false;
        }
        if inner.contains(&b'\\') {
            return serde_json::from_slice::<String>(name).is_ok_and(|name| name == key);
        }
        inner == key.as_bytes()
    }

    /// Where `part`, borrowed from this text, stands in it.
    pub fn range_of(&self, part: &RawValue) -> Range<usize> {
        let start = part.get().as_ptr() as usize - self.0.as_ptr() as usize;
        start..start + part.get().len()
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An object as a list, so that order and duplicates survive.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    if members.len() == MAX_MEMBERS {
                        return Err(A::Error::custom("too many members"));
                    }
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Collect).map(Members)
    }
}

/// Where a member of an object stands in its text.
struct Place {
    /// What comes after the brace or comma before it.
    start: usize,
    name: Range<usize>,
    value: Range<usize>,
    /// The comma or brace that ends it.
    end: usize,
}

/// A JSON string literal of this text.
pub fn quoted(text: &str) -> Bytes {
    let mut literal = Vec::with_capacity(text.len() + 2);
    put_quoted(&mut literal, text);
    literal.into()
}

/// Writes a JSON string literal of this text.
pub fn put_quoted(out: &mut Vec<u8>, text: &str) {
    let is_plain = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(&serde_json::to_vec(text).unwrap_or_else(|_| b"\"\"".to_vec()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_levels_are_carried() {
        let text = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(RawJson::parse(Bytes::from(text)).is_ok());
    }
}
