//! Validates a TOML document against the schema and removes what doesn't match.
//!
//! Owns the messages about unknown keys, wrong types and numbers out of range. One pass finds all of them; what
//! remains can be read and checked further.

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::config::problem::{Location, Report};
use crate::nearest::nearest;

/// Removes from `document` what `schema` doesn't allow, and reports it.
pub(super) fn prune(document: &mut Spanned<DeTable<'_>>, schema: &Value, report: &mut Report) {
    let location = Location::File(document.span());
    prune_table(document.get_mut(), &location, schema, "", report);
}

fn prune_table(
    table: &mut DeTable<'_>,
    location: &Location,
    schema: &Value,
    path: &str,
    report: &mut Report,
) {
    let required = schema["required"].as_array();
    let missing: Vec<&str> = (required.into_iter().flatten().filter_map(Value::as_str))
        .filter(|key| !table.contains_key(*key))
        .collect();
    let count = table.len() as u64;
    let mut misspelt: Vec<(Option<&str>, Location)> = Vec::new();
    for (key, mut value) in std::mem::take(table) {
        let path = join(path, key.get_ref());
        match schema_of(schema, key.get_ref()) {
            None => {
                let location = Location::File(key.span());
                report.add(&location, &path, unknown_key(key.get_ref(), schema));
                misspelt.push((nearest_key(key.get_ref(), schema), location));
            }
            Some(schema) => {
                if validate(&mut value, schema, &path, report) {
                    table.insert(key, value);
                }
            }
        }
    }
    // What a misspelt key may be the cause of is reported after it.
    for key in missing {
        let cause = misspelt.iter().find(|(meant, _)| *meant == Some(key));
        let example = example(&schema["properties"][key]).unwrap_or_default();
        report.add(
            cause.map_or(location, |(_, location)| location),
            &join(path, key),
            format!("missing; add it, as in {key} = {example}"),
        );
    }
    let bound = |key| schema[key].as_u64();
    if bound("minProperties") > Some(count) || bound("maxProperties").is_some_and(|m| m < count) {
        let keys = known_keys(schema).join("`, `");
        let cause = misspelt.first();
        report.add(
            cause.map_or(location, |(_, location)| location),
            path,
            format!("takes exactly one of `{keys}`"),
        );
    }
}

/// Whether `value` is of a type and in the range that `schema` allows; if not, that is reported.
/// Within tables and arrays, what doesn't match is removed.
fn validate(
    value: &mut Spanned<DeValue<'_>>,
    schema: &Value,
    path: &str,
    report: &mut Report,
) -> bool {
    if *schema == Value::Bool(true) {
        return true;
    }
    let location = Location::File(value.span());
    let Some(schema) = alternatives(schema).find(|one| accepts_type(one, value.get_ref())) else {
        let found = format!("found {}", with_article(value.get_ref().type_str()));
        report.add(&location, path, expected(schema, &found));
        return false;
    };
    let problem = match value.get_mut() {
        DeValue::Table(table) => {
            prune_table(table, &location, schema, path, report);
            None
        }
        DeValue::Array(array) => {
            prune_array(array, schema, path, report);
            let least = schema["minItems"].as_u64();
            let is_short = least.is_some_and(|least| (array.len() as u64) < least);
            is_short.then(|| expected(schema, "found none"))
        }
        DeValue::Integer(integer) => {
            let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
            let bound = |key, or| schema[key].as_u64().map_or(or, i128::from);
            let range = bound("minimum", 0)..=bound("maximum", i128::MAX);
            let is_within = number.is_some_and(|number| range.contains(&number));
            (!is_within).then(|| expected(schema, &format!("found {integer}")))
        }
        DeValue::String(text) => string_problem(text, schema),
        _ => None,
    };
    if let Some(what) = &problem {
        report.add(&location, path, what);
    }
    problem.is_none()
}

fn prune_array(array: &mut DeArray<'_>, schema: &Value, path: &str, report: &mut Report) {
    let items = std::mem::replace(array, DeArray::new());
    for (index, mut item) in items.into_iter().enumerate() {
        let name = item.get_ref().get("name");
        let name = name.and_then(|name| name.get_ref().as_str());
        let path = item_path(path, index, name);
        if validate(&mut item, &schema["items"], &path, report) {
            array.push(item);
        }
    }
}

fn string_problem(text: &str, schema: &Value) -> Option<String> {
    let choices = choices(schema);
    if !choices.is_empty() && !choices.contains(&text) {
        let hint = nearest(text, choices)
            .map(|choice| format!("; did you mean \"{choice}\"?"))
            .unwrap_or_default();
        return Some(format!("expected {}{hint}", describe(schema)));
    }
    let is_empty = text.is_empty() && schema["minLength"].as_u64() > Some(0);
    is_empty.then(|| expected(schema, "found an empty string"))
}

/// The schema of a table's key; `None` if the key is unknown.
fn schema_of<'a>(schema: &'a Value, key: &str) -> Option<&'a Value> {
    let named = schema["properties"].get(key);
    named.or(Some(&schema["additionalProperties"]).filter(|further| further.is_object()))
}

/// The alternative schemas of a value.
fn alternatives(schema: &Value) -> impl Iterator<Item = &Value> {
    match schema["anyOf"].as_array() {
        Some(list) => list.as_slice(),
        None => std::slice::from_ref(schema),
    }
    .iter()
}

/// The allowed strings; empty if any string is.
fn choices(schema: &Value) -> Vec<&str> {
    let listed = schema["enum"].as_array().into_iter().flatten();
    let described = schema["oneOf"].as_array().into_iter().flatten();
    listed
        .chain(described.map(|one| &one["const"]))
        .filter_map(Value::as_str)
        .collect()
}

/// The keys that the schema names.
fn known_keys(schema: &Value) -> Vec<&str> {
    let properties = schema["properties"].as_object();
    let keys = properties.into_iter().flatten();
    keys.map(|(key, _)| key.as_str()).collect()
}

fn nearest_key<'a>(key: &str, schema: &'a Value) -> Option<&'a str> {
    nearest(key, known_keys(schema))
}

fn unknown_key(key: &str, schema: &Value) -> String {
    match nearest_key(key, schema) {
        Some(nearest) => format!("unknown key; did you mean `{nearest}`?"),
        None => format!("unknown key; known here: {}", known_keys(schema).join(", ")),
    }
}

/// The expected value, with an example, and what was found instead.
fn expected(schema: &Value, found: &str) -> String {
    let example = example(schema)
        .map(|example| format!(", such as {example}"))
        .unwrap_or_default();
    format!("expected {}{example}; {found}", describe(schema))
}

fn describe(schema: &Value) -> String {
    let one = |schema: &Value| match schema["type"].as_str() {
        _ if !choices(schema).is_empty() => format!("\"{}\"", choices(schema).join("\" or \"")),
        Some("string") => "a string in quotes".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        Some("array") if schema["items"]["type"] == "object" => {
            "a list of tables, each with [[…]] above it".to_owned()
        }
        Some("array") => "a list".to_owned(),
        Some("object") => "a table".to_owned(),
        _ => match (schema["minimum"].as_u64(), schema["maximum"].as_u64()) {
            (least, Some(most)) => format!("a whole number from {} to {most}", least.unwrap_or(0)),
            _ => "a whole number".to_owned(),
        },
    };
    let all: Vec<_> = alternatives(schema).map(one).collect();
    all.join(" or ")
}

/// A valid value as TOML: the schema's first example, else its default.
fn example(schema: &Value) -> Option<String> {
    let given = schema["examples"].get(0).or(schema.get("default"));
    let value = toml::Value::try_from(given?).ok()?;
    Some(value.to_string())
}

/// Whether `value` is of the schema's type.
fn accepts_type(schema: &Value, value: &DeValue<'_>) -> bool {
    match value {
        DeValue::String(_) => schema["type"] == "string" || !choices(schema).is_empty(),
        DeValue::Integer(_) => schema["type"] == "integer",
        DeValue::Boolean(_) => schema["type"] == "boolean",
        DeValue::Array(_) => schema["type"] == "array",
        DeValue::Table(_) => schema["type"] == "object",
        DeValue::Float(_) | DeValue::Datetime(_) => false,
    }
}

fn with_article(noun: &str) -> String {
    let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if vowel { "an" } else { "a" })
}

/// The dotted path of a key in the table at `path`, quoted as in TOML.
pub(in crate::config) fn join(path: &str, key: &str) -> String {
    let key = if is_bare(key) {
        key.to_owned()
    } else {
        format!("{key:?}")
    };
    if path.is_empty() {
        key
    } else {
        format!("{path}.{key}")
    }
}

/// The path of a list's item: by its name if it has one, else by its index.
pub(in crate::config) fn item_path(path: &str, index: usize, name: Option<&str>) -> String {
    match name {
        Some(name) if is_bare(name) => format!("{path}.{name}"),
        _ => format!("{path}[{index}]"),
    }
}

fn is_bare(key: &str) -> bool {
    !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}
