//! Which calls are retried, how often and until when, counted at the backend.

use std::time::{Duration, Instant};

use sentinel_gateway::backend::retry::backoff;
use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::TestGateway;
use crate::common::reply::Reply;

fn initialized(toml: &str) -> TestGateway {
    let mut gateway = TestGateway::with_config(toml);
    gateway.initialize();
    gateway
}

fn read_only() -> Value {
    json!({ "annotations": { "readOnlyHint": true } })
}

/// Every fault after which a call may have run without an answer.
fn may_have_run() -> Vec<(&'static str, Reply)> {
    let json = || Reply::status(200).header("content-type", "application/json");
    vec![
        ("hang-up", Reply::hang_up()),
        ("reset", Reply::reset()),
        ("500", Reply::status(500)),
        ("502", Reply::status(502)),
        ("503 of a proxy", Reply::status(503).runs(true)),
        ("504", Reply::status(504)),
        (
            "truncated",
            json().body("{").length_off_by(9).then_hang_up(),
        ),
        ("reset at work", Reply::sse().body(": hm\n\n").then_reset()),
        ("stream without answer", Reply::sse()),
    ]
}

#[test]
fn fault_87_a_tool_not_known_to_be_safe_runs_at_most_once() {
    let fake = FakeBackend::start().tool("write").tool("fine");
    let mut gateway = initialized(&fake.entry("fake", ""));
    for (ran, (fault, reply)) in may_have_run().into_iter().enumerate() {
        // A success in between keeps the breaker closed.
        gateway.call("fine", json!({})).result();
        fake.on_tool("write", reply);
        let answer = gateway.call("write", json!({}));
        let (_, executed, attempts) = answer.gateway_error();
        assert_eq!((executed, attempts), ("unknown", 1), "{fault}");
        assert!(answer.message().contains("MAY HAVE RUN"), "{fault}");
        assert_eq!(fake.runs("write"), ran + 1, "{fault}");
    }
}

#[test]
fn fault_87_an_unprocessed_call_is_sent_again_and_runs_once() {
    let fake = FakeBackend::start().tool("write");
    let mut gateway = initialized(&fake.entry("fake", ""));
    let not_taken = [
        Reply::status(429),
        Reply::status(429).header("retry-after", "0"),
        Reply::status(503).header("retry-after", "0"),
        Reply::status(404).runs(false),
    ];
    for (ran, reply) in not_taken.into_iter().enumerate() {
        fake.on_tool("write", reply);
        assert_eq!(gateway.call("write", json!({})).text(), "write {}");
        assert_eq!(fake.runs("write"), ran + 1);
    }
}

#[test]
fn fault_87_a_permanent_refusal_is_not_sent_again() {
    let fake = FakeBackend::start().tool_with("read", read_only());
    let mut gateway = initialized(&fake.entry("fake", ""));
    for (status, class, executed) in [
        (401, "auth_required", "no"),
        (403, "auth_required", "unknown"),
        (405, "refused", "unknown"),
        (413, "too_large", "unknown"),
        (418, "refused", "unknown"),
    ] {
        fake.on_tool("read", Reply::status(status));
        let answer = gateway.call("read", json!({}));
        assert_eq!(answer.gateway_error(), (class, executed, 1), "{status}");
    }
    assert_eq!(fake.runs("read"), 0);
}

#[test]
fn fault_88_a_safe_tool_gets_up_to_all_its_attempts() {
    let fake = FakeBackend::start()
        .tool_with("read", read_only())
        .tool_with("put", json!({ "annotations": { "idempotentHint": true } }))
        .tool("named");
    let more = "retries = 1\ntools.retry = { named = \"always\" }";
    let mut gateway = initialized(&fake.entry("fake", more));
    for tool in ["read", "put", "named"] {
        let mut expected = 0;
        for (fault, reply) in may_have_run() {
            fake.on_tool(tool, reply.clone());
            assert_eq!(
                gateway.call(tool, json!({})).text(),
                format!("{tool} {{}}"),
                "{fault}"
            );
            expected += 2;
            assert_eq!(fake.runs(tool), expected, "{fault}");
        }
    }
    fake.always_tool("read", Reply::hang_up());
    let answer = gateway.call("read", json!({}));
    assert_eq!(answer.gateway_error(), ("outcome_unknown", "unknown", 2));
}

#[test]
fn fault_89_a_dead_backend_sees_few_extra_attempts() {
    const CALLS: usize = 1_000;
    let fake = FakeBackend::start().tool_with("read", read_only());
    let mut gateway = initialized(&fake.entry("fake", ""));
    gateway.list_tools();
    fake.always_tool("read", Reply::status(500).runs(false));
    let started = Instant::now();
    for _ in 0..CALLS {
        gateway.start_call("read", json!({}));
    }
    for _ in 0..CALLS {
        let answer = gateway.next_message();
        assert_eq!(answer.json["error"]["data"]["class"], "outcome_unknown");
    }
    let seconds = started.elapsed().as_secs() as usize + 1;
    let extra = fake.requests_of("tools/call").len() - CALLS;
    assert!(extra > 0, "no call was sent again");
    // The retry budget starts with 10.
    assert!(
        extra <= CALLS / 5 + 10 * seconds + 10,
        "{extra} in {seconds} s"
    );
}

#[test]
fn fault_90_the_deadline_covers_the_queue_and_the_answer() {
    let fake = FakeBackend::start().tool("slow");
    let gate = Gate::new();
    fake.always_tool("slow", Reply::text("too late").after(&gate));
    let mut gateway = initialized(&fake.entry("fake", "timeout_secs = 1\nmax_in_flight = 1"));
    let running = gateway.start_call("slow", json!({}));
    gate.wait_for(1);
    let queued = gateway.start_call("slow", json!({}));
    assert_eq!(
        gateway.answer(running).gateway_error(),
        ("deadline", "unknown", 1)
    );
    gateway.answer(queued).error();
    fake.next_request("notifications/cancelled");
}

#[test]
fn fault_90_the_deadline_covers_the_waits_between_attempts() {
    let fake = FakeBackend::start()
        .tool("busy")
        .tool_with("read", read_only());
    let more = "timeout_secs = 1\nretries = 20";
    let mut gateway = initialized(&fake.entry("fake", more));
    fake.on_tool("busy", Reply::status(429).header("retry-after", "2"));
    let busy = gateway.call("busy", json!({}));
    assert_eq!(busy.gateway_error(), ("rate_limited", "no", 1));
    fake.always_tool("read", Reply::status(500));
    let started = Instant::now();
    let answer = gateway.call("read", json!({}));
    assert!(started.elapsed() < Duration::from_secs(5));
    let (_, executed, attempts) = answer.gateway_error();
    assert_eq!(executed, "unknown");
    assert!((2..20).contains(&attempts), "{attempts}");
}

#[test]
fn fault_90_the_deadline_covers_a_new_handshake() {
    let fake = FakeBackend::start().tool("echo");
    let limit = "tools.timeout_secs = { echo = 1 }";
    let mut gateway = initialized(&fake.entry("fake", limit));
    gateway.call("echo", json!({})).result();
    fake.forget_sessions().always("initialize", Reply::stall());
    let answer = gateway.call("echo", json!({}));
    let (class, executed, _) = answer.gateway_error();
    assert_eq!((class, executed), ("deadline", "no"));
    assert_eq!(fake.runs("echo"), 1);
}

#[test]
fn fault_91_the_hundredth_backoff_does_not_exceed_the_maximum() {
    for attempt in [100, u32::MAX] {
        assert_eq!(backoff(attempt, &mut rand::rng()), Duration::from_secs(30));
    }
}
