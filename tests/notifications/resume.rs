//! Resumed answers: a stream that ends early is resumed, and no call is sent twice.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::common::live_stream::LiveStream;
use crate::common::message::{notification, progress, request, text};
use crate::common::reply::Reply;
use crate::notifications::fixture::BackendFixture;

fn ids(fake: &FakeBackend) -> Vec<String> {
    let gets = fake.requests_of("GET").into_iter();
    gets.filter_map(|get| get.header("last-event-id").map(str::to_owned))
        .collect()
}

/// The response to the call in flight, for a resumed stream.
fn answer(fake: &FakeBackend, words: &str) -> serde_json::Value {
    let id = fake.next_request("tools/call").message["id"].clone();
    let mut answer = text(words);
    answer["id"] = id;
    answer
}

#[test]
fn fault_58_an_answer_is_resumed_after_the_retry_time_of_the_server() {
    let fake = FakeBackend::start().tool("a");
    let fixture = BackendFixture::connected(&fake);
    fake.on_tool("a", Reply::sse().priming_event("p", 300));
    std::thread::scope(|scope| {
        let call = scope.spawn(|| fixture.call("a"));
        let answer = answer(&fake, "whole");
        let asked = Instant::now();
        fake.on("GET p", Reply::sse().event_with_id("q", answer));
        assert_eq!(call.join().unwrap().unwrap(), "whole");
        assert!(asked.elapsed() >= Duration::from_millis(250));
    });
    let get = fake.requests_of("GET").pop().unwrap();
    assert_eq!(get.header("last-event-id"), Some("p"));
    assert_eq!(get.header("mcp-session-id"), Some("session-1"));
    assert_eq!(get.header("accept"), Some("text/event-stream"));
    assert_eq!(fake.runs("a"), 1);
}

#[test]
fn fault_58_a_broken_stream_is_resumed_from_the_last_event() {
    let fake = FakeBackend::start().tool("a");
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize_with("2025-11-25", json!({ "roots": {} }));
    gateway.wait_for_tool("a");
    let first = Reply::sse()
        .priming_event("1", 10)
        .event_with_id("2", progress(1.0))
        .event_with_id("3", request(json!("q"), "roots/list", json!({})));
    fake.on_tool("a", first.then_hang_up());
    let rest = LiveStream::new();
    fake.on("GET 3", Reply::sse().live(&rest));
    let call = gateway.start_call_with_progress("a", "mine");
    assert_eq!(
        gateway.next_notification("notifications/progress").params()["progress"],
        1.0
    );
    // The server request stays open while the stream is broken.
    let server_request = gateway.next_request("roots/list");
    let answer = answer(&fake, "whole");
    let token = fake.requests_of("tools/call")[0].params()["_meta"]["progressToken"].clone();
    let more = notification(
        "notifications/progress",
        json!({ "progressToken": token, "progress": 2.0 }),
    );
    rest.text(&format!("id: 4\ndata: {more}\n\n"));
    let received = gateway.next_notification("notifications/progress");
    assert_eq!(received.params()["progress"], 2.0);
    gateway.respond(&server_request, json!({ "roots": [] }));
    assert_eq!(fake.next_request("response").message["id"], "q");
    fake.on("GET 4", Reply::sse().event_with_id("5", answer));
    rest.end();
    assert_eq!(gateway.answer(call).text(), "whole");
    assert_eq!(fake.runs("a"), 1);
}

#[test]
fn fault_58_without_an_event_id_the_outcome_is_unknown() {
    let fake = FakeBackend::start().tool("a");
    let fixture = BackendFixture::connected(&fake);
    fake.on_tool("a", Reply::sse().event(progress(1.0)));
    let error = fixture.call("a").unwrap_err();
    assert!(
        error.starts_with("Unknown") && error.contains("stream ended"),
        "{error}"
    );
    assert_eq!((fake.runs("a"), ids(&fake).len()), (1, 0));
}

#[test]
fn fault_58_a_server_that_cannot_resume_is_asked_a_bounded_number_of_times() {
    let fake = FakeBackend::start().tool("a");
    let fixture = BackendFixture::connected(&fake);
    for (refusal, asked) in [
        (Reply::status(405), 1),
        (Reply::status(404), 1),
        (Reply::status(400).body("no such event"), 1),
        (Reply::json(&json!({})), 1),
        (Reply::sse(), 6),
        (Reply::status(503), 6),
    ] {
        let before = ids(&fake).len();
        fake.always("GET p", refusal);
        fake.on_tool("a", Reply::sse().priming_event("p", 10));
        let error = fixture.call("a").unwrap_err();
        assert!(error.starts_with("Unknown"), "{error}");
        let tries = ids(&fake).len() - before;
        assert!(tries <= asked && tries > 0, "{tries} {asked}");
    }
    assert_eq!(fake.runs("a"), 6);
    assert_eq!(fake.requests_of("initialize").len(), 1);
}

#[test]
fn fault_58_the_deadline_covers_the_retry_time() {
    let fake = FakeBackend::start().tool("a");
    let mut fixture = BackendFixture::with(&fake, "timeout_secs = 1\n");
    fixture.next_listing();
    fake.on_tool("a", Reply::sse().priming_event("p", 3_600_000));
    let error = fixture.call("a").unwrap_err();
    assert!(error.contains("no answer within 1 s"), "{error}");
    fake.next_request("notifications/cancelled");
    assert!(ids(&fake).is_empty());
}
