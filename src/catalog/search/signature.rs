//! A tool's definition in one line: `name(param: type, param?: type) — what it does`.
//!
//! Owns what of a definition is in that line, and its bounds. Required parameters are always named.

use std::fmt::Write as _;

use serde_json::Value;

use super::document::first_sentence;
use super::tokens::estimate_tokens;
use crate::protocol::RawJson;
use crate::text::beginning;

/// Most bytes of the description.
const MAX_SUMMARY: usize = 160;
/// Most tokens of the parameters, about; optional ones beyond are left out.
const MAX_PARAMETERS: usize = 90;
/// Most values of an enumeration that are named.
const MAX_VALUES: usize = 6;
/// Depth of nested types that are named.
const MAX_DEPTH: usize = 2;

/// The line.
pub fn signature(definition: &RawJson) -> String {
    let text = |key: &str| definition.get(key).and_then(|value| value.text());
    let mut line = text("name").unwrap_or_default();
    line += &parameters(definition);
    let description = text("description").unwrap_or_default();
    let summary = first_sentence(&description).trim();
    if !summary.is_empty() {
        let short = beginning(summary, MAX_SUMMARY);
        let more = if short.len() < summary.len() {
            "…"
        } else {
            ""
        };
        let _ = write!(line, " — {short}{more}");
    }
    line
}

/// Its parameters in parentheses, the required ones first.
pub(crate) fn parameters(definition: &RawJson) -> String {
    let schema = definition.get("inputSchema");
    let schema: Value = schema
        .and_then(|schema| schema.read().ok())
        .unwrap_or_default();
    let required = required(&schema);
    let properties = schema.get("properties").and_then(Value::as_object);
    let is_optional = |name: &&String| !required.contains(&name.as_str());
    let optional = properties.into_iter().flat_map(|all| all.keys());
    let names = required
        .iter()
        .copied()
        .chain(optional.filter(is_optional).map(String::as_str));
    let mut list = String::from("(");
    for (at, name) in names.enumerate() {
        let property = properties.and_then(|all| all.get(name));
        let mark = if at < required.len() { "" } else { "?" };
        let gap = if at == 0 { "" } else { ", " };
        let kind = property.map_or_else(|| "any".to_owned(), |schema| type_of(schema, MAX_DEPTH));
        let one = format!("{gap}{name}{mark}: {kind}");
        if at >= required.len() && estimate_tokens(&list) + estimate_tokens(&one) > MAX_PARAMETERS {
            let _ = write!(list, "{gap}…");
            break;
        }
        list += &one;
    }
    list.push(')');
    list
}

/// The names of the required parameters.
pub(crate) fn required(schema: &Value) -> Vec<&str> {
    let names = schema.get("required").and_then(Value::as_array);
    let names = names.into_iter().flatten();
    names.filter_map(Value::as_str).collect()
}

/// A type in a few characters.
fn type_of(schema: &Value, depth: usize) -> String {
    let values = schema.get("enum").and_then(Value::as_array);
    if let Some(values) = values.filter(|values| values.len() <= MAX_VALUES) {
        return joined(values.iter().map(Value::to_string));
    }
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    let alternatives = schema.get("anyOf").or_else(|| schema.get("oneOf"));
    if let Some(alternatives) = alternatives.and_then(Value::as_array) {
        return match depth {
            0 => "any".to_owned(),
            _ => joined(alternatives.iter().map(|one| type_of(one, depth - 1))),
        };
    }
    match schema.get("type") {
        Some(Value::String(kind)) if kind == "array" => {
            let items = schema.get("items").filter(|_| depth > 0);
            let of = items.map_or_else(|| "any".to_owned(), |items| type_of(items, depth - 1));
            match of.contains('|') {
                true => format!("({of})[]"),
                false => format!("{of}[]"),
            }
        }
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Array(kinds)) => joined(kinds.iter().filter_map(Value::as_str).map(Into::into)),
        _ => "any".to_owned(),
    }
}

/// Alternatives without repeats and without `null`.
fn joined(all: impl Iterator<Item = String>) -> String {
    let mut kept: Vec<String> = Vec::new();
    for one in all {
        if one != "null" && !kept.contains(&one) {
            kept.push(one);
        }
    }
    match kept.is_empty() {
        true => "any".to_owned(),
        false => kept.join("|"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(definition: &'static str) -> String {
        signature(&RawJson::trusted(definition))
    }

    #[test]
    fn required_parameters_come_first_and_types_are_short() {
        assert_eq!(
            of(
                r#"{"name":"move","description":"Moves a document. It must exist.","inputSchema":{"type":"object","properties":{
                "a":{"type":"integer"},"to":{"type":"string"},"mode":{"enum":["copy","link"]},
                "tags":{"type":"array","items":{"type":"string"}},"n":{"type":["number","null"]},
                "x":{"anyOf":[{"type":"string"},{"type":"null"},{"type":"array","items":{"enum":[1,2]}}]},"free":{}},
                "required":["to"]}}"#
            ),
            r#"move(to: string, a?: integer, free?: any, mode?: "copy"|"link", n?: number, tags?: string[], x?: string|(1|2)[]) — Moves a document."#
        );
        assert_eq!(of(r#"{"name":"now"}"#), "now()");
        assert_eq!(
            of(
                r#"{"name":"odd","description":3,"inputSchema":{"properties":7,"required":["a",1]}}"#
            ),
            "odd(a: any)"
        );
    }

    #[test]
    fn long_ones_are_cut_but_required_parameters_stay() {
        let property = |at: usize| format!(r#""parameter_{at:03}":{{"type":"string"}}"#);
        let properties: Vec<String> = (0..100).map(property).collect();
        let text = format!(
            r#"{{"name":"many","description":"{}","inputSchema":{{"properties":{{{}}},"required":["parameter_099"]}}}}"#,
            "ä ".repeat(500),
            properties.join(",")
        );
        let line = signature(&RawJson::trusted(text));
        assert!(line.starts_with("many(parameter_099: string, parameter_000?: string"));
        assert!(line.contains(", …) — ä ") && line.ends_with('…'), "{line}");
        assert!(estimate_tokens(&line) < 300, "{line}");
    }
}
