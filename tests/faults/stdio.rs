//! A. stdin and stdout.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::gate::Gate;
use crate::common::process::{Running, read_to_end};
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
    "12" Config "EOF with calls in flight" => "drained within 2 s, exit 0", fault_12_eof_in_flight;
    "13" Nothing "half a line at EOF" => "served if it is whole JSON", fault_13_half_a_line_at_eof;
    "14" Config "client stops reading stdout" => "stdin drained, no answer dropped; past a cap, exit with a reason", fault_14_client_stops_reading;
    "15" Nothing "stdout closed" => "cancels all, exits", fault_15_stdout_closed;
    "16" Config "stderr closed or full" => "logs dropped, no spin", fault_16_stderr_closed_or_full;
    "17" Config "SIGTERM, SIGINT; a second" => "drains within 2 s; at once", fault_17_signals;
    "18" Config "SIGHUP" => "it lives on", fault_18_sighup, pending "reload";
    "19" Nothing "client killed" => "EOF, exit, no orphan", fault_19_client_killed;
    "20" Config "request before initialize" => "a clean error", fault_20_before_initialize;
};

const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#;
const PING: &str = r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#;

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
        let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        refused(&mut rig, line, INVALID_REQUEST, Value::Null);
    }
    rig.works("act");
}

fn fault_08_unknown_methods(run: &Run<'_>) {
    let mut rig = plan(run).start();
    assert_eq!(rig.client().ask("tools/fly", json!({})).code(), -32601);
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
        // Which of the two counts differs from reader to reader, so that the law can't tell.
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

fn fault_12_eof_in_flight(run: &Run<'_>) {
    let mut rig = plan(run).start();
    let gate = Gate::new();
    rig.bad.on_tool("act", Reply::text("done").after(&gate));
    rig.bad.on_tool("look", Reply::stall());
    let [act, look] = ["act", "look"].map(|tool| rig.client().start_call(tool, json!({})));
    gate.wait_for(1);
    rig.bad.wait_for_requests("tools/call", 2);
    rig.client().eof();
    let begun = Instant::now();
    gate.open();
    rig.settle();
    assert_eq!(rig.client().answer(act).text(), "done");
    let cut_off = rig.client().answer(look);
    assert_eq!(cut_off.verdict().0, "shutting_down");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(4), "drained for {took:?}");
    run.ran(rig.bad.runs("act"));
}

fn fault_13_half_a_line_at_eof(run: &Run<'_>) {
    for (half, is_whole) in [(PING, true), (r#"{"jsonrpc":"2.0","id":"#, false)] {
        let mut rig = plan(run).start();
        rig.settle();
        if is_whole && rig.is_ours() {
            rig.client().send_unended(half);
            rig.client().eof();
            rig.client().answer("p").result();
        } else {
            rig.client().send_unended(half);
            rig.client().eof();
            if rig.is_ours() {
                let answer = rig.client().next_message();
                assert_eq!(answer.json["error"]["code"], PARSE_ERROR);
            }
        }
    }
}

/// A child with pipes in both directions, and what it writes to stderr.
fn piped(command: &mut Command) -> Child {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(Stdio::piped()).spawn().unwrap()
}

fn call(id: usize, tool: &str) -> String {
    let params = json!({ "name": tool, "arguments": {} });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }).to_string()
}

fn fault_14_client_stops_reading(run: &Run<'_>) {
    for (cap, calls) in [("", 40), ("max_buffered_bytes = 1048576", 40)] {
        let small = "max_message_bytes = 1048576";
        let mut parts = plan(run).gateway(&format!("{small}\n{cap}")).parts();
        let large = json!({ "content": [], "x": "x".repeat(100_000) });
        parts.bad.always_tool("act", Reply::result(large));
        let mut child = piped(&mut parts.command);
        let mut stdin = child.stdin.take().unwrap();
        let stdout = child.stdout.take().unwrap();
        let log = read_to_end(child.stderr.take().unwrap());
        let mut process = Running::new(child, run.subject.patience());
        writeln!(stdin, "{INITIALIZE}").unwrap();
        for id in 0..calls {
            // It may have gone by now, where it has a cap.
            let _ = writeln!(stdin, "{}", call(id, "act"));
        }
        if cap.is_empty() {
            parts.bad.wait_for_requests("tools/call", calls);
            writeln!(stdin, "{PING}").unwrap();
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            let answers = lines
                .filter(|line| line.contains("\"result\""))
                .take(calls + 2);
            assert_eq!(answers.count(), calls + 2, "an answer was dropped");
            drop(stdin);
            assert_eq!(process.wait().code(), Some(0));
        } else {
            assert_eq!(process.wait().code(), Some(1));
            let log = log.recv_timeout(run.subject.patience()).unwrap();
            assert!(
                log.contains("the client does not read its answers"),
                "{log}"
            );
            run.judge_log(&log);
            drop(stdin);
            drop(stdout);
        }
    }
}

fn fault_15_stdout_closed(run: &Run<'_>) {
    let ours = run.subject.is_ours();
    let mut parts = plan(run).gateway("drain_ms = 600000").parts();
    let gate = Gate::new();
    parts
        .bad
        .always_tool("act", Reply::text("done").after(&gate));
    let mut child = piped(&mut parts.command);
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let log = read_to_end(child.stderr.take().unwrap());
    let mut process = Running::new(child, run.subject.patience());
    writeln!(stdin, "{INITIALIZE}").unwrap();
    stdout.read_line(&mut String::new()).unwrap();
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    writeln!(stdin, "{initialized}\n{}", call(1, "act")).unwrap();
    gate.wait_for(1);
    drop(stdout);
    // Nobody reads the answer to this.
    let _ = writeln!(stdin, "{PING}");
    if ours {
        parts.bad.next_request("notifications/cancelled");
        parts.bad.next_request("DELETE");
    }
    let status = process.wait();
    let log = log.recv_timeout(run.subject.patience()).unwrap();
    run.judge_log(&log);
    assert!(!ours || status.code() == Some(0), "{status}: {log}");
    run.ran(parts.bad.runs("act"));
    drop(stdin);
}

fn fault_16_stderr_closed_or_full(run: &Run<'_>) {
    run.at("closed");
    let mut rig = plan(run).after("exec 2>&-").start();
    for _ in 0..20 {
        rig.works("act");
    }
    drop(rig);

    run.at("full");
    let entry = "tools.timeout_secs = { look = 1 }";
    let mut parts = plan(run).entry(entry).variable("RUST_LOG", "trace").parts();
    let mut child = piped(&mut parts.command);
    let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    // Kept, and never read.
    let stderr = child.stderr.take().unwrap();
    let pid = child.id();
    let mut process = Running::new(child, run.subject.patience());
    let patience = run.subject.patience();
    let mut client = crate::common::gateway::TestGateway::behind(stdin, stdout, patience);
    client.initialize().result();
    for _ in 0..200 {
        assert_eq!(client.call("act", json!({})).text(), "act {}");
    }
    parts.bad.always_tool("look", Reply::stall());
    let (begun, before) = (Instant::now(), cpu_time(pid));
    let answer = client.call("look", json!({}));
    assert_eq!(answer.verdict().0, "deadline");
    let (waited, used) = (begun.elapsed(), cpu_time(pid) - before);
    assert!(
        used < waited / 2,
        "{used:?} of CPU in {waited:?} of waiting"
    );
    drop(client);
    assert_eq!(process.wait().code(), Some(0));
    drop(stderr);
}

/// How long a process has computed. The system counts in hundredths of a second.
fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<u64> = after_name
        .split_whitespace()
        .filter_map(|field| field.parse().ok())
        .collect();
    // User and system time are the 12th and 13th after the name; the state is no number.
    let ticks: u64 = fields.get(10..12).map_or(0, |times| times.iter().sum());
    Duration::from_millis(ticks * 10)
}

fn fault_17_signals(run: &Run<'_>) {
    for name in ["TERM", "INT"] {
        run.at(name);
        let mut rig = plan(run).gateway("drain_ms = 600000").start();
        let gate = Gate::new();
        rig.bad.on_tool("act", Reply::text("done").after(&gate));
        let id = rig.client().start_call("act", json!({}));
        gate.wait_for(1);
        rig.process().signal(name);
        gate.open();
        assert_eq!(rig.client().answer(id).text(), "done");
        rig.settle();
    }
    run.at("two");
    let mut parts = plan(run).gateway("drain_ms = 600000").parts();
    parts.bad.on_tool("act", Reply::stall());
    let mut child = piped(&mut parts.command);
    let mut stdin = child.stdin.take().unwrap();
    let stdout = child.stdout.take().unwrap();
    let mut process = Running::new(child, run.subject.patience());
    writeln!(stdin, "{INITIALIZE}\n{}", call(1, "act")).unwrap();
    parts.bad.wait_for_requests("tools/call", 1);
    process.signal("TERM");
    process.signal("INT");
    assert_eq!(process.wait().code(), Some(1));
    drop((stdin, stdout));
}

fn fault_18_sighup(run: &Run<'_>) {
    let mut rig = plan(run).start();
    let gate = Gate::new();
    rig.bad.on_tool("act", Reply::text("done").after(&gate));
    let id = rig.client().start_call("act", json!({}));
    gate.wait_for(1);
    rig.process().signal("HUP");
    rig.good_works();
    gate.open();
    assert_eq!(rig.client().answer(id).text(), "done");
    rig.works("act");
}

/// The client owns both pipes, as clients do, so that its death closes them.
fn fault_19_client_killed(run: &Run<'_>) {
    let mut parts = plan(run).gateway("drain_ms = 50").parts();
    parts.bad.on_tool("act", Reply::stall());
    let (input, mut to_gateway) = std::io::pipe().unwrap();
    let (from_gateway, output) = std::io::pipe().unwrap();
    let gateway = parts
        .command
        .stdin(input)
        .stdout(output)
        .stderr(Stdio::null());
    let mut gateway = Running::new(gateway.spawn().unwrap(), run.subject.patience());
    // It holds the other ends of the pipes.
    drop(parts.command);
    write!(to_gateway, "{INITIALIZE}\n").unwrap();
    let mut from_gateway = BufReader::new(from_gateway);
    from_gateway.read_line(&mut String::new()).unwrap();
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    write!(to_gateway, "{initialized}\n{}\n", call(1, "act")).unwrap();
    parts.bad.wait_for_requests("tools/call", 1);
    let mut client = Command::new("sleep")
        .arg("600")
        .stdin(from_gateway.into_inner())
        .stdout(to_gateway)
        .spawn()
        .unwrap();
    assert!(gateway.is_alive());
    client.kill().unwrap();
    client.wait().unwrap();
    let status = gateway.wait();
    if run.subject.is_ours() {
        parts.bad.next_request("notifications/cancelled");
        parts.bad.next_request("DELETE");
        assert_eq!(status.code(), Some(0));
    }
    run.ran(parts.bad.runs("act"));
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
