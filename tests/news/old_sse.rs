//! The transport of 2024-11-05.

use serde_json::json;

use sentinel_gateway::backend::State;
use sentinel_gateway::protocol::{Kind, Outcome, RawJson};

use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::common::live_stream::LiveStream;
use crate::common::message::{notification, progress, request, text};
use crate::common::reply::Reply;
use crate::news::alone::Alone;

#[test]
fn it_is_found_where_initialize_is_refused() {
    let fake = FakeBackend::start().tool("a").resource("a:b").http_sse();
    let mut alone = Alone::over(&fake);
    assert_eq!(alone.listed().items(Kind::Tool).len(), 1);
    let State::Ready(link) = alone.backend.state() else {
        panic!("it is not up")
    };
    assert_eq!((link.era.name(), link.version), ("legacy", "2024-11-05"));
    assert_eq!(alone.call("a").unwrap(), "a {}");
    assert_eq!(fake.runs("a"), 1);
    assert_eq!(fake.requests_of("GET").len(), 1);
}

#[test]
fn it_is_not_looked_for_where_something_else_is_wrong() {
    for status in [401, 403, 500, 502] {
        let fake = FakeBackend::start();
        fake.always("server/discover", Reply::status(400));
        fake.always("initialize", Reply::status(status));
        let mut alone = Alone::over(&fake);
        alone.down();
        assert!(fake.requests_of("GET").is_empty());
    }
}

#[test]
fn what_was_wrong_first_is_said_where_there_is_none() {
    for get in [
        Reply::status(405),
        Reply::status(200).body("<html>"),
        Reply::sse().event(json!({})),
        Reply::sse(),
    ] {
        let fake = FakeBackend::start().without_sessions();
        fake.always("initialize", Reply::status(404).body("no such page"));
        fake.always("GET", get);
        let mut alone = Alone::over(&fake);
        alone.down();
        let why = alone.backend.why_down().unwrap();
        assert!(why.contains("404") && why.contains("no such page"), "{why}");
    }
}

#[test]
fn it_is_never_posted_to_another_origin() {
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
        let mut alone = Alone::over(&fake);
        alone.down();
        let why = alone.backend.why_down().unwrap();
        assert!(why.contains("another origin"), "{why}");
    }
}

#[test]
fn an_absolute_address_of_the_same_origin_is_fine() {
    let fake = FakeBackend::start().tool("a").without_sessions();
    let live = LiveStream::new();
    let absolute = fake.url().replace("/mcp", "/post?client=1");
    fake.on("server/discover", Reply::status(405));
    fake.on("initialize", Reply::status(405));
    let beginning = format!("event: endpoint\ndata: {absolute}\n\n");
    fake.on("GET", Reply::sse().body(beginning).live(&live));
    fake.on("initialize", Reply::status(202));
    let mut alone = Alone::over(&fake);
    fake.wait_for_requests("initialize", 2);
    let posted = fake.requests_of("initialize").pop().unwrap();
    assert_eq!(posted.target, "/post?client=1");
    live.event(
        &json!({ "jsonrpc": "2.0", "id": posted.message["id"], "result": {
        "protocolVersion": "2024-11-05", "capabilities": {},
        "serverInfo": { "name": "old", "version": "1" } } }),
    );
    assert_eq!(alone.listed().items(Kind::Tool).len(), 0);
}

#[test]
fn calls_run_side_by_side_with_progress_and_questions() {
    let fake = FakeBackend::start().tool("a").tool("b").http_sse();
    let question = request(json!("q"), "roots/list", json!({}));
    fake.on_tool(
        "a",
        Reply::sse()
            .event(progress(1.0))
            .event(question)
            .event(text("done")),
    );
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize_with("2025-11-25", json!({}));
    gateway.wait_for_tool("a");
    let a = gateway.start_call_with_progress("a", "mine");
    let b = gateway.start_call("b", json!({}));
    let heard = gateway.next_notification("notifications/progress");
    assert_eq!(heard.params()["progressToken"], "mine");
    assert_eq!(gateway.answer(b).text(), "b {}");
    assert_eq!(gateway.answer(a).text(), "done");
    // The client can't answer, and the server hears that.
    assert_eq!(fake.next_request("response").message["id"], "q");
}

#[test]
fn questions_outside_of_calls_are_asked() {
    let fake = FakeBackend::start().tool("a").http_sse();
    let mut alone = Alone::up(&fake);
    fake.on_tool(
        "a",
        Reply::sse()
            .event(request(json!(5), "roots/list", json!({})))
            .event(notification(
                "notifications/message",
                json!({ "level": "info", "data": "x" }),
            ))
            .event(text("done")),
    );
    assert_eq!(alone.call("a").unwrap(), "done");
    assert_eq!(alone.notice("notifications/message")["data"], "x");
    let (_, answer) = alone.asked("roots/list");
    answer
        .send(Outcome::Result(RawJson::trusted(r#"{"roots":[]}"#)))
        .unwrap();
    let told = fake.next_request("response").message;
    assert_eq!(
        (&told["id"], &told["result"]["roots"]),
        (&json!(5), &json!([]))
    );
}

#[test]
fn a_stream_that_ends_is_a_lost_connection_and_a_new_one_is_made() {
    let fake = FakeBackend::start().tool("a").tool("slow").http_sse();
    let mut alone = Alone::up(&fake);
    let held = LiveStream::new();
    fake.on_tool("slow", Reply::sse().live(&held));
    let error = std::thread::scope(|scope| {
        let call = scope.spawn(|| alone.call("slow"));
        fake.wait_for_requests("tools/call", 1);
        fake.drop_connections();
        call.join().unwrap().unwrap_err()
    });
    assert!(
        error.starts_with("Unknown") && error.contains("connection lost"),
        "{error}"
    );
    assert_eq!(fake.runs("slow"), 1);
    alone.listed();
    assert_eq!(alone.call("a").unwrap(), "a {}");
    assert_eq!(fake.requests_of("GET").len(), 2);
}

#[test]
fn cancelling_is_posted() {
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
