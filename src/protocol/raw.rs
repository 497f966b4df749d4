//! JSON text that is carried, not read.
//!
//! Owns [`RawJson`], a shared slice of bytes known to be one JSON value, and the edits that
//! change a few places of it and leave every other byte as it was. It must not know MCP.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::skim;

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

    /// Takes text that [`super::skim`] has found to be one JSON value in UTF-8.
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

    /// The members of an object in their order, duplicate keys included; `None` for anything else.
    pub fn members(&self) -> Option<Vec<(String, &RawValue)>> {
        self.read::<Members<'_>>().ok().map(|members| members.0)
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

    /// The same object with some members set (where they stand, else at the end) and others left
    /// out. Every other byte stays; anything but an object is returned as it is.
    pub fn with_members(&self, set: &[(&str, Bytes)], without: &[&str]) -> Self {
        if !self.is_object() {
            return self.clone();
        }
        let places: Vec<Place> = self.places().collect();
        let mut missing: Vec<bool> = set.iter().map(|_| true).collect();
        let mut kept: Vec<Cow<'_, [u8]>> = Vec::with_capacity(places.len() + set.len());
        let mut changed = false;
        for place in &places {
            if without.iter().any(|key| self.is_named(place, key)) {
                changed = true;
                continue;
            }
            let member = &self.0[place.start..place.value.end];
            match set.iter().position(|(key, _)| self.is_named(place, key)) {
                Some(at) => {
                    missing[at] = false;
                    changed = true;
                    let head = &self.0[place.start..place.value.start];
                    kept.push(Cow::Owned([head, &set[at].1].concat()));
                }
                None => kept.push(Cow::Borrowed(member)),
            }
        }
        for ((key, value), _) in set.iter().zip(missing).filter(|(_, missing)| *missing) {
            changed = true;
            kept.push(Cow::Owned([&quoted(key), &b":"[..], value].concat()));
        }
        if !changed {
            return self.clone();
        }
        let mut out = BytesMut::with_capacity(self.0.len() + 64);
        out.extend_from_slice(b"{");
        for (at, member) in kept.iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(b",");
            }
            out.extend_from_slice(member);
        }
        out.extend_from_slice(b"}");
        Self(out.freeze())
    }

    /// Where the members of an object stand, in their order; none for anything else.
    fn places(&self) -> impl Iterator<Item = Place> {
        let text = &self.0[..];
        let mut at = self.is_object().then_some(0);
        std::iter::from_fn(move || {
            let start = at? + 1;
            let name = skim::space(text, start);
            let name_end = skim::string(text, name)?;
            let value = skim::space(text, skim::space(text, name_end) + 1);
            let end = skim::value(text, value)?;
            let next = skim::space(text, end);
            at = (text.get(next) == Some(&b',')).then_some(next);
            Some(Place {
                start,
                name: name..name_end,
                value: value..end,
            })
        })
    }

    fn is_named(&self, place: &Place, key: &str) -> bool {
        let name = &self.0[place.name.clone()];
        let inner = &name[1..name.len() - 1];
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

    /// The same text with the given places replaced. Every other byte stays.
    ///
    /// The replacements must keep the whole valid JSON; ranges must not overlap.
    pub fn with_edits(&self, mut edits: Vec<(Range<usize>, Bytes)>) -> Self {
        if edits.is_empty() {
            return self.clone();
        }
        edits.sort_by_key(|(range, _)| range.start);
        let grown: usize = edits.iter().map(|(_, text)| text.len()).sum();
        let mut out = BytesMut::with_capacity(self.0.len() + grown);
        let mut at = 0;
        for (range, text) in edits {
            out.extend_from_slice(&self.0[at..range.start]);
            out.extend_from_slice(&text);
            at = range.end;
        }
        out.extend_from_slice(&self.0[at..]);
        Self(out.freeze())
    }
}

/// Where a member of an object stands in its text.
struct Place {
    /// What comes after the brace or comma before it.
    start: usize,
    name: Range<usize>,
    value: Range<usize>,
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
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Collect).map(Members)
    }
}

/// A JSON string literal of this text.
pub fn quoted(text: &str) -> Bytes {
    Bytes::from(serde_json::to_vec(text).unwrap_or_else(|_| b"\"\"".to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_leave_every_other_byte_alone() {
        let text = br#"{ "n" : 1.10, "name":"a", "n": 2e400 ,"big":123456789012345678901234567890,"s":"\ud800"}"#;
        let raw = RawJson::parse(Bytes::from_static(text)).unwrap();
        let members = raw.members().unwrap();
        let range = raw.range_of(members[1].1);
        let edited = raw.with_edits(vec![(range, quoted("b"))]);
        assert_eq!(
            edited.as_str(),
            r#"{ "n" : 1.10, "name":"b", "n": 2e400 ,"big":123456789012345678901234567890,"s":"\ud800"}"#
        );
    }

    #[test]
    fn members_are_set_and_left_out_and_the_rest_stays() {
        let raw = |text: &'static str| RawJson::parse(Bytes::from_static(text.as_bytes())).unwrap();
        let set = |text, set: &[(&str, &'static str)], without: &[&str]| {
            let set: Vec<_> = set
                .iter()
                .map(|(key, value)| (*key, Bytes::from_static(value.as_bytes())))
                .collect();
            raw(text).with_members(&set, without).as_str().to_owned()
        };
        let text = r#"{ "a" : 1.10, "b":[ 2 ] , "c":"\ud800" }"#;
        assert_eq!(
            set(text, &[("b", "3")], &[]),
            r#"{ "a" : 1.10, "b":3, "c":"\ud800"}"#
        );
        assert_eq!(
            set(text, &[("d", "4")], &["a"]),
            r#"{ "b":[ 2 ], "c":"\ud800","d":4}"#
        );
        assert_eq!(set(text, &[], &["a", "b", "c"]), "{}");
        assert_eq!(set(text, &[], &["x"]), text);
        assert_eq!(set("{}", &[("a", "1")], &[]), r#"{"a":1}"#);
        assert_eq!(set("[1]", &[("a", "1")], &[]), "[1]");
        assert_eq!(
            raw(r#"{"a":1,"\u0061":{"b":"\u0062"}}"#)
                .at(&["a", "b"])
                .unwrap()
                .text()
                .unwrap(),
            "b"
        );
        assert!(raw("{}").get("a").is_none());
    }

    #[test]
    fn ten_thousand_levels_are_carried() {
        let text = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(RawJson::parse(Bytes::from(text)).is_ok());
    }
}
