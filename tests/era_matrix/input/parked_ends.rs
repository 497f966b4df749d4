//! Parked calls that end without a retry, and requests that come in other ways than on a call's
//! stream.

use serde_json::{Value, json};

use super::parked::{PAIR, Parked};
use super::{accept, ask, asking, everything, form};
use crate::common::gate::Gate;
use crate::common::message::{error_with, notification, own_words, request, text};
use crate::common::reply::Reply;
use crate::era_matrix::table::{MODERN, Pair};

#[test]
fn a_result_that_comes_while_parked_waits_for_the_client() {
    let (mut parked, asked) = Parked::asked();
    parked.gate.open();
    // A later response on the same session shows that the result has arrived.
    parked.gateway.call("other", json!({})).result();
    let id = parked.retry_accepting(&asked);
    parked.finish(id);
}

#[test]
fn a_server_request_that_the_backend_cancels_is_not_answered() {
    let cancelled = Gate::new();
    let mut parked = Parked::with(|last| {
        let never_mind = notification("notifications/cancelled", json!({ "requestId": 0 }));
        let stream = Reply::sse().event(ask(0, "?")).hold(&cancelled);
        stream.event(never_mind).hold(last).event(text("done"))
    });
    let asked = parked.call();
    cancelled.open();
    parked.gate.wait_for(1);
    // The gateway reads what has arrived before this call's response.
    parked.gateway.call("other", json!({})).result();
    let id = parked.retry_accepting(&asked);
    parked.finish(id);
    assert!(parked.fake.requests_of("response").is_empty());
}

#[test]
fn cancelling_the_second_round_cancels_the_call() {
    let (mut parked, asked) = Parked::asked();
    let id = parked.retry_accepting(&asked);
    parked.fake.next_request("response");
    parked.gateway.cancel(id);
    let called = parked.fake.next_request("tools/call");
    let cancelled = parked.fake.next_request("notifications/cancelled");
    assert_eq!(cancelled.params()["requestId"], called.message["id"]);
    parked.gate.open();
    parked.assert_other_works();
    parked.assert_ran_once();
}

#[test]
fn a_lost_session_ends_the_parked_call_and_never_runs_it_again() {
    let (mut parked, asked) = Parked::asked();
    parked.fake.forget_sessions().drop_connections();
    let id = parked.retry_accepting(&asked);
    parked.assert_fails(id);
    parked.assert_ran_once();
    parked.assert_other_works();
}

/// The connection stays open, but the backend no longer knows the session.
#[test]
fn a_response_without_a_session_ends_the_call() {
    let (mut parked, asked) = Parked::asked();
    parked.fake.forget_sessions();
    parked.assert_other_works();
    let id = parked.retry_accepting(&asked);
    parked.assert_fails(id);
    parked.assert_ran_once();
}

#[test]
fn a_backend_that_dies_ends_the_parked_call() {
    let (mut parked, asked) = Parked::asked();
    parked.fake.go_down();
    let id = parked.retry_accepting(&asked);
    parked.assert_fails(id);
    parked.fake.come_up();
    parked.assert_other_works();
    parked.assert_ran_once();
}

#[test]
fn eof_does_not_wait_for_parked_calls() {
    let (mut parked, asked) = Parked::asked();
    asked.input_request();
    parked.gateway.eof();
    let reason = parked.gateway.exit();
    assert_eq!(reason, sentinel_gateway::ExitReason::EndOfInput);
    parked.assert_ran_once();
}

#[test]
fn prompts_and_resources_are_parked_too_and_completions_refused() {
    let fake = PAIR.fake().prompt("p").resource("a:b");
    let fake = fake.capabilities(json!({ "completions": {} }));
    let mut gateway = PAIR.gateway_for(&fake, everything());
    let argument = json!({ "name": "a", "value": "b" });
    let reference = json!({ "type": "ref/prompt", "name": "p" });
    for (method, params, parks) in [
        ("prompts/get", json!({ "name": "p" }), true),
        ("resources/read", json!({ "uri": "a:b" }), true),
        (
            "completion/complete",
            json!({ "ref": reference, "argument": argument }),
            false,
        ),
    ] {
        let gate = Gate::new();
        let stream = asking(&[ask(0, "?")]).hold(&gate);
        fake.on(method, stream.event(text("done")));
        let mut id = gateway.request(method, params.clone());
        if parks {
            let asked = gateway.answer(id);
            let answers = json!({ asked.input_request().0: accept("x") });
            id = gateway.retry(method, &params, &asked, answers);
        }
        let response = fake.next_request("response").message;
        assert_eq!(
            response["result"].is_object(),
            parks,
            "{method}: {response}"
        );
        gate.open();
        assert_eq!(gateway.answer(id).text(), "done");
        assert_eq!(fake.requests_of(method).len(), 1);
    }
}

#[test]
fn a_server_request_on_the_get_stream_belongs_to_the_only_call_in_flight() {
    let mut parked = Parked::over(&[]);
    let id = parked.gateway.request("tools/call", parked.call.clone());
    parked.gate.wait_for(1);
    parked.fake.request_client(ask("g", "on GET"));
    let asked = parked.gateway.answer(id);
    assert_eq!(
        own_words(&asked.input_request().1["params"]["message"]),
        "on GET"
    );
    let id = parked.retry_accepting(&asked);
    let response = parked.fake.next_request("response").message;
    assert_eq!(
        (&response["id"], response["result"].is_object()),
        (&json!("g"), true)
    );
    parked.finish(id);
}

#[test]
fn a_server_request_on_the_get_stream_is_refused_with_several_calls_or_none() {
    let mut parked = Parked::over(&[]);
    parked.gateway.list_tools();
    let held = Reply::sse().hold(&parked.gate).event(text("other done"));
    parked.fake.on_tool("other", held);
    parked.fake.request_client(ask("none", "?"));
    let refused = parked.fake.next_request("response").message;
    assert_eq!(
        (&refused["id"], refused["error"].is_object()),
        (&json!("none"), true)
    );
    let ids = [
        parked.gateway.request("tools/call", parked.call.clone()),
        parked.gateway.start_call("other", json!({})),
    ];
    parked.gate.wait_for(2);
    parked.fake.request_client(ask("two", "?"));
    let refused = parked.fake.next_request("response").message;
    assert_eq!(
        (&refused["id"], refused["error"].is_object()),
        (&json!("two"), true)
    );
    parked.gate.open();
    assert_eq!(parked.gateway.answer(ids[0]).text(), "done");
    assert_eq!(parked.gateway.answer(ids[1]).text(), "other done");
}

#[test]
fn an_error_that_requires_a_url_becomes_an_input_request() {
    let elicitation = json!({ "mode": "url", "elicitationId": "e", "message": "there",
        "url": "https://a.example" });
    let wants = error_with(
        -32042,
        "go there",
        &json!({ "elicitations": [elicitation] }),
    );
    let fake = PAIR.fake().tool("ask");
    fake.on_tool("ask", Reply::json(&wants).runs(false));
    let mut gateway = PAIR.gateway_for(&fake, everything());
    let answer = gateway.request_with_input(
        "tools/call",
        &json!({ "name": "ask", "arguments": {} }),
        |_, input_request| {
            assert_eq!(input_request["method"], "elicitation/create");
            assert_eq!(input_request["params"]["url"], "https://a.example");
            json!({ "action": "accept" })
        },
    );
    assert_eq!(answer.text(), "ask {}");
    assert_eq!(fake.runs("ask"), 1);

    fake.on_tool("ask", Reply::json(&wants).runs(false));
    gateway.modern(json!({ "elicitation": {} }));
    let refused = gateway.call("ask", json!({}));
    assert_eq!(refused.code(), -32021);
    let required = &refused.error()["data"]["requiredCapabilities"];
    assert!(required["elicitation"]["url"].is_object(), "{refused:?}");
    assert_eq!(fake.runs("ask"), 1);
}

#[test]
fn between_modern_sides_states_are_returned_exactly_or_omitted() {
    let pair = Pair::new(MODERN, MODERN);
    for state in [
        None,
        Some(""),
        Some("a.b/c+d=="),
        Some("\u{0}\u{1F600}\"\\"),
    ] {
        let fake = pair.fake().tool("ask");
        let inputs = json!({ "k": { "method": "elicitation/create", "params": form("?") },
            "r": { "method": "roots/list" } });
        fake.on_tool("ask", Reply::input_required(&inputs, state));
        let mut gateway = pair.gateway_for(&fake, everything());
        let call = json!({ "name": "ask", "arguments": {} });
        let answer = gateway.request_with_input("tools/call", &call, |key, _| accept(key));
        assert_eq!(answer.text(), "ask {}");
        let again = &fake.requests_of("tools/call")[1];
        let answers = json!({ "k": accept("k"), "r": accept("r") });
        assert_eq!(again.params()["inputResponses"], answers);
        let expected = state.map(|state| json!(state));
        assert_eq!(again.params().get("requestState").cloned(), expected);
    }
}

/// Sampling with tools needs its own capability.
#[test]
fn a_server_request_for_an_undeclared_capability_is_refused() {
    for (can, method, params) in [
        (json!({}), "roots/list", json!({})),
        (
            json!({ "elicitation": { "url": {} } }),
            "elicitation/create",
            form("?"),
        ),
        (
            json!({ "elicitation": { "form": {} } }),
            "elicitation/create",
            json!({ "mode": "url", "url": "https://a.example", "message": "?" }),
        ),
        (
            json!({ "sampling": {} }),
            "sampling/createMessage",
            json!({ "messages": [], "maxTokens": 1, "tools": [] }),
        ),
        (everything(), "tools/list", Value::Null),
    ] {
        let mut parked = Parked::with(|gate| {
            let server_request = request(json!(0), method, params);
            Reply::sse()
                .event(server_request)
                .hold(gate)
                .event(text("done"))
        });
        parked.gateway.modern(can);
        let id = parked.gateway.request("tools/call", parked.call.clone());
        let refused = parked.fake.next_request("response").message;
        assert!(refused["error"]["code"].is_i64(), "{method}: {refused}");
        parked.finish(id);
    }
}

/// The request with that id has been answered, so the cancellation has no effect.
#[test]
fn cancelling_the_answered_id_of_a_parked_call_is_ignored() {
    let mut parked = Parked::over(&[ask(0, "?")]);
    let id = parked.gateway.request("tools/call", parked.call.clone());
    let asked = parked.gateway.answer(id);
    parked.gateway.cancel(id);
    let id = parked.retry_accepting(&asked);
    parked.finish(id);
    assert!(
        parked
            .fake
            .requests_of("notifications/cancelled")
            .is_empty()
    );
}

#[test]
fn the_state_of_another_gateway_is_refused() {
    let ((mut one, asked), (mut two, other)) = (Parked::asked(), Parked::asked());
    assert_ne!(asked.request_state(), other.request_state());
    let id = two.retry_accepting(&asked);
    assert_eq!(two.gateway.answer(id).code(), -32602);
    for (parked, asked) in [(&mut one, asked), (&mut two, other)] {
        let id = parked.retry_accepting(&asked);
        parked.finish(id);
    }
}
