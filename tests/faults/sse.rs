//! Section D: event streams.

use std::ops::Range;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::live_stream::LiveStream;
use crate::common::message::{notification, progress, request, text};
use crate::common::reply::Reply;
use crate::fixture::{
    BAD_REPLY, DEADLINE, ONE_SECOND, OUTCOME_UNKNOWN, TOO_LARGE, check_error, plan,
};
use crate::raw_process::RawProcess;
use crate::table::{Row, Run, rows};

pub const ROWS: &[Row] = rows! {
    "52" Nothing "split at every byte, mid-UTF-8 too" => "same result", fault_52_split_at_every_byte;
    "53" Nothing "CR, LF, CRLF, mixed, CR at a chunk's end" => "same result", fault_53_line_ends;
    "54" Nothing "BOM, comments, fields without colon, unknown fields" => "ignored", fault_54_comments_and_unknown_fields;
    "55" Nothing "multi-line data" => "one stdout line", fault_55_multi_line_data;
    "56" Nothing "empty data with id" => "ignored", fault_56_priming_event;
    "57" Nothing "unterminated event at EOF" => "dropped, unless it is a whole response to this request", fault_57_unterminated_event;
    "58" Nothing "EOF without the response" => "GET with Last-Event-ID, honouring retry; else outcome_unknown", fault_58_eof_without_response;
    "59" Config "endless comments or progress" => "the deadline still fires", fault_59_endless_stream;
    "60" Nothing "response for another id" => "dropped, the call goes on", fault_60_other_ids;
    "61" Nothing "response twice" => "first wins", fault_61_response_twice;
    "62" Nothing "messages after the response" => "not relayed", fault_62_after_the_response;
    "63" Nothing "request from the server mid-stream" => "relayed with a new id, else -32601", fault_63_server_request;
    "64" Config "event over the cap" => "too_large", fault_64_event_over_the_cap;
    "65" Nothing "100k progress/s" => "coalesced, other calls unaffected", fault_65_progress_flood;
    "66" Nothing "unknown progress token" => "dropped", fault_66_unknown_token;
    "67" Nothing "invalid JSON in an event" => "bad_reply at once; on other streams skipped", fault_67_invalid_json;
};

/// The answer as one `data` line, without the line ending.
fn data(words: &str) -> String {
    format!("data: {}", text(words))
}

fn fault_52_split_at_every_byte(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    let words = "größer, 測試, 😀";
    let stream = Reply::sse().body(": größer\n\n").event(text(words));
    fixture.expect_text(stream.byte_by_byte(Duration::ZERO), words);
}

fn fault_53_line_ends(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    for end in ["\r", "\n", "\r\n"] {
        run.set_variant(&format!("{end:?}"));
        let stream = format!("event: message{end}{}{end}{end}", data("ended"));
        fixture.expect_text(Reply::sse().body(stream), "ended");
    }
    run.set_variant("mixed");
    let mixed = format!(": one\r\n: two\r: three\n{}\r\n\r", data("mixed"));
    fixture.expect_text(Reply::sse().body(mixed), "mixed");
    run.set_variant("parted");
    let parted = Reply::sse()
        .body(data("parted") + "\r")
        .body("\n\r")
        .body("\n");
    fixture.expect_text(parted, "parted");
}

fn fault_54_comments_and_unknown_fields(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    let answer = data("found");
    let stream = format!(
        "\u{feff}: a comment\n:\n\nretry\nunknown: field\nretry: soon\nid\n\nevent\n{answer}\n\n"
    );
    fixture.expect_text(Reply::sse().body(stream), "found");
}

fn fault_55_multi_line_data(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    let pretty = serde_json::to_string_pretty(&text("unfolded")).unwrap();
    let lines = pretty.lines().map(|line| format!("data: {line}\n"));
    let stream = lines.collect::<String>() + "\n";
    fixture.expect_text(Reply::sse().body(stream), "unfolded");
}

fn fault_56_priming_event(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    for priming in [
        "id: 1\ndata: \n\n",
        "id: 1\ndata\n\n",
        "id: 1\nretry: 10\n\n",
    ] {
        run.set_variant(&format!("{priming:?}"));
        let stream = Reply::sse().body(priming);
        fixture.expect_text(stream.event_with_id("2", text("primed")), "primed");
    }
}

fn fault_57_unterminated_event(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    for (variant, end) in [("no line end", ""), ("no blank line", "\n"), ("CR", "\r")] {
        run.set_variant(variant);
        fixture.expect_text(Reply::sse().body(data("whole") + end), "whole");
    }
    let unknown = OUTCOME_UNKNOWN.with_text("the stream ended without the answer");
    let whole = data("never");
    let other = whole.replace("\"$id\"", "4000000000");
    for (variant, stream) in [
        ("cut off", &whole[..whole.len() - 1]),
        ("of another request", &other),
        ("cut off in its field's name", "dat"),
        ("empty", ""),
    ] {
        fixture.check_fault(variant, &Reply::sse().body(stream), unknown);
    }
}

fn fault_58_eof_without_response(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    fixture.expect_success("act");
    let taken = fixture.bad.requests_of("tools/call").len();
    let before = fixture.bad.runs("act");
    fixture
        .bad
        .on_tool("act", Reply::sse().priming_event("p", 300));
    let begun = Instant::now();
    let call = fixture.client().start_call("act", json!({}));
    fixture.bad.wait_for_requests("tools/call", taken + 1);
    let mut rest = text("whole");
    rest["id"] = fixture.bad.requests_of("tools/call")[taken].message["id"].clone();
    fixture
        .bad
        .on("GET p", Reply::sse().event_with_id("q", rest));
    fixture.check_good_backend();
    let answer = fixture.client().answer(call);
    run.record_runs(fixture.bad.runs("act") - before);
    if fixture.is_gateway() {
        assert_eq!(answer.text(), "whole");
        assert!(begun.elapsed() >= Duration::from_millis(300), "too early");
    }
    let nothing = Reply::sse().body(": working\n\n");
    let unknown = OUTCOME_UNKNOWN.with_text("the stream ended without the answer");
    fixture.check_fault("without ids", &nothing, unknown);
}

fn fault_59_endless_stream(run: &Run<'_>) {
    let mut fixture = plan(run).entry(ONE_SECOND).start();
    fixture.client().ignore("notifications/progress");
    let pause = Duration::from_millis(1);
    let comments = Reply::sse().body(": still there\n\n".repeat(1_000));
    let steps = (1..100).fold(Reply::sse(), |stream, step| {
        stream.event(progress(f64::from(step)))
    });
    for stream in [comments, steps] {
        let before = fixture.bad.runs("act");
        fixture.bad.on_tool("act", stream.byte_by_byte(pause));
        let call = fixture.client().start_call_with_progress("act", "mine");
        fixture.check_good_backend();
        check_error(&fixture.client().answer(call), DEADLINE, 1);
        fixture.bad.next_request("notifications/cancelled");
        run.record_runs(fixture.bad.runs("act") - before);
    }
}

fn answer_to(id: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "result": { "content": [] } })
}

fn fault_60_other_ids(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    let stream = Reply::sse()
        .event(answer_to(json!(u64::MAX)))
        .event(answer_to(json!("other")))
        .event(text("mine"));
    fixture.expect_text(stream, "mine");
}

fn fault_61_response_twice(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    let stream = Reply::sse().event(text("first")).event(text("second"));
    fixture.expect_text(stream, "first");
    let together = format!("{}\n\n{}\n\n", data("first"), data("second"));
    fixture.expect_text(Reply::sse().body(together), "first");
}

fn fault_62_after_the_response(run: &Run<'_>) {
    let mut fixture = plan(run).client(json!({ "roots": {} })).start();
    let late = json!({ "level": "info", "data": "late" });
    let log = notification("notifications/message", late);
    let question = request(json!("late"), "roots/list", json!({}));
    let stream = format!("{}\n\ndata: {log}\n\ndata: {question}\n\n", data("answer"));
    fixture.expect_text(Reply::sse().body(stream), "answer");
    fixture.expect_success("act");
    // Dropping the fixture fails on any message that still reached the client.
    fixture.expect_that(
        || fixture.bad.requests_of("response").is_empty(),
        "answered",
    );
}

fn fault_63_server_request(run: &Run<'_>) {
    let asks = |method: &str| Reply::sse().event(request(json!("theirs"), method, json!({})));
    if !run.subject.is_gateway() {
        // Other programs may relay or refuse it, but must answer the call.
        let stream = asks("sampling/createMessage").event(text("answer"));
        return plan(run).start().expect_text(stream, "answer");
    }
    run.set_variant("a client with the capability");
    let mut fixture = plan(run).client(json!({ "roots": {} })).start();
    let answered = fixture.bad.response_gate(&json!("theirs"));
    let stream = asks("roots/list").hold(&answered).event(text("answer"));
    fixture.bad.on_tool("act", stream);
    let call = fixture.client().start_call("act", json!({}));
    let question = fixture.client().next_request("roots/list");
    assert_ne!(*question.id(), json!("theirs"));
    fixture.check_good_backend();
    fixture.client().respond(&question, json!({ "roots": [] }));
    assert_eq!(fixture.client().answer(call).text(), "answer");
    let response = fixture.bad.next_request("response").message;
    assert_eq!(response["id"], "theirs");
    assert_eq!(response["result"], json!({ "roots": [] }));
    drop(fixture);

    run.set_variant("a client without the capability");
    let mut fixture = plan(run).start();
    let answered = fixture.bad.response_gate(&json!("theirs"));
    let stream = asks("sampling/createMessage").hold(&answered);
    fixture.expect_text(stream.event(text("answer")), "answer");
    let refusal = fixture.bad.next_request("response").message;
    assert_eq!(refusal["error"]["code"], -32601);
}

fn fault_64_event_over_the_cap(run: &Run<'_>) {
    let mut fixture = plan(run).gateway("max_message_bytes = 65536").start();
    let large = "x".repeat(100_000);
    let folded = "data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".repeat(2_000);
    let unended = Reply::sse().body(format!("data: {large}"));
    for (variant, stream) in [
        ("one line", Reply::sse().event(text(&large))),
        ("no end", unended.then_stall()),
        ("many lines", Reply::sse().body(folded).then_stall()),
    ] {
        fixture.check_fault(variant, &stream, TOO_LARGE);
    }
}

fn flood(steps: Range<u32>) -> String {
    let event = |step| format!("data: {}\n\n", progress(f64::from(step)));
    steps.map(event).collect()
}

fn fault_65_progress_flood(run: &Run<'_>) {
    run.set_variant("a fast client");
    let mut fixture = plan(run).start();
    fixture.client().ignore("notifications/progress");
    let stream = Reply::sse().body(flood(0..10_000)).event(text("done"));
    fixture.bad.on_tool("act", stream);
    let call = fixture.client().start_call_with_progress("act", "mine");
    for _ in 0..20 {
        fixture.check_good_backend();
    }
    assert_eq!(fixture.client().answer(call).text(), "done");
    run.record_runs(fixture.bad.runs("act"));
    drop(fixture);
    if run.subject.is_gateway() {
        slow_client_in_a_flood(run);
    }
}

/// A client that reads nothing during the flood, and then everything.
fn slow_client_in_a_flood(run: &Run<'_>) {
    const STEPS: u32 = 100_000;
    const PARTS: u32 = 100;
    run.set_variant("a slow client");
    let (mut raw, backends) = RawProcess::start(run, plan(run));
    let stream = LiveStream::new();
    backends.bad.on_tool("act", Reply::sse().live(&stream));
    raw.initialize();
    let params = json!({ "name": "act", "arguments": {}, "_meta": { "progressToken": "mine" } });
    raw.send(&request(json!("a"), "tools/call", params).to_string());
    let beside = json!({ "name": "other", "arguments": {} });
    raw.send(&request(json!("b"), "tools/call", beside).to_string());
    for part in 0..PARTS {
        stream.text(&flood(part * STEPS / PARTS..(part + 1) * STEPS / PARTS));
        // The gateway itself answers this, after it has read everything before it.
        stream.event(&request(json!(part), "ping", json!({})));
        backends.bad.next_request("response");
    }
    stream.event(&text("done"));
    let lines = raw.lines_until(|line| line.contains("\"done\""));
    let steps = lines
        .iter()
        .filter(|line| line.contains("/progress"))
        .count();
    assert!(steps < STEPS as usize / 2, "{steps} steps were queued");
    run.note(format!("{steps} of {STEPS} steps reach a slow client"));
    let answered = |line: &String| line.contains("\"other {}\"");
    assert!(
        lines.iter().any(answered),
        "the other backend's answer is lost"
    );
    drop(raw.take_stdin());
    assert_eq!(raw.end(run).0, Some(0));
}

fn fault_66_unknown_token(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    let foreign = |token: Value| {
        let params = json!({ "progressToken": token, "progress": 1 });
        notification("notifications/progress", params)
    };
    let stream = Reply::sse()
        .event(foreign(json!("theirs")))
        .event(foreign(json!(12_345_678)))
        .event(foreign(Value::Null))
        .event(text("answer"));
    fixture.bad.on_tool("act", stream);
    let call = fixture.client().start_call_with_progress("act", "mine");
    fixture.check_good_backend();
    // Dropping the fixture fails on any progress that reached the client.
    assert_eq!(fixture.client().answer(call).text(), "answer");

    // Readers differ on which of two members with one name counts.
    let keys = ["progressToken", "progressT\\u006fken"];
    for [ours, theirs] in [[keys[0], keys[0]], keys, [keys[1], keys[0]]] {
        let [ours, theirs] = [(ours, "\"$token\""), (theirs, "\"other\"")]
            .map(|(key, token)| format!(r#""{key}":{token},"progress":1"#));
        for [first, second] in [[&ours, &theirs], [&theirs, &ours]] {
            run.set_variant(&format!("{first}, {second}"));
            let params = format!("{{{first},{second}}}");
            let progress = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{params}}}"#
            );
            let stream = Reply::sse().body(format!("data: {progress}\n\n"));
            fixture.bad.on_tool("act", stream.event(text("answer")));
            let call = fixture.client().start_call_with_progress("act", "mine");
            assert_eq!(fixture.client().answer(call).text(), "answer");
        }
    }
}

fn fault_67_invalid_json(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    for nonsense in ["[]", "42", "{}", "null"] {
        run.set_variant(nonsense);
        let stream = Reply::sse().body(format!("data: {nonsense}\n\n"));
        fixture.expect_text(stream.event(text("answer")), "answer");
    }
    run.set_variant("another type");
    let ping = Reply::sse().body("event: ping\ndata: hello\n\n");
    fixture.expect_text(ping.event(text("answer")), "answer");
    let broken = BAD_REPLY.with_text("an event is not JSON");
    for nonsense in ["{", "hello", "[1,", "{\"jsonrpc\":\"2.0\""] {
        let stream = Reply::sse().body(format!("data: {nonsense}\n\n"));
        fixture.check_fault(nonsense, &stream.then_stall(), broken);
    }
    let not_utf8 = Reply::sse().bytes(b"data: {\"a\":\"\xff\xfe\"}\n\n".as_slice());
    fixture.check_fault("not UTF-8", &not_utf8.then_stall(), broken);
}
