//! Clients of both eras with one legacy backend: each era has its own session (X-ML-01).

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::common::live_stream::LiveStream;
use crate::common::message::{notification, request, text};
use crate::common::reply::Reply;

fn capabilities(fake: &FakeBackend) -> Vec<Value> {
    let handshakes = fake.requests_of("initialize").into_iter();
    handshakes
        .map(|initialize| initialize.params()["capabilities"].clone())
        .collect()
}

/// The session of each call.
fn sessions(fake: &FakeBackend) -> Vec<String> {
    let calls = fake.requests_of("tools/call").into_iter();
    calls
        .map(|call| call.header("mcp-session-id").unwrap().to_owned())
        .collect()
}

#[test]
fn each_era_calls_in_the_session_with_its_capabilities() {
    let fake = FakeBackend::start().tool("a");
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize_with("2025-11-25", json!({ "roots": {} }));
    gateway.wait_for_tool("a");
    gateway.call("a", json!({})).result();
    assert_eq!(capabilities(&fake), [json!({ "roots": {} })]);
    gateway.modern(json!({ "sampling": {} }));
    for _ in 0..2 {
        gateway.call("a", json!({})).result();
    }
    gateway.legacy();
    gateway.call("a", json!({})).result();
    let known = capabilities(&fake);
    assert_eq!(known.len(), 2);
    assert!(known[1]["elicitation"]["url"].is_object() && known[1]["sampling"].is_object());
    let (first, second) = ("session-1", "session-2");
    assert_eq!(sessions(&fake), [first, second, second, first]);
    // Both sessions use one listing.
    assert_eq!(fake.requests_of("tools/list").len(), 1);
    gateway.notify("notifications/roots/list_changed", json!({}));
    let sent = fake.next_request("notifications/roots/list_changed");
    assert_eq!(sent.header("mcp-session-id"), Some(first));
    drop(gateway);
    assert_eq!(fake.requests_of("DELETE").len(), 2);
}

#[test]
fn a_later_legacy_client_gets_a_session_with_exactly_its_capabilities() {
    let fake = FakeBackend::start().tool("a");
    let mut gateway = TestGateway::over(&fake);
    gateway.modern(json!({}));
    gateway.wait_for_tool("a");
    gateway.call("a", json!({})).result();
    gateway.legacy();
    gateway.initialize_with("2025-06-18", json!({ "roots": {} }));
    gateway.call("a", json!({})).result();
    assert_eq!(sessions(&fake), ["session-1", "session-2"]);
    let handshake = fake.requests_of("initialize").pop().unwrap();
    assert_eq!(handshake.params()["capabilities"], json!({ "roots": {} }));
    assert_eq!(handshake.params()["protocolVersion"], "2025-06-18");
}

#[test]
fn a_lost_second_session_is_renewed_without_the_first() {
    let fake = FakeBackend::start().tool("a");
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize();
    gateway.wait_for_tool("a");
    gateway.modern(json!({}));
    gateway.call("a", json!({})).result();
    fake.forget_sessions();
    gateway.call("a", json!({})).result();
    assert_eq!(sessions(&fake), ["session-2", "session-2", "session-3"]);
    assert_eq!(fake.runs("a"), 2);
}

#[test]
fn with_two_sessions_notifications_are_forwarded_once_and_requests_are_answered_in_their_session() {
    let fake = FakeBackend::start().tool("a").with_get();
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize_with("2025-11-25", json!({ "roots": {} }));
    gateway.wait_for_tool("a");
    fake.stream(0);
    gateway.modern(json!({}));
    gateway.call("a", json!({})).result();
    fake.stream(1);
    let log = |data: &str| json!({ "level": "info", "data": data });
    // To both streams.
    fake.notify_clients("notifications/message", log("all"));
    let received = gateway.next_notification("notifications/message");
    assert_eq!(received.params()["data"], "all");
    // A request in the modern clients' session is refused, since they have no call in flight.
    let server_request = |id: &str| request(json!(id), "roots/list", json!({}));
    fake.stream(1).event(&server_request("second"));
    let response = fake.next_request("response");
    assert_eq!(
        (
            &response.message["id"],
            response.message["error"]["code"].as_i64()
        ),
        (&json!("second"), Some(-32601))
    );
    assert_eq!(response.header("mcp-session-id"), Some("session-2"));
    fake.stream(0).event(&server_request("first"));
    let asked = gateway.next_request("roots/list");
    gateway.respond(&asked, json!({ "roots": [] }));
    let response = fake.next_request("response");
    assert_eq!(response.message["id"], "first");
    assert_eq!(response.header("mcp-session-id"), Some("session-1"));
}

#[test]
fn a_modern_server_has_no_second_session() {
    let fake = FakeBackend::start().tool("a").modern();
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize();
    gateway.wait_for_tool("a");
    gateway.call("a", json!({})).result();
    gateway.modern(json!({}));
    gateway.call("a", json!({})).result();
    assert_eq!(fake.requests_of("server/discover").len(), 1);
    assert!(fake.requests_of("initialize").is_empty());
}

#[test]
fn the_deadline_pauses_while_a_server_request_is_open() {
    let fake = FakeBackend::start().tool("a").with_get();
    let entry = fake.entry("fake", "timeout_secs = 1\n");
    let mut gateway = TestGateway::with_config(&entry);
    gateway.initialize_with("2025-11-25", json!({ "roots": {} }));
    gateway.wait_for_tool("a");
    let held = LiveStream::new();
    fake.on_tool("a", Reply::sse().live(&held));
    let call = gateway.start_call("a", json!({}));
    fake.wait_for_requests("tools/call", 1);
    let stream = fake.stream(0);
    stream.event(&request(json!(1), "roots/list", json!({})));
    let asked = gateway.next_request("roots/list");
    // The user takes longer than the call's timeout.
    std::thread::sleep(std::time::Duration::from_millis(1_200));
    gateway.respond(&asked, json!({ "roots": [] }));
    fake.next_request("response");
    held.event(&text("in time"));
    assert_eq!(gateway.answer(call).text(), "in time");
    stream.event(&notification(
        "notifications/cancelled",
        json!({ "requestId": 1 }),
    ));
}
