use super::*;

fn read(text: &str) -> Result<Inbound, Malformed> {
    parse(
        &json(Bytes::copy_from_slice(text.as_bytes()))
            .map_err(|error| Malformed { error, id: None })?,
    )
}

fn code(text: &str) -> i64 {
    read(text).expect_err("should be refused").error.code
}

#[test]
fn every_valid_id_is_kept_as_written() {
    for id in [
        "0",
        "-7",
        "123456789012345678901234567890",
        "\"\"",
        "\"1\"",
        "\"\\u00e9 x\"",
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        let Ok(Inbound::Request(request)) = read(&text) else {
            panic!("{text}")
        };
        assert_eq!(request.id.raw().as_str(), id);
    }
}

#[test]
fn ids_are_equal_by_value_not_by_spelling() {
    let id = |text: &'static str| Id::from_raw(RawJson::trusted(text)).unwrap();
    assert_ne!(id("1"), id("\"1\""));
    assert_eq!(id("\"a/b\""), id("\"\\u0061\\/b\""));
    let long = |first: &str| {
        let text = format!("\"{first}{}\"", "b".repeat(1024));
        Id::from_raw(RawJson::trusted(text)).unwrap()
    };
    assert_eq!(long("\\u0061"), long("\\u0061"));
    assert_ne!(long("a"), long("\\u0061"));
}

#[test]
fn an_invalid_message_gets_the_code_for_its_fault() {
    assert_eq!(code("{"), PARSE_ERROR);
    assert_eq!(code("nonsense"), PARSE_ERROR);
    for text in [
        "1",
        "{}",
        r#"{"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{}}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
    ] {
        assert_eq!(code(text), INVALID_REQUEST, "{text}");
    }
}

#[test]
fn a_value_that_is_not_an_object_is_refused_and_not_quoted() {
    let long = format!("\"{}\"", "x".repeat(10_000));
    for text in [r#"["2.0",1,"ping"]"#, "[]", "null", &long] {
        let refused = read(text).expect_err("should be refused").error;
        assert_eq!(refused.code, INVALID_REQUEST, "{text}");
        assert!(refused.message.len() < 200, "{}", refused.message);
    }
}

#[test]
fn a_refusal_has_the_id_if_it_can_be_read() {
    let refused = read(r#"{"id":"x","method":"ping"}"#).unwrap_err();
    assert_eq!(refused.id.unwrap().raw().as_str(), "\"x\"");
    assert!(
        read(r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"m"}"#)
            .unwrap_err()
            .id
            .is_none()
    );
}

#[test]
fn the_same_value_in_another_type_is_told_from_another_value() {
    let response_id = |id: &str| {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
        match read(&text) {
            Ok(Inbound::Response(response)) => response.id.unwrap(),
            other => panic!("{id}: {other:?}"),
        }
    };
    for (own, same) in [
        (7, r#""7""#),
        (7, "7.0"),
        (7, "70e-1"),
        (7, r#""\u0037""#),
        (0, "-0"),
        ((1 << 53) - 1, "9007199254740991.0"),
        (u64::MAX, r#""18446744073709551615""#),
    ] {
        let own = Id::number(own);
        assert!(own.is_value_of(&response_id(same)), "{own:?} {same}");
        assert_ne!(own, response_id(same), "it is not equal");
    }
    for (own, other) in [
        (7, r#""07""#),
        (7, r#"" 7""#),
        (7, r#""7.0""#),
        (7, "7.5"),
        (7, "-7"),
        (7, "70"),
        // Doubles don't tell these apart.
        (1 << 53, "9007199254740993.0"),
    ] {
        assert!(
            !Id::number(own).is_value_of(&response_id(other)),
            "{own} {other}"
        );
    }
}

#[test]
fn a_result_is_put_on_one_line_and_is_otherwise_unchanged() {
    let result = RawJson::parse(Bytes::from_static(b"{\n \"a\": 1.10,\r\n\"s\":\"\\n\"}")).unwrap();
    let line = response(Some(&Id::number(7)), &Outcome::Result(result));
    assert_eq!(
        &line[..],
        &br#"{"jsonrpc":"2.0","id":7,"result":{  "a": 1.10,  "s":"\n"}}"#[..]
    );
}
