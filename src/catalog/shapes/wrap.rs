//! Structured content that is not an object, in an object: for the legacy era, which has no other.
//!
//! Owns the envelope, `{"result": …}`, which is that of the official SDKs (TypeScript SDK 2,
//! `wrapOutputSchemaForLegacy`), and moving the references of a schema into it.

use std::ops::Range;

use bytes::Bytes;

use crate::protocol::{RawJson, json_scan};

/// Keywords whose values are data, not schemas.
const DATA: [&str; 4] = ["const", "enum", "default", "examples"];
/// Keywords whose members are named by the author of the schema.
const MAPS: [&str; 6] = [
    "properties",
    "patternProperties",
    "$defs",
    "definitions",
    "dependentSchemas",
    "dependencies",
];

/// The schema of the envelope around what this schema describes. `schema` is an object without
/// `$id` and anchors.
pub(super) fn schema(schema: &RawJson) -> RawJson {
    let dialect = schema
        .get("$schema")
        .filter(|dialect| dialect.as_str().starts_with('"'));
    let dialect = dialect.map_or_else(String::new, |dialect| {
        format!("\"$schema\":{},", dialect.as_str())
    });
    let edits = pointers(schema.as_bytes()).into_iter();
    // A bare `#` and `#/…` alike: the text after the quote and the `#` stays.
    let edits = edits.map(|at| {
        (
            at.start + 2..at.start + 2,
            Bytes::from_static(b"/properties/result"),
        )
    });
    let inner = schema.with_edits(edits.collect());
    RawJson::trusted(format!(
        r#"{{{dialect}"type":"object","properties":{{"result":{}}},"required":["result"]}}"#,
        inner.as_str()
    ))
}

/// The envelope around this value.
pub(super) fn content(value: &RawJson) -> Bytes {
    Bytes::from(format!("{{\"result\":{}}}", value.as_str()))
}

/// What the names of an object's members are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    Keywords,
    /// The author's.
    Own,
    /// Nothing: it is data.
    Data,
}

/// Where the strings of references to places in the same schema are.
fn pointers(text: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    // For each open array or object: what its members are named by, and whether it is an object.
    let mut open: Vec<(Names, bool)> = Vec::new();
    let mut next = Names::Keywords;
    let mut is_reference = false;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'{' | b'[' => open.push((next, byte == b'{')),
            b'}' | b']' => {
                open.pop();
            }
            b'"' => {
                let end = json_scan::string_end(text, at).unwrap_or(text.len());
                let (names, in_object) = open.last().copied().unwrap_or((Names::Data, false));
                let is_key = in_object && text.get(json_scan::skip_space(text, end)) == Some(&b':');
                if is_key {
                    let name = serde_json::from_slice::<String>(&text[at..end]);
                    let name = name.unwrap_or_default();
                    is_reference =
                        names == Names::Keywords && matches!(&*name, "$ref" | "$dynamicRef");
                    next = match names {
                        Names::Keywords if DATA.contains(&&*name) => Names::Data,
                        Names::Keywords if MAPS.contains(&&*name) => Names::Own,
                        Names::Keywords | Names::Own => Names::Keywords,
                        Names::Data => Names::Data,
                    };
                } else if is_reference && in_object && is_pointer(&text[at..end]) {
                    found.push(at..end);
                }
                at = end;
                continue;
            }
            b',' => {
                if let Some((names, false)) = open.last() {
                    next = *names;
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Whether a string in its quotes is `#` or begins with `#/`, whose slash many servers write as `\/`.
fn is_pointer(text: &[u8]) -> bool {
    text == b"\"#\"" || text.starts_with(b"\"#/") || text.starts_with(b"\"#\\/")
}
