//! JSON text that is carried, not read.
//!
//! Owns [`RawJson`], a shared slice of bytes known to be one JSON value, and the edits that
//! change a few places of it and leave every other byte as it was. It must not know MCP.

use std::fmt;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

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
        let members = self.members()?;
        let (_, raw) = members.iter().rev().find(|(name, _)| name == key)?;
        Some(self.part(raw))
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
    fn ten_thousand_levels_are_carried() {
        let text = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(RawJson::parse(Bytes::from(text)).is_ok());
    }
}
