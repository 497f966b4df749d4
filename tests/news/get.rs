//! The stream of a legacy server behind GET.

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
use crate::news::alone::Alone;

const TOOLS_CHANGED: &str = "notifications/tools/list_changed";

fn tools(alone: &mut Alone) -> usize {
    alone.listed().items(Kind::Tool).len()
}

#[test]
fn it_is_opened_after_the_handshake_within_the_session() {
    let fake = FakeBackend::start().tool("a").with_get();
    let _alone = Alone::up(&fake);
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
fn fault_35_a_server_without_one_is_asked_once() {
    for refusal in [
        Reply::status(405),
        Reply::status(404).body("Not Found"),
        Reply::status(400),
        Reply::status(501),
        Reply::json(&json!({})),
    ] {
        let fake = FakeBackend::start().tool("a").without_sessions();
        fake.always("GET", refusal);
        let mut alone = Alone::up(&fake);
        fake.wait_for_requests("GET", 1);
        assert_eq!(alone.call("a").unwrap(), "a {}");
        assert!(alone.wait(alone.backend.refresh_lists()));
        tools(&mut alone);
        assert_eq!(fake.requests_of("GET").len(), 1);
    }
}

#[test]
fn fault_74_changes_of_lists_are_fetched_once_for_many() {
    let fake = FakeBackend::start().tool("a").with_get();
    let mut alone = Alone::up(&fake);
    let stream = fake.stream(0);
    fake.set_tools(&["a", "b"]);
    let flood = format!("data: {}\n\n", notification(TOOLS_CHANGED, json!({}))).repeat(10_000);
    stream.text(&flood);
    assert_eq!(tools(&mut alone), 2);
    stream.event(&notification(
        "notifications/message",
        json!({ "level": "info", "data": 1 }),
    ));
    alone.notice("notifications/message");
    assert_eq!(alone.call("a").unwrap(), "a {}");
    assert!(fake.requests_of("tools/list").len() < 10);
}

#[test]
fn what_belongs_to_no_call_is_passed_on_as_it_is() {
    let fake = FakeBackend::start().tool("a").with_get();
    let mut alone = Alone::up(&fake);
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
        assert_eq!(alone.notice(method), params);
    }
}

#[test]
fn questions_are_answered_under_the_servers_own_id() {
    let fake = FakeBackend::start().tool("a").with_get();
    let mut alone = Alone::up(&fake);
    let stream = fake.stream(0);
    stream.event(&request(json!("theirs"), "roots/list", json!({})));
    let (question, answer) = alone.asked("roots/list");
    assert_eq!(question.id.raw().as_str(), "\"theirs\"");
    stream.event(&request(json!(0), "ping", json!({})));
    let pong = fake.next_request("response").message;
    assert_eq!((&pong["id"], &pong["result"]), (&json!(0), &json!({})));
    answer
        .send(Outcome::Result(RawJson::trusted(r#"{"roots":[]}"#)))
        .unwrap();
    let told = fake.next_request("response");
    assert_eq!(told.message["id"], "theirs");
    assert_eq!(told.message["result"], json!({ "roots": [] }));
    assert_eq!(told.header("mcp-session-id"), Some("session-1"));
}

#[test]
fn a_question_that_nobody_answers_is_refused() {
    let fake = FakeBackend::start().tool("a").with_get();
    let mut alone = Alone::up(&fake);
    let stream = fake.stream(0);
    stream.event(&request(json!(7), "sampling/createMessage", json!({})));
    drop(alone.asked("sampling/createMessage"));
    let told = fake.next_request("response").message;
    assert_eq!(
        (&told["id"], &told["error"]["code"]),
        (&json!(7), &json!(-32601))
    );
}

#[test]
fn a_question_that_the_server_takes_back_is_nobodys_any_more() {
    let fake = FakeBackend::start().tool("a").with_get();
    let mut alone = Alone::up(&fake);
    let stream = fake.stream(0);
    stream.event(&request(json!(7), "elicitation/create", json!({})));
    let (_, mut answer) = alone.asked("elicitation/create");
    stream.event(&notification(
        "notifications/cancelled",
        json!({ "requestId": 7 }),
    ));
    alone.wait(answer.closed());
    assert!(fake.requests_of("response").is_empty());
}

#[test]
fn a_question_outlives_the_stream_it_came_on() {
    let fake = FakeBackend::start().tool("a").with_get();
    let mut alone = Alone::up(&fake);
    let stream = fake.stream(0);
    stream.text("id: 1\nretry: 10\ndata:\n\n");
    stream.event(&request(json!(7), "elicitation/create", json!({})));
    let (_, answer) = alone.asked("elicitation/create");
    stream.end();
    fake.stream(1);
    answer
        .send(Outcome::Result(RawJson::trusted(r#"{"action":"decline"}"#)))
        .unwrap();
    assert_eq!(fake.next_request("response").message["id"], 7);
}

#[test]
fn a_stream_that_ends_is_opened_again_behind_what_was_heard() {
    let fake = FakeBackend::start().tool("a").with_get();
    let mut alone = Alone::up(&fake);
    let first = fake.stream(0);
    let log = |data: &str| {
        notification(
            "notifications/message",
            json!({ "level": "info", "data": data }),
        )
    };
    first.text(&format!("id: e-1\nretry: 10\ndata: {}\n\n", log("one")));
    assert_eq!(alone.notice("notifications/message")["data"], "one");
    first.end();
    let second = fake.stream(1);
    second.event(&log("two"));
    assert_eq!(alone.notice("notifications/message")["data"], "two");
    second.hang_up();
    fake.stream(2).event(&log("three"));
    assert_eq!(alone.notice("notifications/message")["data"], "three");
    let ids: Vec<_> = fake
        .requests_of("GET")
        .iter()
        .map(|get| get.header("last-event-id").map(str::to_owned))
        .collect();
    assert_eq!(ids, [None, Some("e-1".into()), Some("e-1".into())]);
}

#[test]
fn a_404_within_the_session_means_that_it_is_lost() {
    let fake = FakeBackend::start().tool("a").with_get();
    let mut alone = Alone::up(&fake);
    let stream = fake.stream(0);
    stream.text("retry: 10\n\n");
    stream.event(&notification(
        "notifications/message",
        json!({ "level": "info", "data": 1 }),
    ));
    alone.notice("notifications/message");
    fake.forget_sessions();
    fake.set_tools(&["a", "b"]);
    stream.end();
    assert_eq!(tools(&mut alone), 2);
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
fn an_answer_on_it_is_for_the_call_that_asked() {
    let fake = FakeBackend::start().tool("a").with_get();
    let alone = Alone::up(&fake);
    let stream = fake.stream(0);
    let silent = LiveStream::new();
    fake.on_tool("a", Reply::sse().live(&silent));
    std::thread::scope(|scope| {
        let call = scope.spawn(|| alone.call("a"));
        let mut answer = text("over there");
        answer["id"] = fake.next_request("tools/call").message["id"].clone();
        stream.event(&answer);
        assert_eq!(call.join().unwrap().unwrap(), "over there");
    });
    assert!(fake.requests_of("notifications/cancelled").is_empty());
}

#[test]
fn no_call_goes_out_before_the_server_has_said_whether_it_has_one() {
    let fake = FakeBackend::start().tool("a");
    let gate = Gate::new();
    fake.on("GET", Reply::sse().after(&gate).then_stall());
    let begun = Instant::now();
    let mut alone = Alone::over(&fake);
    gate.wait_for(1);
    let up = matches!(alone.backend.state(), State::Ready(_));
    // On a machine that stands still the wait is over before we look.
    assert!(!up || begun.elapsed() >= Duration::from_millis(500));
    gate.open();
    alone.listed();
    assert!(matches!(alone.backend.state(), State::Ready(_)));
}

#[test]
fn a_server_that_says_nothing_until_it_has_news_is_waited_for_but_briefly() {
    let fake = FakeBackend::start().tool("a");
    let gate = Gate::new();
    fake.on("GET", Reply::sse().after(&gate).then_stall());
    let alone = Alone::over(&fake);
    assert_eq!(alone.call("a").unwrap(), "a {}");
    assert_eq!(gate.disconnects(), 0);
}

#[test]
fn no_call_waits_for_it_and_no_timeout_ends_it() {
    let fake = FakeBackend::start().tool("a").with_get();
    let alone = Alone::with(
        &fake,
        "timeout_secs = 1\nidle_timeout_secs = 1\nmax_in_flight = 1\n",
    );
    let stream = fake.stream(0);
    for _ in 0..5 {
        assert_eq!(alone.call("a").unwrap(), "a {}");
    }
    let slow = LiveStream::new();
    fake.on_tool("a", Reply::sse().live(&slow));
    assert!(alone.call("a").unwrap_err().starts_with("Unknown"));
    assert!(stream.is_open());
}

#[test]
fn it_closes_when_the_gateway_leaves_and_nothing_reconnects() {
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
