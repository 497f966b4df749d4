//! The canonical form of version 1 of the lock.
//!
//! Owns what version 1 removed from a definition, and its hash, in which numbers were doubles. Both
//! are only compared with what version 1 wrote, never written anew.

use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use sha2::{Digest, Sha256};

use crate::hex::hex;
use crate::protocol::RawJson;
use crate::text::clean_json_as_in_version_1;

/// What version 1 pinned of a definition, which is as the backend wrote it; `None` where it refused
/// the definition.
pub(in crate::catalog::pins) fn pinned_parts(written: &RawJson) -> Option<RawJson> {
    let cleaned = clean_json_as_in_version_1(written).ok()?;
    Some(super::pinned_parts(&cleaned))
}

/// The hash that version 1 had of that.
pub(in crate::catalog::pins) fn sha256(definition: &RawJson) -> Arc<str> {
    hex(&Sha256::digest(canonical(definition))).into()
}

/// A value that can't be parsed, such as a number out of the range of a double, was compared by its
/// text.
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
