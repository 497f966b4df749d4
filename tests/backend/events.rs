//! Valid and invalid event streams (fault table, section D).

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::message::{notification, progress, request, text};
use crate::common::reply::Reply;
use crate::fixture::{Fault, Fixture, ONE_SECOND, check_error};

/// The answer as one `data` line, without the line ending.
fn data(words: &str) -> String {
    format!("data: {}", text(words))
}

#[test]
fn fault_52_a_stream_split_at_every_byte_gives_the_same_result() {
    let mut fixture = Fixture::new();
    let words = "größer, 測試, 😀";
    fixture.expect_text(Reply::sse().event(text(words)), words);
    let split = Reply::sse()
        .event(progress(0.5))
        .event(text(words))
        .byte_by_byte(Duration::ZERO);
    fixture.expect_text(split, words);
}

#[test]
fn fault_53_every_line_ending_is_accepted() {
    let mut fixture = Fixture::new();
    for end in ["\r", "\n", "\r\n"] {
        let stream = format!("event: message{end}{}{end}{end}", data("ended"));
        fixture.expect_text(Reply::sse().body(stream), "ended");
    }
    let mixed = format!(": one\r\n: two\r: three\n{}\r\n\r", data("mixed"));
    fixture.expect_text(Reply::sse().body(mixed), "mixed");
    let parted = Reply::sse()
        .body(data("parted") + "\r")
        .body("\n\r")
        .body("\n");
    fixture.expect_text(parted, "parted");
}

#[test]
fn fault_53_an_event_ends_at_its_last_cr_without_waiting_for_a_lf() {
    let mut fixture = Fixture::new();
    let stream = Reply::sse().body(data("at once") + "\r\r").then_stall();
    fixture.expect_text(stream, "at once");
}

#[test]
fn fault_54_comments_and_unknown_fields_are_ignored() {
    let mut fixture = Fixture::new();
    let answer = data("found");
    let stream = format!(
        "\u{feff}: a comment\n:\n\nretry\nunknown: field\nretry: soon\nid\n\nevent\n{answer}\n\n"
    );
    fixture.expect_text(Reply::sse().body(stream), "found");
    let unspaced = answer.replacen(": ", ":", 1);
    fixture.expect_text(Reply::sse().body(format!("{unspaced}\n\n")), "found");
    let other_type = format!("event: something\n{answer}\n\n");
    fixture.expect_text(Reply::sse().body(other_type), "found");
}

#[test]
fn fault_55_data_on_many_lines_is_one_line_for_the_client() {
    let mut fixture = Fixture::new();
    let pretty = serde_json::to_string_pretty(&text("unfolded")).unwrap();
    let lines: String = pretty
        .lines()
        .map(|line| format!("data: {line}\n"))
        .collect();
    assert!(lines.lines().count() > 5);
    fixture.expect_text(Reply::sse().body(lines + "\n"), "unfolded");
    let carriage_returns = pretty.replace('\n', "\r\n");
    let reply = Reply::status(200).header("content-type", "application/json");
    fixture.expect_text(reply.body(carriage_returns), "unfolded");
}

#[test]
fn fault_56_a_priming_event_is_no_message() {
    let mut fixture = Fixture::new();
    for priming in [
        "id: 1\ndata: \n\n",
        "id: 1\ndata\n\n",
        "id: 1\nretry: 10\n\n",
    ] {
        let stream = Reply::sse()
            .body(priming)
            .event_with_id("2", text("primed"));
        fixture.expect_text(stream, "primed");
    }
}

#[test]
fn fault_57_an_unterminated_event_counts_where_it_is_a_whole_response() {
    let mut fixture = Fixture::new();
    let whole = data("whole");
    for end in ["", "\n", "\r\n"] {
        fixture.expect_text(Reply::sse().body(format!("{whole}{end}")), "whole");
    }
    let pretty = serde_json::to_string_pretty(&text("unfolded")).unwrap();
    let lines: Vec<String> = pretty.lines().map(|line| format!("data: {line}")).collect();
    let stream = Reply::sse().event(progress(0.5)).body(lines.join("\n"));
    fixture.expect_text(stream.byte_by_byte(Duration::ZERO), "unfolded");
    let other = whole.replace("\"$id\"", "4000000000");
    for (name, stream) in [
        ("cut off", &whole[..whole.len() - 1]),
        ("of another request", &other),
        ("empty", ""),
    ] {
        fixture.check_fault(Fault {
            name,
            reply: Reply::sse().body(stream),
            class: "outcome_unknown",
            executed: "unknown",
            expected_text: "the stream ended without the answer",
            sent_if_safe: 2,
        });
    }
}

#[test]
fn fault_59_the_deadline_ends_an_endless_stream() {
    let mut fixture = Fixture::with(ONE_SECOND);
    fixture.gateway.ignore("notifications/progress");
    let pause = Duration::from_millis(1);
    let comments = Reply::sse().body(": still there\n\n".repeat(1_000));
    let all_progress = (1..100).fold(Reply::sse(), |stream, step| {
        stream.event(progress(f64::from(step)))
    });
    let calls = [comments, all_progress].map(|stream| {
        fixture.bad.on_tool("act", stream.byte_by_byte(pause));
        fixture.gateway.start_call_with_progress("act", "mine")
    });
    fixture.check_good_backend();
    for call in calls {
        let answer = fixture.gateway.answer(call);
        check_error(&answer, ("deadline", "unknown", 1), "no answer within 1 s");
        fixture.bad.next_request("notifications/cancelled");
    }
    assert_eq!((fixture.sent("act"), fixture.bad.runs("act")), (2, 2));
}

fn answer_to(id: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "result": { "content": [] } })
}

#[test]
fn fault_60_an_answer_to_another_request_is_dropped() {
    let mut fixture = Fixture::new();
    let stream = Reply::sse()
        .event(answer_to(json!(u64::MAX)))
        .event(answer_to(json!("other")))
        .event(answer_to(Value::Null))
        .event(text("mine"));
    fixture.expect_text(stream, "mine");
}

#[test]
fn fault_61_the_first_of_two_answers_wins() {
    let mut fixture = Fixture::new();
    let stream = Reply::sse().event(text("first")).event(text("second"));
    fixture.expect_text(stream, "first");
    let together = format!("{}\n\n{}\n\n", data("first"), data("second"));
    fixture.expect_text(Reply::sse().body(together), "first");
}

#[test]
fn fault_62_what_follows_the_answer_is_not_relayed() {
    let mut fixture = Fixture::with_client(json!({ "roots": {} }));
    let log = notification(
        "notifications/message",
        json!({ "level": "info", "data": "late" }),
    );
    let question = request(json!("late"), "roots/list", json!({}));
    let stream = format!("{}\n\ndata: {log}\n\ndata: {question}\n\n", data("answer"));
    fixture.expect_text(Reply::sse().body(stream), "answer");
    fixture.expect_success("act");
    // Dropping the fixture fails on any message that still reached the client.
    assert!(fixture.bad.requests_of("response").is_empty());
}

#[test]
fn fault_63_a_request_of_the_server_is_relayed_under_an_id_of_our_own() {
    let mut fixture = Fixture::with_client(json!({ "roots": {} }));
    let stream = Reply::sse()
        .event(request(json!("theirs"), "roots/list", json!({})))
        .event(request(json!(7), "ping", json!({})))
        .then_stall();
    fixture.bad.on_tool("act", stream);
    let call = fixture.gateway.start_call("act", json!({}));
    let question = fixture.gateway.next_request("roots/list");
    assert_ne!(*question.id(), json!("theirs"));
    assert_ne!(*question.id(), json!(call));
    fixture.gateway.respond(&question, json!({ "roots": [] }));
    let answers = [(); 2].map(|()| fixture.bad.next_request("response").message);
    let to = |id: Value| answers.iter().find(|answer| answer["id"] == id).unwrap();
    assert_eq!(to(json!("theirs"))["result"], json!({ "roots": [] }));
    assert_eq!(to(json!(7))["result"], json!({}));
    fixture.check_good_backend();
    fixture.gateway.cancel(call);
    fixture.bad.next_request("notifications/cancelled");
    assert_eq!(fixture.bad.runs("act"), 1);
}

#[test]
fn fault_63_a_client_without_the_capability_is_never_asked() {
    let mut fixture = Fixture::new();
    for method in [
        "roots/list",
        "sampling/createMessage",
        "elicitation/create",
        "a/b",
    ] {
        let stream = Reply::sse()
            .event(request(json!("theirs"), method, json!({})))
            .event(text("answer"));
        // In one packet the answer would end the call before the request is handled.
        fixture
            .bad
            .on_tool("act", stream.byte_by_byte(Duration::ZERO));
        assert_eq!(fixture.call("act").text(), "answer");
    }
    fixture.expect_success("act");
}

#[test]
fn fault_63_the_server_gets_an_error_if_the_client_lacks_the_capability() {
    let mut fixture = Fixture::new();
    let stream = Reply::sse()
        .event(request(
            json!("theirs"),
            "sampling/createMessage",
            json!({}),
        ))
        .then_stall();
    fixture.bad.on_tool("act", stream);
    let call = fixture.gateway.start_call("act", json!({}));
    let refusal = fixture.bad.next_request("response").message;
    assert_eq!(refusal["id"], "theirs");
    assert_eq!(refusal["error"]["code"], -32601);
    fixture.check_good_backend();
    fixture.gateway.cancel(call);
    fixture.bad.next_request("notifications/cancelled");
    assert_eq!(fixture.bad.runs("act"), 1);
}

#[test]
fn fault_64_an_event_over_the_cap_is_too_large() {
    let mut fixture = Fixture::with_gateway("max_message_bytes = 65536");
    let large = "x".repeat(100_000);
    let folded = "data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".repeat(2_000);
    for (name, stream) in [
        ("one line", Reply::sse().event(text(&large))),
        (
            "no end",
            Reply::sse().body(format!("data: {large}")).then_stall(),
        ),
        ("many lines", Reply::sse().body(folded).then_stall()),
    ] {
        fixture.check_fault(Fault {
            name,
            reply: stream,
            class: "too_large",
            executed: "unknown",
            expected_text: "larger than 65536 bytes",
            sent_if_safe: 1,
        });
    }
    let small = (0..2_000).fold(String::new(), |stream, _| {
        stream + ": a comment of some length, over and over\n"
    });
    fixture.expect_text(Reply::sse().body(small).event(text("small")), "small");
}

#[test]
fn fault_67_an_event_that_is_not_json_ends_its_request_at_once() {
    let mut fixture = Fixture::new();
    let nonsense: [&[u8]; 6] = [
        b"{",
        b"hello",
        b"[1,",
        b"{\"jsonrpc\":\"2.0\"",
        b"\0",
        b"{\"a\":\"\xff\xfe\"}",
    ];
    for nonsense in nonsense {
        let event = [b"data: ", nonsense, b"\n\n"].concat();
        fixture.check_fault(Fault {
            name: "not JSON",
            reply: Reply::sse().bytes(event).then_stall(),
            class: "bad_reply",
            executed: "unknown",
            expected_text: "an event is not JSON",
            sent_if_safe: 1,
        });
    }
}

#[test]
fn fault_67_an_event_that_is_no_message_is_skipped() {
    let mut fixture = Fixture::new();
    for event in [
        "data: []",
        "data: 42",
        "data: {}",
        "data: null",
        "event: ping\ndata: hello",
    ] {
        let stream = Reply::sse().body(format!("{event}\n\n"));
        fixture.expect_text(stream.event(text("answer")), "answer");
    }
}
