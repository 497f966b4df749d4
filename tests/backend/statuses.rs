//! Group C, as far as the status line says it: refusals, waits asked for, lost sessions.

use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use crate::common::message::error;
use crate::common::reply::Reply;
use crate::rig::{Fault, Rig};

#[test]
fn fault_29_accepted_without_an_answer_is_a_bad_reply() {
    let mut rig = Rig::new();
    for (status, says) in [(202, "HTTP 202"), (204, "HTTP 204")] {
        rig.suffers(Fault {
            name: says,
            reply: Reply::status(status),
            class: "bad_reply",
            executed: "unknown",
            says,
            sent_if_safe: 1,
        });
    }
}

#[test]
fn fault_31_a_400_with_a_json_rpc_error_is_the_backends_answer() {
    let mut rig = Rig::new();
    for tool in ["act", "look"] {
        let body = error(-32602, "a must be a number").to_string();
        let reply = Reply::status(400).header("content-type", "application/json");
        rig.bad.on_tool(tool, reply.body(body));
        let answer = rig.call(tool);
        assert_eq!(
            answer.error(),
            &json!({ "code": -32602, "message": "a must be a number" })
        );
        assert_eq!(rig.sent(tool), 1);
    }
}

#[test]
fn fault_32_refused_credentials_are_auth_required() {
    let mut rig = Rig::new();
    for (status, says) in [(401, "HTTP 401"), (403, "HTTP 403")] {
        rig.suffers(Fault {
            name: says,
            reply: Reply::status(status).header("www-authenticate", "Bearer"),
            class: "auth_required",
            executed: "no",
            says,
            sent_if_safe: 1,
        });
    }
    assert_eq!((rig.bad.runs("act"), rig.handshakes()), (2, 1));
}

#[test]
fn fault_33_a_lost_session_is_renewed_once_for_all_who_wait() {
    let mut rig = Rig::new();
    rig.works("act");
    rig.bad.forget_sessions();
    let calls: Vec<u64> = (0..40)
        .map(|n| rig.gateway.start_call("act", json!({ "n": n })))
        .collect();
    rig.good_works();
    for (n, id) in calls.into_iter().enumerate() {
        let answer = rig.gateway.answer(id);
        assert_eq!(answer.text(), format!(r#"act {{"n":{n}}}"#));
    }
    assert_eq!((rig.bad.runs("act"), rig.handshakes()), (41, 2));
}

#[test]
fn fault_33_a_second_404_after_the_new_session_is_final() {
    let mut rig = Rig::new();
    for tool in ["act", "look"] {
        rig.bad.always_tool(tool, Reply::status(404));
        rig.fails(tool, ("refused", "no", 2), "lost the session");
        assert_eq!((rig.sent(tool), rig.bad.runs(tool)), (2, 0));
    }
}

#[test]
fn fault_34_what_only_sounds_like_a_lost_session_is_renewed_but_not_resent() {
    for reply in [
        Reply::status(400).body("Bad Request: session not found"),
        Reply::status(400)
            .header("content-type", "application/json")
            .body(error(-32000, "Bad Request: No valid session ID provided").to_string()),
        Reply::error(-32001, "Session not found"),
    ] {
        let mut rig = Rig::new();
        rig.bad.on_tool("act", reply.clone().runs(true));
        rig.fails("act", ("outcome_unknown", "unknown", 1), "lost the session");
        assert_eq!((rig.sent("act"), rig.bad.runs("act")), (1, 1));
        rig.works("act");
        assert_eq!(rig.handshakes(), 2);
        rig.bad.on_tool("look", reply);
        assert_eq!(rig.call("look").text(), "look {}");
        assert_eq!((rig.sent("look"), rig.handshakes()), (2, 3));
    }
}

#[test]
fn fault_34_a_tool_that_speaks_of_sessions_keeps_its_own_error() {
    let mut rig = Rig::new();
    rig.bad
        .on_tool("act", Reply::error(-32602, "session not found"));
    assert_eq!(rig.call("act").message(), "session not found");
    let long = format!("invalid session {}", "of the browser ".repeat(10));
    rig.bad.on_tool("act", Reply::error(-32000, &long));
    assert_eq!(rig.call("act").message(), long);
    assert_eq!(rig.handshakes(), 1);
}

#[test]
fn fault_35_a_server_without_a_stream_of_its_own_is_fine() {
    let mut rig = Rig::new();
    rig.bad.always("GET", Reply::status(405));
    rig.works("act");
    rig.works("look");
    assert!(rig.bad.requests_of("GET").len() <= 1);
    assert_eq!(rig.handshakes(), 1);
}

#[test]
fn fault_36_a_request_over_the_backends_cap_is_too_large() {
    let mut rig = Rig::new();
    rig.suffers(Fault {
        name: "413",
        reply: Reply::status(413),
        class: "too_large",
        executed: "no",
        says: "HTTP 413",
        sent_if_safe: 1,
    });
}

fn too_many(retry_after: &str) -> Reply {
    Reply::status(429).header("retry-after", retry_after)
}

#[test]
fn fault_37_retry_after_is_honoured_within_bounds() {
    let mut rig = Rig::new();
    // A date has whole seconds: two from now is more than one away.
    let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(2));
    rig.bad.on_tool("act", too_many("1"));
    rig.bad.on_tool("look", too_many(&soon));
    let asked = Instant::now();
    let calls = ["act", "look"].map(|tool| rig.gateway.start_call(tool, json!({})));
    rig.good_works();
    let answers = calls.map(|call| {
        let answer = rig.gateway.answer(call);
        (answer.text().to_owned(), asked.elapsed())
    });
    let [(act, waited_seconds), (look, waited_for_date)] = answers;
    assert_eq!((act.as_str(), look.as_str()), ("act {}", "look {}"));
    assert!(waited_seconds >= Duration::from_secs(1));
    assert!(waited_for_date >= Duration::from_millis(500));
    assert_eq!((rig.sent("act"), rig.bad.runs("act")), (2, 1));
    assert_eq!((rig.sent("look"), rig.bad.runs("look")), (2, 1));
}

#[test]
fn fault_37_what_asks_for_no_wait_gets_the_usual_one() {
    let mut rig = Rig::new();
    let past = "Thu, 01 Jan 1970 00:00:00 GMT";
    for (runs, retry_after) in (1..).zip(["0", past, "-5", "soon", "1e9", ""]) {
        rig.bad.on_tool("act", too_many(retry_after));
        let asked = Instant::now();
        assert_eq!(rig.call("act").text(), "act {}", "{retry_after:?}");
        assert!(asked.elapsed() >= Duration::from_millis(100));
        assert_eq!(
            (rig.sent("act"), rig.bad.runs("act")),
            (2 * runs, runs as usize)
        );
    }
}

#[test]
fn fault_37_waits_that_are_too_long_end_as_rate_limited_at_once() {
    let far = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));
    for (limit, retry_after) in [
        ("", "31"),
        ("", "1000000000"),
        ("", "99999999999999999999999999"),
        ("", far.as_str()),
        ("tools.timeout_secs = { act = 5, look = 5 }", "6"),
    ] {
        let mut rig = Rig::with(limit);
        for tool in ["act", "look"] {
            rig.bad.always_tool(tool, too_many(retry_after));
            rig.fails(tool, ("rate_limited", "no", 1), "HTTP 429");
            assert_eq!((rig.sent(tool), rig.bad.runs(tool)), (1, 0));
        }
    }
}

#[test]
fn fault_37_a_limit_that_stays_is_rate_limited_after_the_attempts() {
    let mut rig = Rig::new();
    for tool in ["act", "look"] {
        rig.bad.always_tool(tool, too_many("0"));
        rig.fails(tool, ("rate_limited", "no", 2), "HTTP 429");
        assert_eq!((rig.sent(tool), rig.bad.runs(tool)), (2, 0));
    }
}

#[test]
fn fault_38_server_errors_are_resent_only_where_that_is_safe() {
    let mut rig = Rig::new();
    for (status, says) in [
        (500, "HTTP 500: it broke"),
        (502, "HTTP 502: it broke"),
        (504, "HTTP 504: it broke"),
    ] {
        rig.suffers(Fault {
            name: says,
            reply: Reply::status(status).body("it broke"),
            class: "outcome_unknown",
            executed: "unknown",
            says,
            sent_if_safe: 2,
        });
    }
    // A proxy's 503 for a server that died at work.
    rig.suffers(Fault {
        name: "503",
        reply: Reply::status(503).runs(true),
        class: "overloaded",
        executed: "unknown",
        says: "HTTP 503",
        sent_if_safe: 2,
    });
    assert_eq!(rig.bad.runs("act"), 8);
}

#[test]
fn fault_38_a_503_that_says_when_to_come_back_was_not_taken() {
    let mut rig = Rig::new();
    let busy = Reply::status(503).header("retry-after", "0");
    rig.bad.on_tool("act", busy.clone());
    assert_eq!(rig.call("act").text(), "act {}");
    assert_eq!((rig.sent("act"), rig.bad.runs("act")), (2, 1));
    rig.bad.always_tool("act", busy);
    rig.fails("act", ("overloaded", "no", 2), "HTTP 503");
    assert_eq!((rig.sent("act"), rig.bad.runs("act")), (4, 1));
}
