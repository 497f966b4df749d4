//! D. Event streams.

use std::ops::Range;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bare::Bare;
use crate::common::live_stream::LiveStream;
use crate::common::message::{notification, progress, request, text};
use crate::common::reply::Reply;
use crate::rig::{DEADLINE, ONE_SECOND, OUTCOME_UNKNOWN, TOO_LARGE, judge, plan};
use crate::table::{Row, Run, rows};

pub const ROWS: &[Row] = rows! {
    "52" Nothing "split at every byte, mid-UTF-8 too" => "same result", fault_52_split_at_every_byte;
    "53" Nothing "CR, LF, CRLF, mixed, CR at a chunk's end" => "same result", fault_53_line_ends;
    "54" Nothing "BOM, comments, fields without colon, unknown fields" => "passed over", fault_54_what_else_a_stream_holds;
    "55" Nothing "multi-line data" => "one stdout line", fault_55_multi_line_data;
    "56" Nothing "empty data with id" => "ignored", fault_56_priming_event;
    "57" Nothing "unterminated event at EOF" => "dropped", fault_57_unterminated_event;
    "58" Nothing "EOF without the response" => "GET with Last-Event-ID, honouring retry; else outcome_unknown", fault_58_eof_without_response;
    "59" Config "endless comments or progress" => "the deadline still fires", fault_59_endless_stream;
    "60" Nothing "response for another id" => "dropped, the call goes on", fault_60_other_ids;
    "61" Nothing "response twice" => "first wins", fault_61_response_twice;
    "62" Nothing "messages after the response" => "not relayed", fault_62_after_the_response;
    "63" Nothing "request from the server mid-stream" => "relayed with an own id, else -32601", fault_63_request_of_the_server;
    "64" Config "event over the cap" => "too_large", fault_64_event_over_the_cap;
    "65" Nothing "100k progress/s" => "coalesced, others unharmed", fault_65_progress_flood;
    "66" Nothing "a progress token that isn't ours" => "dropped", fault_66_foreign_token;
    "67" Nothing "invalid JSON in an event" => "skipped", fault_67_invalid_json;
};

/// The answer as one `data` line, without its end.
fn data(words: &str) -> String {
    format!("data: {}", text(words))
}

fn fault_52_split_at_every_byte(run: &Run<'_>) {
    let mut rig = plan(run).start();
    let words = "größer, 測試, 😀";
    let stream = Reply::sse().body(": größer\n\n").event(text(words));
    rig.understands(stream.byte_by_byte(Duration::ZERO), words);
}

fn fault_53_line_ends(run: &Run<'_>) {
    let mut rig = plan(run).start();
    for end in ["\r", "\n", "\r\n"] {
        run.at(&format!("{end:?}"));
        let stream = format!("event: message{end}{}{end}{end}", data("ended"));
        rig.understands(Reply::sse().body(stream), "ended");
    }
    run.at("mixed");
    let mixed = format!(": one\r\n: two\r: three\n{}\r\n\r", data("mixed"));
    rig.understands(Reply::sse().body(mixed), "mixed");
    run.at("parted");
    let parted = Reply::sse()
        .body(data("parted") + "\r")
        .body("\n\r")
        .body("\n");
    rig.understands(parted, "parted");
}

fn fault_54_what_else_a_stream_holds(run: &Run<'_>) {
    let mut rig = plan(run).start();
    let answer = data("found");
    let stream = format!(
        "\u{feff}: a comment\n:\n\nretry\nunknown: field\nretry: soon\nid\n\nevent\n{answer}\n\n"
    );
    rig.understands(Reply::sse().body(stream), "found");
}

fn fault_55_multi_line_data(run: &Run<'_>) {
    let mut rig = plan(run).start();
    let pretty = serde_json::to_string_pretty(&text("unfolded")).unwrap();
    let lines = pretty.lines().map(|line| format!("data: {line}\n"));
    let stream = lines.collect::<String>() + "\n";
    rig.understands(Reply::sse().body(stream), "unfolded");
}

fn fault_56_priming_event(run: &Run<'_>) {
    let mut rig = plan(run).start();
    for priming in [
        "id: 1\ndata: \n\n",
        "id: 1\ndata\n\n",
        "id: 1\nretry: 10\n\n",
    ] {
        run.at(&format!("{priming:?}"));
        let stream = Reply::sse().body(priming);
        rig.understands(stream.event_with_id("2", text("primed")), "primed");
    }
}

fn fault_57_unterminated_event(run: &Run<'_>) {
    let mut rig = plan(run).start();
    let unknown = OUTCOME_UNKNOWN.saying("the stream ended without the answer");
    for (variant, stream) in [
        ("no line end", data("never")),
        ("no blank line", data("never") + "\n"),
        ("empty", String::new()),
    ] {
        rig.suffers(variant, &Reply::sse().body(stream), unknown);
    }
}

fn fault_58_eof_without_response(run: &Run<'_>) {
    let mut rig = plan(run).start();
    rig.works("act");
    let taken = rig.bad.requests_of("tools/call").len();
    let before = rig.bad.runs("act");
    rig.bad.on_tool("act", Reply::sse().priming_event("p", 300));
    let begun = Instant::now();
    let call = rig.client().start_call("act", json!({}));
    rig.bad.wait_for_requests("tools/call", taken + 1);
    let mut rest = text("whole");
    rest["id"] = rig.bad.requests_of("tools/call")[taken].message["id"].clone();
    rig.bad.on("GET p", Reply::sse().event_with_id("q", rest));
    rig.good_works();
    let answer = rig.client().answer(call);
    run.ran(rig.bad.runs("act") - before);
    if rig.is_ours() {
        assert_eq!(answer.text(), "whole");
        assert!(begun.elapsed() >= Duration::from_millis(300), "too early");
    }
    let nothing = Reply::sse().body(": working\n\n");
    let unknown = OUTCOME_UNKNOWN.saying("the stream ended without the answer");
    rig.suffers("without ids", &nothing, unknown);
}

fn fault_59_endless_stream(run: &Run<'_>) {
    let mut rig = plan(run).entry(ONE_SECOND).start();
    rig.client().ignore("notifications/progress");
    let pause = Duration::from_millis(1);
    let comments = Reply::sse().body(": still there\n\n".repeat(1_000));
    let steps = (1..100).fold(Reply::sse(), |stream, step| {
        stream.event(progress(f64::from(step)))
    });
    for stream in [comments, steps] {
        let before = rig.bad.runs("act");
        rig.bad.on_tool("act", stream.byte_by_byte(pause));
        let call = rig.client().start_call_with_progress("act", "mine");
        rig.good_works();
        judge(&rig.client().answer(call), DEADLINE, 1);
        rig.bad.next_request("notifications/cancelled");
        run.ran(rig.bad.runs("act") - before);
    }
}

fn answer_to(id: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "result": { "content": [] } })
}

fn fault_60_other_ids(run: &Run<'_>) {
    let mut rig = plan(run).start();
    let stream = Reply::sse()
        .event(answer_to(json!(u64::MAX)))
        .event(answer_to(json!("other")))
        .event(text("mine"));
    rig.understands(stream, "mine");
}

fn fault_61_response_twice(run: &Run<'_>) {
    let mut rig = plan(run).start();
    let stream = Reply::sse().event(text("first")).event(text("second"));
    rig.understands(stream, "first");
    let together = format!("{}\n\n{}\n\n", data("first"), data("second"));
    rig.understands(Reply::sse().body(together), "first");
}

fn fault_62_after_the_response(run: &Run<'_>) {
    let mut rig = plan(run).client(json!({ "roots": {} })).start();
    let late = json!({ "level": "info", "data": "late" });
    let log = notification("notifications/message", late);
    let question = request(json!("late"), "roots/list", json!({}));
    let stream = format!("{}\n\ndata: {log}\n\ndata: {question}\n\n", data("answer"));
    rig.understands(Reply::sse().body(stream), "answer");
    rig.works("act");
    // What reached the client all the same is found when the rig is taken down.
    rig.expects(|| rig.bad.requests_of("response").is_empty(), "answered");
}

fn fault_63_request_of_the_server(run: &Run<'_>) {
    let asks = |method: &str| Reply::sse().event(request(json!("theirs"), method, json!({})));
    if !run.subject.is_ours() {
        // Whether they pass it on or refuse it is for them to say; the call must be answered.
        let stream = asks("sampling/createMessage").event(text("answer"));
        return plan(run).start().understands(stream, "answer");
    }
    run.at("a client that can");
    let mut rig = plan(run).client(json!({ "roots": {} })).start();
    let answered = rig.bad.response_gate(&json!("theirs"));
    let stream = asks("roots/list").hold(&answered).event(text("answer"));
    rig.bad.on_tool("act", stream);
    let call = rig.client().start_call("act", json!({}));
    let question = rig.client().next_request("roots/list");
    assert_ne!(*question.id(), json!("theirs"));
    rig.good_works();
    rig.client().respond(&question, json!({ "roots": [] }));
    assert_eq!(rig.client().answer(call).text(), "answer");
    let told = rig.bad.next_request("response").message;
    assert_eq!(told["id"], "theirs");
    assert_eq!(told["result"], json!({ "roots": [] }));
    drop(rig);

    run.at("a client that can't");
    let mut rig = plan(run).start();
    let answered = rig.bad.response_gate(&json!("theirs"));
    let stream = asks("sampling/createMessage").hold(&answered);
    rig.understands(stream.event(text("answer")), "answer");
    let refusal = rig.bad.next_request("response").message;
    assert_eq!(refusal["error"]["code"], -32601);
}

fn fault_64_event_over_the_cap(run: &Run<'_>) {
    let mut rig = plan(run).gateway("max_message_bytes = 65536").start();
    let large = "x".repeat(100_000);
    let folded = "data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".repeat(2_000);
    let unended = Reply::sse().body(format!("data: {large}"));
    for (variant, stream) in [
        ("one line", Reply::sse().event(text(&large))),
        ("no end", unended.then_stall()),
        ("many lines", Reply::sse().body(folded).then_stall()),
    ] {
        rig.suffers(variant, &stream, TOO_LARGE);
    }
}

fn flood(steps: Range<u32>) -> String {
    let event = |step| format!("data: {}\n\n", progress(f64::from(step)));
    steps.map(event).collect()
}

fn fault_65_progress_flood(run: &Run<'_>) {
    run.at("a client that keeps up");
    let mut rig = plan(run).start();
    rig.client().ignore("notifications/progress");
    let stream = Reply::sse().body(flood(0..10_000)).event(text("done"));
    rig.bad.on_tool("act", stream);
    let call = rig.client().start_call_with_progress("act", "mine");
    for _ in 0..20 {
        rig.good_works();
    }
    assert_eq!(rig.client().answer(call).text(), "done");
    run.ran(rig.bad.runs("act"));
    drop(rig);
    if run.subject.is_ours() {
        slow_client_in_a_flood(run);
    }
}

/// A client that reads nothing while it pours, and then all of it.
fn slow_client_in_a_flood(run: &Run<'_>) {
    const STEPS: u32 = 100_000;
    const PARTS: u32 = 100;
    run.at("a client that does not");
    let (mut bare, backends) = Bare::start(run, plan(run));
    let stream = LiveStream::new();
    backends.bad.on_tool("act", Reply::sse().live(&stream));
    bare.initialize();
    let params = json!({ "name": "act", "arguments": {}, "_meta": { "progressToken": "mine" } });
    bare.send(&request(json!("a"), "tools/call", params).to_string());
    let beside = json!({ "name": "other", "arguments": {} });
    bare.send(&request(json!("b"), "tools/call", beside).to_string());
    for part in 0..PARTS {
        stream.text(&flood(part * STEPS / PARTS..(part + 1) * STEPS / PARTS));
        // The gateway itself answers this: by then it has read all that came before.
        stream.event(&request(json!(part), "ping", json!({})));
        backends.bad.next_request("response");
    }
    stream.event(&text("done"));
    let lines = bare.lines_until(|line| line.contains("\"done\""));
    let steps = lines
        .iter()
        .filter(|line| line.contains("/progress"))
        .count();
    assert!(steps < STEPS as usize / 2, "{steps} steps were kept for it");
    run.note(format!(
        "{steps} of {STEPS} steps reach a client that reads late"
    ));
    let answered = |line: &String| line.contains("\"other {}\"");
    assert!(
        lines.iter().any(answered),
        "the other backend's answer is lost"
    );
    drop(bare.take_stdin());
    assert_eq!(bare.end(run).0, Some(0));
}

fn fault_66_foreign_token(run: &Run<'_>) {
    let mut rig = plan(run).start();
    let foreign = |token: Value| {
        let params = json!({ "progressToken": token, "progress": 1 });
        notification("notifications/progress", params)
    };
    let stream = Reply::sse()
        .event(foreign(json!("theirs")))
        .event(foreign(json!(12_345_678)))
        .event(foreign(Value::Null))
        .event(text("answer"));
    rig.bad.on_tool("act", stream);
    let call = rig.client().start_call_with_progress("act", "mine");
    rig.good_works();
    // Progress that came through is found when the rig is taken down.
    assert_eq!(rig.client().answer(call).text(), "answer");
}

fn fault_67_invalid_json(run: &Run<'_>) {
    let mut rig = plan(run).start();
    for nonsense in [
        "{",
        "hello",
        "[1,",
        "{\"jsonrpc\":\"2.0\"",
        "[]",
        "42",
        "{}",
        "null",
    ] {
        run.at(nonsense);
        let stream = Reply::sse().body(format!("data: {nonsense}\n\n"));
        rig.understands(stream.event(text("answer")), "answer");
    }
    run.at("not UTF-8");
    let not_utf8 = Reply::sse().bytes(b"data: {\"a\":\"\xff\xfe\"}\n\n".as_slice());
    rig.understands(not_utf8.event(text("answer")), "answer");
}
