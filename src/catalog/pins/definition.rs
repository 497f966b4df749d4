//! Compares tool definitions.
//!
//! Owns which parts of a definition are pinned, and when two are equal. Order of members, white
//! space, `_meta` and icons don't count: no model reads them. A duplicate member counts, since
//! readers differ on which one they use. It must not know what was accepted.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use sha2::{Digest, Sha256};

use crate::hex::hex;
use crate::protocol::RawJson;

/// The members that are pinned.
pub(super) const PARTS: [&str; 6] = [
    "name",
    "title",
    "description",
    "inputSchema",
    "outputSchema",
    "annotations",
];

/// The pinned parts of a definition, as an object in a fixed order, without those that are null.
pub(super) fn pinned_parts(definition: &RawJson) -> RawJson {
    let members = definition.members().unwrap_or_default();
    let mut text = String::with_capacity(definition.as_bytes().len());
    for part in PARTS {
        let values = members
            .iter()
            .filter(|(name, value)| name == part && value.get() != "null");
        for (_, value) in values {
            let comma = if text.is_empty() { '{' } else { ',' };
            // Writing to a String can't fail.
            let _ = write!(text, "{comma}\"{part}\":{}", value.get());
        }
    }
    if text.is_empty() {
        text.push('{');
    }
    text.push('}');
    RawJson::trusted(text)
}

/// The parts in which two of them differ.
pub(super) fn differing(one: &RawJson, other: &RawJson) -> Vec<&'static str> {
    let values = |definition: &RawJson, part: &str| {
        let members = definition.members().unwrap_or_default();
        let named = members.into_iter().filter(|(name, _)| name == part);
        named
            .map(|(_, value)| canonical(&definition.part(value)))
            .collect::<Vec<_>>()
    };
    PARTS
        .into_iter()
        .filter(|part| values(one, part) != values(other, part))
        .collect()
}

/// The hash of a definition's canonical form, in hex.
pub(super) fn sha256(definition: &RawJson) -> Arc<str> {
    hex(&Sha256::digest(canonical(definition))).into()
}

/// A part as text for a person: a string unescaped, anything else as indented JSON.
pub(super) fn readable(value: &RawJson) -> String {
    value.text().unwrap_or_else(|| {
        let read = value.read::<Sorted>().ok();
        let pretty = read.and_then(|sorted| serde_json::to_string_pretty(&sorted).ok());
        pretty.unwrap_or_else(|| value.as_str().to_owned())
    })
}

/// A text that is equal for equal values. A value that can't be parsed, such as a number out of the
/// range of a double, is compared by its text.
fn canonical(value: &RawJson) -> String {
    let read = value.read::<Sorted>().ok();
    let text = read.and_then(|sorted| serde_json::to_string(&sorted).ok());
    text.unwrap_or_else(|| value.as_str().to_owned())
}

/// A JSON value with sorted members, duplicates included.
enum Sorted {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    Array(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Serialize for Sorted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Unsigned(value) => serializer.serialize_u64(*value),
            Self::Signed(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::Array(values) => serializer.collect_seq(values),
            Self::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Sorted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Sorted;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Sorted, E> {
        Ok(Sorted::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Sorted, E> {
        Ok(Sorted::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Sorted, E> {
        Ok(Sorted::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Sorted, E> {
        Ok(Sorted::Signed(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Sorted, E> {
        Ok(Sorted::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Sorted, E> {
        Ok(Sorted::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Sorted, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Sorted::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Sorted, A::Error> {
        let mut members: Vec<(String, Sorted)> = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        // Stable: members with the same name keep their order.
        members.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Sorted::Object(members))
    }
}
