//! The schema of a tool whose arguments are guarded.
//!
//! Owns what clients see of such arguments: one that is hidden or filled in is left out, and of one
//! with several values these are listed. Every other byte stays. Pure; it must not know how a call is
//! checked.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::catalog::shapes::Shaped;
use crate::config::{ArgRule, ArgUse};
use crate::protocol::message::elements;
use crate::protocol::raw::quoted;
use crate::protocol::{RawJson, task};

/// Deepest schema within a schema that is about the same arguments.
const MAX_DEPTH: usize = 16;
/// Lists of schemas that are about the same arguments as the schema that has them.
const ALTERNATIVES: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// The tool as clients see it.
pub(super) fn with_guarded_args(shaped: Shaped, rules: &[ArgRule]) -> Shaped {
    let narrow = |definition: RawJson| match definition.get("inputSchema") {
        Some(schema) => {
            let schema = narrowed(&schema, rules, 0);
            definition.with_members(&[("inputSchema", schema.into_bytes())], &[])
        }
        None => definition,
    };
    Shaped {
        legacy: narrow(shaped.legacy),
        modern: narrow(shaped.modern),
        ..shaped
    }
}

fn narrowed(schema: &RawJson, rules: &[ArgRule], depth: usize) -> RawJson {
    let is_choice = |rule: &&ArgRule| rule.usage() == ArgUse::Choice;
    let choices: Vec<&ArgRule> = rules.iter().filter(is_choice).collect();
    let left_out = rules.iter().filter(|rule| !is_choice(rule));
    let left_out: Vec<&str> = left_out.map(|rule| rule.name.as_str()).collect();
    let mut set: Vec<(&str, Bytes)> = Vec::new();
    // What is there is changed at any depth, what is missing is added at the top.
    let is_top = depth == 0;
    let properties = schema.get("properties").filter(RawJson::is_object);
    if properties.is_some() || is_top && !choices.is_empty() {
        let properties = properties.unwrap_or_else(|| RawJson::trusted("{}"));
        let changed = choices.iter().filter_map(|rule| {
            let known = properties.get(&rule.name);
            let property = (is_top || known.is_some()).then(|| property(known.as_ref(), rule))?;
            Some((rule.name.as_str(), property.into_bytes()))
        });
        let changed: Vec<(&str, Bytes)> = changed.collect();
        let properties = properties.with_members(&changed, &left_out);
        set.push(("properties", properties.into_bytes()));
    }
    let required = schema.get("required").and_then(|names| elements(&names));
    if required.is_some() || is_top && !choices.is_empty() {
        let kept = required.unwrap_or_default();
        let mut names: Vec<String> = kept.iter().filter_map(RawJson::text).collect();
        names.retain(|name| !left_out.contains(&name.as_str()));
        let missing = choices
            .iter()
            .filter(|rule| is_top && !names.contains(&rule.name));
        let missing: Vec<String> = missing.map(|rule| rule.name.clone()).collect();
        names.extend(missing);
        set.push(("required", RawJson::of(&names).into_bytes()));
    }
    if depth < MAX_DEPTH {
        for key in ALTERNATIVES {
            if let Some(schemas) = schema.get(key).and_then(|schemas| elements(&schemas)) {
                let narrow = |schema: RawJson| narrowed(&schema, rules, depth + 1);
                set.push((key, task::array(schemas.into_iter().map(narrow))));
            }
        }
    }
    schema.with_members(&set, &[])
}

/// The schema of an argument with several values: what people read of it, and the values.
fn property(known: Option<&RawJson>, rule: &ArgRule) -> RawJson {
    let values: Vec<&Value> = rule.values().collect();
    let mut set: Vec<(&str, Bytes)> = Vec::new();
    for key in ["title", "description"] {
        if let Some(text) = known.and_then(|known| known.get(key)?.text()) {
            set.push((key, quoted(&text)));
        }
    }
    if let Some(kind) = common_type(&values) {
        set.push(("type", quoted(kind)));
    }
    set.push(("enum", RawJson::of(&values).into_bytes()));
    RawJson::of(&Map::new()).with_members(&set, &[])
}

/// The type that all values have.
fn common_type(values: &[&Value]) -> Option<&'static str> {
    let kind = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is_number = |kind: &str| matches!(kind, "integer" | "number");
    let mut kinds = values.iter().map(|value| kind(value));
    let first = kinds.next()?;
    kinds.try_fold(first, |common, kind| match kind == common {
        true => Some(common),
        false => (is_number(common) && is_number(kind)).then_some("number"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules() -> Vec<ArgRule> {
        vec![
            ArgRule::new("owner", [json!("me")]),
            ArgRule::new("branch", [json!("a"), json!("b")]),
            ArgRule::new("force", []),
        ]
    }

    fn narrow(schema: &str) -> String {
        let schema = RawJson::parse(schema.to_owned().into()).unwrap();
        narrowed(&schema, &rules(), 0).as_str().to_owned()
    }

    #[test]
    fn what_is_set_or_hidden_is_left_out_and_values_are_listed() {
        let schema = r#"{"type":"object" ,"properties":{"owner":{"type":"string"},"branch":{"type":"string","description":"Which.","pattern":"^x","default":"c"},"n":{"const": 1.10},"force":true},"required":["owner","n"],"x": 1.0}"#;
        assert_eq!(
            narrow(schema),
            r#"{"type":"object" ,"properties":{"branch":{"description":"Which.","type":"string","enum":["a","b"]},"n":{"const": 1.10}},"required":["n","branch"],"x": 1.0}"#
        );
        assert_eq!(
            narrow(r#"{"type":"object"}"#),
            r#"{"type":"object","properties":{"branch":{"type":"string","enum":["a","b"]}},"required":["branch"]}"#
        );
    }

    #[test]
    fn alternatives_of_the_same_object_are_narrowed_too() {
        let one = r#"{"properties":{"branch":{"enum":["c"]},"owner":{}},"required":["owner"]}"#;
        let schema = format!(r#"{{"anyOf":[{one},{{"required":["force"]}}],"not":{one}}}"#);
        let of = r#"{"properties":{"branch":{"type":"string","enum":["a","b"]}},"required":[]}"#;
        let narrowed: Value = serde_json::from_str(&narrow(&schema)).unwrap();
        let of: Value = serde_json::from_str(of).unwrap();
        assert_eq!(narrowed["anyOf"], json!([of, { "required": [] }]));
        assert_eq!(narrowed["not"]["required"], json!(["owner"]));
        assert_eq!(narrowed["required"], json!(["branch"]));
    }

    #[test]
    fn the_type_is_named_where_the_values_have_one() {
        let common = |values: &[Value]| common_type(&values.iter().collect::<Vec<_>>());
        assert_eq!(common(&[json!(1), json!(2)]), Some("integer"));
        assert_eq!(common(&[json!(1), json!(2.5)]), Some("number"));
        assert_eq!(common(&[json!(1), json!("1")]), None);
        assert_eq!(common(&[json!(true), json!(false)]), Some("boolean"));
    }
}
