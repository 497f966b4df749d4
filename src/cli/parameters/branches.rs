//! What a schema is composed of.
//!
//! Owns which members of a schema are followed (branches, local references), and how deep: 16 levels.

use serde_json::Value;

/// How deep references and branches of a schema are followed.
pub(super) const MAX_DEPTH: usize = 16;

/// Its branches, and what its local reference refers to within `root`.
pub(super) fn branches<'a>(schema: &'a Value, root: &'a Value) -> impl Iterator<Item = &'a Value> {
    let referred = schema.get("$ref").and_then(Value::as_str);
    let referred = referred.and_then(|reference| root.pointer(reference.strip_prefix('#')?));
    let lists = ["allOf", "anyOf", "oneOf"].map(|key| schema.get(key).and_then(Value::as_array));
    let conditional = ["then", "else"].map(|key| schema.get(key));
    (referred.into_iter())
        .chain(lists.into_iter().flatten().flatten())
        .chain(conditional.into_iter().flatten())
}
