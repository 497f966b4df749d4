//! A modern backend that answers with `input_required`, with clients of either era.

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::TestGateway;
use crate::common::message::{attributed, complete_text, error_with, input_required, progress};
use crate::common::reply::Reply;

const VERSION: &str = "2025-11-25";

fn everything() -> Value {
    json!({ "sampling": {}, "roots": {}, "elicitation": { "form": {}, "url": {} } })
}

fn backend() -> FakeBackend {
    FakeBackend::start().tool("ask").modern()
}

fn legacy(fake: &FakeBackend, capabilities: Value) -> TestGateway {
    let mut gateway = TestGateway::over(fake);
    gateway.initialize_with(VERSION, capabilities);
    gateway
}

fn form(message: &str) -> Value {
    let params = json!({ "mode": "form", "message": message, "requestedSchema": {} });
    json!({ "method": "elicitation/create", "params": params })
}

/// The params of the nth call that the backend received, counted from 0.
fn sent(fake: &FakeBackend, nth: usize) -> Value {
    fake.requests_of("tools/call")[nth].params().clone()
}

#[test]
fn a_legacy_client_gets_all_requests_concurrently_and_the_call_continues() {
    let fake = backend();
    let input_requests = json!({
        "a key \"x\"": form("name?"),
        "sample": { "method": "sampling/createMessage", "params": { "messages": [], "maxTokens": 3 } },
        "roots": { "method": "roots/list" },
    });
    fake.on_tool(
        "ask",
        Reply::input_required(&input_requests, Some("s\u{e9}\"1")),
    );
    let mut gateway = legacy(&fake, everything());
    let call = gateway.start_call("ask", json!({ "n": 1 }));
    let roots = gateway.next_request("roots/list");
    let sample = gateway.next_request("sampling/createMessage");
    let elicit = gateway.next_request("elicitation/create");
    let sent_params = json!({ "messages": [], "maxTokens": 3 });
    assert_eq!(
        *sample.params(),
        attributed("fake", "sampling/createMessage", sent_params)
    );
    gateway.respond(&sample, json!({ "role": "assistant", "x": 1.0 }));
    gateway.respond(
        &elicit,
        json!({ "action": "accept", "content": { "name": "n" } }),
    );
    gateway.respond(&roots, json!({ "roots": [] }));
    assert_eq!(gateway.answer(call).text(), r#"ask {"n":1}"#);

    let (first, second) = (sent(&fake, 0), sent(&fake, 1));
    assert_eq!(first["requestState"], Value::Null);
    assert_eq!(second["requestState"], "s\u{e9}\"1");
    assert_eq!(second["arguments"], json!({ "n": 1 }));
    assert_eq!(
        second["inputResponses"],
        json!({
            "a key \"x\"": { "action": "accept", "content": { "name": "n" } },
            "sample": { "role": "assistant", "x": 1.0 },
            "roots": { "roots": [] },
        })
    );
    let ids: Vec<Value> = fake
        .requests_of("tools/call")
        .iter()
        .map(|r| r.message["id"].clone())
        .collect();
    assert_ne!(ids[0], ids[1]);
    assert_eq!(fake.runs("ask"), 1);
}

#[test]
fn a_state_of_an_earlier_round_is_not_sent_again() {
    let fake = backend();
    fake.on_tool(
        "ask",
        Reply::input_required(&json!({ "a": form("1") }), Some("one")),
    );
    fake.on_tool(
        "ask",
        Reply::input_required(&json!({ "b": form("2") }), None),
    );
    let mut gateway = legacy(&fake, everything());
    let call = gateway.start_call("ask", json!({}));
    for _ in 0..2 {
        let server_request = gateway.next_request("elicitation/create");
        gateway.respond(&server_request, json!({ "action": "accept" }));
    }
    gateway.answer(call).result();
    let last = sent(&fake, 2);
    assert_eq!(last.get("requestState"), None);
    assert_eq!(
        last["inputResponses"],
        json!({ "b": { "action": "accept" } })
    );
}

#[test]
fn a_state_without_input_requests_is_returned_without_the_client() {
    let fake = backend();
    fake.on_tool("ask", Reply::input_required(&Value::Null, Some("later")));
    let mut gateway = legacy(&fake, everything());
    gateway.call("ask", json!({})).result();
    let second = sent(&fake, 1);
    assert_eq!(second["requestState"], "later");
    assert_eq!(second.get("inputResponses"), None);
}

#[test]
fn an_elicitation_error_is_a_cancel_and_other_errors_end_the_call() {
    let fake = backend();
    fake.on_tool(
        "ask",
        Reply::input_required(&json!({ "a": form("?") }), None),
    );
    let mut gateway = legacy(&fake, everything());
    let call = gateway.start_call("ask", json!({}));
    let server_request = gateway.next_request("elicitation/create");
    gateway.refuse(&server_request, -1, "no");
    gateway.answer(call).result();
    assert_eq!(
        sent(&fake, 1)["inputResponses"],
        json!({ "a": { "action": "cancel" } })
    );

    let server_requests = json!({
        "roots": { "method": "roots/list" }, "a": form("?"),
    });
    fake.on_tool("ask", Reply::input_required(&server_requests, None));
    let call = gateway.start_call("ask", json!({}));
    let open = gateway.next_request("elicitation/create");
    let server_request = gateway.next_request("roots/list");
    gateway.refuse(&server_request, -1, "the user said no");
    let cancelled = gateway.next_notification("notifications/cancelled");
    assert_eq!(cancelled.params()["requestId"], *open.id());
    let refused = gateway.answer(call);
    assert_eq!(
        *refused.error(),
        json!({ "code": -1, "message": "the user said no" })
    );
    assert_eq!(fake.requests_of("tools/call").len(), 3);
}

#[test]
fn a_url_elicitation_gets_the_id_that_the_legacy_era_requires() {
    let fake = backend();
    let params = json!({ "mode": "url", "message": "m", "url": "https://a.example" });
    let server_request = json!({ "u": { "method": "elicitation/create", "params": params } });
    fake.on_tool("ask", Reply::input_required(&server_request, None));
    let mut gateway = legacy(&fake, everything());
    let call = gateway.start_call("ask", json!({}));
    let server_request = gateway.next_request("elicitation/create");
    assert_eq!(server_request.params()["url"], "https://a.example");
    assert!(
        server_request.params()["elicitationId"]
            .as_str()
            .unwrap()
            .len()
            >= 32
    );
    gateway.respond(&server_request, json!({ "action": "accept" }));
    gateway.answer(call).result();
}

#[test]
fn a_capability_that_a_legacy_client_lacks_fails_the_call_and_is_named() {
    let fake = backend();
    let input_requests = json!({ "roots": { "method": "roots/list" }, "a": form("?") });
    fake.on_tool("ask", Reply::input_required(&input_requests, None));
    let mut gateway = legacy(&fake, json!({ "elicitation": { "url": {} } }));
    let refused = gateway.call("ask", json!({}));
    assert_eq!(refused.code(), -32603);
    for part in ["fake: ", "elicitation by form", "roots"] {
        assert!(refused.message().contains(part), "{}", refused.message());
    }
    let data = json!({ "requiredCapabilities": { "roots": {} } });
    fake.on_tool(
        "ask",
        Reply::json_as(400, &error_with(-32021, "needs roots", &data)),
    );
    let refused = gateway.call("ask", json!({}));
    assert_eq!((refused.code(), refused.message()), (-32603, "needs roots"));
    assert_eq!(refused.error()["data"], data);
}

#[test]
fn progress_increases_over_all_rounds_under_the_clients_token() {
    let fake = backend();
    let round = |values: &[f64], end: Value| {
        let events = values.iter().map(|value| progress(*value));
        events.chain([end]).fold(Reply::sse(), Reply::event)
    };
    let ask = || input_required(&json!({ "a": form("?") }), Some("s"));
    fake.on_tool("ask", round(&[1.0, 5.0], ask()).runs(false));
    fake.on_tool("ask", round(&[2.0, 6.0], complete_text("done")));
    let mut gateway = legacy(&fake, everything());
    let call = gateway.start_call_with_progress("ask", "mine");
    let server_request = gateway.next_request("elicitation/create");
    gateway.respond(&server_request, json!({ "action": "accept" }));
    for value in [1.0, 5.0, 6.0] {
        let received = gateway.next_notification("notifications/progress");
        assert_eq!(
            received.params(),
            &json!({ "progressToken": "mine", "progress": value })
        );
    }
    assert_eq!(gateway.answer(call).text(), "done");
    let tokens = [0, 1].map(|nth| sent(&fake, nth)["_meta"]["progressToken"].clone());
    assert_ne!(tokens[0], tokens[1]);
}

#[test]
fn a_cancelled_call_cancels_its_server_requests() {
    let fake = backend();
    fake.on_tool(
        "ask",
        Reply::input_required(&json!({ "a": form("?"), "b": form("?") }), None),
    );
    let mut gateway = legacy(&fake, everything());
    let call = gateway.start_call("ask", json!({}));
    let mut open = [
        gateway.next_request("elicitation/create").id().clone(),
        gateway.next_request("elicitation/create").id().clone(),
    ];
    gateway.cancel(call);
    let mut cancelled = [0, 1].map(|_| {
        let received = gateway.next_notification("notifications/cancelled");
        received.params()["requestId"].clone()
    });
    open.sort_by_key(Value::as_u64);
    cancelled.sort_by_key(Value::as_u64);
    assert_eq!(open, cancelled);

    let gate = Gate::new();
    fake.on_tool(
        "ask",
        Reply::input_required(&json!({ "a": form("?") }), None),
    );
    fake.on_tool("ask", Reply::json(&complete_text("late")).after(&gate));
    let call = gateway.start_call("ask", json!({}));
    let server_request = gateway.next_request("elicitation/create");
    gateway.respond(&server_request, json!({ "action": "accept" }));
    gate.wait_for(1);
    gateway.cancel(call);
    gate.wait_for_disconnects(1);
}

/// Another call with the same deadline of two seconds ends meanwhile.
#[test]
fn the_clients_time_does_not_count_against_the_deadline() {
    let fake = backend().tool("slow");
    fake.on_tool(
        "ask",
        Reply::input_required(&json!({ "a": form("?") }), None),
    );
    fake.on_tool("slow", Reply::stall());
    let mut gateway = TestGateway::with_config(&fake.entry("fake", "timeout_secs = 2"));
    gateway.initialize_with(VERSION, everything());
    let call = gateway.start_call("ask", json!({}));
    let server_request = gateway.next_request("elicitation/create");
    assert_eq!(
        gateway.call("slow", json!({})).gateway_error().0,
        "deadline"
    );
    gateway.respond(&server_request, json!({ "action": "accept" }));
    gateway.answer(call).result();
}

#[test]
fn an_answered_round_whose_outcome_is_unknown_is_not_sent_again() {
    let fake = backend();
    fake.on_tool(
        "ask",
        Reply::input_required(&json!({ "a": form("?") }), None),
    );
    fake.on_tool("ask", Reply::hang_up());
    let mut gateway = legacy(&fake, everything());
    let call = gateway.start_call("ask", json!({}));
    let server_request = gateway.next_request("elicitation/create");
    gateway.respond(&server_request, json!({ "action": "accept" }));
    assert_eq!(
        gateway.answer(call).gateway_error(),
        ("outcome_unknown", "unknown", 2)
    );
    assert_eq!(fake.requests_of("tools/call").len(), 2);
}

#[test]
fn a_backend_that_always_requires_input_fails_after_sixteen_rounds() {
    let fake = backend();
    fake.always_tool(
        "ask",
        Reply::input_required(&json!({ "a": form("?") }), Some("s")),
    );
    let mut gateway = legacy(&fake, everything());
    let call = gateway.start_call("ask", json!({}));
    for _ in 0..16 {
        let server_request = gateway.next_request("elicitation/create");
        gateway.respond(&server_request, json!({ "action": "accept" }));
    }
    let stopped = gateway.answer(call);
    assert_eq!(stopped.gateway_error().0, "bad_reply");
    assert!(
        stopped.message().contains("16 times"),
        "{}",
        stopped.message()
    );
    assert_eq!(fake.requests_of("tools/call").len(), 17);
}

#[test]
fn invalid_input_requests_are_a_bad_reply_for_either_era() {
    let fake = backend();
    let nonsense = [
        json!({ "resultType": "input_required" }),
        json!({ "resultType": "input_required", "inputRequests": [] }),
        json!({ "resultType": "input_required", "inputRequests": { "a": { "method": "ping" } } }),
    ];
    let mut gateway = legacy(&fake, everything());
    for round in 0..2 {
        for result in &nonsense {
            fake.on_tool("ask", Reply::result(result.clone()));
            let answer = gateway.call("ask", json!({}));
            assert_eq!(answer.gateway_error().0, "bad_reply", "{round} {result}");
        }
        gateway.modern(everything());
    }
}

#[test]
fn input_requests_and_responses_pass_unchanged_between_modern_sides() {
    let fake = backend();
    let input_requests = json!({ "k": form("name?"), "l": { "method": "roots/list" } });
    fake.on_tool(
        "ask",
        Reply::input_required(&input_requests, Some("\u{e9} state")),
    );
    let mut gateway = TestGateway::over(&fake);
    gateway.modern(everything());
    let params = json!({ "name": "ask", "arguments": { "n": 1 } });
    let asked = gateway.ask("tools/call", params.clone());
    let mut shown = input_requests.clone();
    for request in shown.as_object_mut().unwrap().values_mut() {
        let method = request["method"].as_str().unwrap().to_owned();
        request["params"] = attributed("fake", &method, request["params"].take());
    }
    assert_eq!(asked.result()["inputRequests"], shown);
    // Its state says which server it is of.
    let state = asked.request_state().unwrap().as_str().unwrap();
    assert!(
        state.starts_with("fake.") && state.ends_with(":\u{e9} state"),
        "{state}"
    );
    let answers = json!({ "k": { "action": "accept" } });
    let again = gateway.retry("tools/call", &params, &asked, answers.clone());
    assert_eq!(gateway.answer(again).text(), r#"ask {"n":1}"#);
    let second = sent(&fake, 1);
    assert_eq!(second["inputResponses"], answers);
    assert_eq!(second["requestState"], "\u{e9} state");
    assert_eq!(fake.runs("ask"), 1);
}

#[test]
fn an_undeclared_capability_fails_a_modern_call_and_is_named() {
    let fake = backend();
    let params = json!({ "mode": "url", "message": "m", "url": "https://a.example" });
    let input_requests = json!({
        "u": { "method": "elicitation/create", "params": params },
        "s": { "method": "sampling/createMessage", "params": { "tools": [] } },
    });
    fake.on_tool("ask", Reply::input_required(&input_requests, None));
    let mut gateway = TestGateway::over(&fake);
    gateway.modern(json!({ "elicitation": {}, "sampling": {} }));
    let refused = gateway.call("ask", json!({}));
    assert_eq!(refused.code(), -32021);
    assert_eq!(
        refused.error()["data"]["requiredCapabilities"],
        json!({ "elicitation": { "url": {} }, "sampling": { "tools": {} } })
    );
    assert!(
        refused.message().contains("fake: "),
        "{}",
        refused.message()
    );
}
