//! HTTP response bodies: their type, their size and how long they take (fault table, section C).

use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::message::text;
use crate::common::reply::Reply;
use crate::common::wire::Request;
use crate::fixture::{Fault, Fixture, ONE_SECOND, answers_to_all, check_error};

/// Low enough that a body over the cap is sent quickly.
const SMALL_CAP: &str = "max_message_bytes = 65536";

#[test]
fn fault_39_a_body_that_is_not_mcp_is_quoted_truncated_and_escaped() {
    let mut fixture = Fixture::new();
    let page = format!("<html>\n\u{1b}[31m\u{202e}{}", "<p>".repeat(10_000));
    let long = format!("a/\"{}", "b".repeat(20_000));
    for (name, kind, expected_text) in [
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
        fixture.check_fault(Fault {
            name,
            reply,
            class: "bad_reply",
            executed: "unknown",
            expected_text,
            sent_if_safe: 1,
        });
    }
}

#[test]
fn fault_39_quoted_bodies_never_contain_secrets() {
    let headers = "headers = { \"X-Key\" = \"canary-in-header\", \"X-Empty\" = \"\" }\n";
    let mut fixture = Fixture::at("?key=canary%2Din-url&more", headers);
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
        fixture.bad.on_tool("act", reply);
        let answer = fixture.call("act");
        let line = &answer.0.line;
        assert!(line.contains("***") && !line.contains("canary"), "{line}");
        assert_eq!(answer.error()["data"]["source"], "gateway");
    }
}

#[test]
fn long_or_repeated_secrets_are_redacted_in_quoted_bodies() {
    let long = format!("canary-{}", "x".repeat(3000));
    let headers = format!(
        "bearer = {{ file = \"{}\" }}\nheaders = {{ \"X-Short\" = \"canary-\" }}\n",
        written(&long)
    );
    let mut fixture = Fixture::with(&headers);
    for echo in [
        format!("unknown token {long}"),
        format!("{long} {long} {long}"),
        format!("{}{long}", " ".repeat(5000)),
    ] {
        fixture.bad.on_tool("act", Reply::status(403).body(echo));
        let answer = fixture.call("act");
        let message = answer.message();
        assert!(message.contains("***"), "{message}");
        assert!(
            !message.contains("canary") && !message.contains("xx"),
            "{message}"
        );
    }
}

#[test]
fn a_token_is_redacted_without_its_scheme_too() {
    let headers = "headers = { Authorization = \"Token canary-in-header\" }\n";
    let mut fixture = Fixture::with(headers);
    fixture.bad.on_tool(
        "act",
        Reply::status(403).body("canary-in-header is no token"),
    );
    let message = fixture.call("act").message().to_owned();
    assert!(message.contains("*** is no token"), "{message}");
}

/// Writes a file with this text and returns its path.
fn written(text: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("long-token");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn fault_46_a_body_of_very_many_messages_is_a_bad_reply() {
    let mut fixture = Fixture::new();
    let zeros = vec!["0"; 10_001];
    for (name, body) in [
        ("a batch", format!("[{}]", zeros.join(","))),
        ("lines", zeros.join("\n")),
    ] {
        fixture.check_fault(Fault {
            name,
            reply: Reply::status(200)
                .header("content-type", "application/json")
                .body(body),
            class: "bad_reply",
            executed: "unknown",
            expected_text: "more than 10000 messages in one",
            sent_if_safe: 1,
        });
    }
}

#[test]
fn fault_40_compressed_answers_are_read() {
    let mut fixture = Fixture::new();
    fixture.expect_text(Reply::text("unpacked").gzip(), "unpacked");
    let stream = Reply::sse().event(text("unpacked"));
    fixture.expect_text(stream.gzip(), "unpacked");
    let reply = Reply::status(200).header("content-type", "application/json");
    let packed = reply.brotli(answers_to_all("unpacked").as_bytes());
    fixture.expect_text(packed, "unpacked");
    let packed = fixture.bad.requests_of("tools/call");
    let accepted = packed[0].header("accept-encoding").unwrap();
    assert!(
        accepted.contains("gzip") && accepted.contains("br"),
        "{accepted}"
    );
}

#[test]
fn fault_40_a_decompression_bomb_is_too_large() {
    let mut fixture = Fixture::with_gateway(SMALL_CAP);
    for (name, kind) in [
        ("json", "application/json"),
        ("events", "text/event-stream"),
    ] {
        let bomb = [b"data: ".to_vec(), vec![b' '; 8 << 20]].concat();
        let reply = Reply::status(200).header("content-type", kind);
        for reply in [reply.clone().brotli(&bomb), reply.bytes(bomb).gzip()] {
            fixture.check_fault(Fault {
                name,
                reply,
                class: "too_large",
                executed: "unknown",
                expected_text: "larger than 65536 bytes",
                sent_if_safe: 1,
            });
        }
    }
}

#[test]
fn fault_45_a_slow_or_silent_body_ends_at_the_deadline() {
    let mut fixture = Fixture::with(ONE_SECOND);
    let pause = Duration::from_millis(50);
    let words = text("a byte at a time");
    for reply in [
        Reply::json(&words).byte_by_byte(pause),
        Reply::sse().event(words).byte_by_byte(pause),
        Reply::stall(),
    ] {
        fixture
            .bad
            .on_tool("act", reply.clone())
            .on_tool("look", reply);
    }
    let started = Instant::now();
    let tools = ["act", "act", "act", "look", "look", "look"];
    let calls = tools.map(|tool| fixture.gateway.start_call(tool, json!({})));
    fixture.check_good_backend();
    for call in calls {
        let answer = fixture.gateway.answer(call);
        check_error(&answer, ("deadline", "unknown", 1), "no answer within 1 s");
    }
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!((fixture.bad.runs("act"), fixture.bad.runs("look")), (3, 3));
    let cancelled = [(); 6].map(|()| fixture.bad.next_request("notifications/cancelled"));
    for call in fixture.bad.requests_of("tools/call") {
        let id = &call.message["id"];
        let matches_id = |notification: &Request| notification.params()["requestId"] == *id;
        assert_eq!(cancelled.iter().filter(|sent| matches_id(sent)).count(), 1);
    }
    fixture.expect_success("act");
}

#[test]
fn fault_46_a_body_over_the_cap_is_too_large() {
    let mut fixture = Fixture::with_gateway(SMALL_CAP);
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
        fixture.check_fault(Fault {
            name,
            reply,
            class: "too_large",
            executed: "unknown",
            expected_text: "larger than 65536 bytes",
            sent_if_safe: 1,
        });
    }
}
