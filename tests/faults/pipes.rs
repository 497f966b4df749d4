//! Section A, stdin and stdout: pipes and signals.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::gate::Gate;
use crate::common::gateway::TestGateway;
use crate::common::message::{request, result};
use crate::common::process::ChildGuard;
use crate::common::reply::Reply;
use crate::fixture::{default_backend, plan, plan_with};
use crate::raw_process::{INITIALIZE, INITIALIZED, PING, RawProcess, call};
use crate::table::{Row, Run, rows};

pub const ROWS: &[Row] = rows! {
    "12" Config "EOF with calls in flight" => "drained within 2 s, exit 0", fault_12_eof_in_flight;
    "14" Config "client stops reading stdout" => "stdin drained, no answer dropped; past a cap, exit with a reason", fault_14_client_stops_reading;
    "15" Nothing "stdout closed" => "cancels all, exits", fault_15_stdout_closed;
    "16" Config "stderr closed or full" => "logs dropped, no spin", fault_16_stderr_closed_or_full;
    "17" Config "SIGTERM, SIGINT; a second" => "drains within 2 s; exits immediately", fault_17_signals;
    "18" Config "SIGHUP" => "the config is loaded again; calls go on", fault_18_sighup;
    "19" Nothing "client killed" => "EOF, exit, no orphan", fault_19_client_killed;
    "95" Nothing "all answers of a batch wait for its last one" => "they are within the budget; what doesn't fit is overloaded", fault_95_waiting_answers;
    "97" Nothing "client reads slowly" => "the last answers come whole; what it doesn't take ends with a reason and status 1", fault_97_slow_client;
};

fn fault_12_eof_in_flight(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    let gate = Gate::new();
    fixture.bad.on_tool("act", Reply::text("done").after(&gate));
    fixture.bad.on_tool("look", Reply::stall());
    let [act, look] = ["act", "look"].map(|tool| fixture.client().start_call(tool, json!({})));
    gate.wait_for(1);
    fixture.bad.wait_for_requests("tools/call", 2);
    fixture.client().eof();
    let begun = Instant::now();
    gate.open();
    fixture.finish_held_call();
    assert_eq!(fixture.client().answer(act).text(), "done");
    let cut_off = fixture.client().answer(look);
    assert_eq!(cut_off.gateway_error().0, "shutting_down");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(4), "drained for {took:?}");
    run.record_runs(fixture.bad.runs("act"));
}

/// Forty answers of 100 kB: more than the pipe holds. With a low cap not all of them can be queued.
fn fault_14_client_stops_reading(run: &Run<'_>) {
    const CALLS: usize = 40;
    for cap in ["", "max_buffered_bytes = 1048576"] {
        run.set_variant(cap);
        let lines = format!("max_message_bytes = 1048576\n{cap}");
        let (mut raw, backends) = RawProcess::start(run, plan(run).gateway(&lines));
        let large = json!({ "content": [], "x": "x".repeat(100_000) });
        backends.bad.always_tool("act", Reply::result(large));
        raw.send(INITIALIZE);
        for id in 0..CALLS {
            raw.send(&call(id, "act"));
        }
        if !cap.is_empty() {
            // Calls over the cap are refused, but small requests pass and their answers are queued.
            for n in 0..2_000 {
                raw.send(&request(json!(format!("{n:02000}")), "ping", json!({})).to_string());
            }
            let (code, log) = raw.end(run);
            assert_eq!(code, Some(1), "{log}");
            assert!(
                log.contains("the client does not read its answers"),
                "{log}"
            );
            continue;
        }
        backends.bad.wait_for_requests("tools/call", CALLS);
        raw.send(PING);
        let mut left = CALLS + 2;
        while left > 0 {
            let lines = raw.lines_until(|line| line.contains("\"result\""));
            assert!(!lines.is_empty(), "{left} answers were dropped");
            left -= 1;
        }
        drop(raw.take_stdin());
        assert_eq!(raw.end(run).0, Some(0));
    }
}

fn fault_15_stdout_closed(run: &Run<'_>) {
    let plan = plan(run).gateway("drain_ms = 600000");
    let (mut raw, backends) = RawProcess::start(run, plan);
    let bad = &backends.bad;
    let gate = Gate::new();
    bad.always_tool("act", Reply::text("done").after(&gate));
    raw.initialize();
    raw.send(&call(1, "act"));
    gate.wait_for(1);
    drop(raw.take_stdout());
    // Their answers can't be delivered. More than one: a process that another row starts has a copy of
    // the pipe until it runs its program.
    let mut stdin = raw.take_stdin();
    let pings = std::thread::spawn(move || while writeln!(stdin, "{PING}").is_ok() {});
    if run.subject.is_gateway() {
        bad.next_request("notifications/cancelled");
        bad.next_request("DELETE");
    }
    let (code, log) = raw.end(run);
    pings.join().unwrap();
    assert!(!run.subject.is_gateway() || code == Some(0), "{log}");
    run.record_runs(bad.runs("act"));
}

fn fault_16_stderr_closed_or_full(run: &Run<'_>) {
    run.set_variant("closed");
    let mut fixture = plan(run).after("exec 2>&-").start();
    for _ in 0..20 {
        fixture.expect_success("act");
    }
    drop(fixture);

    run.set_variant("full");
    let plan = plan(run)
        .entry("timeout_secs = 3")
        .variable("RUST_LOG", "trace");
    let (mut raw, backends) = RawProcess::start(run, plan);
    let (stdin, stdout) = (raw.take_stdin(), raw.take_stdout());
    let mut client = TestGateway::over_pipes(stdin, stdout, run.subject.timeout());
    client.initialize().result();
    for _ in 0..200 {
        assert_eq!(client.call("act", json!({})).text(), "act {}");
    }
    backends.bad.on_tool("look", Reply::stall());
    let (begun, before) = (Instant::now(), cpu_time(raw.process.pid()));
    assert_eq!(client.call("look", json!({})).gateway_error().0, "deadline");
    let (waited, used) = (begun.elapsed(), cpu_time(raw.process.pid()) - before);
    assert!(
        used < waited / 2,
        "{used:?} of CPU in {waited:?} of waiting"
    );
    drop(client);
    assert_eq!(raw.end_unread(run), Some(0));
}

/// The CPU time of a process. The kernel counts in hundredths of a second.
fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    // User and system time are the 12th and 13th after the name.
    let fields = after_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn fault_17_signals(run: &Run<'_>) {
    for name in ["TERM", "INT"] {
        run.set_variant(name);
        let mut fixture = plan(run).gateway("drain_ms = 600000").start();
        let gate = Gate::new();
        fixture.bad.on_tool("act", Reply::text("done").after(&gate));
        let id = fixture.client().start_call("act", json!({}));
        gate.wait_for(1);
        fixture.process().signal(name);
        gate.open();
        assert_eq!(fixture.client().answer(id).text(), "done");
        fixture.finish_held_call();
    }
    run.set_variant("two");
    let plan = plan(run).gateway("drain_ms = 600000");
    let (mut raw, backends) = RawProcess::start(run, plan);
    backends.bad.on_tool("act", Reply::stall());
    raw.initialize();
    raw.send(&call(1, "act"));
    backends.bad.wait_for_requests("tools/call", 1);
    let begun = Instant::now();
    raw.process.signal("TERM");
    raw.process.signal("INT");
    assert_eq!(raw.end(run).0, Some(1));
    assert!(begun.elapsed() < Duration::from_secs(2), "not immediately");
}

fn fault_18_sighup(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    let gate = Gate::new();
    fixture.bad.on_tool("act", Reply::text("done").after(&gate));
    let id = fixture.client().start_call("act", json!({}));
    gate.wait_for(1);
    fixture.process().signal("HUP");
    fixture.check_good_backend();
    gate.open();
    assert_eq!(fixture.client().answer(id).text(), "done");
    fixture.expect_success("act");
}

/// A batch of calls whose answers are 120 MB in all.
fn fault_95_waiting_answers(run: &Run<'_>) {
    const CALLS: usize = 40;
    let caps = "max_message_bytes = 4194304\nmax_buffered_bytes = 16777216";
    let (mut raw, backends) = RawProcess::start(run, plan(run).gateway(caps));
    let large = json!({ "content": [], "x": "x".repeat(3_000_000) });
    backends.bad.always_tool("act", Reply::result(large));
    let initialize = INITIALIZE.replace("2025-11-25", "2025-03-26");
    for line in [&*initialize, INITIALIZED] {
        raw.send(line);
    }
    let calls: Vec<String> = (0..CALLS).map(|id| call(id, "act")).collect();
    raw.send(&format!("[{}]", calls.join(",")));
    let lines = raw.lines_until(|line| line.starts_with('['));
    let answers: Vec<serde_json::Value> = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!(answers.len(), CALLS);
    let (came, refused): (Vec<_>, Vec<_>) =
        (answers.iter()).partition(|answer| answer["result"]["x"].is_string());
    assert!(
        !came.is_empty() && !refused.is_empty(),
        "{} came",
        came.len()
    );
    for answer in refused {
        assert_eq!(answer["error"]["data"]["class"], "overloaded", "{answer}");
    }
    // The budget is free again.
    raw.send(&call(CALLS, "act"));
    let lines = raw.lines_until(|line| line.contains("\"id\":40"));
    assert!(lines.last().unwrap().contains("xxx"));
    drop(raw.take_stdin());
    assert_eq!(raw.end(run).0, Some(0));
    copied_answers(run);
}

/// Answers that are written anew for the client wait for it at the expense of their own backend.
fn copied_answers(run: &Run<'_>) {
    const CALLS: usize = 150;
    let large = "x".repeat(200_000);
    let members = json!({ "resultType": "complete", "content": [], "x": large });
    let pretty = serde_json::to_string_pretty(&result(members.clone())).unwrap();
    let typed = Reply::status(200).header("content-type", "application/json");
    for (variant, bad, reply) in [
        ("pretty", default_backend(), typed.body(pretty)),
        ("modern", default_backend().modern(), Reply::result(members)),
    ] {
        run.set_variant(variant);
        let plan = plan_with(run, Arc::new(bad)).entry("max_in_flight = 8");
        let caps = "max_message_bytes = 4194304\nmax_buffered_bytes = 16777216";
        let (mut raw, backends) = RawProcess::start(run, plan.gateway(caps));
        let gate = Gate::new();
        let other = json!({ "content": [], "y": "y".repeat(500_000) });
        backends.bad.always_tool("act", reply);
        backends
            .good
            .on_tool("held", Reply::text("held").after(&gate));
        backends.good.on_tool("other", Reply::result(other));
        let initialize = INITIALIZE.replace("2025-11-25", "2025-03-26");
        for line in [&*initialize, INITIALIZED] {
            raw.send(line);
        }
        // The answers wait for that of the last call.
        let mut calls: Vec<String> = (0..CALLS).map(|id| call(id, "act")).collect();
        calls.push(call(CALLS, "held"));
        raw.send(&format!("[{}]", calls.join(",")));
        backends.bad.wait_for_requests("tools/call", CALLS);
        raw.send(&call(CALLS + 1, "other"));
        let lines = raw.lines_until(|line| line.contains("\"id\":151"));
        let answer = lines.last().unwrap();
        assert!(
            answer.contains("yyy"),
            "a neighbour's answer: {answer:.1000}"
        );
        gate.open();
        raw.lines_until(|line| line.starts_with('['));
        drop(raw.take_stdin());
        assert_eq!(raw.end(run).0, Some(0));
    }
}

/// Twenty MB of answers, of which the client takes 3 MB a second, after it has closed stdin or the
/// process was asked to end.
fn fault_97_slow_client(run: &Run<'_>) {
    const CALLS: usize = 40;
    for end in ["EOF", "TERM", "unread"] {
        run.set_variant(end);
        let (mut raw, backends) = RawProcess::start(run, plan(run).gateway("drain_ms = 600000"));
        let large = json!({ "content": [], "x": "x".repeat(500_000) });
        backends.bad.always_tool("act", Reply::result(large));
        raw.initialize();
        for id in 0..CALLS {
            raw.send(&call(id, "act"));
        }
        backends.bad.wait_for_requests("tools/call", CALLS);
        match end {
            "TERM" => raw.process.signal("TERM"),
            _ => drop(raw.take_stdin()),
        }
        let mut stdout = raw.take_stdout();
        if end == "unread" {
            let (code, log) = raw.end(run);
            assert_eq!(code, Some(1), "{log}");
            assert!(log.contains("the last answers can't be written"), "{log}");
            continue;
        }
        let reading = std::thread::spawn(move || {
            let (mut all, mut part) = (Vec::new(), vec![0; 64 * 1024]);
            loop {
                match stdout.read(&mut part).unwrap() {
                    0 => return all,
                    length => all.extend_from_slice(&part[..length]),
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let code = raw.end(run).0;
        let all = String::from_utf8(reading.join().unwrap()).unwrap();
        let whole = all.lines().filter(|line| {
            line.ends_with('}') && line.contains("\"result\"") && line.len() > 500_000
        });
        assert_eq!(
            (whole.count(), code),
            (CALLS, Some(0)),
            "{} bytes",
            all.len()
        );
    }
}

/// The client owns both pipes, as clients do, so that its death closes them.
fn fault_19_client_killed(run: &Run<'_>) {
    let mut parts = plan(run).gateway("drain_ms = 50").parts();
    let bad = &parts.backends.bad;
    bad.on_tool("act", Reply::stall());
    let (input, mut to_gateway) = std::io::pipe().unwrap();
    let (from_gateway, output) = std::io::pipe().unwrap();
    let pipes = parts.command.stdin(input).stdout(output);
    let gateway = pipes.stderr(Stdio::null()).spawn().unwrap();
    let mut gateway = ChildGuard::new(gateway, run.subject.timeout());
    // The command holds the other ends of the pipes.
    drop(parts.command);
    writeln!(to_gateway, "{INITIALIZE}").unwrap();
    let mut from_gateway = BufReader::new(from_gateway);
    from_gateway.read_line(&mut String::new()).unwrap();
    writeln!(to_gateway, "{INITIALIZED}\n{}", call(1, "act")).unwrap();
    bad.wait_for_requests("tools/call", 1);
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
    if run.subject.is_gateway() {
        bad.next_request("notifications/cancelled");
        bad.next_request("DELETE");
        assert_eq!(status.code(), Some(0));
    }
    run.record_runs(bad.runs("act"));
}
