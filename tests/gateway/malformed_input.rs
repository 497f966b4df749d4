//! Malformed lines from the client: each gets an error, and the next line is served.

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::TestGateway;
use crate::common::reply::Reply;

const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;
const METHOD_NOT_FOUND: i64 = -32601;

/// A gateway without backends, after the handshake.
fn without_backends() -> TestGateway {
    let mut gateway = TestGateway::with_config("");
    gateway.initialize();
    gateway
}

/// Asserts that the line gets this error code under this id and that the next request is served;
/// returns the error's message.
fn refused(gateway: &mut TestGateway, line: impl AsRef<[u8]>, code: i64, id: Value) -> String {
    gateway.send_raw(line);
    let answer = gateway.next_message();
    let error = &answer.json["error"];
    assert_eq!(
        (error["code"].as_i64(), answer.id()),
        (Some(code), &id),
        "{}",
        answer.line
    );
    gateway.ask("ping", json!({})).result();
    error["message"].as_str().unwrap().to_owned()
}

#[test]
fn fault_01_bad_json_gets_an_error_and_the_next_line_is_served() {
    let mut gateway = without_backends();
    for line in [
        "{",
        "nonsense",
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"}}"#,
        r#"{"a":01}"#,
    ] {
        refused(&mut gateway, line, PARSE_ERROR, Value::Null);
    }
}

#[test]
fn fault_02_invalid_utf8_gets_an_error_and_the_next_line_is_served() {
    let mut gateway = without_backends();
    for line in [
        &b"\xFF\xFE"[..],
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xC3(\"}",
    ] {
        refused(&mut gateway, line, PARSE_ERROR, Value::Null);
    }
}

#[test]
fn fault_03_a_line_over_the_cap_is_discarded_and_the_next_is_served() {
    let mut gateway = TestGateway::with_config("[gateway]\nmax_message_bytes = 1024");
    gateway.initialize();
    for length in [1025, 10_000, 1_000_000] {
        let line = vec![b'x'; length];
        let why = refused(&mut gateway, line, INVALID_REQUEST, Value::Null);
        assert!(why.contains("1024 bytes (max_message_bytes)"), "{why}");
    }
}

#[test]
fn fault_05_a_batch_is_answered_as_one_where_the_version_has_batches() {
    let fake = FakeBackend::start().tool("slow");
    let gate = Gate::new();
    fake.on_tool("slow", Reply::text("done").after(&gate));
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize_with("2025-03-26", json!({}));
    let call = json!({ "jsonrpc": "2.0", "id": "c", "method": "tools/call",
        "params": { "name": "slow" } });
    let ping = json!({ "jsonrpc": "2.0", "id": "p", "method": "ping" });
    let unknown = json!({ "jsonrpc": "2.0", "method": "notifications/nothing" });
    gateway.send_raw(json!([call, unknown, 1, ping]).to_string());
    gate.wait_for(1);
    let meanwhile = gateway.ask("ping", json!({}));
    gate.open();
    let (call, ping) = (gateway.answer("c"), gateway.answer("p"));
    let malformed = gateway.answer(Value::Null);
    assert_eq!(call.text(), "done");
    assert_eq!(malformed.code(), INVALID_REQUEST);
    assert!(meanwhile.0.at < call.0.at);
    assert_eq!(
        (call.0.at, malformed.0.at),
        (ping.0.at, ping.0.at),
        "the responses to a batch are sent together"
    );
}

#[test]
fn a_cancelled_request_of_a_batch_does_not_delay_the_rest() {
    let fake = FakeBackend::start().tool("slow");
    let gate = Gate::new();
    fake.on_tool("slow", Reply::text("done").after(&gate));
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize_with("2025-03-26", json!({}));
    let call = json!({ "jsonrpc": "2.0", "id": "c", "method": "tools/call",
        "params": { "name": "slow" } });
    let ping = json!({ "jsonrpc": "2.0", "id": "p", "method": "ping" });
    gateway.send_raw(json!([call, ping]).to_string());
    gate.wait_for(1);
    gateway.cancel("c");
    gateway.answer("p").result();
}

#[test]
fn fault_05_an_array_is_refused_where_the_version_has_none() {
    let mut gateway = without_backends();
    refused(&mut gateway, "[1]", INVALID_REQUEST, Value::Null);
}

#[test]
fn fault_06_an_id_in_flight_is_refused_and_the_first_still_answers() {
    let fake = FakeBackend::start().tool("slow");
    let gate = Gate::new();
    fake.on_tool("slow", Reply::text("first").after(&gate));
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize();
    let params = json!({ "name": "slow" });
    gateway.request_as(100, "tools/call", params);
    gate.wait_for(1);
    gateway.request_as(100, "ping", json!({}));
    assert_eq!(gateway.answer(100).code(), INVALID_REQUEST);
    gateway.request_as("100", "ping", json!({}));
    gateway.answer("100").result();
    gate.open();
    assert_eq!(gateway.answer(100).text(), "first");
    gateway.request_as(100, "ping", json!({}));
    gateway.answer(100).result();
    assert_eq!(fake.runs("slow"), 1);
}

#[test]
fn fault_07_an_id_that_is_neither_integer_nor_string_is_refused() {
    let mut gateway = without_backends();
    for id in ["null", "1.5", "1e3", "{}", "[1]", "true"] {
        let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        refused(&mut gateway, line, INVALID_REQUEST, Value::Null);
    }
}

#[test]
fn fault_08_an_unknown_method_is_refused_and_an_unknown_notification_ignored() {
    let mut gateway = without_backends();
    let answer = gateway.ask("tools/fly", json!({}));
    assert_eq!(answer.code(), METHOD_NOT_FOUND);
    assert!(answer.message().contains("tools/fly"));
    gateway.notify("notifications/flown", json!({}));
    gateway.request_as("next", "ping", json!({}));
    assert_eq!(gateway.next_message().id(), "next");
}

#[test]
fn fault_09_json_that_is_no_message_is_refused() {
    let mut gateway = without_backends();
    for (line, id) in [
        (r#"{"id":"x","method":"ping"}"#, json!("x")),
        (r#"{"jsonrpc":"1.0","id":"x","method":"ping"}"#, json!("x")),
        (r#"{"jsonrpc":2.0,"id":"x","method":"ping"}"#, json!("x")),
        (r#"{"jsonrpc":"2.0","id":"x","method":7}"#, json!("x")),
        (
            r#"{"jsonrpc":"2.0","id":"x","method":"ping","params":[]}"#,
            json!("x"),
        ),
        (
            r#"{"jsonrpc":"2.0","id":"x","method":"ping","method":"ping"}"#,
            json!("x"),
        ),
        (r#"{"jsonrpc":"2.0","id":"x"}"#, json!("x")),
        ("{}", Value::Null),
        ("7", Value::Null),
        ("\"ping\"", Value::Null),
        ("null", Value::Null),
    ] {
        refused(&mut gateway, line, INVALID_REQUEST, id);
    }
}

#[test]
fn fault_10_crlf_and_blank_lines_are_tolerated() {
    let mut gateway = without_backends();
    for line in [
        "",
        "\r",
        "  \t",
        " {\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"ping\"} \r",
    ] {
        gateway.send_raw(line);
    }
    assert_eq!(gateway.next_message().id(), "x");
}

/// The fake backend can't parse this depth and records the call as a plain POST.
#[test]
fn fault_11_deeply_nested_params_are_forwarded() {
    let fake = FakeBackend::start().tool("echo");
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize();
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    gateway.send_raw(format!(
        r#"{{"jsonrpc":"2.0","id":"deep","method":"tools/call","params":{{"name":"echo","arguments":{{"a":{deep}}}}}}}"#
    ));
    assert_eq!(gateway.answer("deep").gateway_error().0, "bad_reply");
    let body = fake.next_request("POST").body;
    assert!(String::from_utf8(body).unwrap().contains(&deep));
    assert_eq!(gateway.call("echo", json!({})).text(), "echo {}");
}

#[test]
fn fault_20_a_request_before_initialize_is_refused_and_names_both_handshakes() {
    let mut gateway = TestGateway::with_config("");
    gateway.ask("ping", json!({})).result();
    for method in ["tools/list", "tools/call", "logging/setLevel", "anything"] {
        let early = gateway.ask(method, json!({}));
        assert_eq!(early.code(), -32602);
        assert!(early.message().contains("send initialize first"));
        assert!(early.message().contains("protocolVersion"));
    }
    gateway.initialize().result();
    assert!(gateway.list_tools().is_empty());
}
