//! Section C, HTTP: statuses and headers.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use crate::common::fake::FakeBackend;
use crate::common::message::{error, text};
use crate::common::reply::Reply;
use crate::fixture::{
    AUTH_REQUIRED, BAD_REPLY, FORBIDDEN, OUTCOME_UNKNOWN, REDIRECTED, REFUSED, TOO_LARGE,
    default_backend, expected, plan, plan_with,
};
use crate::table::{Row, Run, rows};

pub const ROWS: &[Row] = rows! {
    "28" Nothing "100/103 then 200; 101" => "success; bad_reply", fault_28_interim_responses;
    "29" Nothing "202 or 204 to a request" => "bad_reply", fault_29_accepted_without_answer;
    "30" Nothing "redirects" => "307/308 within the origin, ≤ 3; zero bytes to another one", fault_30_redirects;
    "31" Nothing "400 with a JSON-RPC error" => "forwarded with the client's id", fault_31_backend_error;
    "32" Nothing "401, 403" => "auth_required", fault_32_refused_credentials;
    "33" Nothing "404 with a session" => "one re-initialize for all waiters, resent once", fault_33_lost_session;
    "34" Nothing "\"session not found\" as 400 or in-body error" => "re-initialize, an unsafe tool isn't resent", fault_34_session_lost_by_message;
    "35" Nothing "405 on GET" => "fine, no server stream", fault_35_no_server_stream;
    "36" Nothing "413" => "too_large", fault_36_request_too_large;
    "37" Config "429 with Retry-After of every kind" => "waits ≤ min(30 s, time left), else rate_limited", fault_37_retry_after;
    "38" Nothing "500, 502, 504; 503" => "outcome_unknown, resent only where safe", fault_38_server_errors;
    "39" Nothing "wrong or missing content type" => "bad_reply with a short escaped snippet", fault_39_content_types;
    "40" Config "gzip, br; bombs" => "decompressed; too_large by decompressed size", fault_40_compressed;
};

/// The head of a good response whose body ends with the connection.
const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
/// Low enough that a body over the cap is sent quickly.
const SMALL_CAP: &str = "max_message_bytes = 65536";

fn fault_28_interim_responses(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    let reply = Reply::raw(interim).body(format!("{HEAD}\r\n{}", text("through")));
    fixture.expect_text(reply.then_hang_up(), "through");
    let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    fixture.check_fault("101", &Reply::raw(switch), BAD_REPLY.with_text("HTTP 101"));
}

fn fault_29_accepted_without_answer(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    fixture.check_fault("202", &Reply::status(202), BAD_REPLY.with_text("HTTP 202"));
    fixture.check_fault("204", &Reply::status(204), BAD_REPLY.with_text("HTTP 204"));
}

fn redirect(status: u16, to: &str) -> Reply {
    Reply::status(status).header("location", to).runs(false)
}

fn fault_30_redirects(run: &Run<'_>) {
    let other = FakeBackend::start().tool("act");
    let mut fixture = plan(run).entry("headers = { \"X-Key\" = \"k\" }").start();
    let there = other.url();
    let as_localhost = fixture.bad.url().replace("127.0.0.1", "localhost");
    for (status, to) in [
        (301, there.as_str()),
        (302, &there),
        (303, &there),
        (307, &there),
        (308, &there),
        (307, there.trim_start_matches("http:")),
        (307, &as_localhost),
        (302, "/there"),
    ] {
        fixture.check_fault(&format!("{status} {to}"), &redirect(status, to), REDIRECTED);
    }
    assert_eq!(other.connections(), 0, "another origin was connected to");
    if fixture.is_gateway() {
        let before = fixture.bad.runs("act");
        for _ in 0..3 {
            fixture.bad.on_tool("act", redirect(307, "/there"));
        }
        assert_eq!(fixture.call("act").text(), "act {}");
        assert_eq!(fixture.bad.runs("act") - before, 1);
    }
    let over_and_over = REDIRECTED.with_text("one address after the other");
    fixture.bad.always_tool("act", redirect(307, "/there"));
    // The request and three redirects that were followed.
    fixture.expect_error("act", over_and_over, 4);
}

fn fault_31_backend_error(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    for tool in ["act", "look"] {
        let refusal = error(-32602, "a must be a number");
        fixture.bad.on_tool(tool, Reply::json_as(400, &refusal));
        let answer = fixture.call(tool);
        if fixture.is_gateway() {
            assert_eq!(answer.error(), &refusal["error"]);
            assert_eq!(fixture.sent(tool), 1);
        }
    }
}

fn fault_32_refused_credentials(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    for (status, expected, expected_text) in [
        (401, AUTH_REQUIRED, "HTTP 401"),
        (403, FORBIDDEN, "HTTP 403"),
    ] {
        let reply = Reply::status(status).header("www-authenticate", "Bearer");
        fixture.check_fault(expected_text, &reply, expected.with_text(expected_text));
    }
    fixture.expect_that(|| fixture.handshakes() == 1, "a new handshake was made");
}

fn fault_33_lost_session(run: &Run<'_>) {
    const CALLS: usize = 40;
    let mut fixture = plan(run).start();
    fixture.expect_success("act");
    let before = fixture.bad.runs("act");
    fixture.bad.forget_sessions();
    let ids: Vec<u64> = (0..CALLS)
        .map(|n| fixture.client().start_call("act", json!({ "n": n })))
        .collect();
    fixture.check_good_backend();
    for (n, id) in ids.into_iter().enumerate() {
        let answer = fixture.client().answer(id);
        if fixture.is_gateway() {
            assert_eq!(answer.text(), format!(r#"act {{"n":{n}}}"#));
        }
    }
    let ran = fixture.bad.runs("act") - before;
    run.record_runs(ran.div_ceil(CALLS));
    fixture.expect_that(
        || (ran, fixture.handshakes()) == (CALLS, 2),
        "one new session",
    );
    fixture.bad.always_tool("act", Reply::status(404));
    fixture.expect_error("act", REFUSED.with_text("lost the session"), 2);
}

fn fault_34_session_lost_by_message(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    let body = error(-32000, "Bad Request: No valid session ID provided");
    for (nth, reply) in (2..).step_by(2).zip([
        Reply::status(400).body("Bad Request: session not found"),
        Reply::json_as(400, &body),
        Reply::error(-32001, "Session not found"),
    ]) {
        let reply = reply.runs(true);
        let before = fixture.bad.runs("act");
        fixture.bad.on_tool("act", reply.clone());
        fixture.expect_error("act", OUTCOME_UNKNOWN.with_text("lost the session"), 1);
        run.record_runs(fixture.bad.runs("act") - before);
        fixture.expect_success("act");
        fixture.bad.on_tool("look", reply);
        let answer = fixture.call("look");
        if fixture.is_gateway() {
            assert_eq!(answer.text(), "look {}");
            assert_eq!(fixture.handshakes(), nth + 1);
        }
    }
}

fn fault_35_no_server_stream(run: &Run<'_>) {
    let bad = default_backend();
    bad.always("GET", Reply::status(405));
    let mut fixture = plan_with(run, Arc::new(bad)).start();
    fixture.expect_success("act");
    fixture.expect_success("look");
    fixture.expect_that(|| fixture.bad.requests_of("GET").len() <= 1, "asked again");
}

fn fault_36_request_too_large(run: &Run<'_>) {
    let refused = expected("too_large", "unknown", 1).with_text("HTTP 413");
    plan(run)
        .start()
        .check_fault("413", &Reply::status(413), refused);
}

fn too_many(retry_after: &str) -> Reply {
    Reply::status(429).header("retry-after", retry_after)
}

fn fault_37_retry_after(run: &Run<'_>) {
    let mut fixture = plan(run).entry("tools.timeout_secs = { look = 5 }").start();
    // A date has whole seconds, so a date two seconds ahead is more than one second away.
    let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(2));
    let past = "Thu, 01 Jan 1970 00:00:00 GMT";
    for (asked, at_least) in [
        (soon.as_str(), 500),
        ("1", 1_000),
        ("0", 100),
        (past, 100),
        ("-5", 100),
        ("soon", 100),
        ("1e9", 100),
    ] {
        run.set_variant(asked);
        let begun = Instant::now();
        fixture.expect_text(too_many(asked), "act {}");
        assert!(begun.elapsed() >= Duration::from_millis(at_least));
    }
    let limited = expected("rate_limited", "no", 1).with_text("HTTP 429");
    let far = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));
    for asked in ["31", "1000000000", "99999999999999999999999999", &far] {
        fixture.check_fault(asked, &too_many(asked), limited);
    }
    run.set_variant("longer than the time left");
    fixture.bad.on_tool("look", too_many("6"));
    fixture.expect_error("look", limited, 1);
    run.set_variant("to the end");
    fixture.bad.always_tool("act", too_many("0"));
    fixture.expect_error("act", limited, 2);
}

fn fault_38_server_errors(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    for (status, expected_text) in [(500, "HTTP 500"), (502, "HTTP 502"), (504, "HTTP 504")] {
        let reply = Reply::status(status).body("it broke");
        fixture.check_fault(
            expected_text,
            &reply,
            OUTCOME_UNKNOWN.with_text(expected_text),
        );
    }
    // A proxy's 503 after the server died during the call.
    let died = Reply::status(503).runs(true);
    let unknown = expected("overloaded", "unknown", 2).with_text("HTTP 503");
    fixture.check_fault("503", &died, unknown);
    let busy = Reply::status(503).header("retry-after", "0");
    if fixture.is_gateway() {
        fixture.expect_text(busy, "act {}");
    }
}

fn fault_39_content_types(run: &Run<'_>) {
    let mut fixture = plan(run).start();
    let page = format!("<html>\n\u{1b}[31m\u{202e}{}", "<p>".repeat(10_000));
    for (variant, kind, expected_text) in [
        (
            "a page",
            Some("text/html; charset=utf-8"),
            "content type \"text/html\"",
        ),
        ("none", None, "no content type"),
    ] {
        let mut reply = Reply::status(200).body(page.clone());
        if let Some(kind) = kind {
            reply = reply.header("content-type", kind);
        }
        fixture.check_fault(variant, &reply, BAD_REPLY.with_text(expected_text));
    }
}

fn fault_40_compressed(run: &Run<'_>) {
    let mut fixture = plan(run).gateway(SMALL_CAP).start();
    fixture.expect_text(Reply::text("unpacked").gzip(), "unpacked");
    fixture.expect_text(Reply::sse().event(text("unpacked")).gzip(), "unpacked");
    let bomb = [b"data: ".to_vec(), vec![b' '; 8 << 20]].concat();
    for kind in ["application/json", "text/event-stream"] {
        let reply = Reply::status(200).header("content-type", kind);
        fixture.check_fault("br", &reply.clone().brotli(&bomb), TOO_LARGE);
        fixture.check_fault("gzip", &reply.bytes(bomb.clone()).gzip(), TOO_LARGE);
    }
}
