use bytes::Bytes;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use serde_json::{Value, json};

use super::*;

/// The schema that is listed, and the rules for the tool's description.
fn listed(schema: &Value) -> (Value, String) {
    let schema = RawJson::parse(Bytes::from(schema.to_string())).unwrap();
    let Portable { schema, rules } = portable(&schema, &mut SchemaBudget::default()).unwrap();
    let schema = schema.read().unwrap();
    assert_is_taken_by_all(&schema, true);
    (schema, rules.unwrap_or_default())
}

/// Holds a schema against the limits that the module's page names.
fn assert_is_taken_by_all(schema: &Value, is_root: bool) {
    let members = schema.as_object().unwrap_or_else(|| panic!("{schema}"));
    if let Some(branches) = schema.get("anyOf") {
        assert!(!is_root && members.len() == 1, "{schema}");
        let branches = branches.as_array().unwrap();
        assert!(!branches.is_empty(), "{schema}");
        return branches.iter().for_each(|branch| {
            assert!(branch.get("anyOf").is_none(), "{schema}");
            assert_is_taken_by_all(branch, false);
        });
    }
    let kind = schema["type"]
        .as_str()
        .unwrap_or_else(|| panic!("no type: {schema}"));
    assert!(!is_root || kind == "object", "{schema}");
    for (name, value) in members {
        match &**name {
            "type" => assert!(
                ["string", "number", "integer", "boolean", "array", "object"].contains(&kind)
            ),
            "description" => assert!(value.is_string()),
            "nullable" => assert!(value.is_boolean() && !is_root),
            "default" => assert!(!value.is_null()),
            "minimum" | "maximum" => {
                assert!(value.is_number() && ["integer", "number"].contains(&kind))
            }
            "minLength" | "maxLength" | "pattern" => assert_eq!(kind, "string"),
            "minItems" | "maxItems" => assert_eq!(kind, "array"),
            "format" => assert_eq!(*value, "date-time"),
            "enum" => {
                let words = value.as_array().unwrap();
                assert!(kind == "string" && !words.is_empty() && !is_root);
                assert!(
                    words
                        .iter()
                        .all(|word| word.as_str().is_some_and(|word| !word.is_empty()))
                );
            }
            "items" => assert_is_taken_by_all(value, false),
            "properties" => value
                .as_object()
                .unwrap()
                .iter()
                .for_each(|(name, schema)| {
                    assert!((1..=64).contains(&name.len()), "{name}");
                    assert!(
                        name.bytes()
                            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)),
                        "{name}"
                    );
                    assert_is_taken_by_all(schema, false);
                }),
            "required" => {
                let properties = schema["properties"].as_object().unwrap();
                let names = value.as_array().unwrap();
                assert!(
                    names
                        .iter()
                        .all(|name| properties.contains_key(name.as_str().unwrap()))
                );
            }
            other => panic!("{other} in {schema}"),
        }
    }
    assert!(kind != "array" || members.contains_key("items"), "{schema}");
    assert!(
        kind != "object" || members.contains_key("properties"),
        "{schema}"
    );
}

#[test]
fn a_plain_schema_says_the_same() {
    let schema = json!({
        "type": "object",
        "properties": {
            "city": { "type": "string", "description": "Where.", "minLength": 1, "maxLength": 80 },
            "days": { "type": "integer", "minimum": 1, "maximum": 14, "default": 3 },
            "units": { "type": "string", "enum": ["metric", "imperial"] },
            "tags": { "type": "array", "items": { "type": "string" }, "maxItems": 5 },
            "at": { "type": "string", "format": "date-time" },
        },
        "required": ["city"],
    });
    assert_eq!(listed(&schema), (schema, String::new()));
}

#[test]
fn properties_keep_their_order() {
    let text = r#"{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"string"},"m":{"type":"string"}}}"#;
    let schema = portable(&RawJson::trusted(text), &mut SchemaBudget::default())
        .unwrap()
        .schema;
    assert_eq!(schema.as_str(), text);
}

#[test]
fn branches_at_the_top_are_merged_and_told() {
    for keyword in ["anyOf", "oneOf"] {
        let (schema, rules) = listed(&json!({
            "type": "object", "properties": { "id": { "type": "string" } }, "required": ["id"],
            keyword: [
                { "properties": { "file": { "type": "string" } }, "required": ["file"] },
                { "properties": { "url": { "type": "string" }, "id": { "maxLength": 3 } }, "required": ["url"] },
            ],
        }));
        let string = json!({ "type": "string" });
        assert_eq!(
            schema["properties"],
            json!({ "id": string, "file": string, "url": string })
        );
        assert_eq!(schema["required"], json!(["id"]));
        let told = r#"one of these holds: {"properties":{"file":{"type":"string"}},"required":["file"]} or {"properties":{"id":{"maxLength":3},"url""#;
        assert!(rules.contains(told), "{rules}");
    }
    let (schema, rules) = listed(&json!({
        "type": "object",
        "allOf": [
            { "properties": { "a": { "type": ["string", "integer"] } }, "required": ["a"] },
            { "properties": { "a": { "type": ["string", "null"], "maxLength": 9 }, "b": { "type": "boolean" } } },
        ],
    }));
    assert_eq!(
        schema,
        json!({
            "type": "object", "required": ["a"],
            "properties": { "a": { "type": "string", "maxLength": 9 }, "b": { "type": "boolean" } },
        })
    );
    assert_eq!(rules, "");
}

#[test]
fn references_are_inlined_within_bounds() {
    let (schema, _) = listed(&json!({
        "type": "object", "$schema": "http://json-schema.org/draft-07/schema#",
        "properties": { "a": { "$ref": "#/$defs/A", "description": "Here." }, "t": { "$ref": "#/$defs/Tree" } },
        "$defs": {
            "A": { "$ref": "#/$defs/B" }, "B": { "type": "string", "maxLength": 3 },
            "Tree": { "type": "object", "properties": { "child": { "$ref": "#/$defs/Tree" } } },
        },
    }));
    let properties = &schema["properties"];
    assert_eq!(
        properties["a"],
        json!({ "type": "string", "maxLength": 3, "description": "Here." })
    );
    let child = &properties["t"]["properties"]["child"];
    let told = child["anyOf"][0]["description"].as_str().unwrap();
    assert!(told.contains("its form is #/$defs/Tree again"), "{child}");

    // Each level refers to the next one twice: 2^40 schemas, if they were inlined.
    let mut defs = json!({ "A40": { "type": "string" } });
    for at in 0..40 {
        let next = format!("#/$defs/A{}", at + 1);
        defs[format!("A{at}")] = json!({ "type": "object", "properties": { "x": { "$ref": next }, "y": { "$ref": next } } });
    }
    let bomb =
        json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/A0" } }, "$defs": defs });
    let (schema, _) = listed(&bomb);
    assert!(schema.to_string().len() < 1 << 20);

    // Alternatives repeat what holds for all of them: 2^30 schemas, if they were written out.
    let mut nested = json!({ "type": "string" });
    for _ in 0..30 {
        let property = |name: &str| json!({ "required": [name] });
        nested = json!({ "type": "object", "properties": { "n": nested }, "anyOf": [property("a"), property("b")] });
    }
    let (schema, _) = listed(&json!({ "type": "object", "properties": { "n": nested } }));
    assert!(schema.to_string().len() < 4 << 20);
}

/// A listing of many schemas that multiply is not worked on without end.
#[test]
fn a_listing_has_one_budget() {
    let twice = json!({ "allOf": [{ "$ref": "#/$defs/A" }, { "$ref": "#/$defs/A" }] });
    let many: Vec<Value> = (0..100).map(|_| json!({ "$ref": "#/$defs/B" })).collect();
    let schema = json!({
        "type": "object", "properties": { "a": twice },
        "$defs": { "A": { "anyOf": many }, "B": { "type": "object", "properties": { "x": {}, "y": {} } } },
    });
    let schema = RawJson::parse(Bytes::from(schema.to_string())).unwrap();
    let mut budget = SchemaBudget::default();
    let made = (0..10_000)
        .filter(|_| portable(&schema, &mut budget).is_some())
        .count();
    assert!((10..1_000).contains(&made), "{made}");
}

#[test]
fn unions_with_null_are_nullable() {
    for schema in [
        json!({ "type": ["string", "null"], "title": "T" }),
        json!({ "anyOf": [{ "type": "string" }, { "type": "null" }], "title": "T" }),
        json!({ "oneOf": [{ "type": "null" }, { "type": "string" }], "description": "T" }),
    ] {
        let (schema, _) = listed(&json!({ "type": "object", "properties": { "a": schema } }));
        let expected =
            json!({ "type": "string", "nullable": true, "description": "T\n\nRules: may be null" });
        assert_eq!(schema["properties"]["a"], expected);
    }
}

#[test]
fn what_no_api_can_say_is_told() {
    for (schema, told) in [
        (json!({ "type": "integer", "enum": [1, 2] }), "one of [1,2]"),
        (json!({ "const": 7 }), "one of [7]"),
        (json!({ "type": "string", "format": "uri" }), "format uri"),
        (
            json!({ "type": "string", "pattern": "(?i)a" }),
            "matches the pattern (?i)a",
        ),
        (
            json!({ "type": "number", "exclusiveMinimum": 0 }),
            "greater than 0",
        ),
        (
            json!({ "type": "array", "items": { "type": "string" }, "uniqueItems": true }),
            "uniqueItems true",
        ),
        (
            json!({ "type": "object", "additionalProperties": false }),
            "no other properties",
        ),
        (
            json!({ "type": "object", "additionalProperties": { "type": "string" } }),
            r#"other properties are {"type":"string"}"#,
        ),
        (
            json!({ "type": "string", "not": { "const": "x" } }),
            r#"not {"const":"x"}"#,
        ),
        (
            json!({ "type": "array", "prefixItems": [{ "type": "number" }] }),
            r#"prefixItems [{"type":"number"}]"#,
        ),
        (
            json!({ "type": "object", "properties": { "a b": { "type": "string" } } }),
            r#"also takes the property "a b": {"type":"string"}"#,
        ),
        (json!({}), "any JSON value"),
        (
            json!({ "minLength": 1 }),
            "values of other types are taken too",
        ),
    ] {
        let (listed, _) = listed(&json!({ "type": "object", "properties": { "a": schema } }));
        let property = &listed["properties"]["a"];
        assert!(
            property.to_string().contains(&told.replace('"', "\\\"")),
            "{property}"
        );
    }
    let (_, rules) = listed(
        &json!({ "type": "object", "additionalProperties": false, "not": { "required": ["a", "b"] } }),
    );
    assert_eq!(
        rules,
        r#"Rules: no other properties; not {"required":["a","b"]}"#
    );
}

fn any_schema() -> impl Strategy<Value = Value> {
    let kinds = vec![
        "object", "array", "string", "integer", "number", "null", "boolean",
    ];
    let kind = || prop::sample::select(kinds.clone());
    let leaf = prop_oneof![
        4 => kind().prop_map(|kind| json!({ "type": kind })),
        1 => (kind(), kind()).prop_map(|(one, other)| match one == other {
            true => json!({ "type": [one] }),
            false => json!({ "type": [one, other] }),
        }),
        1 => (-2..3).prop_map(|n| json!({ "type": "integer", "minimum": n, "exclusiveMaximum": 2 })),
        1 => (0..3).prop_map(|n| json!({ "maxLength": n, "minItems": n })),
        1 => (0..3).prop_map(|n| json!({ "type": "string", "maxLength": n })),
        1 => Just(json!({ "enum": ["a", "bb"] })),
        1 => Just(json!({ "enum": [1, "a", null, ""] })),
        1 => Just(json!({ "const": { "a": 1 } })),
        1 => Just(json!({})),
        1 => Just(json!(false)),
        1 => Just(json!({ "required": ["a"] })),
        1 => Just(json!({ "type": "string", "pattern": "^a+$" })),
        1 => Just(json!({ "$ref": "#/$defs/A" })),
    ];
    leaf.prop_recursive(3, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone(), any::<bool>()).prop_map(|(a, b, required)| {
                let required = if required { json!(["a"]) } else { json!([]) };
                json!({ "type": "object", "properties": { "a": a, "b": b }, "required": required })
            }),
            (inner.clone(), inner.clone())
                .prop_map(|(a, more)| json!({ "type": "object", "properties": { "a": a }, "additionalProperties": more })),
            inner.clone().prop_map(|items| json!({ "type": "array", "items": items, "maxItems": 2 })),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|any| json!({ "anyOf": any })),
            (prop::collection::vec(inner.clone(), 1..3), inner.clone())
                .prop_map(|(one, a)| json!({ "oneOf": one, "properties": { "a": a } })),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|all| json!({ "allOf": all })),
            inner.prop_map(|not| json!({ "type": "object", "not": not })),
        ]
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaves = vec![
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(1.5),
        json!("a"),
        json!("bb"),
        json!(""),
    ];
    let leaf = prop::sample::select(leaves);
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map("[abc]", inner, 0..3).prop_map(Value::from_iter),
        ]
    })
}

/// The property below is not true for want of schemas without rules.
#[test]
fn many_schemas_need_no_rule() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let without = (0..400).filter(|_| {
        let property = any_schema().new_tree(&mut runner).unwrap().current();
        let root = json!({ "type": "object", "properties": { "a": property }, "$defs": { "A": { "type": "string" } } });
        let (schema, rules) = listed(&root);
        rules.is_empty() && !schema.to_string().contains("Rules: ")
    });
    let without = without.count();
    assert!(without > 60, "{without} of 400");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// A value that one takes and the other refuses is one that a rule is about.
    #[test]
    fn the_portable_schema_differs_only_where_a_rule_says_so(
        schema in any_schema(), shared in any_schema(), arguments in prop::collection::hash_map("[abc]", any_value(), 0..3),
    ) {
        let mut root = match schema {
            Value::Object(members) => Value::Object(members),
            _ => json!({}),
        };
        root["type"] = json!("object");
        root["$defs"] = json!({ "A": match shared.to_string().contains("$ref") {
            true => json!({ "type": "string" }),
            false => shared,
        } });
        let arguments = Value::from_iter(arguments);
        let original = jsonschema::validator_for(&root).unwrap().is_valid(&arguments);
        let (schema, rules) = listed(&root);
        let taken = jsonschema::validator_for(&schema).unwrap().is_valid(&arguments);
        let has_rule = !rules.is_empty() || schema.to_string().contains("Rules: ");
        prop_assert!(original == taken || has_rule, "{} becomes {}, which differs for {}", root, schema, arguments);
    }
}
