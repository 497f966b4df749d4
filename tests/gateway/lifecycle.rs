//! Cancellation, draining, and lost sessions.

use serde_json::json;

use sentinel_gateway::ExitReason;

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::TestGateway;
use crate::common::reply::Reply;

/// A gateway with a backend whose tool `slow` is held at a gate.
fn held(fake: &FakeBackend, more: &str) -> (TestGateway, Gate) {
    let gate = Gate::new();
    fake.always_tool("slow", Reply::text("done").after(&gate));
    let mut gateway = TestGateway::with_config(&fake.entry("fake", more));
    gateway.initialize();
    (gateway, gate)
}

#[test]
fn fault_12_eof_answers_calls_that_finish_within_the_drain_time() {
    let fake = FakeBackend::start().tool("slow");
    let (mut gateway, gate) = held(&fake, "");
    let id = gateway.start_call("slow", json!({}));
    gate.wait_for(1);
    gateway.eof();
    gate.open();
    assert_eq!(gateway.answer(id).text(), "done");
    assert_eq!(gateway.exit(), ExitReason::EndOfInput);
    assert_eq!(fake.requests_of("DELETE").len(), 1);
}

#[test]
fn fault_12_eof_ends_calls_that_exceed_the_drain_time() {
    let fake = FakeBackend::start().tool("slow");
    let gate = Gate::new();
    fake.on_tool("slow", Reply::text("done").after(&gate));
    let toml = "[gateway]\ndrain_ms = 50\n".to_owned() + &fake.entry("fake", "");
    let mut gateway = TestGateway::with_config(&toml);
    gateway.initialize();
    let id = gateway.start_call("slow", json!({}));
    gate.wait_for(1);
    gateway.eof();
    let answer = gateway.answer(id);
    let (class, executed, _) = answer.gateway_error();
    assert_eq!((class, executed), ("shutting_down", "unknown"));
    assert!(answer.message().contains("MAY HAVE RUN"));
    assert_eq!(gateway.exit(), ExitReason::EndOfInput);
    let call = fake.next_request("tools/call").message["id"].clone();
    let cancelled = fake.next_request("notifications/cancelled");
    assert_eq!(cancelled.params()["requestId"], call);
}

#[test]
fn fault_12_eof_ends_the_wait_for_backends() {
    let fake = FakeBackend::start().tool("slow");
    fake.always("initialize", Reply::stall());
    let toml = "[gateway]\nstartup_wait_ms = 600000\n".to_owned() + &fake.entry("fake", "");
    let mut gateway = TestGateway::with_config(&toml);
    gateway.initialize();
    let list = gateway.request("tools/list", json!({}));
    gateway.eof();
    assert_eq!(gateway.answer(list).result()["tools"], json!([]));
    assert_eq!(gateway.exit(), ExitReason::EndOfInput);
}

#[test]
fn fault_17_a_signal_drains_and_the_second_ends_immediately() {
    let fake = FakeBackend::start().tool("slow");
    let (mut gateway, gate) = held(&fake, "");
    let id = gateway.start_call("slow", json!({}));
    gate.wait_for(1);
    gateway.shut_down();
    gate.open();
    assert_eq!(gateway.answer(id).text(), "done");
    assert_eq!(gateway.exit(), ExitReason::Signal);

    let toml = "[gateway]\ndrain_ms = 600000\n".to_owned() + &fake.entry("fake", "");
    let gate = Gate::new();
    fake.always_tool("slow", Reply::text("done").after(&gate));
    let mut gateway = TestGateway::with_config(&toml);
    gateway.initialize();
    let id = gateway.start_call("slow", json!({}));
    gate.wait_for(1);
    gateway.shut_down();
    gateway.shut_down();
    assert_eq!(gateway.exit(), ExitReason::SecondSignal);
    assert_eq!(gateway.answer(id).gateway_error().0, "shutting_down");
}

#[test]
fn fault_80_a_restart_under_many_calls_costs_one_handshake() {
    let fake = FakeBackend::start().tool("echo");
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize();
    gateway.call("echo", json!({})).result();
    fake.go_down().forget_sessions().come_up();
    let ids: Vec<u64> = (0..100)
        .map(|n| gateway.start_call("echo", json!({ "n": n })))
        .collect();
    for (n, id) in ids.into_iter().enumerate() {
        assert_eq!(gateway.answer(id).text(), format!(r#"echo {{"n":{n}}}"#));
    }
    assert_eq!(fake.requests_of("initialize").len(), 2);
    assert_eq!(fake.runs("echo"), 101);
}

#[test]
fn fault_80_a_session_lost_under_many_calls_is_renewed_once() {
    let fake = FakeBackend::start().tool("slow");
    let (mut gateway, gate) = held(&fake, "");
    gate.open();
    gateway.call("slow", json!({})).result();
    fake.forget_sessions();
    let ids: Vec<u64> = (0..100)
        .map(|_| gateway.start_call("slow", json!({})))
        .collect();
    for id in ids {
        assert_eq!(gateway.answer(id).text(), "done");
    }
    assert_eq!(fake.requests_of("initialize").len(), 2);
    assert_eq!(fake.runs("slow"), 101);
}

#[test]
fn fault_84_a_cancelled_call_is_cancelled_at_the_backend_by_its_id_there_and_frees_its_slot() {
    let fake = FakeBackend::start().tool("slow").tool("echo");
    let (mut gateway, gate) = held(&fake, "max_in_flight = 1");
    let id = gateway.start_call("slow", json!({}));
    gate.wait_for(1);
    let queued = gateway.start_call("echo", json!({}));
    gateway.cancel(id);
    assert_eq!(gateway.answer(queued).text(), "echo {}");
    let call = fake.next_request("tools/call");
    let cancelled = fake.next_request("notifications/cancelled");
    assert_eq!(cancelled.params()["requestId"], call.message["id"]);
    // The id is free again.
    gateway.request_as(id, "ping", json!({}));
    gateway.answer(id).result();
}

#[test]
fn fault_84_a_call_cancelled_in_the_queue_never_reaches_the_backend() {
    let fake = FakeBackend::start().tool("slow").tool("echo");
    let (mut gateway, gate) = held(&fake, "max_in_flight = 1");
    let first = gateway.start_call("slow", json!({}));
    gate.wait_for(1);
    let queued = gateway.start_call("echo", json!({ "n": 1 }));
    let next = gateway.start_call("echo", json!({ "n": 2 }));
    gateway.cancel(queued);
    // The gateway has read the cancellation before this.
    gateway.ask("ping", json!({})).result();
    gate.open();
    assert_eq!(gateway.answer(first).text(), "done");
    assert_eq!(gateway.answer(next).text(), r#"echo {"n":2}"#);
    assert_eq!(fake.runs("echo"), 1);
    assert!(fake.requests_of("notifications/cancelled").is_empty());
}

#[test]
fn fault_84_a_cancellation_of_an_unknown_request_is_ignored() {
    let fake = FakeBackend::start().tool("slow");
    let (mut gateway, gate) = held(&fake, "");
    gateway.cancel(77);
    gateway.request_as(77, "ping", json!({}));
    gateway.answer(77).result();
    for params in [
        json!({}),
        json!({ "requestId": null }),
        json!({ "requestId": {} }),
    ] {
        gateway.notify("notifications/cancelled", params);
    }
    let id = gateway.start_call("slow", json!({}));
    gate.wait_for(1);
    // The same digits as a string are another id.
    gateway.cancel(id.to_string());
    gate.open();
    assert_eq!(gateway.answer(id).text(), "done");
    gateway.cancel(id);
    gateway.cancel(id);
    let id = gateway.start_call("slow", json!({}));
    assert_eq!(gateway.answer(id).text(), "done");
    assert!(fake.requests_of("notifications/cancelled").is_empty());
}

#[test]
fn fault_84_a_call_cancelled_twice_is_cancelled_once() {
    let fake = FakeBackend::start().tool("slow").tool("echo");
    let (mut gateway, gate) = held(&fake, "");
    let id = gateway.start_call("slow", json!({}));
    gate.wait_for(1);
    gateway.cancel(id);
    gateway.cancel(id);
    fake.next_request("notifications/cancelled");
    gate.open();
    gateway.eof();
    assert_eq!(gateway.exit(), ExitReason::EndOfInput);
    assert_eq!(fake.requests_of("notifications/cancelled").len(), 1);
}

/// The lists have changed by then. The protocol checker fails the test if that is sent before the
/// client is ready.
#[test]
fn a_client_that_is_not_ready_gets_only_log_messages() {
    let fake = FakeBackend::start().tool("t").with_get();
    let mut gateway = TestGateway::over(&fake);
    gateway.send_initialize("2025-11-25", json!({})).result();
    let log = json!({ "level": "warning", "data": "early" });
    fake.notify_clients("notifications/message", log);
    let message = gateway.next_notification("notifications/message");
    assert_eq!(message.params()["data"], "early");
}
