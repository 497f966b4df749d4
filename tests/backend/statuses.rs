//! HTTP statuses: refusals, `Retry-After` and lost sessions (fault table, section C).

use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use crate::common::message::error;
use crate::common::reply::Reply;
use crate::fixture::{Fault, Fixture};

#[test]
fn fault_29_accepted_without_an_answer_is_a_bad_reply() {
    let mut fixture = Fixture::new();
    for (status, expected_text) in [(202, "HTTP 202"), (204, "HTTP 204")] {
        fixture.check_fault(Fault {
            name: expected_text,
            reply: Reply::status(status),
            class: "bad_reply",
            executed: "unknown",
            expected_text,
            sent_if_safe: 1,
        });
    }
}

#[test]
fn fault_31_a_400_with_a_json_rpc_error_is_the_backends_answer() {
    let mut fixture = Fixture::new();
    for tool in ["act", "look"] {
        let body = error(-32602, "a must be a number").to_string();
        let reply = Reply::status(400).header("content-type", "application/json");
        fixture.bad.on_tool(tool, reply.body(body));
        let answer = fixture.call(tool);
        assert_eq!(
            answer.error(),
            &json!({ "code": -32602, "message": "a must be a number" })
        );
        assert_eq!(fixture.sent(tool), 1);
    }
}

#[test]
fn fault_32_refused_credentials_are_auth_required() {
    let mut fixture = Fixture::new();
    for (status, executed, expected_text) in [(401, "no", "HTTP 401"), (403, "unknown", "HTTP 403")]
    {
        fixture.check_fault(Fault {
            name: expected_text,
            reply: Reply::status(status).header("www-authenticate", "Bearer"),
            class: "auth_required",
            executed,
            expected_text,
            sent_if_safe: 1,
        });
    }
    assert_eq!((fixture.bad.runs("act"), fixture.handshakes()), (2, 1));
}

#[test]
fn fault_33_a_lost_session_is_renewed_once_for_all_waiting_calls() {
    let mut fixture = Fixture::new();
    fixture.expect_success("act");
    fixture.bad.forget_sessions();
    let calls: Vec<u64> = (0..40)
        .map(|n| fixture.gateway.start_call("act", json!({ "n": n })))
        .collect();
    fixture.check_good_backend();
    for (n, id) in calls.into_iter().enumerate() {
        let answer = fixture.gateway.answer(id);
        assert_eq!(answer.text(), format!(r#"act {{"n":{n}}}"#));
    }
    assert_eq!((fixture.bad.runs("act"), fixture.handshakes()), (41, 2));
}

#[test]
fn fault_33_a_second_404_after_the_new_session_is_final() {
    let mut fixture = Fixture::new();
    for tool in ["act", "look"] {
        fixture.bad.always_tool(tool, Reply::status(404));
        fixture.expect_error(tool, ("refused", "no", 2), "lost the session");
        assert_eq!((fixture.sent(tool), fixture.bad.runs(tool)), (2, 0));
    }
}

#[test]
fn fault_33_a_404_with_a_broken_response_does_not_resend_an_unsafe_call() {
    for body in [
        r#"{"jsonrpc":"2.0","id":"$id","error":{"code":-32000,"message":"a "quote""}}"#,
        r#"{"jsonrpc":"2.0","id":"$id","result":{"content":[]}"#,
        r#"{"jsonrpc":"2.0","\u0069d":"$id","result":"#,
        "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":\"$id\",\"result\":{\n\n",
    ] {
        let mut fixture = Fixture::new();
        let kind = match body.starts_with('{') {
            true => "application/json",
            false => "text/event-stream",
        };
        let reply = Reply::status(404).header("content-type", kind).body(body);
        fixture.bad.on_tool("act", reply.runs(true));
        fixture.expect_error("act", ("outcome_unknown", "unknown", 1), "lost the session");
        assert_eq!((fixture.sent("act"), fixture.bad.runs("act")), (1, 1));
        fixture.expect_success("act");
        assert_eq!(fixture.handshakes(), 2);
    }
}

#[test]
fn fault_34_a_session_error_without_404_renews_the_session_but_does_not_resend_an_unsafe_call() {
    for reply in [
        Reply::status(400).body("Bad Request: session not found"),
        Reply::status(400)
            .header("content-type", "application/json")
            .body(error(-32000, "Bad Request: No valid session ID provided").to_string()),
        Reply::error(-32001, "Session not found"),
    ] {
        let mut fixture = Fixture::new();
        fixture.bad.on_tool("act", reply.clone().runs(true));
        fixture.expect_error("act", ("outcome_unknown", "unknown", 1), "lost the session");
        assert_eq!((fixture.sent("act"), fixture.bad.runs("act")), (1, 1));
        fixture.expect_success("act");
        assert_eq!(fixture.handshakes(), 2);
        fixture.bad.on_tool("look", reply);
        assert_eq!(fixture.call("look").text(), "look {}");
        assert_eq!((fixture.sent("look"), fixture.handshakes()), (2, 3));
    }
}

#[test]
fn fault_34_a_tool_error_that_mentions_sessions_is_forwarded_unchanged() {
    let mut fixture = Fixture::new();
    fixture
        .bad
        .on_tool("act", Reply::error(-32602, "session not found"));
    assert_eq!(fixture.call("act").message(), "session not found");
    let long = format!("invalid session {}", "of the browser ".repeat(10));
    fixture.bad.on_tool("act", Reply::error(-32000, &long));
    assert_eq!(fixture.call("act").message(), long);
    assert_eq!(fixture.handshakes(), 1);
}

#[test]
fn fault_35_a_server_without_a_get_stream_works() {
    let mut fixture = Fixture::new();
    fixture.bad.always("GET", Reply::status(405));
    fixture.expect_success("act");
    fixture.expect_success("look");
    assert!(fixture.bad.requests_of("GET").len() <= 1);
    assert_eq!(fixture.handshakes(), 1);
}

#[test]
fn fault_36_a_request_over_the_backends_cap_is_too_large() {
    let mut fixture = Fixture::new();
    fixture.check_fault(Fault {
        name: "413",
        reply: Reply::status(413),
        class: "too_large",
        executed: "unknown",
        expected_text: "HTTP 413",
        sent_if_safe: 1,
    });
}

fn too_many(retry_after: &str) -> Reply {
    Reply::status(429).header("retry-after", retry_after)
}

#[test]
fn fault_37_retry_after_is_honoured_within_bounds() {
    let mut fixture = Fixture::new();
    // A date has whole seconds, so a date two seconds ahead is more than one second away.
    let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(2));
    fixture.bad.on_tool("act", too_many("1"));
    fixture.bad.on_tool("look", too_many(&soon));
    let asked = Instant::now();
    let calls = ["act", "look"].map(|tool| fixture.gateway.start_call(tool, json!({})));
    fixture.check_good_backend();
    let answers = calls.map(|call| {
        let answer = fixture.gateway.answer(call);
        (answer.text().to_owned(), asked.elapsed())
    });
    let [(act, waited_seconds), (look, waited_for_date)] = answers;
    assert_eq!((act.as_str(), look.as_str()), ("act {}", "look {}"));
    assert!(waited_seconds >= Duration::from_secs(1));
    assert!(waited_for_date >= Duration::from_millis(500));
    assert_eq!((fixture.sent("act"), fixture.bad.runs("act")), (2, 1));
    assert_eq!((fixture.sent("look"), fixture.bad.runs("look")), (2, 1));
}

#[test]
fn fault_37_an_unusable_retry_after_gets_the_normal_backoff() {
    let mut fixture = Fixture::new();
    let past = "Thu, 01 Jan 1970 00:00:00 GMT";
    for (runs, retry_after) in (1..).zip(["0", past, "-5", "soon", "1e9", ""]) {
        fixture.bad.on_tool("act", too_many(retry_after));
        let asked = Instant::now();
        assert_eq!(fixture.call("act").text(), "act {}", "{retry_after:?}");
        assert!(asked.elapsed() >= Duration::from_millis(100));
        assert_eq!(
            (fixture.sent("act"), fixture.bad.runs("act")),
            (2 * runs, runs as usize)
        );
    }
}

#[test]
fn fault_37_a_too_long_wait_ends_as_rate_limited_immediately() {
    let far = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));
    for (limit, retry_after) in [
        ("", "31"),
        ("", "1000000000"),
        ("", "99999999999999999999999999"),
        ("", far.as_str()),
        ("tools.timeout_secs = { act = 5, look = 5 }", "6"),
    ] {
        let mut fixture = Fixture::with(limit);
        for tool in ["act", "look"] {
            fixture.bad.always_tool(tool, too_many(retry_after));
            fixture.expect_error(tool, ("rate_limited", "no", 1), "HTTP 429");
            assert_eq!((fixture.sent(tool), fixture.bad.runs(tool)), (1, 0));
        }
    }
}

#[test]
fn fault_37_a_lasting_limit_is_rate_limited_after_all_attempts() {
    let mut fixture = Fixture::new();
    for tool in ["act", "look"] {
        fixture.bad.always_tool(tool, too_many("0"));
        fixture.expect_error(tool, ("rate_limited", "no", 2), "HTTP 429");
        assert_eq!((fixture.sent(tool), fixture.bad.runs(tool)), (2, 0));
    }
}

#[test]
fn fault_38_server_errors_are_resent_only_where_that_is_safe() {
    let mut fixture = Fixture::new();
    for (status, expected_text) in [
        (500, "HTTP 500: it broke"),
        (502, "HTTP 502: it broke"),
        (504, "HTTP 504: it broke"),
    ] {
        fixture.check_fault(Fault {
            name: expected_text,
            reply: Reply::status(status).body("it broke"),
            class: "outcome_unknown",
            executed: "unknown",
            expected_text,
            sent_if_safe: 2,
        });
    }
    // A proxy's 503 after the server died during the call.
    fixture.check_fault(Fault {
        name: "503",
        reply: Reply::status(503).runs(true),
        class: "overloaded",
        executed: "unknown",
        expected_text: "HTTP 503",
        sent_if_safe: 2,
    });
    assert_eq!(fixture.bad.runs("act"), 8);
}

#[test]
fn fault_38_a_503_with_retry_after_was_not_executed() {
    let mut fixture = Fixture::new();
    let busy = Reply::status(503).header("retry-after", "0");
    fixture.bad.on_tool("act", busy.clone());
    assert_eq!(fixture.call("act").text(), "act {}");
    assert_eq!((fixture.sent("act"), fixture.bad.runs("act")), (2, 1));
    fixture.bad.always_tool("act", busy);
    fixture.expect_error("act", ("overloaded", "no", 2), "HTTP 503");
    assert_eq!((fixture.sent("act"), fixture.bad.runs("act")), (4, 1));
}
