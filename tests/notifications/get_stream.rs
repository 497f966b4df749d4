//! The standalone SSE stream of a legacy server (MCP 2025-11-25, basic/transports).

use std::time::{Duration, Instant};

use serde_json::json;

use sentinel_gateway::backend::State;
use sentinel_gateway::protocol::{Kind, Outcome, RawJson};

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::TestGateway;
use crate::common::live_stream::LiveStream;
use crate::common::message::{notification, request, text};
use crate::common::reply::Reply;
use crate::notifications::fixture::BackendFixture;

const TOOLS_CHANGED: &str = "notifications/tools/list_changed";

fn tools(fixture: &mut BackendFixture) -> usize {
    fixture.next_listing().items(Kind::Tool).len()
}

#[test]
fn the_get_stream_is_opened_after_the_handshake_within_the_session() {
    let fake = FakeBackend::start().tool("a").with_get();
    let _fixture = BackendFixture::connected(&fake);
    let get = fake.next_request("GET");
    assert_eq!(get.header("accept"), Some("text/event-stream"));
    assert_eq!(get.header("mcp-session-id"), Some("session-1"));
    assert_eq!(get.header("mcp-protocol-version"), Some("2025-11-25"));
    assert_eq!(get.header("content-type"), None);
    assert_eq!(get.header("last-event-id"), None);
    let kinds: Vec<_> = fake
        .requests()
        .iter()
        .map(|r| r.kind().to_owned())
        .collect();
    let at = |kind: &str| kinds.iter().position(|seen| seen == kind).unwrap();
    assert!(at("notifications/initialized") < at("GET"), "{kinds:?}");
}

#[test]
fn fault_35_a_server_without_a_get_stream_is_asked_once() {
    for refusal in [
        Reply::status(405),
        Reply::status(404).body("Not Found"),
        Reply::status(400),
        Reply::status(501),
        Reply::json(&json!({})),
    ] {
        let fake = FakeBackend::start().tool("a").without_sessions();
        fake.always("GET", refusal);
        let mut fixture = BackendFixture::connected(&fake);
        fake.wait_for_requests("GET", 1);
        assert_eq!(fixture.call("a").unwrap(), "a {}");
        assert!(fixture.wait(fixture.backend.refresh_lists()).is_some());
        tools(&mut fixture);
        assert_eq!(fake.requests_of("GET").len(), 1);
    }
}

#[test]
fn fault_74_many_list_changes_are_fetched_together() {
    let fake = FakeBackend::start().tool("a").with_get();
    let mut fixture = BackendFixture::connected(&fake);
    let stream = fake.stream(0);
    fake.set_tools(&["a", "b"]);
    let flood = format!("data: {}\n\n", notification(TOOLS_CHANGED, json!({}))).repeat(10_000);
    stream.text(&flood);
    assert_eq!(tools(&mut fixture), 2);
    stream.event(&notification(
        "notifications/message",
        json!({ "level": "info", "data": 1 }),
    ));
    fixture.next_notification("notifications/message");
    assert_eq!(fixture.call("a").unwrap(), "a {}");
    assert!(fake.requests_of("tools/list").len() < 10);
}

#[test]
fn notifications_outside_of_calls_are_forwarded_unchanged() {
    let fake = FakeBackend::start().tool("a").with_get();
    let mut fixture = BackendFixture::connected(&fake);
    let stream = fake.stream(0);
    stream.text(
        ": a comment\n\ndata: not JSON\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n",
    );
    for (method, params) in [
        (
            "notifications/message",
            json!({ "level": "info", "data": "hello" }),
        ),
        ("notifications/resources/updated", json!({ "uri": "a:b" })),
        (
            "notifications/tasks/status",
            json!({ "taskId": "1", "status": "working" }),
        ),
        (
            "notifications/elicitation/complete",
            json!({ "elicitationId": "e" }),
        ),
    ] {
        stream.event(&notification(method, params.clone()));
        assert_eq!(fixture.next_notification(method), params);
    }
}

#[test]
fn server_requests_are_answered_under_the_servers_own_id() {
    let fake = FakeBackend::start().tool("a").with_get();
    let mut fixture = BackendFixture::connected(&fake);
    let stream = fake.stream(0);
    stream.event(&request(json!("theirs"), "roots/list", json!({})));
    let (server_request, answer) = fixture.next_request("roots/list");
    assert_eq!(server_request.id.raw().as_str(), "\"theirs\"");
    stream.event(&request(json!(0), "ping", json!({})));
    let pong = fake.next_request("response").message;
    assert_eq!((&pong["id"], &pong["result"]), (&json!(0), &json!({})));
    answer
        .send(Outcome::Result(RawJson::trusted(r#"{"roots":[]}"#)))
        .unwrap();
    let response = fake.next_request("response");
    assert_eq!(response.message["id"], "theirs");
    assert_eq!(response.message["result"], json!({ "roots": [] }));
    assert_eq!(response.header("mcp-session-id"), Some("session-1"));
}

#[test]
fn a_server_request_that_stays_unanswered_gets_an_error() {
    let fake = FakeBackend::start().tool("a").with_get();
    let mut fixture = BackendFixture::connected(&fake);
    let stream = fake.stream(0);
    stream.event(&request(json!(7), "sampling/createMessage", json!({})));
    drop(fixture.next_request("sampling/createMessage"));
    let response = fake.next_request("response").message;
    assert_eq!(
        (&response["id"], &response["error"]["code"]),
        (&json!(7), &json!(-32601))
    );
}

#[test]
fn a_server_request_that_the_server_cancels_is_not_answered() {
    let fake = FakeBackend::start().tool("a").with_get();
    let mut fixture = BackendFixture::connected(&fake);
    let stream = fake.stream(0);
    stream.event(&request(json!(7), "elicitation/create", json!({})));
    let (_, mut answer) = fixture.next_request("elicitation/create");
    stream.event(&notification(
        "notifications/cancelled",
        json!({ "requestId": 7 }),
    ));
    fixture.wait(answer.closed());
    assert!(fake.requests_of("response").is_empty());
}

#[test]
fn a_server_request_outlives_its_stream() {
    let fake = FakeBackend::start().tool("a").with_get();
    let mut fixture = BackendFixture::connected(&fake);
    let stream = fake.stream(0);
    stream.text("id: 1\nretry: 10\ndata:\n\n");
    stream.event(&request(json!(7), "elicitation/create", json!({})));
    let (_, answer) = fixture.next_request("elicitation/create");
    stream.end();
    fake.stream(1);
    answer
        .send(Outcome::Result(RawJson::trusted(r#"{"action":"decline"}"#)))
        .unwrap();
    assert_eq!(fake.next_request("response").message["id"], 7);
}

#[test]
fn a_get_stream_that_ends_is_resumed_after_the_last_event() {
    let fake = FakeBackend::start().tool("a").with_get();
    let mut fixture = BackendFixture::connected(&fake);
    let first = fake.stream(0);
    let log = |data: &str| {
        notification(
            "notifications/message",
            json!({ "level": "info", "data": data }),
        )
    };
    first.text(&format!("id: e-1\nretry: 10\ndata: {}\n\n", log("one")));
    assert_eq!(
        fixture.next_notification("notifications/message")["data"],
        "one"
    );
    first.end();
    let second = fake.stream(1);
    second.event(&log("two"));
    assert_eq!(
        fixture.next_notification("notifications/message")["data"],
        "two"
    );
    second.hang_up();
    fake.stream(2).event(&log("three"));
    assert_eq!(
        fixture.next_notification("notifications/message")["data"],
        "three"
    );
    let ids: Vec<_> = fake
        .requests_of("GET")
        .iter()
        .map(|get| get.header("last-event-id").map(str::to_owned))
        .collect();
    assert_eq!(ids, [None, Some("e-1".into()), Some("e-1".into())]);
}

#[test]
fn a_404_on_the_get_stream_means_a_lost_session() {
    let fake = FakeBackend::start().tool("a").with_get();
    let mut fixture = BackendFixture::connected(&fake);
    let stream = fake.stream(0);
    stream.text("retry: 10\n\n");
    stream.event(&notification(
        "notifications/message",
        json!({ "level": "info", "data": 1 }),
    ));
    fixture.next_notification("notifications/message");
    fake.forget_sessions();
    fake.set_tools(&["a", "b"]);
    stream.end();
    assert_eq!(tools(&mut fixture), 2);
    assert_eq!(fake.requests_of("initialize").len(), 2);
    fake.stream(1);
    let gets = fake.requests_of("GET");
    let sessions: Vec<_> = gets
        .iter()
        .map(|get| get.header("mcp-session-id"))
        .collect();
    assert_eq!(
        sessions,
        [Some("session-1"), Some("session-1"), Some("session-2")]
    );
    assert_eq!(gets[2].header("last-event-id"), None);
}

#[test]
fn a_response_on_the_get_stream_reaches_its_call() {
    let fake = FakeBackend::start().tool("a").with_get();
    let fixture = BackendFixture::connected(&fake);
    let stream = fake.stream(0);
    let silent = LiveStream::new();
    fake.on_tool("a", Reply::sse().live(&silent));
    std::thread::scope(|scope| {
        let call = scope.spawn(|| fixture.call("a"));
        let mut answer = text("over there");
        answer["id"] = fake.next_request("tools/call").message["id"].clone();
        stream.event(&answer);
        assert_eq!(call.join().unwrap().unwrap(), "over there");
    });
    assert!(fake.requests_of("notifications/cancelled").is_empty());
}

#[test]
fn a_backend_is_ready_only_after_the_reply_to_the_get_request() {
    let fake = FakeBackend::start().tool("a");
    let gate = Gate::new();
    fake.on("GET", Reply::sse().after(&gate).then_stall());
    let begun = Instant::now();
    let mut fixture = BackendFixture::over(&fake);
    gate.wait_for(1);
    let up = matches!(fixture.backend.state(), State::Ready(_));
    // On a stalled machine the wait may be over before this check.
    assert!(!up || begun.elapsed() >= Duration::from_millis(500));
    gate.open();
    fixture.next_listing();
    assert!(matches!(fixture.backend.state(), State::Ready(_)));
}

#[test]
fn a_late_reply_to_the_get_request_delays_calls_only_briefly() {
    let fake = FakeBackend::start().tool("a");
    let gate = Gate::new();
    fake.on("GET", Reply::sse().after(&gate).then_stall());
    let fixture = BackendFixture::over(&fake);
    assert_eq!(fixture.call("a").unwrap(), "a {}");
    assert_eq!(gate.disconnects(), 0);
}

#[test]
fn an_open_get_stream_takes_no_call_slot_and_has_no_timeout() {
    let fake = FakeBackend::start().tool("a").with_get();
    let fixture = BackendFixture::with(
        &fake,
        "timeout_secs = 1\nidle_timeout_secs = 1\nmax_in_flight = 1\n",
    );
    let stream = fake.stream(0);
    for _ in 0..5 {
        assert_eq!(fixture.call("a").unwrap(), "a {}");
    }
    let slow = LiveStream::new();
    fake.on_tool("a", Reply::sse().live(&slow));
    assert!(fixture.call("a").unwrap_err().starts_with("Unknown"));
    assert!(stream.is_open());
}

#[test]
fn the_get_stream_closes_at_shutdown_and_is_not_reopened() {
    let fake = FakeBackend::start().tool("a").with_get();
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize();
    gateway.wait_for_tool("a");
    let stream = fake.stream(0);
    drop(gateway);
    stream.wait_until_closed();
    assert_eq!(fake.requests_of("DELETE").len(), 1);
    assert_eq!(fake.requests_of("initialize").len(), 1);
    assert_eq!(fake.requests_of("GET").len(), 1);
}
