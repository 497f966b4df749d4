//! JSON text that is passed on without being parsed.
//!
//! Owns [`RawJson`], a shared slice of bytes known to be one JSON value, and finding members in it;
//! [`edit`] changes a few places, [`fingerprint`] and [`same`] compare values. It must not know MCP.

use std::fmt;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json_scan::{self, Member};
pub(crate) use same::same_value;

mod edit;
mod fingerprint;
mod same;

/// Most members of an object that are split up: each takes many times the memory of its text.
const MAX_MEMBERS: usize = 10_000;

/// One JSON value as text: valid JSON, valid UTF-8, cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct RawJson(Bytes);

impl RawJson {
    /// Checks that `bytes` are exactly one JSON value, and drops the white space around it.
    ///
    /// # Errors
    /// The parser's error if they are not.
    pub fn parse(bytes: Bytes) -> Result<Self, serde_json::Error> {
        let raw: &RawValue = serde_json::from_slice(&bytes)?;
        let inner = bytes.slice_ref(raw.get().as_bytes());
        Ok(Self(inner))
    }

    /// Takes text that this program wrote itself. It must be one JSON value.
    pub fn trusted(text: impl Into<Bytes>) -> Self {
        let bytes = text.into();
        debug_assert!(serde_json::from_slice::<&RawValue>(&bytes).is_ok());
        Self(bytes)
    }

    /// Takes UTF-8 text that [`super::json_scan`] has found to be one JSON value.
    pub(super) fn checked(text: Bytes) -> Self {
        Self(text)
    }

    /// Serializes a plain struct or a `json!` value. One that can't be serialized becomes `null`.
    pub fn of(value: &impl serde::Serialize) -> Self {
        Self(Bytes::from(
            serde_json::to_vec(value).unwrap_or_else(|_| b"null".to_vec()),
        ))
    }

    /// The part of this text that `raw` borrows, without copying.
    ///
    /// `raw` must have been parsed out of this very value.
    pub(crate) fn part(&self, raw: &RawValue) -> Self {
        Self(self.0.slice_ref(raw.get().as_bytes()))
    }

    /// Copies of these texts, which don't keep the buffer of the originals alive but share one.
    pub(crate) fn detached_together(texts: &[Self]) -> Vec<Self> {
        let mut copies = BytesMut::with_capacity(texts.iter().map(|text| text.0.len()).sum());
        for text in texts {
            copies.extend_from_slice(&text.0);
        }
        let mut copies = copies.freeze();
        let detached = texts.iter().map(|text| Self(copies.split_to(text.0.len())));
        detached.collect()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // Every constructor has checked it; the fallback avoids `unsafe`.
        std::str::from_utf8(&self.0).unwrap_or("null")
    }

    /// The bytes of the text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes of the text, shared.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.0
    }

    /// This text in the buffer that `own` makes of its bytes.
    pub(crate) fn in_buffer(self, own: impl FnOnce(Bytes) -> Bytes) -> Self {
        let text = own(self.0);
        debug_assert!(!text.is_empty());
        Self(text)
    }

    /// Whether its bytes lie in the buffer of this one.
    pub(crate) fn is_part_of(&self, whole: &Self) -> bool {
        whole.0.as_ptr_range().contains(&self.0.as_ptr())
    }

    /// Deserializes it as a `T`, which may borrow from it.
    ///
    /// # Errors
    /// If the value is not a `T`.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.0)
    }

    /// The members of an object in their order, duplicate keys included; `None` for anything else
    /// and for an object with more than 10,000 of them.
    pub fn members(&self) -> Option<Vec<(String, &RawValue)>> {
        self.read::<Members<'_>>().ok().map(|members| members.0)
    }

    /// The byte ranges of the values of these members, found in one pass.
    ///
    /// # Errors
    /// The key that occurs twice: readers differ on which of the two values counts.
    pub fn locate_members<'a, const N: usize>(
        &self,
        keys: [&'a str; N],
    ) -> Result<[Option<Range<usize>>; N], &'a str> {
        let mut found = [const { None }; N];
        for member in self.scan() {
            for (at, key) in keys.into_iter().enumerate() {
                if self.is_named(&member, key) && found[at].replace(member.value.clone()).is_some()
                {
                    return Err(key);
                }
            }
        }
        Ok(found)
    }

    /// The value in a range that [`locate_members`](Self::locate_members) has found.
    pub fn slice(&self, value: Range<usize>) -> Self {
        Self(self.0.slice(value))
    }

    /// The value of the last member of that name, if this is an object that has it.
    pub fn get(&self, key: &str) -> Option<Self> {
        let member = self
            .scan()
            .filter(|member| self.is_named(member, key))
            .last()?;
        Some(Self(self.0.slice(member.value)))
    }

    /// The value of the first member of that name that ends within the first `bytes`, whatever follows.
    pub(crate) fn get_within(&self, bytes: usize, key: &str) -> Option<Self> {
        let beginning = Self(self.0.slice(..bytes.min(self.0.len())));
        let mut members = beginning.scan();
        let member = members.find(|member| self.is_named(member, key))?;
        // A number at the end of what is read may go on.
        let is_whole = member.value.end < beginning.0.len();
        is_whole.then(|| Self(self.0.slice(member.value)))
    }

    /// The values of all members of that name: none for anything but an object.
    pub(crate) fn every(&self, key: &str) -> impl Iterator<Item = Self> {
        let members = self.scan().filter(move |member| self.is_named(member, key));
        members.map(|member| Self(self.0.slice(member.value)))
    }

    /// The values of all members with one of these names, each with its name, in one pass.
    pub(crate) fn each_of<const N: usize>(
        &self,
        keys: [&'static str; N],
    ) -> impl Iterator<Item = (&'static str, Self)> {
        self.scan().filter_map(move |member| {
            let key = keys.into_iter().find(|key| self.is_named(&member, key))?;
            Some((key, Self(self.0.slice(member.value))))
        })
    }

    /// The value at the end of a path of members, e.g. `["_meta", "progressToken"]`.
    pub(crate) fn at(&self, path: &[&str]) -> Option<Self> {
        let mut found = self.clone();
        for key in path {
            found = found.get(key)?;
        }
        Some(found)
    }

    /// The content of a JSON string, unescaped; `None` for anything else.
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

    /// The members of an object, in their order; none for anything else.
    fn scan(&self) -> impl Iterator<Item = Member> {
        let text = &self.0[..];
        let mut at = self.is_object().then_some(0);
        std::iter::from_fn(move || {
            let member = json_scan::member(text, at?)?;
            at = (text.get(member.end) == Some(&b',')).then_some(member.end);
            Some(member)
        })
    }

    fn is_named(&self, member: &Member, key: &str) -> bool {
        let name = &self.0[member.name.clone()];
        let inner = &name[1..name.len() - 1];
        if inner.first() != key.as_bytes().first() && !inner.starts_with(b"\\") {
            return false;
        }
        if inner.contains(&b'\\') {
            return serde_json::from_slice::<String>(name).is_ok_and(|name| name == key);
        }
        inner == key.as_bytes()
    }

    /// The byte range of `part`, which must borrow from this text.
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

/// An object as a list, which keeps order and duplicates.
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

/// This text as a JSON string.
pub(crate) fn quoted(text: &str) -> Bytes {
    let mut literal = Vec::with_capacity(text.len() + 2);
    put_quoted(&mut literal, text);
    literal.into()
}

/// Appends this text as a JSON string.
pub(crate) fn put_quoted(out: &mut Vec<u8>, text: &str) {
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
    fn ten_thousand_levels_of_nesting_are_accepted() {
        let text = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(RawJson::parse(Bytes::from(text)).is_ok());
    }
}
