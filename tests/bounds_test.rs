//! The real binary's memory stays below a limit, whatever clients and backends send, and data beyond
//! the budget affects no other call.
//!
//! A separate binary: it sends tens of MiB through loopback at a time. Tests beside it would exceed
//! their time limits, and would change the peaks measured here.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the bans are about the gateway's runtime"
)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use serde_json::{Value, json};

use common::PATIENCE;
use common::fake::FakeBackend;
use common::gate::Gate;
use common::message::request;
use common::process::{Process, gateway, peak_memory};
use common::reply::Reply;

const MIB: usize = 1024 * 1024;
const MESSAGE: usize = 4 * MIB;
const BUFFERED: usize = 16 * MIB;
/// The size of a large message, close to the limit.
const LARGE: usize = 7 * MIB / 2;
/// The number of large messages, together many times the budget.
const CALLS: usize = 24;

/// A sentinel.toml with these backends.
fn toml(backends: &[(&str, &FakeBackend)]) -> String {
    let caps =
        format!("[gateway]\nmax_message_bytes = {MESSAGE}\nmax_buffered_bytes = {BUFFERED}\n");
    let entries = backends.iter().map(|(name, fake)| fake.entry(name, ""));
    std::iter::once(caps).chain(entries).collect()
}

/// A gateway with these backends, after the handshake.
fn started(backends: &[(&str, &FakeBackend)]) -> Process {
    let toml = toml(backends);
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(gateway(&folder, &toml), folder, PATIENCE);
    process.client.initialize();
    for (name, _) in backends {
        process.client.wait_for_tool(&format!("{name}_tool"));
    }
    process
}

/// The memory limit in KiB by the formula of docs/limits.md: the budget, the same again for output that waits
/// for the client, the line being read, one message being rewritten, the read buffers of the
/// connections, and the process itself. `before` is the peak before the load.
fn ceiling(before: u64) -> u64 {
    before + ((2 * BUFFERED + 2 * MESSAGE) / 1024 + CALLS * 400) as u64 + (8 << 10)
}

fn assert_below_ceiling(process: &Process, before: u64) {
    let peak = process.peak_memory();
    eprintln!("peak {peak} KiB, {before} KiB of them before");
    assert!(peak < ceiling(before), "{peak} KiB, {before} KiB before");
}

fn large_text() -> Value {
    json!("x".repeat(LARGE))
}

#[test]
fn large_concurrent_answers_beyond_the_budget_are_overloaded() {
    let (bad, good) = (
        FakeBackend::start().tool("bad_tool"),
        FakeBackend::start().tool("good_tool"),
    );
    let gate = Gate::new();
    let answer = Reply::result(json!({ "content": [], "x": large_text() }));
    bad.always_tool("bad_tool", answer.after(&gate));
    let mut process = started(&[("bad", &bad), ("good", &good)]);
    let before = process.peak_memory();
    let calls: Vec<u64> = (0..CALLS)
        .map(|_| process.client.start_call("bad_tool", json!({})))
        .collect();
    gate.wait_for(CALLS);
    gate.open();
    let mut came = 0;
    for id in calls {
        let answer = process.client.answer(id);
        if answer.0.json.get("result").is_some() {
            came += 1;
            continue;
        }
        assert_eq!(answer.gateway_error(), ("overloaded", "unknown", 1));
        assert!(answer.message().contains("max_buffered_bytes"));
        assert!(answer.message().contains("MAY HAVE RUN"));
    }
    eprintln!("{came} of {CALLS} large answers came");
    assert!(came > 0);
    process.client.call("good_tool", json!({})).result();
    // The whole budget is free again.
    process.client.call("bad_tool", json!({})).result();
    assert_below_ceiling(&process, before);
    assert!(process.end().status.success());
}

#[test]
fn large_lines_beyond_the_budget_are_refused_and_small_ones_pass() {
    let fake = FakeBackend::start().tool("slow_tool");
    let gate = Gate::new();
    fake.always_tool("slow_tool", Reply::text("done").after(&gate));
    let mut process = started(&[("slow", &fake)]);
    let before = process.peak_memory();
    let calls: Vec<u64> = (0..CALLS)
        .map(|_| {
            process
                .client
                .start_call("slow_tool", json!({ "x": large_text() }))
        })
        .collect();
    // The response shows that the gateway has read all lines.
    process.client.ask("ping", json!({})).result();
    let small = process.client.start_call("slow_tool", json!({}));
    gate.wait_for(2);
    process.client.cancel(calls[0]);
    process.client.ask("ping", json!({})).result();
    gate.open();
    assert_eq!(process.client.answer(small).text(), "done");
    let mut done = 0;
    for id in &calls[1..] {
        let answer = process.client.answer(*id);
        if answer.0.json.get("result").is_some() {
            done += 1;
            continue;
        }
        let (class, executed, _) = answer.gateway_error();
        assert_eq!((class, executed), ("overloaded", "no"));
        assert!(answer.message().contains("max_buffered_bytes"));
    }
    eprintln!("{done} of {CALLS} large calls were forwarded");
    assert!((1..CALLS - 1).contains(&done), "{done}");
    assert_eq!(fake.runs("slow_tool"), done + 2);
    let again = process
        .client
        .call("slow_tool", json!({ "x": large_text() }));
    assert_eq!(again.text(), "done");
    assert_below_ceiling(&process, before);
    assert!(process.end().status.success());
}

#[test]
fn endless_events_and_decompression_bombs_stay_below_the_ceiling() {
    let fake = FakeBackend::start().tool("bad_tool");
    let mut process = started(&[("bad", &fake)]);
    let before = process.peak_memory();
    let zeros = vec![b' '; 64 * MIB];
    let line = "x".repeat(MIB);
    let endless = || {
        let event = Reply::sse().body(format!("data: {}\n", [&*line; 6].join("\ndata: ")));
        event.then_stall()
    };
    let json = || Reply::status(200).header("content-type", "application/json");
    for _ in 0..4 {
        for (fault, reply) in [("event", endless()), ("bomb", json().brotli(&zeros))] {
            fake.on_tool("bad_tool", reply);
            let answer = process.client.call("bad_tool", json!({}));
            assert_eq!(answer.gateway_error().0, "too_large", "{fault}");
        }
    }
    assert_below_ceiling(&process, before);
    assert!(process.end().status.success());
}

/// Each response of the failing backend declares more bytes than it sends, and never ends.
#[test]
fn a_backend_that_takes_all_the_budget_it_can_get_leaves_some_to_others() {
    const DECLARED: usize = MIB / 4;
    // One backend may use three quarters of the budget.
    const ALLOWED: usize = BUFFERED * 3 / 4 / DECLARED;
    const ATTEMPTED: usize = BUFFERED / DECLARED;
    let (bad, good) = (
        FakeBackend::start().tool("bad_tool"),
        FakeBackend::start().tool("good_tool"),
    );
    let begun = Reply::status(200).header("content-type", "application/json");
    let begun = begun.body("{").length_off_by(DECLARED as isize - 1);
    bad.always_tool("bad_tool", begun.then_stall());
    let answer = json!({ "content": [], "x": "x".repeat(MIB) });
    good.always_tool("good_tool", Reply::result(answer));
    let mut process = started(&[("bad", &bad), ("good", &good)]);
    let mut open: Vec<u64> = (0..ATTEMPTED)
        .map(|_| process.client.start_call("bad_tool", json!({})))
        .collect();
    for _ in ALLOWED..ATTEMPTED {
        let refused = process.client.next_message();
        assert_eq!(refused.json["error"]["data"]["class"], "overloaded");
        open.retain(|id| refused.json["id"] != *id);
    }
    for _ in 0..3 {
        process.client.call("good_tool", json!({})).result();
    }
    for id in open {
        process.client.cancel(id);
    }
    assert!(process.end().status.success());
}

/// Each call gets a response in the end: the large result or a refusal.
#[test]
fn a_client_that_reads_late_loses_no_answer_and_can_send_meanwhile() {
    let fake = FakeBackend::start().tool("large_tool").tool("small_tool");
    fake.always_tool(
        "large_tool",
        Reply::result(json!({ "content": [], "x": large_text() })),
    );
    let folder = tempfile::tempdir().unwrap();
    let mut child = gateway(&folder, &toml(&[("fake", &fake)]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut send = |id: usize, method: &str, params: Value| {
        writeln!(stdin, "{}", request(json!(id), method, params)).unwrap();
    };
    let client = json!({ "name": "test", "version": "1" });
    let hello =
        json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
    send(0, "initialize", hello);
    for id in 1..=CALLS {
        send(id, "tools/call", json!({ "name": "large_tool" }));
    }
    fake.wait_for_requests("tools/call", CALLS);
    // The client has read nothing so far, and a further call is still forwarded.
    send(CALLS + 1, "tools/call", json!({ "name": "small_tool" }));
    fake.wait_for_requests("tools/call", CALLS + 1);

    let stdout = BufReader::new(child.stdout.take().unwrap());
    let mut ids = Vec::new();
    let mut large = 0;
    for line in stdout.lines().take(CALLS + 2) {
        let answer: Value = serde_json::from_str(&line.unwrap()).unwrap();
        ids.push(answer["id"].as_u64().unwrap() as usize);
        large += usize::from(answer["result"]["x"].is_string());
        let class = &answer["error"]["data"]["class"];
        assert!(class.is_null() || class == "overloaded", "{answer}");
    }
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..=CALLS + 1));
    assert!((1..CALLS).contains(&large), "{large} large answers");
    let peak = peak_memory(child.id());
    eprintln!("peak {peak} KiB with {large} large answers");
    assert!(peak < ceiling(24 << 10), "{peak} KiB");
    drop(stdin);
    assert!(child.wait().unwrap().success());
}
