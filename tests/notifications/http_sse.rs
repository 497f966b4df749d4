//! The HTTP+SSE transport (MCP 2024-11-05, basic/transports).

use serde_json::json;

use sentinel_gateway::backend::State;
use sentinel_gateway::protocol::{Kind, Outcome, RawJson};

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::TestGateway;
use crate::common::live_stream::LiveStream;
use crate::common::message::{notification, progress, request, result, text};
use crate::common::reply::Reply;
use crate::notifications::fixture::BackendFixture;

#[test]
fn http_sse_is_used_when_initialize_is_refused() {
    let fake = FakeBackend::start().tool("a").resource("a:b").http_sse();
    let mut fixture = BackendFixture::over(&fake);
    assert_eq!(fixture.next_listing().items(Kind::Tool).len(), 1);
    let State::Ready(connection) = fixture.backend.state() else {
        panic!("it is not ready")
    };
    assert_eq!(
        (connection.era.name(), connection.version),
        ("legacy", "2024-11-05")
    );
    assert_eq!(fixture.call("a").unwrap(), "a {}");
    assert_eq!(fake.runs("a"), 1);
    assert_eq!(fake.requests_of("GET").len(), 1);
}

#[test]
fn http_sse_is_not_tried_after_other_errors() {
    for status in [401, 403, 500, 502] {
        let fake = FakeBackend::start();
        fake.always("server/discover", Reply::status(400));
        fake.always("initialize", Reply::status(status));
        let mut fixture = BackendFixture::over(&fake);
        fixture.wait_until_down();
        assert!(fake.requests_of("GET").is_empty());
    }
}

#[test]
fn without_http_sse_the_first_error_is_reported() {
    for get in [
        Reply::status(405),
        Reply::status(200).body("<html>"),
        Reply::sse().event(json!({})),
        Reply::sse(),
    ] {
        let fake = FakeBackend::start().without_sessions();
        fake.always("initialize", Reply::status(404).body("no such page"));
        fake.always("GET", get);
        let mut fixture = BackendFixture::over(&fake);
        fixture.wait_until_down();
        let why = fixture.backend.why_down().unwrap();
        assert!(why.contains("404") && why.contains("no such page"), "{why}");
    }
}

#[test]
fn an_endpoint_of_another_origin_is_never_used() {
    for target in [
        "http://127.0.0.1:1/steal",
        "//other.example/x",
        "https://127.0.0.1/x",
    ] {
        let fake = FakeBackend::start().without_sessions();
        fake.always("initialize", Reply::status(405));
        fake.always(
            "GET",
            Reply::sse()
                .body(format!("event: endpoint\ndata: {target}\n\n"))
                .then_stall(),
        );
        let mut fixture = BackendFixture::over(&fake);
        fixture.wait_until_down();
        let why = fixture.backend.why_down().unwrap();
        assert!(why.contains("another origin"), "{why}");
    }
}

#[test]
fn an_absolute_endpoint_of_the_same_origin_is_used() {
    let fake = FakeBackend::start().tool("a").without_sessions();
    let live = LiveStream::new();
    let absolute = fake.url().replace("/mcp", "/post?client=1");
    fake.on("server/discover", Reply::status(405));
    fake.on("initialize", Reply::status(405));
    let endpoint = format!("event: endpoint\ndata: {absolute}\n\n");
    fake.on("GET", Reply::sse().body(endpoint).live(&live));
    fake.on("initialize", Reply::status(202));
    fake.on("tools/list", Reply::status(202));
    let mut fixture = BackendFixture::over(&fake);
    fake.wait_for_requests("initialize", 2);
    let posted = fake.requests_of("initialize").pop().unwrap();
    assert_eq!(posted.target, "/post?client=1");
    live.event(
        &json!({ "jsonrpc": "2.0", "id": posted.message["id"], "result": {
        "protocolVersion": "2024-11-05", "capabilities": {},
        "serverInfo": { "name": "old", "version": "1" } } }),
    );
    let id = &fake.next_request("tools/list").message["id"];
    live.event(&json!({ "jsonrpc": "2.0", "id": id, "result": { "tools": [] } }));
    assert_eq!(fixture.next_listing().items(Kind::Tool).len(), 0);
}

#[test]
fn concurrent_calls_work_with_progress_and_server_requests() {
    let fake = FakeBackend::start().tool("a").tool("b").http_sse();
    let server_request = request(json!("q"), "roots/list", json!({}));
    fake.on_tool(
        "a",
        Reply::sse()
            .event(progress(1.0))
            .event(server_request)
            .event(text("done")),
    );
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize_with("2025-11-25", json!({}));
    gateway.wait_for_tool("a");
    let a = gateway.start_call_with_progress("a", "mine");
    let b = gateway.start_call("b", json!({}));
    let received = gateway.next_notification("notifications/progress");
    assert_eq!(received.params()["progressToken"], "mine");
    assert_eq!(gateway.answer(b).text(), "b {}");
    assert_eq!(gateway.answer(a).text(), "done");
    // The client lacks the capability, and the server gets an error.
    assert_eq!(fake.next_request("response").message["id"], "q");
}

/// A notification of an extension waits until the server has said that it has the extension.
#[test]
fn what_a_server_says_during_the_handshake_is_forwarded() {
    for is_http_sse in [true, false] {
        let fake = FakeBackend::start().tool("a").without_sessions();
        let fake = if is_http_sse { fake.http_sse() } else { fake };
        let method = "notifications/x/changed";
        let said = |when: &str| notification(method, json!({ "when": when }));
        let other = notification("notifications/other/changed", json!({}));
        let capabilities = json!({ "tools": {}, "extensions": { "com.example/x": {} } });
        let initialized = json!({ "protocolVersion": "2024-11-05", "capabilities": capabilities,
            "serverInfo": { "name": "fake", "version": "1" } });
        let gate = Gate::new();
        let answer = Reply::sse().event(said("before")).event(other).hold(&gate);
        let answer = answer.event(result(initialized)).event(said("after"));
        fake.on("initialize", answer);
        let mut gateway = TestGateway::over(&fake);
        gateway.initialize_with("2025-11-25", json!({ "roots": {} }));
        if is_http_sse {
            fake.wait_for_requests("initialize", 2);
            let asked = request(json!(5), "roots/list", json!({}));
            fake.stream(0).event(&asked);
            let asked = gateway.next_request("roots/list");
            gateway.respond(&asked, json!({ "roots": [] }));
            assert_eq!(fake.next_request("response").message["id"], 5);
        }
        gate.open();
        let told = gateway.next_notification(method);
        assert_eq!(told.params()["when"], "before");
        if is_http_sse {
            let told = gateway.next_notification(method);
            assert_eq!(told.params()["when"], "after");
        }
        gateway.wait_for_tool("a");
    }
}

#[test]
fn server_requests_outside_of_calls_are_forwarded() {
    let fake = FakeBackend::start().tool("a").http_sse();
    let mut fixture = BackendFixture::connected(&fake);
    fake.request_client(request(json!(5), "roots/list", json!({})));
    let message = json!({ "level": "info", "data": "x" });
    fake.notify_clients("notifications/message", message);
    assert_eq!(
        fixture.next_notification("notifications/message")["data"],
        "x"
    );
    let (_, answer) = fixture.next_request("roots/list");
    answer
        .send(Outcome::Result(RawJson::trusted(r#"{"roots":[]}"#)))
        .unwrap();
    let response = fake.next_request("response").message;
    assert_eq!(
        (&response["id"], &response["result"]["roots"]),
        (&json!(5), &json!([]))
    );
}

#[test]
fn a_stream_that_ends_is_a_lost_connection_and_is_reopened() {
    let fake = FakeBackend::start().tool("a").tool("slow").http_sse();
    let mut fixture = BackendFixture::connected(&fake);
    let held = LiveStream::new();
    fake.on_tool("slow", Reply::sse().live(&held));
    let error = std::thread::scope(|scope| {
        let call = scope.spawn(|| fixture.call("slow"));
        fake.wait_for_requests("tools/call", 1);
        fake.drop_connections();
        call.join().unwrap().unwrap_err()
    });
    assert!(
        error.starts_with("Unknown") && error.contains("connection lost"),
        "{error}"
    );
    assert_eq!(fake.runs("slow"), 1);
    fixture.next_listing();
    assert_eq!(fixture.call("a").unwrap(), "a {}");
    assert_eq!(fake.requests_of("GET").len(), 2);
}

#[test]
fn a_cancellation_is_posted() {
    let fake = FakeBackend::start().tool("slow").http_sse();
    let held = LiveStream::new();
    fake.on_tool("slow", Reply::sse().live(&held));
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize();
    gateway.wait_for_tool("slow");
    let call = gateway.start_call("slow", json!({}));
    let called = fake.next_request("tools/call");
    gateway.cancel(call);
    let cancelled = fake.next_request("notifications/cancelled");
    assert_eq!(cancelled.params()["requestId"], called.message["id"]);
}
