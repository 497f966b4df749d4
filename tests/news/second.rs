//! Clients of both eras before one legacy backend: each era has a session of its own (X-ML-01).

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

/// The sessions that calls came in.
fn sessions(fake: &FakeBackend) -> Vec<String> {
    let calls = fake.requests_of("tools/call").into_iter();
    calls
        .map(|call| call.header("mcp-session-id").unwrap().to_owned())
        .collect()
}

#[test]
fn each_era_calls_in_the_session_that_knows_its_capabilities() {
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
    // What is listed is listed once.
    assert_eq!(fake.requests_of("tools/list").len(), 1);
    gateway.notify("notifications/roots/list_changed", json!({}));
    let told = fake.next_request("notifications/roots/list_changed");
    assert_eq!(told.header("mcp-session-id"), Some(first));
    drop(gateway);
    assert_eq!(fake.requests_of("DELETE").len(), 2);
}

#[test]
fn a_legacy_client_that_comes_later_has_exactly_its_own() {
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
fn a_second_session_that_is_lost_is_renewed_without_the_first() {
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
fn what_is_said_to_all_is_passed_on_once_and_questions_go_where_they_belong() {
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
    let heard = gateway.next_notification("notifications/message");
    assert_eq!(heard.params()["data"], "all");
    // That of modern clients asks nobody, since no call of theirs is under way.
    let question = |id: &str| request(json!(id), "roots/list", json!({}));
    fake.stream(1).event(&question("second"));
    let told = fake.next_request("response");
    assert_eq!(
        (&told.message["id"], told.message["error"]["code"].as_i64()),
        (&json!("second"), Some(-32601))
    );
    assert_eq!(told.header("mcp-session-id"), Some("session-2"));
    fake.stream(0).event(&question("first"));
    let asked = gateway.next_request("roots/list");
    gateway.respond(&asked, json!({ "roots": [] }));
    let told = fake.next_request("response");
    assert_eq!(told.message["id"], "first");
    assert_eq!(told.header("mcp-session-id"), Some("session-1"));
}

#[test]
fn a_modern_server_has_no_need_of_it() {
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
fn time_stands_still_while_a_question_outside_of_calls_is_open() {
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
    // The person takes longer than the call may.
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
