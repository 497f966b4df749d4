use bytes::Bytes;
use proptest::prelude::*;

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
    let text = r#"{ "x" : 1.10,"name":"t", "description":null ,"inputSchema":{ "properties" : {"b": { "n":2e400 },"a":null} , "required":["b"]},"z":"\ud83d\ude00" }"#;
    let mended = shaped(Kind::Tool, text);
    assert_eq!(
        mended.legacy.as_str(),
        r#"{ "x" : 1.10,"name":"t","inputSchema":{ "properties" : {"b": { "n":2e400 },"a":{}} , "required":["b"],"type":"object"},"z":"\ud83d\ude00" }"#
    );
    assert_eq!(
        mended.mends.unwrap(),
        "`description` is null: left out; `inputSchema.type` is missing: `object`, which is listed; \
         `inputSchema.properties.a` says nothing: an empty schema is listed"
    );
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
