//! The circuit breaker: a backend that keeps failing is not called, and is probed later.

use serde_json::json;

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::{Answer, TestGateway};
use crate::common::reply::Reply;

/// The number of consecutive failures that opens a breaker.
const FAILURES: usize = 5;

fn initialized(fakes: &[(&str, &FakeBackend)]) -> TestGateway {
    let entries = fakes
        .iter()
        .map(|(name, fake)| fake.entry(name, "retries = 0"));
    let mut gateway = TestGateway::with_config(&entries.collect::<String>());
    gateway.initialize();
    gateway
}

fn assert_refused(answer: &Answer, reason: &str) {
    assert_eq!(answer.gateway_error(), ("unreachable", "no", 0));
    let message = answer.message();
    let beginning = format!("bad: not called, because its last 5 calls failed ({reason}");
    assert!(message.starts_with(&beginning), "{message}");
    assert!(message.contains("tried again in 1 s"), "{message}");
    assert!(message.ends_with("the tool did not run"), "{message}");
}

#[test]
fn fault_79_server_errors_open_it_and_the_first_answer_closes_it() {
    let bad = FakeBackend::start().tool("act").tool("look");
    let good = FakeBackend::start().tool("echo");
    bad.always_tool("act", Reply::status(502));
    let mut gateway = initialized(&[("bad", &bad), ("good", &good)]);
    for _ in 0..FAILURES {
        assert_eq!(
            gateway.call("act", json!({})).gateway_error().0,
            "outcome_unknown"
        );
    }
    let reason = "the server answered HTTP 502";
    assert_refused(&gateway.call("act", json!({})), reason);
    // The breaker is the backend's, not the tool's.
    assert_refused(&gateway.call("look", json!({})), reason);
    assert_eq!((bad.runs("act"), bad.runs("look")), (FAILURES, 0));
    gateway.call("echo", json!({})).result();

    bad.reset_script("tools/call act");
    gateway.call_until_success("look");
    let calls: Vec<u64> = (0..20)
        .map(|_| gateway.start_call("act", json!({})))
        .collect();
    for id in calls {
        gateway.answer(id).result();
    }
    assert_eq!(bad.runs("look"), 1, "more than one probe");
}

#[test]
fn fault_79_a_backend_that_is_back_is_called_again() {
    let bad = FakeBackend::start().tool("act");
    let mut gateway = initialized(&[("bad", &bad)]);
    gateway.call("act", json!({})).result();
    bad.go_down();
    for _ in 0..FAILURES {
        let answer = gateway.call("act", json!({}));
        assert!(answer.message().contains("connection"), "{answer:?}");
    }
    assert_eq!(gateway.call("act", json!({})).gateway_error().2, 0);
    bad.come_up();
    gateway.call_until_success("act");
}

#[test]
fn fault_79_a_tools_own_errors_and_refusals_never_open_it() {
    let bad = FakeBackend::start().tool("act");
    let mut gateway = initialized(&[("bad", &bad)]);
    let failed = json!({ "content": [{ "type": "text", "text": "no" }], "isError": true });
    for reply in [
        Reply::result(failed),
        Reply::error(-32603, "no"),
        Reply::status(400),
        Reply::status(403),
        Reply::status(429),
    ] {
        bad.always_tool("act", reply);
        for _ in 0..2 * FAILURES {
            gateway.call("act", json!({}));
        }
    }
    assert_eq!(bad.requests_of("tools/call").len(), 10 * FAILURES);
    bad.reset_script("tools/call act");
    gateway.call("act", json!({})).result();
}

#[test]
fn fault_79_while_one_call_probes_the_backend_all_others_are_refused() {
    let bad = FakeBackend::start().tool("act");
    let mut gateway = initialized(&[("bad", &bad)]);
    bad.always_tool("act", Reply::status(502));
    for _ in 0..FAILURES {
        gateway.call("act", json!({}));
    }
    let gate = Gate::new();
    bad.always_tool("act", Reply::text("back").after(&gate));
    let sent = || bad.requests_of("tools/call").len() - FAILURES;

    // Each refused call is answered, whether or not the other one is the probe.
    gateway.start_call("act", json!({}));
    while sent() == 0 {
        gateway.start_call("act", json!({}));
        assert_eq!(Answer(gateway.next_message()).gateway_error().2, 0);
    }
    for _ in 0..20 {
        gateway.start_call("act", json!({}));
        assert_eq!(Answer(gateway.next_message()).gateway_error().2, 0);
    }
    assert_eq!(sent(), 1);

    gate.open();
    assert_eq!(Answer(gateway.next_message()).text(), "back");
    assert_eq!(gateway.call("act", json!({})).text(), "back");
}

#[test]
fn a_subscription_is_refused_like_a_call_and_its_failures_count() {
    let bad = FakeBackend::start()
        .tool("act")
        .resource("a:b")
        .capabilities(json!({ "resources": { "subscribe": true } }));
    bad.always("resources/subscribe", Reply::status(502));
    let mut gateway = initialized(&[("bad", &bad)]);
    let about = json!({ "uri": "a:b" });
    for _ in 0..FAILURES {
        let answer = gateway.ask("resources/subscribe", about.clone());
        assert!(answer.message().contains("HTTP 502"), "{answer:?}");
    }
    let refused = gateway.ask("resources/subscribe", about.clone());
    let message = refused.message();
    assert!(message.starts_with("bad: not called, because"), "{message}");
    assert_eq!(refused.gateway_error(), ("unreachable", "no", 0));
    let reason = "the server answered HTTP 502";
    assert_refused(&gateway.call("act", json!({})), reason);
    let reached = bad.requests_of("resources/subscribe").len();
    assert_eq!((reached, bad.runs("act")), (FAILURES, 0));

    bad.reset_script("resources/subscribe");
    gateway.call_until_success("act");
    gateway.ask("resources/subscribe", about).result();
}
