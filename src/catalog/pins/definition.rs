//! Compares tool definitions.
//!
//! Owns which parts of a definition are pinned, and when two are equal. Order of members, white
//! space, the spelling of strings, `_meta` and icons don't count: no model reads them. Every digit of
//! a number counts, and a duplicate member does, since readers differ on which one they use. It must
//! not know what was accepted.

mod canonical;
pub(super) mod version_1;

use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::hex::hex;
use crate::protocol::RawJson;
use crate::protocol::raw::quoted;
pub(super) use canonical::canonical;
use canonical::indented;

/// The one member of instructions, as they are pinned.
pub(super) const INSTRUCTIONS: &str = "instructions";

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

/// The instructions of a backend, as they are pinned.
pub(super) fn instructions(text: &str) -> RawJson {
    RawJson::trusted("{}").with_members(&[(INSTRUCTIONS, quoted(text))], &[])
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
    let parts = PARTS.into_iter().chain([INSTRUCTIONS]);
    parts
        .filter(|part| values(one, part) != values(other, part))
        .collect()
}

/// The hash of a definition's canonical form, in hex.
pub(super) fn sha256(definition: &RawJson) -> Arc<str> {
    hex(&Sha256::digest(canonical(definition))).into()
}

/// A part as text for a person: a string unescaped, anything else as indented JSON.
pub(super) fn readable(value: &RawJson) -> String {
    value.text().unwrap_or_else(|| indented(value))
}
