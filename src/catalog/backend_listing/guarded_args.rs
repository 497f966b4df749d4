//! The schema of a tool whose arguments are guarded.
//!
//! Owns what clients see of such arguments: one that is hidden or filled in is left out, and of one
//! with several values these are listed. What is behind references is put in their place where it
//! changes; every other byte stays. Pure; it must not know how a call is checked.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::schema_walk::{ALTERNATIVES, BRANCHES, DEPENDENT, SchemaWalk};
use crate::catalog::rejected::{MAX_BYTES, RejectReason};
use crate::catalog::shapes::Shaped;
use crate::config::{ArgRule, ArgUse};
use crate::protocol::message::elements;
use crate::protocol::raw::quoted;
use crate::protocol::{RawJson, task};

/// The tool as clients see it.
///
/// # Errors
/// Its schema can't be narrowed: clients would see what they can't use.
pub(super) fn with_guarded_args(shaped: Shaped, rules: &[ArgRule]) -> Result<Shaped, RejectReason> {
    let narrow = |definition: &RawJson| match definition.get("inputSchema") {
        Some(schema) => {
            let schema = input_schema(&schema, rules).map_err(RejectReason::Guarded)?;
            Ok(definition.with_members(&[("inputSchema", schema.into_bytes())], &[]))
        }
        None => Ok(definition.clone()),
    };
    Ok(Shaped {
        legacy: narrow(&shaped.legacy)?,
        modern: narrow(&shaped.modern)?,
        ..shaped
    })
}

/// The schema of a tool's arguments as clients see it; an error says why it can't be made.
fn input_schema(schema: &RawJson, rules: &[ArgRule]) -> Result<RawJson, String> {
    let mut narrowing = Narrowing {
        walk: SchemaWalk::new(schema),
        replaced: Vec::new(),
    };
    let narrowed = narrowing.narrowed(schema, rules, 0, true)?;
    let narrowed = without_unused(narrowed, &narrowing.replaced);
    match narrowed.as_bytes().len() <= MAX_BYTES {
        true => Ok(narrowed),
        false => Err("it is too large with what is behind its references".into()),
    }
}

struct Narrowing<'a> {
    walk: SchemaWalk<'a>,
    /// The references that have been replaced.
    replaced: Vec<String>,
}

impl Narrowing<'_> {
    /// The schema of an object. `is_top`: what is missing in it is added.
    fn narrowed(
        &mut self,
        schema: &RawJson,
        rules: &[ArgRule],
        depth: usize,
        is_top: bool,
    ) -> Result<RawJson, String> {
        self.walk.count(schema, depth)?;
        let (resolved, reference) = self.walk.resolved(schema)?;
        if resolved.get("$ref").is_some() {
            let narrowed = self.narrowed(&resolved, rules, depth + 1, is_top)?;
            return Ok(self.replace(schema, &resolved, narrowed, reference));
        }
        let mut set = Vec::new();
        if let Some(properties) = self.properties(&resolved, rules, depth, is_top)? {
            set.push(("properties", properties.into_bytes()));
        }
        set.extend(required(&resolved, rules, is_top).map(|names| ("required", names)));
        for key in ALTERNATIVES {
            let schemas = resolved.get(key).and_then(|schemas| elements(&schemas));
            let Some(schemas) = schemas else { continue };
            let narrowed = schemas
                .iter()
                .map(|schema| self.narrowed(schema, rules, depth + 1, false));
            let narrowed = narrowed.collect::<Result<Vec<_>, _>>()?;
            if narrowed != schemas {
                set.push((key, task::array(narrowed.into_iter())));
            }
        }
        for key in BRANCHES {
            if let Some(branch) = resolved.get(key) {
                let branch = self.narrowed(&branch, rules, depth + 1, false)?;
                set.push((key, branch.into_bytes()));
            }
        }
        for key in DEPENDENT {
            let Some(schemas) = resolved.get(key) else {
                continue;
            };
            let mut edits = Vec::new();
            for (_, schema) in schemas.members().unwrap_or_default() {
                let at = schemas.range_of(schema);
                let schema = self.narrowed(&schemas.part(schema), rules, depth + 1, false)?;
                edits.push((at, schema.into_bytes()));
            }
            set.push((key, schemas.with_edits(edits).into_bytes()));
        }
        let narrowed = resolved.with_members(&set, &[]);
        Ok(self.replace(schema, &resolved, narrowed, reference))
    }

    /// The narrowed schema, or the one with the reference if nothing behind it has changed.
    fn replace(
        &mut self,
        schema: &RawJson,
        resolved: &RawJson,
        narrowed: RawJson,
        reference: Option<String>,
    ) -> RawJson {
        if narrowed == *resolved {
            return schema.clone();
        }
        self.replaced.extend(reference);
        narrowed
    }

    /// The `properties` of a schema; `None` if they stay as they are.
    fn properties(
        &mut self,
        schema: &RawJson,
        rules: &[ArgRule],
        depth: usize,
        is_top: bool,
    ) -> Result<Option<RawJson>, String> {
        let listed = schema.get("properties").filter(RawJson::is_object);
        let is_open = schema.is_object() && is_top;
        if listed.is_none() && !(is_open && rules.iter().any(ArgRule::is_required)) {
            return Ok(None);
        }
        let properties = listed.unwrap_or_else(|| RawJson::trusted("{}"));
        let (mut set, mut left_out) = (Vec::new(), Vec::new());
        for rule in rules {
            let known = properties.get(&rule.name);
            if known.is_none() && !(is_top && rule.is_required()) {
                continue;
            }
            let name = rule.name.as_str();
            match rule.usage() {
                ArgUse::Hidden | ArgUse::Fixed(_) => left_out.push(name),
                ArgUse::Choice => set.push((name, choice(known.as_ref(), rule).into_bytes())),
                ArgUse::Inside(inner) => {
                    let known = known.filter(|known| known.as_str() != "true");
                    let known = known.unwrap_or_else(|| RawJson::trusted(r#"{"type":"object"}"#));
                    if !self.walk.takes_objects(&known, depth + 1)? {
                        return Err(format!("{:?} is not an object", rule.key));
                    }
                    let property = self.narrowed(&known, inner, depth + 1, is_top)?;
                    set.push((name, property.into_bytes()));
                }
            }
        }
        Ok(Some(properties.with_members(&set, &left_out)))
    }
}

/// The `required` of a schema; `None` if it stays as it is.
fn required(schema: &RawJson, rules: &[ArgRule], is_top: bool) -> Option<Bytes> {
    let listed = schema.get("required").and_then(|names| elements(&names));
    let listed = listed.unwrap_or_default();
    let listed: Vec<String> = listed.iter().filter_map(RawJson::text).collect();
    let mut names = listed.clone();
    for rule in rules {
        if matches!(rule.usage(), ArgUse::Hidden | ArgUse::Fixed(_)) {
            names.retain(|name| *name != rule.name);
        } else if is_top && rule.is_required() && !names.contains(&rule.name) {
            names.push(rule.name.clone());
        }
    }
    (names != listed).then(|| RawJson::of(&names).into_bytes())
}

/// The schema of an argument with several values: what people read of it, and the values.
fn choice(known: Option<&RawJson>, rule: &ArgRule) -> RawJson {
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

/// The schema without definitions that only replaced references have led to: they show what is hidden.
fn without_unused(schema: RawJson, replaced: &[String]) -> RawJson {
    let mut schema = schema;
    for reference in replaced {
        // Many servers write a slash as `\/`.
        let text = schema.as_str().replace("\\/", "/");
        let is_used = text.contains(&*String::from_utf8_lossy(&quoted(reference)));
        let place = reference
            .strip_prefix("#/")
            .and_then(|at| at.split_once('/'));
        if let Some((key @ ("$defs" | "definitions"), name)) = place
            && !is_used
            && let Some(definitions) = schema.get(key)
        {
            let definitions = definitions.with_members(&[], &[name]);
            schema = match definitions.as_str() {
                "{}" => schema.with_members(&[], &[key]),
                _ => schema.with_members(&[(key, definitions.into_bytes())], &[]),
            };
        }
    }
    schema
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    type Written<'a> = &'a [(&'a str, &'a [&'a str])];

    const RULES: Written<'_> = &[("owner", &["me"]), ("branch", &["a", "b"]), ("force", &[])];

    fn narrow_by(written: Written<'_>, schema: &str) -> Result<String, String> {
        let mut rules = Vec::new();
        for (key, values) in written {
            let values = values.iter().map(|value| json!(value));
            ArgRule::of_key(key, values)
                .unwrap()
                .add(&mut rules)
                .unwrap();
        }
        let schema = RawJson::parse(schema.to_owned().into()).unwrap();
        input_schema(&schema, &rules).map(|narrowed| narrowed.as_str().to_owned())
    }

    fn narrow(schema: &str) -> String {
        narrow_by(RULES, schema).unwrap()
    }

    fn narrowed(written: Written<'_>, schema: &Value) -> Result<Value, String> {
        let narrowed = narrow_by(written, &schema.to_string())?;
        Ok(serde_json::from_str(&narrowed).unwrap())
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

    #[test]
    fn what_is_behind_references_is_narrowed_in_their_place() {
        let definition = r##"{"$defs":{"Args":{"type":"object","properties":{"owner":{},"branch":{},"n": {}},"required":["owner"]}}, "$ref":"#/$defs/Args"}"##;
        assert_eq!(
            narrow(definition),
            r#"{"type":"object","properties":{"branch":{"enum":["a","b"]},"n": {}},"required":["branch"]}"#
                .replace(r#"{"enum""#, r#"{"type":"string","enum""#)
        );
        let all = json!({ "type": "object", "allOf": [{ "$ref": "#/$defs/A" }, { "$ref": "#/$defs/B" }],
            "$defs": { "A": { "properties": { "owner": {}, "b": { "$ref": "#/$defs/B" } } },
                       "B": { "properties": { "c": {} } } } });
        assert_eq!(
            narrowed(&[("owner", &["me"])], &all),
            Ok(json!({ "type": "object",
                "allOf": [{ "properties": { "b": { "$ref": "#/$defs/B" } } }, { "$ref": "#/$defs/B" }],
                "$defs": { "B": { "properties": { "c": {} } } } }))
        );
        // A definition that something else refers to stays, however the reference is written.
        let twice = json!({ "$ref": "#/$defs/A", "$defs":
            { "A": { "type": "object", "properties": { "owner": {}, "b": { "$ref": "#/$defs/A" } } } } });
        for text in [twice.to_string(), twice.to_string().replace('/', r"\/")] {
            let narrowed = narrow_by(&[("owner", &["me"])], &text).unwrap();
            let narrowed: Value = serde_json::from_str(&narrowed).unwrap();
            assert_eq!(narrowed["properties"]["b"]["$ref"], "#/$defs/A");
            assert_eq!(narrowed["$defs"], twice["$defs"]);
        }
        // What stands beside a reference counts too.
        let beside = json!({ "type": "object", "$ref": "#/$defs/A", "properties": { "force": {} },
            "$defs": { "A": { "properties": { "force": {}, "n": {} } } } });
        assert_eq!(
            narrowed(&[("force", &[])], &beside),
            Ok(
                json!({ "type": "object", "properties": {}, "allOf": [{ "properties": { "n": {} } }] })
            )
        );
        let untouched = r##"{"type":"object","anyOf":[{"$ref":"#/$defs/A"}], "$defs":{"A":{"properties":{"n": {}}}}}"##;
        assert_eq!(
            narrow_by(&[("x", &[])], untouched).as_deref(),
            Ok(untouched)
        );
    }

    #[test]
    fn an_argument_within_others_is_narrowed_where_it_stands() {
        let repo = json!({ "type": "object", "description": "Which.", "required": ["owner", "name"],
            "properties": { "owner": { "type": "string" }, "name": { "type": "string" } } });
        let hidden = json!({ "type": "object", "description": "Which.", "required": ["name"],
            "properties": { "name": { "type": "string" } } });
        let schema = |repo: Value, defs: Value| {
            json!({ "type": "object", "properties": { "repo": repo, "owner": {} },
            "required": ["owner"], "$defs": defs })
        };
        let fixed: Written<'_> = &[("/repo/owner", &["me"])];
        let reference = json!({ "$ref": "#/$defs/Repo" });
        let defs = json!({ "Repo": repo, "Other": {} });
        let left = json!({ "Other": {} });
        // As Pydantic writes a model, one with a description, and an optional one.
        let described = |schema: &Value| {
            let mut schema = schema.clone();
            schema["description"] = "Of it.".into();
            schema
        };
        for (written, expected) in [
            (repo.clone(), hidden.clone()),
            (reference.clone(), hidden.clone()),
            (described(&reference), described(&hidden)),
            (
                json!({ "allOf": [reference] }),
                json!({ "allOf": [hidden] }),
            ),
            (
                json!({ "anyOf": [reference, { "type": "null" }], "default": null }),
                json!({ "anyOf": [hidden, { "type": "null" }], "default": null }),
            ),
        ] {
            let has_reference = written.to_string().contains("$ref");
            let narrowed = narrowed(fixed, &schema(written, defs.clone())).unwrap();
            let left = if has_reference { &left } else { &defs };
            assert_eq!(narrowed, schema(expected, left.clone()));
        }
        let choice: Written<'_> = &[("/repo/owner", &["me", "us"])];
        let owner = json!({ "type": "string", "enum": ["me", "us"] });
        let narrowed = narrowed(choice, &json!({ "type": "object" })).unwrap();
        let within =
            json!({ "type": "object", "properties": { "owner": owner }, "required": ["owner"] });
        assert_eq!(
            narrowed,
            json!({ "type": "object", "properties": { "repo": within }, "required": ["repo"] })
        );
    }

    #[test]
    fn a_schema_that_can_not_be_narrowed_is_told() {
        let repo = |repo: Value| json!({ "type": "object", "properties": { "repo": repo } });
        let endless = json!({ "$ref": "#/properties/repo" });
        let twice = |at: usize| json!({ "allOf": [{ "$ref": format!("#/$defs/{at}") }, { "$ref": format!("#/$defs/{at}") }] });
        let mut many = json!({ "type": "object", "allOf": [{ "$ref": "#/$defs/0" }], "$defs": {} });
        for at in 0..20 {
            many["$defs"][at.to_string()] = twice(at + 1);
        }
        many["$defs"]["20"] = json!({});
        for (schema, why) in [
            (
                repo(json!({ "type": "string" })),
                r#""/repo" is not an object"#,
            ),
            (
                repo(json!({ "type": ["array", "null"] })),
                r#""/repo" is not an object"#,
            ),
            (
                repo(json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] })),
                "is not an object",
            ),
            (
                repo(json!({ "$ref": "https://example.com/repo" })),
                "`$ref` to https://example.com/repo is not",
            ),
            (
                repo(json!({ "$ref": "#/$defs/Repo" })),
                "`$ref` to #/$defs/Repo is not known",
            ),
            (repo(endless), "too large"),
            (many, "too large"),
        ] {
            let refused = narrowed(&[("/repo/owner", &["me"])], &schema).unwrap_err();
            assert!(refused.contains(why), "{schema}: {refused}");
        }
        // What is nowhere near the guarded argument is no matter.
        let mut other = repo(
            json!({ "properties": { "owner": {}, "x": { "$ref": "https://example.com/x" } } }),
        );
        other["properties"]["y"] = json!({ "$ref": "#/nowhere" });
        assert!(narrowed(&[("/repo/owner", &["me"])], &other).is_ok());
    }
}
