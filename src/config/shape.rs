//! Holds a TOML document against the schema, key by key, and takes out what doesn't fit.
//!
//! So one pass finds every unknown key, wrong type and number out of range, and what remains
//! can be read and criticised further.

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::problem::{Place, Report, nearest};

/// Takes out of `document` whatever `schema` doesn't allow, and reports it.
pub(super) fn prune(document: &mut Spanned<DeTable<'_>>, schema: &Value, report: &mut Report) {
    let place = Place::File(document.span());
    prune_table(document.get_mut(), &place, schema, "", report);
}

fn prune_table(
    table: &mut DeTable<'_>,
    place: &Place,
    schema: &Value,
    path: &str,
    report: &mut Report,
) {
    let required = schema["required"].as_array();
    for key in required.into_iter().flatten().filter_map(Value::as_str) {
        if !table.contains_key(key) {
            let such_as = example(&schema["properties"][key]).unwrap_or_default();
            report.say(
                place,
                &join(path, key),
                format!("missing; add it, as in {key} = {such_as}"),
            );
        }
    }
    let bound = |key| schema[key].as_u64();
    let count = table.len() as u64;
    if bound("minProperties") > Some(count) || bound("maxProperties").is_some_and(|m| m < count) {
        let keys = known(schema).join("`, `");
        report.say(place, path, format!("takes exactly one of `{keys}`"));
    }
    for (key, mut value) in std::mem::take(table) {
        let path = join(path, key.get_ref());
        match schema_of(schema, key.get_ref()) {
            None => {
                let what = unknown(key.get_ref(), schema);
                report.say(&Place::File(key.span()), &path, what);
            }
            Some(schema) => {
                if fits(&mut value, schema, &path, report) {
                    table.insert(key, value);
                }
            }
        }
    }
}

/// Whether `value` is of a kind that `schema` allows. If so, it is pruned within.
fn fits(value: &mut Spanned<DeValue<'_>>, schema: &Value, path: &str, report: &mut Report) -> bool {
    let place = Place::File(value.span());
    let Some(schema) = alternatives(schema).find(|one| takes(one, value.get_ref())) else {
        let found = value.get_ref().type_str();
        report.say(
            &place,
            path,
            expected(schema, &format!("found {}", article(found))),
        );
        return false;
    };
    match value.get_mut() {
        DeValue::Table(table) => prune_table(table, &place, schema, path, report),
        DeValue::Array(array) => {
            let items = std::mem::replace(array, DeArray::new());
            for (index, mut item) in items.into_iter().enumerate() {
                let name = item
                    .get_ref()
                    .get("name")
                    .and_then(|name| name.get_ref().as_str());
                let path = item_path(path, index, name);
                if fits(&mut item, &schema["items"], &path, report) {
                    array.push(item);
                }
            }
            if schema["minItems"]
                .as_u64()
                .is_some_and(|least| (array.len() as u64) < least)
            {
                report.say(&place, path, expected(schema, "found none"));
                return false;
            }
        }
        DeValue::Integer(integer) => {
            let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
            let bound = |key, or| schema[key].as_u64().map_or(or, i128::from);
            let range = bound("minimum", 0)..=bound("maximum", i128::MAX);
            if !number.is_some_and(|number| range.contains(&number)) {
                report.say(&place, path, expected(schema, &format!("found {integer}")));
                return false;
            }
        }
        DeValue::String(text) => {
            let choices = choices(schema);
            if !choices.is_empty() && !choices.contains(&text.as_ref()) {
                let meant = nearest(text, choices)
                    .map(|choice| format!("; did you mean \"{choice}\"?"))
                    .unwrap_or_default();
                report.say(
                    &place,
                    path,
                    format!("expected {}{meant}", describe(schema)),
                );
                return false;
            }
            if text.is_empty() && schema["minLength"].as_u64() > Some(0) {
                report.say(&place, path, expected(schema, "found an empty one"));
                return false;
            }
        }
        _ => {}
    }
    true
}

/// The schema of a table's key, if it may be there.
fn schema_of<'a>(schema: &'a Value, key: &str) -> Option<&'a Value> {
    let named = schema["properties"].get(key);
    named.or(Some(&schema["additionalProperties"]).filter(|further| further.is_object()))
}

/// The schemas of which a value must meet one.
fn alternatives(schema: &Value) -> impl Iterator<Item = &Value> {
    match schema["anyOf"].as_array() {
        Some(list) => list.as_slice(),
        None => std::slice::from_ref(schema),
    }
    .iter()
}

/// The texts allowed, where not every text is.
fn choices(schema: &Value) -> Vec<&str> {
    let listed = schema["enum"].as_array().into_iter().flatten();
    let described = schema["oneOf"].as_array().into_iter().flatten();
    listed
        .chain(described.map(|one| &one["const"]))
        .filter_map(Value::as_str)
        .collect()
}

/// The keys that a table may have, but for the user's own.
fn known(schema: &Value) -> Vec<&str> {
    let properties = schema["properties"].as_object();
    let keys = properties.into_iter().flatten();
    keys.map(|(key, _)| key.as_str()).collect()
}

fn unknown(key: &str, schema: &Value) -> String {
    let known = known(schema);
    match nearest(key, known.iter().copied()) {
        Some(meant) => format!("unknown key; did you mean `{meant}`?"),
        None => format!("unknown key; known here: {}", known.join(", ")),
    }
}

/// What should stand here, with an example, and what does.
fn expected(schema: &Value, found: &str) -> String {
    let such_as = example(schema)
        .map(|example| format!(", such as {example}"))
        .unwrap_or_default();
    format!("expected {}{such_as}; {found}", describe(schema))
}

fn describe(schema: &Value) -> String {
    let one = |schema: &Value| match schema["type"].as_str() {
        _ if !choices(schema).is_empty() => format!("\"{}\"", choices(schema).join("\" or \"")),
        Some("string") => "a text in quotes".to_owned(),
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

/// A value that would do, as TOML: the first example given, else the default.
fn example(schema: &Value) -> Option<String> {
    let given = schema["examples"].get(0).or(schema.get("default"));
    let value = toml::Value::try_from(given?).ok()?;
    Some(value.to_string())
}

/// Whether `value` is of the kind that this one schema is for.
fn takes(schema: &Value, value: &DeValue<'_>) -> bool {
    match value {
        DeValue::String(_) => schema["type"] == "string" || !choices(schema).is_empty(),
        DeValue::Integer(_) => schema["type"] == "integer",
        DeValue::Boolean(_) => schema["type"] == "boolean",
        DeValue::Array(_) => schema["type"] == "array",
        DeValue::Table(_) => schema["type"] == "object",
        DeValue::Float(_) | DeValue::Datetime(_) => false,
    }
}

fn article(noun: &str) -> String {
    let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if vowel { "an" } else { "a" })
}

/// The path of a key in the table at `path`, quoted as TOML would have it.
pub(super) fn join(path: &str, key: &str) -> String {
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

/// The path of a list's item: by its name if it has one, else by its number.
pub(super) fn item_path(path: &str, index: usize, name: Option<&str>) -> String {
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
