//! C. HTTP: what servers say with statuses and headers.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use crate::common::fake::FakeBackend;
use crate::common::message::{error, text};
use crate::common::reply::Reply;
use crate::rig::{
    AUTH_REQUIRED, BAD_REPLY, OUTCOME_UNKNOWN, REFUSED, TOO_LARGE, must, plan, plan_over, usual,
};
use crate::table::{Row, Run, rows};

pub const ROWS: &[Row] = rows! {
    "28" Nothing "100/103 then 200; 101" => "success; bad_reply", fault_28_interim_responses;
    "29" Nothing "202 or 204 to a request" => "bad_reply", fault_29_accepted_without_answer;
    "30" Nothing "redirects" => "307/308 within the origin, ≤ 3; zero bytes to another one", fault_30_redirects;
    "31" Nothing "400 with a JSON-RPC error" => "forwarded with the client's id", fault_31_error_of_the_backend;
    "32" Nothing "401, 403" => "auth_required", fault_32_refused_credentials, pending "sign-in (one token refresh)";
    "33" Nothing "404 with a session" => "one re-initialize for all waiters, resent once", fault_33_lost_session;
    "34" Nothing "\"session not found\" as 400 or in-body error" => "re-initialize, an unsafe tool isn't resent", fault_34_session_lost_by_its_words;
    "35" Nothing "405 on GET" => "fine, no server stream", fault_35_no_server_stream;
    "36" Nothing "413" => "too_large", fault_36_request_too_large;
    "37" Config "429 with Retry-After of every kind" => "waits ≤ min(30 s, what is left), else rate_limited", fault_37_retry_after;
    "38" Nothing "500, 502, 504; 503" => "outcome_unknown, resent only where safe", fault_38_server_errors;
    "39" Nothing "wrong or missing content type" => "bad_reply with a short escaped snippet", fault_39_content_types;
    "40" Config "gzip, br; bombs" => "read; too_large as unpacked", fault_40_compressed;
};

/// The head of a good response whose body ends with the connection.
const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
/// A cap that a fault can be over without being slow.
const SMALL_CAP: &str = "max_message_bytes = 65536";

fn fault_28_interim_responses(run: &Run<'_>) {
    let mut rig = plan(run).start();
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    let reply = Reply::raw(interim).body(format!("{HEAD}\r\n{}", text("through")));
    rig.understands(reply.then_hang_up(), "through");
    let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    rig.suffers("101", &Reply::raw(switch), BAD_REPLY.saying("HTTP 101"));
}

fn fault_29_accepted_without_answer(run: &Run<'_>) {
    let mut rig = plan(run).start();
    rig.suffers("202", &Reply::status(202), BAD_REPLY.saying("HTTP 202"));
    rig.suffers("204", &Reply::status(204), BAD_REPLY.saying("HTTP 204"));
}

fn redirect(status: u16, to: &str) -> Reply {
    Reply::status(status).header("location", to).runs(false)
}

fn fault_30_redirects(run: &Run<'_>) {
    let foreign = FakeBackend::start().tool("act");
    let mut rig = plan(run).entry("headers = { \"X-Key\" = \"k\" }").start();
    let there = foreign.url();
    let as_localhost = rig.bad.url().replace("127.0.0.1", "localhost");
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
        rig.suffers(&format!("{status} {to}"), &redirect(status, to), REFUSED);
    }
    assert_eq!(foreign.connections(), 0, "another origin was connected to");
    if rig.is_ours() {
        let before = rig.bad.runs("act");
        for _ in 0..3 {
            rig.bad.on_tool("act", redirect(307, "/there"));
        }
        assert_eq!(rig.call("act").text(), "act {}");
        assert_eq!(rig.bad.runs("act") - before, 1);
    }
    let over_and_over = REFUSED.saying("over and over");
    rig.bad.always_tool("act", redirect(307, "/there"));
    rig.fails("act", over_and_over, 1);
}

fn fault_31_error_of_the_backend(run: &Run<'_>) {
    let mut rig = plan(run).start();
    for tool in ["act", "look"] {
        let refusal = error(-32602, "a must be a number");
        rig.bad.on_tool(tool, Reply::json_as(400, &refusal));
        let answer = rig.call(tool);
        if rig.is_ours() {
            assert_eq!(answer.error(), &refusal["error"]);
            assert_eq!(rig.sent(tool), 1);
        }
    }
}

fn fault_32_refused_credentials(run: &Run<'_>) {
    let mut rig = plan(run).start();
    for (status, says) in [(401, "HTTP 401"), (403, "HTTP 403")] {
        let reply = Reply::status(status).header("www-authenticate", "Bearer");
        rig.suffers(says, &reply, AUTH_REQUIRED.saying(says));
    }
    rig.expects(|| rig.handshakes() == 1, "a new handshake helps nobody");
}

fn fault_33_lost_session(run: &Run<'_>) {
    const CALLS: usize = 40;
    let mut rig = plan(run).start();
    rig.works("act");
    let before = rig.bad.runs("act");
    rig.bad.forget_sessions();
    let ids: Vec<u64> = (0..CALLS)
        .map(|n| rig.client().start_call("act", json!({ "n": n })))
        .collect();
    rig.good_works();
    for (n, id) in ids.into_iter().enumerate() {
        let answer = rig.client().answer(id);
        if rig.is_ours() {
            assert_eq!(answer.text(), format!(r#"act {{"n":{n}}}"#));
        }
    }
    let ran = rig.bad.runs("act") - before;
    run.ran(ran.div_ceil(CALLS));
    rig.expects(|| (ran, rig.handshakes()) == (CALLS, 2), "one new session");
    rig.bad.always_tool("act", Reply::status(404));
    rig.fails("act", REFUSED.saying("lost the session"), 2);
}

fn fault_34_session_lost_by_its_words(run: &Run<'_>) {
    let mut rig = plan(run).start();
    let told = error(-32000, "Bad Request: No valid session ID provided");
    for (nth, reply) in (2..).step_by(2).zip([
        Reply::status(400).body("Bad Request: session not found"),
        Reply::json_as(400, &told),
        Reply::error(-32001, "Session not found"),
    ]) {
        let reply = reply.runs(true);
        let before = rig.bad.runs("act");
        rig.bad.on_tool("act", reply.clone());
        rig.fails("act", OUTCOME_UNKNOWN.saying("lost the session"), 1);
        run.ran(rig.bad.runs("act") - before);
        rig.works("act");
        rig.bad.on_tool("look", reply);
        let answer = rig.call("look");
        if rig.is_ours() {
            assert_eq!(answer.text(), "look {}");
            assert_eq!(rig.handshakes(), nth + 1);
        }
    }
}

fn fault_35_no_server_stream(run: &Run<'_>) {
    let bad = usual();
    bad.always("GET", Reply::status(405));
    let mut rig = plan_over(run, Arc::new(bad)).start();
    rig.works("act");
    rig.works("look");
    rig.expects(|| rig.bad.requests_of("GET").len() <= 1, "asked again");
}

fn fault_36_request_too_large(run: &Run<'_>) {
    let refused = must("too_large", "no", 1).saying("HTTP 413");
    plan(run)
        .start()
        .suffers("413", &Reply::status(413), refused);
}

fn too_many(retry_after: &str) -> Reply {
    Reply::status(429).header("retry-after", retry_after)
}

fn fault_37_retry_after(run: &Run<'_>) {
    let mut rig = plan(run).entry("tools.timeout_secs = { look = 5 }").start();
    // A date has whole seconds: two from now is more than one away.
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
        run.at(asked);
        let begun = Instant::now();
        rig.understands(too_many(asked), "act {}");
        assert!(begun.elapsed() >= Duration::from_millis(at_least));
    }
    let limited = must("rate_limited", "no", 1).saying("HTTP 429");
    let far = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));
    for asked in ["31", "1000000000", "99999999999999999999999999", &far] {
        rig.suffers(asked, &too_many(asked), limited);
    }
    run.at("longer than what is left");
    rig.bad.on_tool("look", too_many("6"));
    rig.fails("look", limited, 1);
    run.at("to the end");
    rig.bad.always_tool("act", too_many("0"));
    rig.fails("act", limited, 2);
}

fn fault_38_server_errors(run: &Run<'_>) {
    let mut rig = plan(run).start();
    for (status, says) in [(500, "HTTP 500"), (502, "HTTP 502"), (504, "HTTP 504")] {
        let reply = Reply::status(status).body("it broke");
        rig.suffers(says, &reply, OUTCOME_UNKNOWN.saying(says));
    }
    // A proxy's 503 for a server that died at work.
    let died = Reply::status(503).runs(true);
    let unknown = must("overloaded", "unknown", 2).saying("HTTP 503");
    rig.suffers("503", &died, unknown);
    let busy = Reply::status(503).header("retry-after", "0");
    if rig.is_ours() {
        rig.understands(busy, "act {}");
    }
}

fn fault_39_content_types(run: &Run<'_>) {
    let mut rig = plan(run).start();
    let page = format!("<html>\n\u{1b}[31m\u{202e}{}", "<p>".repeat(10_000));
    for (variant, kind, says) in [
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
        rig.suffers(variant, &reply, BAD_REPLY.saying(says));
    }
}

fn fault_40_compressed(run: &Run<'_>) {
    let mut rig = plan(run).gateway(SMALL_CAP).start();
    rig.understands(Reply::text("unpacked").gzip(), "unpacked");
    rig.understands(Reply::sse().event(text("unpacked")).gzip(), "unpacked");
    let bomb = [b"data: ".to_vec(), vec![b' '; 8 << 20]].concat();
    for kind in ["application/json", "text/event-stream"] {
        let reply = Reply::status(200).header("content-type", kind);
        rig.suffers("br", &reply.clone().brotli(&bomb), TOO_LARGE);
        rig.suffers("gzip", &reply.bytes(bomb.clone()).gzip(), TOO_LARGE);
    }
}
