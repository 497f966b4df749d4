//! A modern backend answers with `input_required`; a legacy client gets server requests, and the
//! call is sent again with its responses.

use serde_json::{Value, json};

use super::{accept, elicit, everything};
use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::common::message::{complete_text, error_with, own_words, progress};
use crate::common::reply::Reply;
use crate::era_matrix::table::{LEGACY, MODERN, Pair};

const ELICIT: &str = "elicitation/create";
const PAIR: Pair = Pair::new(LEGACY, MODERN);

/// A backend whose tool `ask` sends these replies and then its result, and a client with all
/// capabilities.
fn over(rounds: impl IntoIterator<Item = Reply>) -> (FakeBackend, TestGateway) {
    let fake = PAIR.fake().tool("ask");
    for round in rounds {
        fake.on_tool("ask", round);
    }
    fake.on_tool("ask", Reply::json(&complete_text("done")));
    let gateway = PAIR.gateway_for(&fake, everything());
    (fake, gateway)
}

#[test]
fn input_requests_are_sent_concurrently_and_answered_in_one_round() {
    let inputs = json!({ "a": elicit("a"), "b": elicit("b"), "c": { "method": "roots/list" } });
    let (fake, mut gateway) = over([Reply::input_required(&inputs, Some("state"))]);
    let id = gateway.start_call("ask", json!({}));
    let mut server_requests = [gateway.next_request(ELICIT), gateway.next_request(ELICIT)];
    let roots = gateway.next_request("roots/list");
    assert_ne!(server_requests[0].id(), server_requests[1].id());
    server_requests.sort_by_key(|server_request| server_request.params()["message"].to_string());
    gateway.respond(&roots, json!({ "roots": [] }));
    gateway.respond(&server_requests[1], accept("b"));
    assert_eq!(fake.requests_of("tools/call").len(), 1);
    gateway.respond(&server_requests[0], accept("a"));
    assert_eq!(gateway.answer(id).text(), "done");
    let again = &fake.requests_of("tools/call")[1];
    let answers = json!({ "a": accept("a"), "b": accept("b"), "c": { "roots": [] } });
    assert_eq!(again.params()["inputResponses"], answers);
    assert_eq!(again.params()["requestState"], "state");
    assert_eq!(fake.runs("ask"), 1);
}

#[test]
fn each_round_has_the_latest_state_and_only_its_own_responses() {
    let (fake, mut gateway) = over([
        Reply::input_required(&json!({ "a": elicit("1") }), Some("one")),
        Reply::input_required(&json!({ "b": elicit("2") }), None),
        Reply::input_required(&json!({ "a": elicit("3") }), Some("")),
    ]);
    let id = gateway.start_call("ask", json!({ "x": 1 }));
    for message in ["1", "2", "3"] {
        let server_request = gateway.next_request(ELICIT);
        assert_eq!(own_words(&server_request.params()["message"]), message);
        gateway.respond(&server_request, accept(message));
    }
    assert_eq!(gateway.answer(id).text(), "done");
    let calls = fake.requests_of("tools/call");
    let received = |call: usize, key: &str| calls[call].params().get(key).cloned();
    assert_eq!(received(1, "requestState"), Some(json!("one")));
    assert_eq!(received(2, "requestState"), None);
    assert_eq!(received(3, "requestState"), Some(json!("")));
    assert_eq!(
        received(2, "inputResponses"),
        Some(json!({ "b": accept("2") }))
    );
    assert_eq!(
        received(3, "inputResponses"),
        Some(json!({ "a": accept("3") }))
    );
    assert!(
        calls
            .iter()
            .all(|call| call.params()["arguments"] == json!({ "x": 1 }))
    );
    assert_eq!(fake.runs("ask"), 1);
}

#[test]
fn a_result_with_only_a_state_repeats_the_call() {
    let wait = |state: &str| Reply::input_required(&Value::Null, Some(state));
    let (fake, mut gateway) = over([wait("one"), wait("two")]);
    assert_eq!(gateway.call("ask", json!({})).text(), "done");
    let calls = fake.requests_of("tools/call");
    let states = calls
        .iter()
        .map(|call| call.params()["requestState"].clone());
    let states: Vec<Value> = states.collect();
    assert_eq!(states, [Value::Null, json!("one"), json!("two")]);
    assert!(
        calls
            .iter()
            .all(|call| call.params().get("inputResponses").is_none())
    );
    assert_eq!(fake.runs("ask"), 1);
}

#[test]
fn a_backend_that_requires_input_without_end_fails_the_call() {
    let fake = PAIR.fake().tool("ask");
    let inputs = Reply::input_required(&json!({ "a": elicit("more") }), Some("s"));
    fake.always_tool("ask", inputs);
    let mut gateway = PAIR.gateway_for(&fake, everything());
    let id = gateway.start_call("ask", json!({}));
    for _ in 0..16 {
        let server_request = gateway.next_request(ELICIT);
        gateway.respond(&server_request, accept("this"));
    }
    let answer = gateway.answer(id);
    assert_eq!(answer.code(), -32603);
    assert_eq!(fake.requests_of("tools/call").len(), 17);
    assert_eq!(fake.runs("ask"), 0);
}

#[test]
fn an_input_response_reaches_the_backend_byte_for_byte() {
    const RAW: &str = r#"{"action":"accept","content":{"z":1.10,"a":12345678901234567890}}"#;
    let inputs = json!({ "a": elicit("?") });
    let (fake, mut gateway) = over([Reply::input_required(&inputs, None)]);
    let id = gateway.start_call("ask", json!({}));
    let server_request = gateway.next_request(ELICIT);
    let line = format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":{RAW}}}"#,
        server_request.id()
    );
    gateway.send_raw(line);
    assert_eq!(gateway.answer(id).text(), "done");
    let body = fake.requests_of("tools/call").remove(1).body;
    let body = String::from_utf8(body).unwrap();
    assert!(
        body.contains(&format!(r#""inputResponses":{{"a":{RAW}}}"#)),
        "{body}"
    );
}

#[test]
fn an_elicitation_that_fails_at_the_client_counts_as_cancel() {
    let inputs = json!({ "a": elicit("a"), "b": elicit("b") });
    let (fake, mut gateway) = over([Reply::input_required(&inputs, None)]);
    let id = gateway.start_call("ask", json!({}));
    for _ in 0..2 {
        let server_request = gateway.next_request(ELICIT);
        if own_words(&server_request.params()["message"]) == "a" {
            gateway.refuse(&server_request, -32603, "no screen");
        } else {
            gateway.respond(&server_request, accept("b"));
        }
    }
    assert_eq!(gateway.answer(id).text(), "done");
    let again = &fake.requests_of("tools/call")[1];
    let answers = json!({ "a": { "action": "cancel" }, "b": accept("b") });
    assert_eq!(again.params()["inputResponses"], answers);
}

#[test]
fn a_sampling_error_of_the_client_ends_the_call_and_cancels_other_requests() {
    let sample = json!({ "method": "sampling/createMessage",
        "params": { "messages": [], "maxTokens": 1 } });
    let inputs = json!({ "a": sample, "b": elicit("b") });
    let (fake, mut gateway) = over([Reply::input_required(&inputs, None)]);
    let id = gateway.start_call("ask", json!({}));
    let other = gateway.next_request(ELICIT);
    let server_request = gateway.next_request("sampling/createMessage");
    gateway.refuse(&server_request, -1, "the user said no");
    let answer = gateway.answer(id);
    assert_eq!((answer.code(), answer.message()), (-1, "the user said no"));
    let cancelled = gateway.next_notification("notifications/cancelled");
    assert_eq!(cancelled.params()["requestId"], *other.id());
    assert_eq!(fake.requests_of("tools/call").len(), 1);
    assert_eq!(fake.runs("ask"), 0);
}

#[test]
fn cancelling_a_call_cancels_its_server_requests_and_sends_no_more_rounds() {
    let inputs = json!({ "a": elicit("a"), "b": elicit("b") });
    let (fake, mut gateway) = over([Reply::input_required(&inputs, None)]);
    let id = gateway.start_call("ask", json!({}));
    let server_requests = [gateway.next_request(ELICIT), gateway.next_request(ELICIT)];
    gateway.cancel(id);
    let mut cancelled = server_requests
        .each_ref()
        .map(|_| gateway.next_notification("notifications/cancelled"))
        .map(|received| received.params()["requestId"].to_string());
    cancelled.sort();
    let mut asked = server_requests
        .each_ref()
        .map(|server_request| server_request.id().to_string());
    asked.sort();
    assert_eq!(cancelled, asked);
    gateway.respond(&server_requests[0], accept("too late"));
    gateway.ask("ping", json!({})).result();
    assert_eq!(fake.requests_of("tools/call").len(), 1);
    assert_eq!(fake.runs("ask"), 0);
}

#[test]
fn progress_keeps_its_token_and_increases_over_all_rounds() {
    let inputs = Reply::sse()
        .event(progress(5.0))
        .event(crate::common::message::input_required(
            &json!({ "a": elicit("?") }),
            None,
        ));
    let fake = PAIR.fake().tool("ask");
    fake.on_tool("ask", inputs.runs(false));
    let rest = Reply::sse().event(progress(1.0)).event(progress(6.0));
    fake.on_tool("ask", rest.event(complete_text("done")));
    let mut gateway = PAIR.gateway_for(&fake, everything());
    let id = gateway.start_call_with_progress("ask", "mine");
    let server_request = gateway.next_request(ELICIT);
    gateway.respond(&server_request, accept("this"));
    // The protocol checker requires that progress increases.
    let mut last = 0.0;
    while last < 6.0 {
        let received = gateway.next_notification("notifications/progress");
        assert_eq!(received.params()["progressToken"], "mine");
        last = received.params()["progress"].as_f64().unwrap();
    }
    assert_eq!(gateway.answer(id).text(), "done");
    let calls = fake.requests_of("tools/call");
    let token = |call: usize| &calls[call].params()["_meta"]["progressToken"];
    assert_ne!(token(0), token(1));
}

#[test]
fn input_required_works_in_prompts_and_resources() {
    let fake = PAIR.fake().prompt("p").resource("a:b");
    let inputs = Reply::input_required(&json!({ "a": elicit("?") }), Some("s"));
    fake.on("prompts/get", inputs.clone())
        .on("resources/read", inputs);
    let mut gateway = PAIR.gateway_for(&fake, everything());
    for (method, params) in [
        ("prompts/get", json!({ "name": "p" })),
        ("resources/read", json!({ "uri": "a:b" })),
    ] {
        let id = gateway.request(method, params);
        let server_request = gateway.next_request(ELICIT);
        gateway.respond(&server_request, accept("this"));
        gateway.answer(id).result();
        let again = &fake.requests_of(method)[1];
        assert_eq!(again.params()["inputResponses"]["a"], accept("this"));
        assert_eq!(again.params()["requestState"], "s");
    }
}

#[test]
fn a_missing_capability_error_reaches_a_legacy_client_with_its_data() {
    let required = json!({ "requiredCapabilities": { "sampling": {} } });
    let missing = error_with(-32021, "sampling is needed", &required);
    let fake = PAIR.fake().tool("ask");
    fake.on_tool("ask", Reply::json_as(400, &missing));
    let mut gateway = PAIR.gateway(&fake);
    let answer = gateway.call("ask", json!({}));
    assert_eq!(answer.code(), -32603);
    assert!(answer.0.line.contains("requiredCapabilities"), "{answer:?}");
}

#[test]
fn input_requests_of_two_backends_with_one_key_are_kept_apart() {
    let fakes = ["one", "two"].map(|tool| {
        let fake = PAIR.fake().tool(tool);
        let inputs = json!({ "k": elicit(tool) });
        fake.on_tool(tool, Reply::input_required(&inputs, Some(tool)));
        fake
    });
    let toml = fakes[0].entry("a", "") + &fakes[1].entry("b", "");
    let mut gateway = PAIR.gateway_with(&toml, everything());
    let ids = ["one", "two"].map(|tool| gateway.start_call(tool, json!({})));
    for _ in 0..2 {
        let server_request = gateway.next_request(ELICIT);
        let message = own_words(&server_request.params()["message"]).to_owned();
        gateway.respond(&server_request, accept(&message));
    }
    for ((id, fake), tool) in ids.into_iter().zip(&fakes).zip(["one", "two"]) {
        gateway.answer(id).result();
        let again = &fake.requests_of("tools/call")[1];
        assert_eq!(again.params()["inputResponses"]["k"], accept(tool));
        assert_eq!(again.params()["requestState"], tool);
        assert_eq!(fake.runs(tool), 1);
    }
}

/// The error names what is missing.
#[test]
fn a_request_that_the_clients_version_lacks_fails_the_call() {
    let url = json!({ "mode": "url", "url": "https://a.example", "message": "?" });
    let url = json!({ "method": ELICIT, "params": url });
    let tools = json!({ "messages": [], "maxTokens": 1, "tools": [] });
    let tools = json!({ "method": "sampling/createMessage", "params": tools });
    for (version, capabilities, input_request) in [
        ("2025-06-18", json!({ "elicitation": {} }), &url),
        (LEGACY, json!({ "elicitation": {} }), &url),
        (
            LEGACY,
            json!({ "elicitation": { "url": {} } }),
            &elicit("?"),
        ),
        (LEGACY, json!({ "sampling": {} }), &tools),
    ] {
        let pair = Pair::new(version, MODERN);
        let fake = pair.fake().tool("ask");
        fake.on_tool(
            "ask",
            Reply::input_required(&json!({ "k": input_request }), None),
        );
        let mut gateway = pair.gateway_for(&fake, capabilities);
        let answer = gateway.call("ask", json!({}));
        assert_eq!(answer.code(), -32603, "{version} {input_request}");
        let what = if *input_request == tools {
            "sampling"
        } else {
            "elicitation"
        };
        assert!(answer.message().contains(what), "{answer:?}");
        assert_eq!(fake.requests_of("tools/call").len(), 1);
    }
}

#[test]
fn every_url_elicitation_gets_its_own_id() {
    let url = |n: u8| {
        let params =
            json!({ "mode": "url", "url": format!("https://a.example/{n}"), "message": "?" });
        json!({ "method": ELICIT, "params": params })
    };
    let (_fake, mut gateway) = over([Reply::input_required(
        &json!({ "a": url(1), "b": url(2) }),
        None,
    )]);
    let id = gateway.start_call("ask", json!({}));
    let server_requests = [gateway.next_request(ELICIT), gateway.next_request(ELICIT)];
    let ids = server_requests
        .each_ref()
        .map(|server_request| server_request.params()["elicitationId"].clone());
    assert!(ids[0].is_string() && ids[0] != ids[1], "{ids:?}");
    for server_request in &server_requests {
        gateway.respond(server_request, json!({ "action": "accept" }));
    }
    assert_eq!(gateway.answer(id).text(), "done");
}
