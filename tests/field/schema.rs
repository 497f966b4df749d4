//! The judge: the specification's own schema of each version.
//!
//! `tests/field/schema/README.md` says where the files are from.

use std::collections::HashMap;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};

/// Every version, oldest first.
pub const VERSIONS: [&str; 5] = [
    "2024-11-05",
    "2025-03-26",
    "2025-06-18",
    "2025-11-25",
    "2026-07-28",
];

const FILES: [&str; 5] = [
    include_str!("schema/2024-11-05.json"),
    include_str!("schema/2025-03-26.json"),
    include_str!("schema/2025-06-18.json"),
    include_str!("schema/2025-11-25.json"),
    include_str!("schema/2026-07-28.json"),
];

/// The types that are judged.
const TYPES: [&str; 9] = [
    "Tool",
    "Prompt",
    "Resource",
    "ResourceTemplate",
    "ListToolsResult",
    "ListPromptsResult",
    "ListResourcesResult",
    "ListResourceTemplatesResult",
    "CallToolResult",
];

static VALIDATORS: LazyLock<HashMap<(&str, &str), Validator>> = LazyLock::new(|| {
    let mut validators = HashMap::new();
    for (version, text) in VERSIONS.into_iter().zip(FILES) {
        let schema: Value = serde_json::from_str(text).unwrap();
        let place = if schema["$defs"].is_object() {
            "$defs"
        } else {
            "definitions"
        };
        for name in TYPES {
            let mut one =
                json!({ "$schema": schema["$schema"], "$ref": format!("#/{place}/{name}") });
            one[place] = schema[place].clone();
            // A format is an annotation in 2020-12; the older files are read alike.
            let options = jsonschema::options()
                .should_validate_formats(false)
                .build(&one);
            validators.insert((version, name), options.unwrap());
        }
    }
    validators
});

/// Why a value is not of this type in this version.
pub fn problem(version: &'static str, name: &'static str, value: &Value) -> Option<String> {
    let validator = &VALIDATORS[&(version, name)];
    if validator.is_valid(value) {
        return None;
    }
    let error = validator.iter_errors(value).next()?;
    Some(format!(
        "{version} {name}: {}: {error}",
        error.instance_path()
    ))
}

/// Panics if a value is not of this type in this version.
pub fn assert_fits(version: &'static str, name: &'static str, value: &Value) {
    if let Some(problem) = problem(version, name, value) {
        panic!("{problem}\nin {value}");
    }
}
