//! Server requests outside of calls, on a backend's GET stream.

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::common::live_stream::LiveStream;
use crate::common::message::{notification, request, text};
use crate::common::reply::Reply;

fn roots(id: u64) -> Value {
    request(json!(id), "roots/list", json!({}))
}

/// A backend with a GET stream, and the stream of its tool's response.
fn backend() -> (FakeBackend, LiveStream) {
    let fake = FakeBackend::start().tool("ask").with_get();
    let live = LiveStream::new();
    fake.on_tool("ask", Reply::sse().live(&live));
    (fake, live)
}

fn params() -> Value {
    json!({ "name": "ask" })
}

#[test]
fn a_legacy_client_gets_server_requests_outside_calls() {
    let (fake, _) = backend();
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize_with("2025-11-25", json!({ "roots": {} }));
    fake.stream(0).event(&roots(5));
    let server_request = gateway.next_request("roots/list");
    gateway.respond(&server_request, json!({ "roots": [1] }));
    let answer = fake.next_request("response").message;
    assert_eq!(
        (&answer["id"], &answer["result"]),
        (&json!(5), &json!({ "roots": [1] }))
    );

    fake.stream(0)
        .event(&request(json!(6), "sampling/createMessage", json!({})));
    let refusal = fake.next_request("response").message;
    assert_eq!(
        (&refusal["id"], &refusal["error"]["code"]),
        (&json!(6), &json!(-32601))
    );

    fake.stream(0).event(&roots(7));
    let server_request = gateway.next_request("roots/list");
    gateway.refuse(&server_request, -1, "no");
    assert_eq!(fake.next_request("response").message["error"]["code"], -1);
}

#[test]
fn a_server_request_is_cancelled_when_its_backend_cancels_it_or_disconnects() {
    let (fake, _) = backend();
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize_with("2025-11-25", json!({ "roots": {} }));
    let get = fake.stream(0);
    get.event(&roots(5));
    let server_request = gateway.next_request("roots/list");
    get.event(&notification(
        "notifications/cancelled",
        json!({ "requestId": 5 }),
    ));
    let cancelled = gateway.next_notification("notifications/cancelled");
    assert_eq!(cancelled.params()["requestId"], *server_request.id());
    get.event(&roots(6));
    let server_request = gateway.next_request("roots/list");
    fake.forget_sessions();
    get.hang_up();
    let cancelled = gateway.next_notification("notifications/cancelled");
    assert_eq!(cancelled.params()["requestId"], *server_request.id());
}

#[test]
fn with_one_call_in_flight_a_modern_client_gets_the_request_through_it() {
    let (fake, live) = backend();
    let mut gateway = TestGateway::over(&fake);
    gateway.modern(json!({ "roots": {} }));
    let id = gateway.request("tools/call", params());
    fake.wait_for_requests("tools/call", 1);
    fake.stream(0).event(&roots(5));
    let asked = gateway.answer(id);
    assert_eq!(asked.input_request().1["method"], "roots/list");
    // A parked call is still the only one.
    fake.stream(0).event(&request(json!(6), "ping", json!({})));
    assert_eq!(fake.next_request("response").message["id"], 6);
    let answers = json!({ asked.input_request().0: { "roots": [] } });
    let again = gateway.retry("tools/call", &params(), &asked, answers);
    let answer = fake.next_request("response").message;
    assert_eq!(
        (&answer["id"], &answer["result"]),
        (&json!(5), &json!({ "roots": [] }))
    );
    live.event(&text("done"));
    assert_eq!(gateway.answer(again).text(), "done");
    assert_eq!(fake.runs("ask"), 1);
}

#[test]
fn with_two_calls_or_none_the_request_is_refused() {
    let (fake, live) = backend();
    let second = LiveStream::new();
    fake.on_tool("ask", Reply::sse().live(&second));
    let mut gateway = TestGateway::over(&fake);
    gateway.modern(json!({ "roots": {} }));
    gateway.ask("tools/list", json!({})).result();
    let refused = |id: u64| {
        fake.stream(0).event(&roots(id));
        let refusal = fake.next_request("response").message;
        assert_eq!(
            (&refusal["id"], &refusal["error"]["code"]),
            (&json!(id), &json!(-32601))
        );
    };
    refused(1);
    let calls = [0, 1].map(|_| gateway.request("tools/call", params()));
    fake.wait_for_requests("tools/call", 2);
    refused(2);
    live.event(&text("done"));
    second.event(&text("done"));
    for call in calls {
        gateway.answer(call).result();
    }
}
