//! Section A, stdin and stdout: the content of lines.

use serde_json::{Value, json};

use crate::common::gate::Gate;
use crate::common::reply::Reply;
use crate::fixture::{Fixture, plan};
use crate::raw_process::PING;
use crate::table::{Row, Run, rows};

pub const ROWS: &[Row] = rows! {
    "1" Nothing "bad JSON" => "-32700, the next line works", fault_01_bad_json;
    "2" Nothing "invalid UTF-8" => "-32700, the reader survives", fault_02_invalid_utf8;
    "3" Config "a line over the cap" => "discarded, -32600", fault_03_a_line_over_the_cap;
    "4" Config "endless bytes without newline" => "the same, memory flat", fault_04_endless_bytes;
    "5" Config "batch" => "-32600; answered where 2025-03-26 was agreed", fault_05_batch;
    "6" Nothing "id in flight already" => "-32600, the first still answers", fault_06_id_in_flight;
    "7" Nothing "id null, float, object" => "-32600", fault_07_invalid_ids;
    "8" Nothing "unknown method, unknown notification" => "-32601, silence", fault_08_unknown_methods;
    "9" Nothing "no jsonrpc, wrong types, duplicate keys" => "-32600", fault_09_invalid_messages;
    "10" Nothing "CRLF, blank lines, leading BOM" => "tolerated", fault_10_crlf_blank_lines_and_bom;
    "11" Nothing "params nested 10,000 deep" => "carried or refused", fault_11_nested_deep;
    "13" Nothing "half a line at EOF" => "served if it is whole JSON", fault_13_half_a_line_at_eof;
    "20" Config "request before initialize" => "a clean error", fault_20_before_initialize;
};

const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;
const METHOD_NOT_FOUND: i64 = -32601;

/// Sends the line, which must be answered with this error and id. Other programs need only survive.
fn refused(fixture: &mut Fixture<'_>, line: impl AsRef<[u8]>, code: i64, id: Value) {
    fixture.client().send_raw(line);
    if fixture.is_gateway() {
        let answer = fixture.client().next_message();
        let error = &answer.json["error"];
        let actual = (error["code"].as_i64(), answer.id());
        assert_eq!(actual, (Some(code), &id), "{}", answer.line);
    }
    fixture.expect_alive();
}

fn fault_01_bad_json(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    for line in [
        "{",
        "nonsense",
        r#"{"jsonrpc":"2.0","id":1}}"#,
        r#"{"a":01}"#,
    ] {
        run.set_variant(line);
        refused(&mut fixture, line, PARSE_ERROR, Value::Null);
    }
    fixture.expect_success("act");
}

fn fault_02_invalid_utf8(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    for line in [
        &b"\xFF\xFE"[..],
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xC3(\"}",
    ] {
        refused(&mut fixture, line, PARSE_ERROR, Value::Null);
    }
    fixture.expect_success("act");
}

fn fault_03_a_line_over_the_cap(run: &Run<'_>) {
    let mut fixture = plan(run).gateway("max_message_bytes = 65536").start();
    for length in [65_537, 1_000_000] {
        refused(
            &mut fixture,
            vec![b'x'; length],
            INVALID_REQUEST,
            Value::Null,
        );
    }
    fixture.expect_success("act");
}

fn fault_04_endless_bytes(run: &Run<'_>) {
    let mut fixture = plan(run).gateway("max_message_bytes = 65536").start();
    fixture.expect_success("act");
    let before = fixture.process().peak_memory();
    for _ in 0..64 {
        fixture.client().send_bytes(vec![b'x'; 1 << 20]);
    }
    refused(&mut fixture, "", INVALID_REQUEST, Value::Null);
    let grown = fixture.process().peak_memory() - before;
    assert!(grown < 8 << 10, "{grown} KiB more for 64 MiB of one line");
    fixture.expect_success("act");
}

fn fault_05_batch(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    for batch in ["[1]", "[]"] {
        refused(&mut fixture, batch, INVALID_REQUEST, Value::Null);
    }
    drop(fixture);
    let mut fixture = plan(run).version("2025-03-26").start();
    let call = json!({ "jsonrpc": "2.0", "id": "c", "method": "tools/call",
        "params": { "name": "act" } });
    let ping: Value = serde_json::from_str(PING).unwrap();
    fixture.client().send_raw(json!([call, ping]).to_string());
    let (call, ping) = (fixture.client().answer("c"), fixture.client().answer("p"));
    assert_eq!(call.text(), "act null");
    assert_eq!(call.0.at, ping.0.at, "a batch is answered as one");
}

fn fault_06_id_in_flight(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    let gate = Gate::new();
    fixture
        .bad
        .on_tool("act", Reply::text("first").after(&gate));
    let params = json!({ "name": "act", "arguments": {} });
    fixture.client().request_as(100, "tools/call", params);
    gate.wait_for(1);
    fixture.client().request_as("100", "ping", json!({}));
    fixture.client().answer("100").result();
    if fixture.is_gateway() {
        fixture.client().request_as(100, "ping", json!({}));
        assert_eq!(fixture.client().answer(100).code(), INVALID_REQUEST);
    }
    fixture.check_good_backend();
    gate.open();
    assert_eq!(fixture.client().answer(100).text(), "first");
    run.record_runs(fixture.bad.runs("act"));
}

fn fault_07_invalid_ids(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    for id in ["null", "1.5", "1e3", "{}", "[1]", "true"] {
        run.set_variant(id);
        if id == "1e3" && !fixture.is_gateway() {
            // Many languages parse it as the integer 1000.
            continue;
        }
        let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        refused(&mut fixture, line, INVALID_REQUEST, Value::Null);
    }
    fixture.expect_success("act");
}

fn fault_08_unknown_methods(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    let refusal = fixture.client().ask("tools/fly", json!({})).code();
    fixture.expect_that(|| refusal == METHOD_NOT_FOUND, "not method not found");
    fixture.client().notify("notifications/flown", json!({}));
    fixture.expect_alive();
    fixture.expect_success("act");
}

fn fault_09_invalid_messages(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    for (line, id) in [
        (r#"{"id":"x","method":"ping"}"#, json!("x")),
        (r#"{"jsonrpc":"1.0","id":"x","method":"ping"}"#, json!("x")),
        (r#"{"jsonrpc":2.0,"id":"x","method":"ping"}"#, json!("x")),
        (r#"{"jsonrpc":"2.0","id":"x","method":7}"#, json!("x")),
        (r#"{"jsonrpc":"2.0","id":"x"}"#, json!("x")),
        ("{}", Value::Null),
        ("7", Value::Null),
    ] {
        run.set_variant(line);
        refused(&mut fixture, line, INVALID_REQUEST, id);
    }
    if fixture.is_gateway() {
        // JSON parsers differ in which of two equal keys they use, so the protocol checker can't tell.
        let twice = r#"{"jsonrpc":"2.0","id":"x","method":"ping","method":"ping"}"#;
        refused(&mut fixture, twice, INVALID_REQUEST, json!("x"));
    }
    fixture.expect_success("act");
}

fn fault_10_crlf_blank_lines_and_bom(run: &Run<'_>) {
    let mut fixture = plan(run).raw();
    fixture.client().send_bytes("\u{feff}".into());
    fixture.client().send_bytes("\r\n\n  \t\n".into());
    let id = fixture.client().request(
        "initialize",
        json!({ "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": "test", "version": "1" } }),
    );
    fixture.client().answer(id).result();
    fixture.client().send_raw(format!(" {PING} \r"));
    fixture.client().answer("p").result();
    fixture.expect_success("act");
}

/// The fake backend can't parse such depth and records a plain POST; its body shows every byte.
fn fault_11_nested_deep(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    fixture.client().send_raw(format!(
        r#"{{"jsonrpc":"2.0","id":"deep","method":"tools/call","params":{{"name":"act","arguments":{{"a":{deep}}}}}}}"#
    ));
    if fixture.is_gateway() {
        fixture.client().answer("deep").error();
        let body = fixture.bad.next_request("POST").body;
        assert!(String::from_utf8(body).unwrap().contains(&deep));
    }
    fixture.expect_alive();
    fixture.expect_success("act");
}

/// Other programs may wait for the end of the line.
fn fault_13_half_a_line_at_eof(run: &Run<'_>) {
    if run.subject.is_gateway() {
        let mut fixture = plan(run).start();
        fixture.finish_held_call();
        fixture.client().send_unended(PING);
        fixture.client().eof();
        fixture.client().answer("p").result();
    }
    let mut fixture = plan(run).start();
    fixture.finish_held_call();
    fixture.client().send_unended(r#"{"jsonrpc":"2.0","id":"#);
    fixture.client().eof();
    if fixture.is_gateway() {
        let answer = fixture.client().next_message();
        assert_eq!(answer.json["error"]["code"], PARSE_ERROR);
    }
}

fn fault_20_before_initialize(run: &Run<'_>) {
    let mut fixture = plan(run).raw();
    fixture.expect_alive();
    for method in ["tools/list", "tools/call", "anything"] {
        let early = fixture.client().ask(method, json!({}));
        assert_eq!(early.code(), -32602);
        assert!(early.message().contains("send initialize first"));
    }
    fixture.client().initialize().result();
    fixture.expect_success("act");
}
