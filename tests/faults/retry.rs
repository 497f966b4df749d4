//! Section G: retry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sentinel_gateway::backend::retry::backoff;
use serde_json::{Value, json};

use crate::common::gate::Gate;
use crate::common::reply::Reply;
use crate::fixture::{default_backend, plan, plan_with};
use crate::table::{Row, Run, rows};

pub const ROWS: &[Row] = rows! {
    "87" Nothing "each fault that can follow a sent request" => "at most one execution of a tool not known to be safe", fault_87_unsafe_tools_run_once;
    "88" Config "the same, safe tools" => "up to the maximum attempts", fault_88_safe_tools_get_their_attempts;
    "89" Config "1,000 calls to a dead backend" => "extra attempts ≤ 20 % + 10/s", fault_89_dead_backend;
    "90" Config "waits, queueing, a new session" => "covered by the deadline", fault_90_deadline_covers_all;
    "91" Config "attempt 100" => "backoff saturates", fault_91_backoff_saturates;
    "100" Config "a code that only the modern era uses, with any status, from a server of either era" => "no evidence: a tool not known to be safe runs once", fault_100_reserved_codes;
};

/// Replies after which the call may have run, but without an answer.
fn may_have_run() -> Vec<(&'static str, Reply)> {
    let json = || Reply::status(200).header("content-type", "application/json");
    let status = |status| Reply::status(status).runs(true);
    vec![
        ("hang-up", Reply::hang_up()),
        ("reset", Reply::reset()),
        ("500", status(500)),
        ("502", status(502)),
        ("503 of a proxy", status(503)),
        ("504", status(504)),
        (
            "truncated",
            json().body("{").length_off_by(9).then_hang_up(),
        ),
        (
            "reset during the call",
            Reply::sse().body(": hm\n\n").then_reset(),
        ),
        ("stream without answer", Reply::sse()),
    ]
}

/// Replies that leave open, or misstate, whether the call ran.
fn invalid_answers() -> Vec<(&'static str, Reply)> {
    let json = |body: &str| {
        let reply = Reply::status(200).header("content-type", "application/json");
        reply.body(body).runs(true)
    };
    vec![
        ("202", Reply::status(202)),
        ("no JSON", json("{")),
        (
            "another id",
            json(r#"{"jsonrpc":"2.0","id":99999,"result":{}}"#),
        ),
        ("a page", Reply::status(200).body("<html>")),
        (
            "garbage",
            Reply::raw("\u{0}\u{1}garbage\r\n\r\n").then_hang_up(),
        ),
        (
            "two lengths",
            Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}")
                .then_hang_up(),
        ),
        ("401 after it ran", Reply::status(401).runs(true)),
        ("413 after it ran", Reply::status(413).runs(true)),
        ("418 after it ran", Reply::status(418).runs(true)),
        (
            "a redirect after it ran",
            Reply::status(302).header("location", "/there"),
        ),
        (
            "lost session by message",
            Reply::error(-32001, "Session not found").runs(true),
        ),
    ]
}

fn fault_87_unsafe_tools_run_once(run: &Run<'_>) {
    let mut fixture = plan(run).retries(3).start();
    for (variant, reply) in may_have_run().into_iter().chain(invalid_answers()) {
        run.set_variant(variant);
        let before = fixture.bad.runs("act");
        fixture.bad.always_tool("act", reply);
        let answer = fixture.call("act");
        fixture.bad.reset_script("tools/call act");
        run.record_runs(fixture.bad.runs("act") - before);
        if fixture.is_gateway() {
            assert_eq!(answer.gateway_error().2, 1, "{}", answer.0.line);
        }
        fixture.expect_success("act");
    }
    for reply in [
        Reply::status(429),
        Reply::status(503).header("retry-after", "0"),
        Reply::status(404).runs(false),
    ] {
        let before = fixture.bad.runs("act");
        fixture.bad.on_tool("act", reply);
        let answer = fixture.call("act");
        run.record_runs(fixture.bad.runs("act") - before);
        if fixture.is_gateway() {
            assert_eq!(answer.text(), "act {}");
        }
    }
}

fn fault_88_safe_tools_get_their_attempts(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    for (variant, reply) in may_have_run() {
        run.set_variant(variant);
        let before = fixture.bad.runs("look");
        fixture.bad.on_tool("look", reply.clone());
        assert_eq!(fixture.call("look").text(), "look {}");
        assert_eq!(fixture.bad.runs("look") - before, 2);
        fixture.bad.always_tool("look", reply);
        let answer = fixture.call("look");
        fixture.bad.reset_script("tools/call look");
        assert_eq!(answer.gateway_error().2, 2, "{}", answer.0.line);
        fixture.expect_success("look");
    }
    for (variant, reply) in invalid_answers() {
        run.set_variant(variant);
        fixture.bad.always_tool("look", reply);
        let before = fixture.sent("look");
        fixture.call("look").error();
        fixture.bad.reset_script("tools/call look");
        let attempts = if variant.starts_with("lost session") {
            2
        } else {
            1
        };
        assert_eq!(fixture.sent("look") - before, attempts);
        fixture.expect_success("look");
    }
}

fn fault_89_dead_backend(run: &Run<'_>) {
    const CALLS: usize = 1_000;
    let mut fixture = plan(run).retries(3).start();
    fixture.expect_success("look");
    let sent = fixture.sent("look");
    fixture
        .bad
        .always_tool("look", Reply::status(500).runs(false));
    let begun = Instant::now();
    let ids: Vec<u64> = (0..CALLS)
        .map(|_| fixture.client().start_call("look", json!({})))
        .collect();
    fixture.check_good_backend();
    for id in ids {
        fixture.client().answer(id).error();
    }
    let seconds = begun.elapsed().as_secs() + 1;
    let extra = (fixture.sent("look") - sent).saturating_sub(CALLS as u64);
    // The retry budget starts with 10.
    let allowed = CALLS as u64 / 5 + 10 * seconds + 10;
    assert!(extra <= allowed, "{extra} extra attempts in {seconds} s");
    run.note(format!("{extra} extra attempts, {allowed} allowed"));
}

fn fault_90_deadline_covers_all(run: &Run<'_>) {
    let limits = "max_in_flight = 1\ntools.timeout_secs = { act = 1, look = 1 }";
    let mut fixture = plan(run).retries(20).entry(limits).start();
    fixture.expect_success("act");
    let longest = Duration::from_secs(4);

    run.set_variant("queueing");
    let gate = Gate::new();
    let before = fixture.bad.runs("act");
    fixture
        .bad
        .on_tool("act", Reply::text("too late").after(&gate));
    let begun = Instant::now();
    let calls = [(); 2].map(|()| fixture.client().start_call("act", json!({})));
    fixture.check_good_backend();
    let [running, queued] = calls.map(|call| fixture.client().answer(call));
    assert_eq!(running.gateway_error(), ("deadline", "unknown", 1));
    // It may just have got the other call's slot.
    queued.error();
    assert!(begun.elapsed() < longest);
    gate.open();
    run.record_runs((fixture.bad.runs("act") - before).min(2) / 2);

    run.set_variant("waits");
    fixture.bad.always_tool("look", Reply::status(500));
    let begun = Instant::now();
    let (_, executed, attempts) = {
        let answer = fixture.call("look");
        let (class, executed, attempts) = answer.gateway_error();
        (class.to_owned(), executed.to_owned(), attempts)
    };
    assert!(begun.elapsed() < longest);
    assert_eq!(executed, "unknown");
    assert!((2..20).contains(&attempts), "{attempts}");

    run.set_variant("a new session");
    fixture
        .bad
        .forget_sessions()
        .always("initialize", Reply::stall());
    let before = fixture.bad.runs("act");
    let begun = Instant::now();
    let answer = fixture.call("act");
    let (class, executed, _) = answer.gateway_error();
    assert_eq!((class, executed), ("deadline", "no"));
    assert!(begun.elapsed() < longest);
    run.record_runs(fixture.bad.runs("act") - before);
}

/// A hundred waits would take most of an hour, so this checks the function that computes them.
fn fault_91_backoff_saturates(run: &Run<'_>) {
    run.note("by the function that computes the waits");
    for attempt in [100, u32::MAX] {
        assert_eq!(backoff(attempt, &mut rand::rng()), Duration::from_secs(30));
    }
    plan(run).start().expect_success("act");
}

fn fault_100_reserved_codes(run: &Run<'_>) {
    let reply = |status: u16, id: Value, code: i64| {
        let error = json!({ "code": code, "message": "no" });
        let message = json!({ "jsonrpc": "2.0", "id": id, "error": error });
        Reply::json_as(status, &message).runs(true)
    };
    let (ours, nobody) = (json!("$id"), Value::Null);
    // Each makes the gateway ask for the era again, after which it waits before it connects.
    let legacy = [
        (400, nobody.clone(), -32022),
        (409, ours.clone(), -32020),
        (500, nobody.clone(), -32021),
        (502, json!("another"), -32022),
    ];
    let modern = [
        (200, ours.clone(), -32020),
        (404, ours.clone(), -32020),
        (500, ours, -32020),
        (405, nobody, -32022),
    ];
    let backends = [default_backend(), default_backend().modern()];
    for (backend, replies) in backends.into_iter().zip([legacy, modern]) {
        let mut fixture = plan_with(run, Arc::new(backend)).retries(3).start();
        for (status, id, code) in replies {
            run.set_variant(&format!("{code} with {status}"));
            let before = fixture.bad.runs("act");
            fixture.bad.on_tool("act", reply(status, id, code));
            let answer = fixture.call("act");
            run.record_runs(fixture.bad.runs("act") - before);
            let data = &answer.error()["data"];
            let executed = data["executed"]
                .as_str()
                .unwrap_or("the server's own error");
            assert_ne!(executed, "no", "{}", answer.0.line);
            fixture.expect_success("act");
        }
    }
}
