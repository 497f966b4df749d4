use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::pattern::is_portable_pattern;
use super::*;

fn raw(text: impl Into<String>) -> RawJson {
    RawJson::parse(Bytes::from(text.into())).unwrap()
}

fn shaped(kind: Kind, text: &str) -> Shaped {
    shape(kind, &raw(text), Era::Legacy).unwrap()
}

#[test]
fn bytes_outside_of_a_mended_member_stay() {
    let text = r#"{ "x" : 1.10,"name":"t", "description":null ,"inputSchema":{ "properties" : {"b": { "n":2e40 },"a":null} , "required":["b"]},"z":"\ud83d\ude00" }"#;
    let mended = shaped(Kind::Tool, text);
    assert_eq!(
        mended.legacy.as_str(),
        r#"{ "x" : 1.10,"name":"t","inputSchema":{ "properties" : {"b": { "n":2e40 },"a":{}} , "required":["b"],"type":"object"},"z":"\ud83d\ude00" }"#
    );
    assert_eq!(
        mended.mends.unwrap(),
        "`description` is null: left out; `inputSchema.type` is missing: `object`, which is listed; \
         `inputSchema.properties.a` says nothing: an empty schema is listed"
    );
}

/// As in results: a server could name another. That is no mistake to tell of.
#[test]
fn what_only_the_gateway_says_is_left_out() {
    let text = r#"{"name":"t","inputSchema":{"type":"object"},"_meta":{"sentinel-gateway\/backend":"bank","x":1,"sentinel-gateway/serverInfo":{}}}"#;
    let shown = shaped(Kind::Tool, text);
    let expected = r#"{"name":"t","inputSchema":{"type":"object"},"_meta":{"x":1}}"#;
    for seen in [&shown.legacy, &shown.modern] {
        assert_eq!(seen.as_str(), expected);
    }
    assert_eq!(shown.mends, None);
}

#[test]
fn a_definition_in_shape_is_not_copied() {
    let text = r#"{"name":"t","title":"T","inputSchema":{"type":"object","properties":{"a":{"type":7}}},"annotations":{"readOnlyHint":true},"_meta":{},"outputSchema":{"type":"object"}}"#;
    let definition = raw(text);
    let shaped = shape(Kind::Tool, &definition, Era::Modern).unwrap();
    for seen in [&shaped.legacy, &shaped.modern] {
        assert_eq!(seen.as_bytes().as_ptr(), definition.as_bytes().as_ptr());
    }
    assert_eq!(shaped.mends, None);
}

#[test]
fn of_duplicate_members_the_last_one_counts() {
    let mended = shaped(
        Kind::Tool,
        r#"{"name":"t","inputSchema":{},"inputSchema":{"type":"object"}}"#,
    );
    assert_eq!(mended.mends, None, "readers take the last one");
    let withheld = shape(
        Kind::Tool,
        &raw(r#"{"name":"t","inputSchema":{"type":"object"},"inputSchema":5}"#),
        Era::Legacy,
    );
    assert!(matches!(withheld, Err(RejectReason::Unreadable(_))));
}

/// Python's parser refuses a message with more than 4,300 digits, that of Rust each infinite number.
#[test]
fn a_number_that_no_double_holds_is_never_listed() {
    let long = format!("-{}", "9".repeat(5000));
    for huge in [
        "1e999",
        "-1E+999",
        &long,
        &format!("{long}.5e3"),
        "[[2e400]]",
    ] {
        for member in ["_meta", "annotations", "title", "outputSchema", "icons"] {
            let text = format!(
                r#"{{"name":"t","inputSchema":{{"type":"object"}},"{member}":{{"a":{huge}}}}}"#
            );
            let seen = shaped(Kind::Tool, &text);
            assert_eq!(
                seen.legacy.as_str(),
                r#"{"name":"t","inputSchema":{"type":"object"}}"#
            );
            assert_eq!(seen.modern, seen.legacy);
            let mends = seen.mends.unwrap();
            assert_eq!(
                mends,
                format!("`{member}` has a number that is too large to be read: left out")
            );
        }
        for text in [
            format!(r#"{{"name":"t","inputSchema":{{"type":"object","maximum":{huge}}}}}"#),
            format!(r#"{{"name":"t","inputSchema":{{"type":"object"}},"other":{huge}}}"#),
        ] {
            let withheld = shape(Kind::Tool, &raw(text), Era::Modern);
            assert!(
                matches!(withheld, Err(RejectReason::Unreadable(_))),
                "{huge}"
            );
        }
    }
    let sound = format!(
        r#"{{"name":"t","title":"1e999 \" 1e999","inputSchema":{{"type":"object","a":[0.{},1e-999,-0,1e300,{}]}}}}"#,
        "1".repeat(5000),
        "1".repeat(305),
    );
    let seen = shaped(Kind::Tool, &sound);
    assert_eq!((seen.legacy.as_str(), seen.mends), (&*sound, None));
}

/// Ajv keeps a schema for each `$id`, and refuses a second one that differs.
#[test]
fn an_output_schema_has_no_id() {
    let listed = |schema: &str| {
        let text =
            format!(r#"{{"name":"t","inputSchema":{{"type":"object"}},"outputSchema":{schema}}}"#);
        let legacy = shaped(Kind::Tool, &text).legacy;
        legacy
            .get("outputSchema")
            .map(|schema| schema.as_str().to_owned())
    };
    let kept = listed(r##"{"$id":"x:y","type":"object","properties":{"a":{"$ref":"#"}}}"##);
    assert_eq!(
        kept.unwrap(),
        r##"{"type":"object","properties":{"a":{"$ref":"#"}}}"##
    );
    assert_eq!(
        listed(r#"{"type":"object","properties":{"a":{"$id":"x:y"}}}"#),
        None
    );
    assert_eq!(listed(r#"{"$id":7,"type":"object"}"#), None);
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn wrapped(schema: &Value) -> Value {
    value(wrap::schema(&RawJson::of(schema)).as_str())
}

#[test]
fn references_move_into_the_envelope_and_data_does_not() {
    let schema = raw(
        r##"{"$schema":"x", "anyOf":[{"$ref":"#"},{"$ref":"#/$defs/A"},"$ref","#"],"$defs":{"$ref":{"$ref":"#/$defs/A"},"A":{"const":{"$ref":"#/x"},"enum":["#",{"$ref":"#"}]}},"properties":{"const":{"$ref":"#/properties/const"}},"default":{"$ref":"#"},"other":"#/x"}"##,
    );
    assert_eq!(
        wrap::schema(&schema).as_str(),
        r##"{"$schema":"x","type":"object","properties":{"result":{"$schema":"x", "anyOf":[{"$ref":"#/properties/result"},{"$ref":"#/properties/result/$defs/A"},"$ref","#"],"$defs":{"$ref":{"$ref":"#/properties/result/$defs/A"},"A":{"const":{"$ref":"#/x"},"enum":["#",{"$ref":"#"}]}},"properties":{"const":{"$ref":"#/properties/result/properties/const"}},"default":{"$ref":"#"},"other":"#/x"}},"required":["result"]}"##
    );
    // As many servers write slashes.
    let schema = raw(r##"{"anyOf":[{"$ref":"#\/$defs\/A"}],"$defs":{"A":{}}}"##);
    assert_eq!(
        value(wrap::schema(&schema).as_str())["properties"]["result"]["anyOf"][0]["$ref"],
        "#/properties/result/$defs/A"
    );
}

fn result_of(promise: &Promise, text: &str, client: Era) -> String {
    promise.shape(&raw(text), client).as_str().to_owned()
}

#[test]
fn content_that_does_not_fit_is_left_out_of_error_results_alone() {
    let schema = raw(r#"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}"#);
    let promise = Promise::new(Some(schema), false);
    for client in [Era::Legacy, Era::Modern] {
        let of = |text: &str| result_of(&promise, text, client);
        let bad = r#"{ "content":[{"type":"text","text":"no n"}],"structuredContent":{"error":"x"},"isError":true, "x":1.10 }"#;
        assert_eq!(
            of(bad),
            r#"{ "content":[{"type":"text","text":"no n"}],"isError":true, "x":1.10 }"#
        );
        for same in [
            r#"{"content":[],"structuredContent":{"n":1},"isError":true}"#,
            r#"{"content":[],"structuredContent":{"error":"x"},"isError":false}"#,
            r#"{"content":[],"structuredContent":{"error":"x"}}"#,
            r#"{"content":[],"isError":true}"#,
            r#"{"structuredContent":{},"structuredContent":{},"isError":true}"#,
        ] {
            assert_eq!(of(same), same);
        }
    }
}

#[test]
fn large_content_of_an_error_result_is_not_checked() {
    let promise = Promise::new(Some(raw(r#"{"type":"object"}"#)), false);
    let error = |size: usize| {
        let content = json!({ "n": "x".repeat(size) });
        json!({ "isError": true, "structuredContent": content }).to_string()
    };
    let small = error(60 * 1024);
    let large = error(64 * 1024);
    for client in [Era::Legacy, Era::Modern] {
        assert_eq!(result_of(&promise, &small, client), small);
        assert_eq!(result_of(&promise, &large, client), r#"{"isError":true}"#);
    }
}

#[test]
fn legacy_clients_get_objects_as_structured_content() {
    let wrapped = Promise::new(Some(raw(r#"{"type":"array"}"#)), true);
    let left_out = Promise::new(None, false);
    for (promise, content, legacy) in [
        (
            &wrapped,
            "[ 1.10 ]",
            r#""structuredContent":{"result":[ 1.10 ]}"#,
        ),
        (
            &wrapped,
            r#"{"a":1}"#,
            r#""structuredContent":{"result":{"a":1}}"#,
        ),
        (&wrapped, "null", r#""structuredContent":{"result":null}"#),
        (&left_out, "[1]", r#""structuredContent":{"result":[1]}"#),
        (&left_out, r#""x""#, r#""structuredContent":{"result":"x"}"#),
        (&left_out, r#"{"a":1}"#, r#""structuredContent":{"a":1}"#),
    ] {
        let text = format!(r#"{{"content":[],"structuredContent":{content}}}"#);
        assert_eq!(
            result_of(promise, &text, Era::Legacy),
            format!(r#"{{"content":[],{legacy}}}"#)
        );
        assert_eq!(result_of(promise, &text, Era::Modern), text);
    }
    let null = r#"{"content":[],"structuredContent":null}"#;
    assert_eq!(result_of(&left_out, null, Era::Legacy), r#"{"content":[]}"#);
}

/// Schemas and values that meet often.
fn any_schema() -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(vec![
        "object", "array", "string", "integer", "number", "null", "boolean",
    ]);
    let leaf = prop_oneof![
        Just(json!({})),
        Just(json!(true)),
        Just(json!(false)),
        kind.prop_map(|kind| json!({ "type": kind })),
        (-2..3).prop_map(|n| json!({ "minimum": n, "type": ["integer", "string"] })),
        (0..3).prop_map(|n| json!({ "maxLength": n, "minItems": n })),
        Just(json!({ "enum": [1, "a", null] })),
        Just(json!({ "const": { "a": 1 } })),
        Just(json!({ "required": ["a"] })),
        // Guarded by a property, so that it ends with the value.
        Just(json!({ "properties": { "b": { "$ref": "#" } } })),
        Just(json!({ "pattern": "^a" })),
    ];
    leaf.prop_recursive(3, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| json!({ "properties": { "a": a, "b": b } })),
            (inner.clone(), inner.clone()).prop_map(
                |(a, more)| json!({ "properties": { "a": a }, "additionalProperties": more })
            ),
            inner
                .clone()
                .prop_map(|items| json!({ "items": items, "maxItems": 2 })),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|any| json!({ "anyOf": any })),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|one| json!({ "oneOf": one })),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|all| json!({ "allOf": all })),
            inner.prop_map(|not| json!({ "not": not })),
        ]
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(1.5),
        json!("a"),
        json!("bb"),
    ]);
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map("[ab]", inner, 0..3).prop_map(Value::from_iter),
        ]
    })
}

fn is_valid(schema: &Value, value: &Value) -> bool {
    jsonschema::validator_for(schema).unwrap().is_valid(value)
}

/// A chain of references is followed neither by recursion nor without end.
#[test]
fn schemas_that_refer_much_are_left_out() {
    let chain = |length: usize| {
        let defs: Vec<String> = (0..length)
            .map(|at| format!(r##""A{at}":{{"$ref":"#/$defs/A{}"}}"##, at + 1))
            .collect();
        let schema = format!(
            r##"{{"type":"object","$ref":"#/$defs/A0","$defs":{{{},"A{length}":{{}}}}}}"##,
            defs.join(",")
        );
        let text =
            format!(r#"{{"name":"t","inputSchema":{{"type":"object"}},"outputSchema":{schema}}}"#);
        shaped(Kind::Tool, &text)
            .legacy
            .get("outputSchema")
            .is_some()
    };
    assert!(chain(50));
    assert!(!chain(1_000));
    assert!(!chain(20_000));
    let endless = json!({ "$ref": "#" });
    assert!(!validator::is_surely_valid(&endless, &json!({})));
    let twice = json!({ "allOf": [{ "$ref": "#" }, { "$ref": "#" }] });
    assert!(!validator::is_surely_valid(&twice, &json!({})));
}

#[test]
fn only_the_first_mends_are_named() {
    let properties: Vec<String> = (0..100).map(|at| format!(r#""p{at}":null"#)).collect();
    let text = format!(
        r#"{{"name":"t","inputSchema":{{"type":"object","properties":{{{}}}}}}}"#,
        properties.join(",")
    );
    let said = shaped(Kind::Tool, &text).mends.unwrap();
    assert!(
        said.ends_with("; and 96 more") && said.len() < 500,
        "{said}"
    );
}

#[test]
fn the_reason_for_a_withheld_tool_says_what_was_seen() {
    let reason = |schema: &str| {
        let text = format!(r#"{{"name":"t","inputSchema":{schema}}}"#);
        shape(Kind::Tool, &raw(text), Era::Legacy)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        reason(r#"{"type":"string"}"#),
        "its `inputSchema` has the type `string`, not `object`; clients could not read their whole list with it"
    );
    assert!(
        reason(r#"{"properties":{"a\nb":1}}"#).contains("a property `a\\nb` that is not a schema")
    );
}

#[test]
fn patterns_that_every_client_reads_are_recognized() {
    for pattern in [
        "",
        "^a+$",
        "^[a-z0-9_-]{1,3}$",
        r"^\d{4}-\d{2}$",
        "(?:a|b)*?",
        "(?=a)b",
        "[^\\]\\-]",
        r"\u00e9\x41\/",
        "é|😀",
        "a{2,}",
        "[-a]",
    ] {
        assert!(is_portable_pattern(pattern), "{pattern}");
    }
    for pattern in [
        "[", "(", ")", "a)", "*", "a**", "(?P<x>a)", "(?i)a", r"\A", r"\Z", r"\-", "a{2,1}", "{",
        "]", "[z-a]", r"[\d-z]", "(?=a)*", "^*", r"\", r"\u12", "[]", "a{,2}", r"\1", r"\p{L}",
    ] {
        assert!(!is_portable_pattern(pattern), "{pattern}");
    }
}

proptest! {
    #[test]
    fn what_surely_fits_is_valid(schema in any_schema(), value in any_value()) {
        let fits = validator::is_surely_valid(&schema, &value);
        prop_assert!(!fits || is_valid(&schema, &value), "{} {}", schema, value);
        // Of what it knows, it is exact.
        if !schema.to_string().contains("pattern") {
            prop_assert_eq!(fits, is_valid(&schema, &value), "{} {}", schema, value);
        }
    }

    #[test]
    fn an_envelope_takes_what_its_schema_takes(schema in any_schema(), value in any_value()) {
        if schema.is_object() {
            let taken = is_valid(&wrapped(&schema), &json!({ "result": value }));
            prop_assert_eq!(taken, is_valid(&schema, &value), "{} {}", schema, value);
        }
    }

    /// Mending is done once: what is listed needs none.
    #[test]
    fn what_is_mended_is_in_shape(
        schema in r#"\{("type":("object"|null|"Object"|\["object"\])(,"properties":(null|\[\]|\{"a":(null|\[\]|true|\{\})\}))?(,"required":(null|\[\]|\["a"\]|false))?)?\}"#,
        more in r#"(,"title":(null|7|"t"))?(,"_meta":(null|\{\}|7))?(,"annotations":(null|\{"readOnlyHint":(null|true|"true")\}))?"#,
    ) {
        let once = shaped(Kind::Tool, &format!(r#"{{"name":"t","inputSchema":{schema}{more}}}"#));
        let twice = shape(Kind::Tool, &once.legacy, Era::Legacy).unwrap();
        prop_assert_eq!(&twice.legacy, &once.legacy);
        prop_assert_eq!(twice.mends, None);
    }
}
