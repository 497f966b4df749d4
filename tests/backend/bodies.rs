//! Group C, as far as the body goes: what it is, how large it is, how long it takes.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::message::text;
use crate::common::reply::Reply;
use crate::common::wire::Request;
use crate::rig::{Fault, ONE_SECOND, Rig, answers_to_all, judge};

/// A cap that a fault can be over without being slow.
const SMALL_CAP: &str = "max_message_bytes = 65536";

#[test]
fn fault_39_what_is_not_an_mcp_answer_is_quoted_short_and_escaped() {
    let mut rig = Rig::new();
    let page = format!("<html>\n\u{1b}[31m\u{202e}{}", "<p>".repeat(10_000));
    let long = format!("a/\"{}", "b".repeat(20_000));
    for (name, kind, says) in [
        (
            "a page",
            Some("text/html; charset=utf-8"),
            "content type \"text/html\"",
        ),
        ("no type", None, "no content type"),
        (
            "a long type",
            Some(long.as_str()),
            "content type \"a/\\\"bbbb",
        ),
    ] {
        let mut reply = Reply::status(200).body(page.clone());
        if let Some(kind) = kind {
            reply = reply.header("content-type", kind);
        }
        rig.suffers(Fault {
            name,
            reply,
            class: "bad_reply",
            executed: "unknown",
            says,
            sent_if_safe: 1,
        });
    }
}

#[test]
fn fault_39_secrets_never_show_in_what_is_quoted() {
    let headers = "headers = { \"X-Key\" = \"canary-in-header\", \"X-Empty\" = \"\" }\n";
    let mut rig = Rig::at("?key=canary%2Din-url&more", headers);
    let echo = "you sent x-key: canary-in-header to /mcp?key=canary%2Din-url, canary-in-url";
    for reply in [
        Reply::status(200)
            .header("content-type", "text/html")
            .body(echo),
        Reply::status(200)
            .header("content-type", "application/json")
            .body(echo),
        Reply::status(401).body(echo),
        Reply::status(403).body(echo),
        Reply::status(418).body(echo),
        Reply::status(500).body(echo),
        Reply::status(503).body(echo),
        Reply::status(307).header("location", "http://127.0.0.2:9/canary-in-header"),
    ] {
        rig.bad.on_tool("act", reply);
        let answer = rig.call("act");
        let line = &answer.0.line;
        assert!(line.contains("***") && !line.contains("canary"), "{line}");
        assert_eq!(answer.error()["data"]["source"], "gateway");
    }
}

#[test]
fn secrets_never_show_however_long_or_often_they_are_quoted() {
    let long = format!("canary-{}", "x".repeat(3000));
    let headers = format!(
        "bearer = {{ file = \"{}\" }}\nheaders = {{ \"X-Short\" = \"canary-\" }}\n",
        written(&long)
    );
    let mut rig = Rig::with(&headers);
    for echo in [
        format!("unknown token {long}"),
        format!("{long} {long} {long}"),
        format!("{}{long}", " ".repeat(5000)),
    ] {
        rig.bad.on_tool("act", Reply::status(403).body(echo));
        let answer = rig.call("act");
        let message = answer.message();
        assert!(message.contains("***"), "{message}");
        assert!(
            !message.contains("canary") && !message.contains("xx"),
            "{message}"
        );
    }
}

#[test]
fn a_token_is_a_secret_without_its_scheme_too() {
    let headers = "headers = { Authorization = \"Token canary-in-header\" }\n";
    let mut rig = Rig::with(headers);
    rig.bad.on_tool(
        "act",
        Reply::status(403).body("canary-in-header is no token"),
    );
    let message = rig.call("act").message().to_owned();
    assert!(message.contains("*** is no token"), "{message}");
}

/// A file of the run with this text.
fn written(text: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("long-token");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn fault_46_a_body_of_very_many_messages_is_a_bad_reply() {
    let mut rig = Rig::new();
    let zeros = vec!["0"; 10_001];
    for (name, body) in [
        ("a batch", format!("[{}]", zeros.join(","))),
        ("lines", zeros.join("\n")),
    ] {
        rig.suffers(Fault {
            name,
            reply: Reply::status(200)
                .header("content-type", "application/json")
                .body(body),
            class: "bad_reply",
            executed: "unknown",
            says: "more than 10000 messages in one",
            sent_if_safe: 1,
        });
    }
}

#[test]
fn fault_40_compressed_answers_are_read() {
    let mut rig = Rig::new();
    rig.understands(Reply::text("unpacked").gzip(), "unpacked");
    let stream = Reply::sse().event(text("unpacked"));
    rig.understands(stream.gzip(), "unpacked");
    let reply = Reply::status(200).header("content-type", "application/json");
    let packed = reply.brotli(answers_to_all("unpacked").as_bytes());
    rig.understands(packed, "unpacked");
    let packed = rig.bad.requests_of("tools/call");
    let accepted = packed[0].header("accept-encoding").unwrap();
    assert!(
        accepted.contains("gzip") && accepted.contains("br"),
        "{accepted}"
    );
}

#[test]
fn fault_40_a_bomb_is_too_large_as_unpacked() {
    let mut rig = Rig::with_gateway(SMALL_CAP);
    for (name, kind) in [
        ("json", "application/json"),
        ("events", "text/event-stream"),
    ] {
        let bomb = [b"data: ".to_vec(), vec![b' '; 8 << 20]].concat();
        let reply = Reply::status(200).header("content-type", kind);
        for reply in [reply.clone().brotli(&bomb), reply.bytes(bomb).gzip()] {
            rig.suffers(Fault {
                name,
                reply,
                class: "too_large",
                executed: "unknown",
                says: "larger than 65536 bytes",
                sent_if_safe: 1,
            });
        }
    }
}

#[test]
fn fault_45_a_trickle_or_silence_ends_with_the_deadline() {
    let mut rig = Rig::with(ONE_SECOND);
    let pause = Duration::from_millis(50);
    let words = text("a byte at a time");
    for reply in [
        Reply::json(&words).byte_by_byte(pause),
        Reply::sse().event(words).byte_by_byte(pause),
        Reply::stall(),
    ] {
        rig.bad.on_tool("act", reply.clone()).on_tool("look", reply);
    }
    let started = Instant::now();
    let tools = ["act", "act", "act", "look", "look", "look"];
    let calls = tools.map(|tool| rig.gateway.start_call(tool, json!({})));
    rig.good_works();
    for call in calls {
        let answer = rig.gateway.answer(call);
        judge(&answer, ("deadline", "unknown", 1), "no answer within 1 s");
    }
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!((rig.bad.runs("act"), rig.bad.runs("look")), (3, 3));
    let cancelled = [(); 6].map(|()| rig.bad.next_request("notifications/cancelled"));
    for call in rig.bad.requests_of("tools/call") {
        let id = &call.message["id"];
        let told = |notification: &Request| notification.params()["requestId"] == *id;
        assert_eq!(cancelled.iter().filter(|sent| told(sent)).count(), 1);
    }
    rig.works("act");
}

#[test]
fn fault_46_a_body_over_the_cap_is_too_large() {
    let mut rig = Rig::with_gateway(SMALL_CAP);
    let kind = "application/json";
    let large = json!("x".repeat(100_000)).to_string();
    for (name, reply) in [
        (
            "announced",
            Reply::status(200)
                .header("content-type", kind)
                .body(large.clone()),
        ),
        (
            "until close",
            Reply::status(200)
                .header("content-type", kind)
                .body(large.clone())
                .until_close(),
        ),
        (
            "announced and never sent",
            Reply::status(200)
                .header("content-type", kind)
                .length_off_by(1 << 40),
        ),
        (
            "chunked",
            Reply::sse().header("content-type", kind).body(large),
        ),
    ] {
        rig.suffers(Fault {
            name,
            reply,
            class: "too_large",
            executed: "unknown",
            says: "larger than 65536 bytes",
            sent_if_safe: 1,
        });
    }
}
