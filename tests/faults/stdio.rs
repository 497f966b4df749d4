//! A. stdin and stdout: what lines say.

use serde_json::{Value, json};

use crate::bare::PING;
use crate::common::gate::Gate;
use crate::common::reply::Reply;
use crate::rig::{Rig, plan};
use crate::table::{Row, Run, rows};

pub const ROWS: &[Row] = rows! {
    "1" Nothing "bad JSON" => "-32700, the next line works", fault_01_bad_json;
    "2" Nothing "invalid UTF-8" => "-32700, the reader survives", fault_02_invalid_utf8;
    "3" Config "a line over the cap" => "thrown away, -32600", fault_03_a_line_over_the_cap;
    "4" Config "endless bytes without newline" => "the same, memory flat", fault_04_endless_bytes;
    "5" Config "batch" => "-32600; answered where 2025-03-26 was agreed", fault_05_batch;
    "6" Nothing "id in flight already" => "-32600, the first still answers", fault_06_id_in_flight;
    "7" Nothing "id null, float, object" => "-32600", fault_07_ids_that_are_none;
    "8" Nothing "unknown method, unknown notification" => "-32601, silence", fault_08_unknown_methods;
    "9" Nothing "no jsonrpc, wrong types, duplicate keys" => "-32600", fault_09_no_message;
    "10" Nothing "CRLF, blank lines, leading BOM" => "tolerated", fault_10_crlf_blank_lines_and_bom;
    "11" Nothing "params nested 10,000 deep" => "carried or refused", fault_11_nested_deep;
    "13" Nothing "half a line at EOF" => "served if it is whole JSON", fault_13_half_a_line_at_eof;
    "20" Config "request before initialize" => "a clean error", fault_20_before_initialize;
};

const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;
const METHOD_NOT_FOUND: i64 = -32601;

/// The line is answered with this error under this id; others than us need only live on.
fn refused(rig: &mut Rig<'_>, line: impl AsRef<[u8]>, code: i64, id: Value) {
    rig.client().send_raw(line);
    if rig.is_ours() {
        let answer = rig.client().next_message();
        let error = &answer.json["error"];
        let told = (error["code"].as_i64(), answer.id());
        assert_eq!(told, (Some(code), &id), "{}", answer.line);
    }
    rig.lives();
}

fn fault_01_bad_json(run: &Run<'_>) {
    let mut rig = plan(run).start();
    for line in [
        "{",
        "nonsense",
        r#"{"jsonrpc":"2.0","id":1}}"#,
        r#"{"a":01}"#,
    ] {
        run.at(line);
        refused(&mut rig, line, PARSE_ERROR, Value::Null);
    }
    rig.works("act");
}

fn fault_02_invalid_utf8(run: &Run<'_>) {
    let mut rig = plan(run).start();
    for line in [
        &b"\xFF\xFE"[..],
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xC3(\"}",
    ] {
        refused(&mut rig, line, PARSE_ERROR, Value::Null);
    }
    rig.works("act");
}

fn fault_03_a_line_over_the_cap(run: &Run<'_>) {
    let mut rig = plan(run).gateway("max_message_bytes = 65536").start();
    for length in [65_537, 1_000_000] {
        refused(&mut rig, vec![b'x'; length], INVALID_REQUEST, Value::Null);
    }
    rig.works("act");
}

fn fault_04_endless_bytes(run: &Run<'_>) {
    let mut rig = plan(run).gateway("max_message_bytes = 65536").start();
    rig.works("act");
    let before = rig.process().peak_memory();
    for _ in 0..64 {
        rig.client().send_bytes(vec![b'x'; 1 << 20]);
    }
    refused(&mut rig, "", INVALID_REQUEST, Value::Null);
    let grown = rig.process().peak_memory() - before;
    assert!(grown < 8 << 10, "{grown} KiB more for 64 MiB of one line");
    rig.works("act");
}

fn fault_05_batch(run: &Run<'_>) {
    let mut rig = plan(run).start();
    for batch in ["[1]", "[]"] {
        refused(&mut rig, batch, INVALID_REQUEST, Value::Null);
    }
    drop(rig);
    let mut rig = plan(run).version("2025-03-26").start();
    let call = json!({ "jsonrpc": "2.0", "id": "c", "method": "tools/call",
        "params": { "name": "act" } });
    let ping: Value = serde_json::from_str(PING).unwrap();
    rig.client().send_raw(json!([call, ping]).to_string());
    let (call, ping) = (rig.client().answer("c"), rig.client().answer("p"));
    assert_eq!(call.text(), "act null");
    assert_eq!(call.0.at, ping.0.at, "a batch is answered as one");
}

fn fault_06_id_in_flight(run: &Run<'_>) {
    let mut rig = plan(run).start();
    let gate = Gate::new();
    rig.bad.on_tool("act", Reply::text("first").after(&gate));
    let params = json!({ "name": "act", "arguments": {} });
    rig.client().request_as(100, "tools/call", params);
    gate.wait_for(1);
    rig.client().request_as("100", "ping", json!({}));
    rig.client().answer("100").result();
    if rig.is_ours() {
        rig.client().request_as(100, "ping", json!({}));
        assert_eq!(rig.client().answer(100).code(), INVALID_REQUEST);
    }
    rig.good_works();
    gate.open();
    assert_eq!(rig.client().answer(100).text(), "first");
    run.ran(rig.bad.runs("act"));
}

fn fault_07_ids_that_are_none(run: &Run<'_>) {
    let mut rig = plan(run).start();
    for id in ["null", "1.5", "1e3", "{}", "[1]", "true"] {
        run.at(id);
        if id == "1e3" && !rig.is_ours() {
            // To many languages it is the integer that it amounts to.
            continue;
        }
        let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        refused(&mut rig, line, INVALID_REQUEST, Value::Null);
    }
    rig.works("act");
}

fn fault_08_unknown_methods(run: &Run<'_>) {
    let mut rig = plan(run).start();
    let refusal = rig.client().ask("tools/fly", json!({})).code();
    rig.expects(|| refusal == METHOD_NOT_FOUND, "another code than that");
    rig.client().notify("notifications/flown", json!({}));
    rig.lives();
    rig.works("act");
}

fn fault_09_no_message(run: &Run<'_>) {
    let mut rig = plan(run).start();
    for (line, id) in [
        (r#"{"id":"x","method":"ping"}"#, json!("x")),
        (r#"{"jsonrpc":"1.0","id":"x","method":"ping"}"#, json!("x")),
        (r#"{"jsonrpc":2.0,"id":"x","method":"ping"}"#, json!("x")),
        (r#"{"jsonrpc":"2.0","id":"x","method":7}"#, json!("x")),
        (r#"{"jsonrpc":"2.0","id":"x"}"#, json!("x")),
        ("{}", Value::Null),
        ("7", Value::Null),
    ] {
        run.at(line);
        refused(&mut rig, line, INVALID_REQUEST, id);
    }
    if rig.is_ours() {
        // Which of the two counts differs from reader to reader, so that the protocol checker can't tell.
        let twice = r#"{"jsonrpc":"2.0","id":"x","method":"ping","method":"ping"}"#;
        refused(&mut rig, twice, INVALID_REQUEST, json!("x"));
    }
    rig.works("act");
}

fn fault_10_crlf_blank_lines_and_bom(run: &Run<'_>) {
    let mut rig = plan(run).raw();
    rig.client().send_bytes("\u{feff}".into());
    rig.client().send_bytes("\r\n\n  \t\n".into());
    let id = rig.client().request(
        "initialize",
        json!({ "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": "test", "version": "1" } }),
    );
    rig.client().answer(id).result();
    rig.client().send_raw(format!(" {PING} \r"));
    rig.client().answer("p").result();
    rig.works("act");
}

/// The fake reads no such depth: it takes the call for a mere POST. But every byte arrived.
fn fault_11_nested_deep(run: &Run<'_>) {
    let mut rig = plan(run).start();
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    rig.client().send_raw(format!(
        r#"{{"jsonrpc":"2.0","id":"deep","method":"tools/call","params":{{"name":"act","arguments":{{"a":{deep}}}}}}}"#
    ));
    if rig.is_ours() {
        rig.client().answer("deep").error();
        let body = rig.bad.next_request("POST").body;
        assert!(String::from_utf8(body).unwrap().contains(&deep));
    }
    rig.lives();
    rig.works("act");
}

/// Others than us may wait for the line's end.
fn fault_13_half_a_line_at_eof(run: &Run<'_>) {
    if run.subject.is_ours() {
        let mut rig = plan(run).start();
        rig.settle();
        rig.client().send_unended(PING);
        rig.client().eof();
        rig.client().answer("p").result();
    }
    let mut rig = plan(run).start();
    rig.settle();
    rig.client().send_unended(r#"{"jsonrpc":"2.0","id":"#);
    rig.client().eof();
    if rig.is_ours() {
        let answer = rig.client().next_message();
        assert_eq!(answer.json["error"]["code"], PARSE_ERROR);
    }
}

fn fault_20_before_initialize(run: &Run<'_>) {
    let mut rig = plan(run).raw();
    rig.lives();
    for method in ["tools/list", "tools/call", "anything"] {
        let early = rig.client().ask(method, json!({}));
        assert_eq!(early.code(), -32602);
        assert!(early.message().contains("send initialize first"));
    }
    rig.client().initialize().result();
    rig.works("act");
}
