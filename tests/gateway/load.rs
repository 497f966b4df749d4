//! Many concurrent calls, and one failing backend among working ones.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::TestGateway;
use crate::common::message::{progress, text};
use crate::common::reply::Reply;

fn initialized(toml: &str) -> TestGateway {
    let mut gateway = TestGateway::with_config(toml);
    gateway.initialize();
    gateway
}

/// The 99th percentile of the duration of 200 calls.
fn p99_of_echo(gateway: &mut TestGateway) -> Duration {
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            let started = Instant::now();
            gateway.call("echo", json!({})).result();
            started.elapsed()
        })
        .collect();
    times.sort();
    times[197]
}

#[test]
fn calls_run_concurrently_and_are_answered_as_they_finish() {
    let fake = FakeBackend::start().tool("slow").tool("quick");
    let gate = Gate::new();
    fake.on_tool("slow", Reply::text("slow").after(&gate));
    let mut gateway = initialized(&fake.entry("fake", ""));
    let slow = gateway.start_call("slow", json!({}));
    gate.wait_for(1);
    let quick = gateway.call("quick", json!({}));
    gateway.ask("ping", json!({})).result();
    assert_eq!(gateway.tool_names(), ["slow", "quick"]);
    gate.open();
    let slow = gateway.answer(slow);
    assert!(quick.0.at < slow.0.at);
}

#[test]
fn progress_is_sent_in_order_before_the_response() {
    let fake = FakeBackend::start().tool("work");
    let steps = (1..=20).fold(Reply::sse(), |reply, n| reply.event(progress(f64::from(n))));
    fake.on_tool("work", steps.event(text("done")));
    let mut gateway = initialized(&fake.entry("fake", ""));
    let id = gateway.start_call_with_progress("work", "mine");
    for n in 1..=20 {
        let received = gateway.next_message();
        assert_eq!(received.params()["progress"], f64::from(n));
        assert_eq!(received.params()["progressToken"], "mine");
    }
    assert_eq!(*gateway.next_message().id(), id);
}

#[test]
fn fault_81_a_backend_that_hangs_does_not_slow_others() {
    let (hung, good) = (
        FakeBackend::start().tool("hang"),
        FakeBackend::start().tool("echo"),
    );
    let gate = Gate::new();
    hung.always_tool("hang", Reply::text("at last").after(&gate));
    let hung_entry = hung.entry("hung", "max_in_flight = 20");
    let mut gateway = initialized(&(hung_entry + &good.entry("good", "")));
    let alone = p99_of_echo(&mut gateway);
    let ids: Vec<u64> = (0..100)
        .map(|_| gateway.start_call("hang", json!({})))
        .collect();
    gate.wait_for(20);
    let beside = p99_of_echo(&mut gateway);
    // The limit is loose, because machines are noisy: waiting for the other backend would never end.
    assert!(
        beside < alone * 10 + Duration::from_millis(200),
        "{alone:?}, then {beside:?}"
    );
    gate.open();
    for id in ids {
        assert_eq!(gateway.answer(id).text(), "at last");
    }
}

#[test]
fn fault_83_ten_thousand_concurrent_calls_get_ten_thousand_answers() {
    const CALLS: usize = 10_000;
    const LIMIT: usize = 500;
    let fake = FakeBackend::start().tool("hold");
    let gate = Gate::new();
    fake.always_tool("hold", Reply::text("done").after(&gate));
    let toml = format!("[gateway]\nmax_in_flight = {LIMIT}\n");
    let mut gateway = initialized(&(toml + &fake.entry("fake", "max_in_flight = 50")));
    gateway.list_tools();
    for _ in 0..CALLS {
        gateway.start_call("hold", json!({}));
    }
    for _ in 0..CALLS - LIMIT {
        let refusal = gateway.next_message();
        let data = &refusal.json["error"]["data"];
        assert_eq!(
            (&data["class"], &data["executed"]),
            (&json!("overloaded"), &json!("no"))
        );
    }
    gate.open();
    for _ in 0..LIMIT {
        let answer = gateway.next_message();
        assert!(answer.json["result"].is_object(), "{}", answer.line);
    }
    assert_eq!(fake.runs("hold"), LIMIT);
    gateway.call("hold", json!({})).result();
}

#[test]
fn fault_83_the_queue_for_a_backend_is_first_come_first_served() {
    let fake = FakeBackend::start().tool("echo");
    let gate = Gate::new();
    fake.on_tool("echo", Reply::text("first").after(&gate));
    let mut gateway = initialized(&fake.entry("fake", "max_in_flight = 1"));
    gateway.list_tools();
    let ids: Vec<u64> = (0..50)
        .map(|n| gateway.start_call("echo", json!({ "n": n })))
        .collect();
    gate.wait_for(1);
    gate.open();
    for id in ids {
        gateway.answer(id).result();
    }
    let came = fake.requests_of("tools/call").into_iter();
    let order: Vec<u64> = came
        .map(|call| call.params()["arguments"]["n"].as_u64().unwrap())
        .collect();
    assert_eq!(order, (0..50).collect::<Vec<u64>>());
}
