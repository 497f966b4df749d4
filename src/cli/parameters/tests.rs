use bytes::Bytes;
use serde_json::json;

use super::*;

fn of(schema: Value) -> Parameters {
    let definition = json!({ "name": "t", "inputSchema": schema }).to_string();
    Parameters::of_tool(&RawJson::parse(Bytes::from(definition)).unwrap())
}

fn arguments(schema: Value, pairs: &[(&str, &str)]) -> Result<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let pairs: Vec<_> = pairs.iter().map(owned).collect();
    let arguments = of(schema).arguments(&pairs);
    arguments.map(|json| json.as_str().to_owned())
}

/// The value that a parameter of this schema gets from this text.
fn value(property: Value, text: &str) -> Result<String, String> {
    let schema = json!({ "properties": { "x": property } });
    let json = arguments(schema, &[("x", text)])?;
    let value = json.strip_prefix(r#"{"x":"#).unwrap();
    Ok(value.strip_suffix('}').unwrap().to_owned())
}

#[test]
fn a_string_parameter_gets_a_string_whatever_it_looks_like() {
    for property in [
        json!({ "type": "string" }),
        json!({ "type": ["string"] }),
        json!({ "enum": ["1", "2"] }),
        json!({ "const": "1" }),
        json!({ "anyOf": [{ "type": "string", "format": "date" }, { "type": "string" }] }),
        json!({ "allOf": [{ "type": "string" }, { "minLength": 1 }] }),
    ] {
        for text in [
            "1", "1.0", "true", "null", "[1]", "{}", "\"q\"", "", "a\nb", "01",
        ] {
            let expected = serde_json::to_string(text).unwrap();
            assert_eq!(
                value(property.clone(), text).unwrap(),
                expected,
                "{property}"
            );
        }
    }
}

#[test]
fn other_types_take_json_with_its_digits() {
    for (kind, text, expected) in [
        ("integer", "5", "5"),
        ("integer", "-5", "-5"),
        ("integer", "3.0", "3.0"),
        (
            "integer",
            "123456789012345678901234567890",
            "123456789012345678901234567890",
        ),
        ("number", "1.10", "1.10"),
        ("number", "5", "5"),
        ("number", "1e3", "1e3"),
        ("boolean", "false", "false"),
        ("array", "[1,\n\"a\"]", "[1, \"a\"]"),
        ("object", "{\"a\": 1.10}", "{\"a\": 1.10}"),
        ("null", "null", "null"),
    ] {
        assert_eq!(value(json!({ "type": kind }), text).unwrap(), expected);
    }
}

#[test]
fn a_value_of_another_type_is_refused_with_what_it_must_be() {
    for (kind, text, words) in [
        ("integer", "five", "an integer; found \"five\""),
        ("integer", "1.5", "an integer; found \"1.5\""),
        ("integer", "", "an integer; found \"\""),
        ("number", "0x10", "a number"),
        ("boolean", "yes", "true or false"),
        ("array", "a,b", "an array as JSON, as in '[1, 2]'"),
        ("array", "{}", "an array as JSON"),
        ("object", "[]", "an object as JSON"),
    ] {
        let why = value(json!({ "type": kind }), text).unwrap_err();
        let expected = format!("the argument \"x\" is {words}");
        assert!(why.starts_with(&expected), "{why}");
    }
    let why = value(json!({ "type": ["integer", "null"] }), &"x".repeat(1000)).unwrap_err();
    assert!(
        why.len() < 150 && why.contains("an integer or null"),
        "{why}"
    );
}

#[test]
fn where_a_string_is_one_of_several_types_json_of_another_comes_first() {
    let property = || json!({ "type": ["string", "integer", "null"] });
    for (text, expected) in [
        ("5", "5"),
        ("null", "null"),
        ("\"5\"", "\"5\""),
        ("true", "\"true\""),
        ("1.5", "\"1.5\""),
        ("abc", "\"abc\""),
    ] {
        assert_eq!(value(property(), text).unwrap(), expected, "{text}");
    }
    // Nothing is known.
    for (text, expected) in [
        ("5", "5"),
        ("abc", "\"abc\""),
        ("[1]", "[1]"),
        ("\"5\"", "\"5\""),
    ] {
        assert_eq!(value(json!({}), text).unwrap(), expected);
        assert_eq!(value(json!(true), text).unwrap(), expected);
        assert_eq!(
            arguments(json!({}), &[("x", text)]).unwrap(),
            format!("{{\"x\":{expected}}}")
        );
    }
}

#[test]
fn references_and_branches_are_followed_within_bounds() {
    let schema = json!({
        "allOf": [{ "properties": { "a": { "$ref": "#/$defs/text" } } }],
        "anyOf": [{ "properties": { "b": { "$ref": "#/$defs/more/0" } } }],
        "properties": { "loop": { "$ref": "#/properties/loop" }, "out": { "$ref": "http://h/" } },
        "$defs": { "text": { "type": "string" }, "more": [{ "type": "integer" }] },
    });
    let pairs = [("a", "1"), ("b", "1"), ("loop", "1"), ("out", "1")];
    let expected = r#"{"a":"1","b":1,"loop":1,"out":1}"#;
    assert_eq!(arguments(schema, &pairs).unwrap(), expected);

    // 20 levels of two branches each would be a million schemas.
    let mut bomb = json!({ "type": "string" });
    for level in 0..20 {
        let next = json!({ "$ref": format!("#/$defs/{level}") });
        bomb = json!({ "anyOf": [next.clone(), next], "$defs": { level.to_string(): bomb } });
    }
    assert!(of(json!({ "properties": { "x": bomb } })).known.len() == 1);
}

#[test]
fn a_key_that_the_schema_does_not_have_is_refused_with_the_nearest() {
    let schema = json!({ "properties": { "query": {}, "limit": {} } });
    let refused = |schema: &Value, key| arguments(schema.clone(), &[(key, "1")]).unwrap_err();
    assert_eq!(
        refused(&schema, "qurey"),
        "there is no argument \"qurey\"; did you mean \"query\"?"
    );
    let why = refused(&schema, "zzz");
    assert!(
        why.starts_with("there is no argument \"zzz\"; it takes "),
        "{why}"
    );
    assert!(why.contains("query") && why.contains("limit"), "{why}");
    let none = json!({ "type": "object", "additionalProperties": false });
    assert_eq!(
        refused(&none, "a"),
        "there is no argument \"a\": it takes none"
    );

    for open in [
        json!({ "properties": { "query": {} }, "additionalProperties": true }),
        json!({ "properties": { "query": {} }, "additionalProperties": { "type": "string" } }),
        json!({ "properties": { "query": {} }, "patternProperties": { "^z": {} } }),
        json!({ "type": "object" }),
        json!({ "type": "object", "properties": {} }),
        Value::Null,
    ] {
        assert_eq!(arguments(open, &[("zzz", "1")]).unwrap(), r#"{"zzz":1}"#);
    }
}

#[test]
fn a_parameter_is_described_with_type_default_and_need() {
    let parameters = of(json!({
        "required": ["a"],
        "properties": {
            "a": { "type": "string", "description": "A text" },
            "b": { "type": ["integer", "null"], "default": 5, "title": "B" },
            "c": { "enum": ["x", "y", 3] },
            "d": {},
        },
    }));
    let shown = parameters.known.iter().map(|parameter| {
        let Parameter {
            name,
            types,
            required,
            description,
            default,
        } = parameter;
        let of = |text: &Option<String>| text.clone().unwrap_or_default();
        format!(
            "{name}|{types}|{required}|{}|{}",
            of(description),
            of(default)
        )
    });
    let mut shown: Vec<String> = shown.collect();
    shown.sort();
    assert_eq!(
        shown,
        [
            "a|string|true|A text|",
            "b|integer or null|false|B|5",
            "c|\"x\", \"y\", 3|false||",
            "d|any|false||",
        ]
    );
}

#[test]
fn arguments_of_a_prompt_are_strings() {
    let prompt = r#"{"name":"p","arguments":[{"name":"n","required":true},{"name":"m"},{}]}"#;
    let prompt = Parameters::of_prompt(&RawJson::parse(Bytes::from(prompt)).unwrap());
    let pair = |key: &str| [(key.to_owned(), "5".to_owned())];
    assert_eq!(
        prompt.arguments(&pair("n")).unwrap().as_str(),
        r#"{"n":"5"}"#
    );
    assert!(prompt.arguments(&pair("x")).is_err());
    assert!(prompt.known[0].required && !prompt.known[1].required);
}
