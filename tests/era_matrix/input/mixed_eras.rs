//! Clients of both eras with one legacy backend: each gets the requests that it can answer.

use serde_json::{Value, json};

use super::parked::{PAIR, Parked};
use super::{accept, ask, everything};
use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::TestGateway;
use crate::common::message::{own_words, request, result, text};
use crate::common::reply::Reply;
use crate::era_matrix::table::LEGACY;

fn sample() -> Value {
    let params = json!({ "messages": [], "maxTokens": 1 });
    request(json!("s"), "sampling/createMessage", params)
}

/// Capabilities are fixed for a session, so each client needs its own.
#[test]
fn a_legacy_and_a_modern_client_have_two_sessions_with_a_legacy_backend() {
    let fake = FakeBackend::start().tool("ask");
    let mut gateway = TestGateway::over(&fake);
    gateway
        .initialize_with(LEGACY, json!({ "roots": {} }))
        .result();
    gateway.call("ask", json!({})).result();
    gateway.modern(json!({ "sampling": {} }));
    let gate = Gate::new();
    let stream = Reply::sse().event(sample()).hold(&gate);
    fake.on_tool("ask", stream.event(text("done")));
    let call = json!({ "name": "ask", "arguments": {} });
    let asked = gateway.ask("tools/call", call.clone());
    let answers = json!({ asked.input_request().0: { "model": "m" } });
    let id = gateway.retry("tools/call", &call, &asked, answers);
    assert_eq!(
        fake.next_request("response").message["result"],
        json!({ "model": "m" })
    );
    gate.open();
    assert_eq!(gateway.answer(id).text(), "done");
    let declared = fake.requests_of("initialize");
    let declared = declared
        .iter()
        .map(|hello| hello.params()["capabilities"].clone());
    let declared: Vec<Value> = declared.collect();
    assert_eq!(declared[0], json!({ "roots": {} }));
    assert!(
        declared[1]["sampling"].is_object() && declared[1]["elicitation"].is_object(),
        "{declared:?}"
    );
    assert_eq!(declared.len(), 2);
    // A call is sent in its client's session.
    let sessions = fake.requests_of("tools/call");
    let sessions = sessions.iter().map(|call| call.header("mcp-session-id"));
    assert_eq!(
        sessions.collect::<Vec<_>>(),
        [Some("session-1"), Some("session-2")]
    );
}

#[test]
fn server_requests_in_two_sessions_reach_their_own_clients() {
    let fake = FakeBackend::start().tool("one").tool("two");
    let gate = Gate::new();
    for tool in ["one", "two"] {
        let stream = Reply::sse().event(ask(0, tool)).hold(&gate);
        fake.on_tool(tool, stream.event(text(tool)));
    }
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize_with(LEGACY, everything()).result();
    let legacy = gateway.start_call("one", json!({}));
    let call = json!({ "name": "two", "arguments": {} });
    let asked = gateway.modern(everything()).ask("tools/call", call.clone());
    let server_request = gateway.next_request("elicitation/create");
    assert_eq!(own_words(&server_request.params()["message"]), "one");
    let (key, shown) = asked.input_request();
    assert_eq!(own_words(&shown["params"]["message"]), "two");
    let answers = json!({ key: accept("two") });
    let modern = gateway.retry("tools/call", &call, &asked, answers);
    let response = fake.next_request("response");
    assert_eq!(response.message["result"], accept("two"));
    gateway.respond(&server_request, accept("one"));
    let other = fake.next_request("response");
    assert_eq!(other.message["result"], accept("one"));
    assert_ne!(
        response.header("mcp-session-id"),
        other.header("mcp-session-id")
    );
    gate.open();
    assert_eq!(gateway.answer(legacy).text(), "one");
    assert_eq!(gateway.answer(modern).text(), "two");
    assert_eq!((fake.runs("one"), fake.runs("two")), (1, 1));
}

/// The client can declare it and retry, so the error names it.
#[test]
fn a_call_that_fails_for_a_missing_capability_says_which() {
    let sorry = json!({ "content": [{ "type": "text", "text": "no model" }], "isError": true });
    let failure = json!({ "jsonrpc": "2.0", "id": "$id",
        "error": { "code": -32000, "message": "no model" } });
    for ending in [result(sorry), failure] {
        let mut parked = Parked::with(|gate| Reply::sse().event(sample()).hold(gate).event(ending));
        parked.gateway.modern(json!({}));
        let id = parked.gateway.request("tools/call", parked.call.clone());
        let refused = parked.fake.next_request("response").message;
        assert!(refused["error"]["code"].is_i64(), "{refused}");
        parked.gate.open();
        let answer = parked.gateway.answer(id);
        assert_eq!(answer.code(), -32021, "{answer:?}");
        let required = &answer.error()["data"]["requiredCapabilities"];
        assert!(required["sampling"].is_object(), "{answer:?}");
    }
}

/// Only a legacy client can get requests outside of calls.
#[test]
fn a_server_request_outside_calls_is_refused_without_a_legacy_client() {
    let fake = PAIR.fake().tool("t");
    let mut gateway = PAIR.gateway_for(&fake, everything());
    gateway.call("t", json!({})).result();
    fake.request_client(sample());
    let refused = fake.next_request("response").message;
    assert_eq!(
        (&refused["id"], refused["error"].is_object()),
        (&json!("s"), true)
    );
    fake.request_client(request(json!("p"), "ping", json!({})));
    assert_eq!(fake.next_request("response").message["result"], json!({}));
}

/// Asserts that the request with this id and message reaches the client, and its result the backend.
fn assert_relayed(gateway: &mut TestGateway, fake: &FakeBackend, id: &str, text: &str) {
    let server_request = gateway.next_request("elicitation/create");
    assert_eq!(own_words(&server_request.params()["message"]), text);
    gateway.respond(&server_request, accept("yes"));
    let response = fake.next_request("response").message;
    assert_eq!(
        (&response["id"], &response["result"]),
        (&json!(id), &accept("yes"))
    );
}

#[test]
fn a_server_request_on_the_get_stream_reaches_a_legacy_client() {
    let fake = FakeBackend::start().tool("t").with_get();
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize_with(LEGACY, everything()).result();
    fake.request_client(ask("g", "on GET"));
    assert_relayed(&mut gateway, &fake, "g", "on GET");
}

/// A client may get no request before it has sent `notifications/initialized`.
#[test]
fn a_server_request_waits_until_the_client_is_ready() {
    let fake = FakeBackend::start().tool("t").with_get();
    let mut gateway = TestGateway::over(&fake);
    gateway.send_initialize(LEGACY, everything()).result();
    fake.request_client(ask("early", "too soon?"));
    fake.request_client(request(json!("after"), "ping", json!({})));
    assert_eq!(fake.next_request("response").message["id"], json!("after"));
    gateway.notify("notifications/initialized", json!({}));
    assert_relayed(&mut gateway, &fake, "early", "too soon?");
}
