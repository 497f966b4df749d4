//! HTTP: interim responses, redirects, framing and connections (fault table, section C).

use serde_json::json;

use crate::common::fake::FakeBackend;
use crate::common::malformed::BAD_FRAMING;
use crate::common::message::text;
use crate::common::reply::Reply;
use crate::fixture::{Fault, Fixture, answers_to_all};

/// The head of a good response whose body ends with the connection.
const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";

#[test]
fn fault_28_interim_responses_are_skipped() {
    let mut fixture = Fixture::new();
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    let reply = Reply::raw(interim)
        .body(format!("{HEAD}\r\n{}", text("through")))
        .then_hang_up();
    fixture.expect_text(reply, "through");
}

#[test]
fn fault_28_switching_protocols_is_a_bad_reply() {
    let switch =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    Fixture::new().check_fault(Fault {
        name: "101",
        reply: Reply::raw(switch),
        class: "bad_reply",
        executed: "unknown",
        expected_text: "HTTP 101",
        sent_if_safe: 1,
    });
}

#[test]
fn one_user_agent_is_sent_and_the_config_can_replace_it() {
    let default = concat!("sentinel-gateway/", env!("CARGO_PKG_VERSION"));
    for (config, expected) in [
        ("", default),
        ("headers = { \"User-Agent\" = \"ours\" }\n", "ours"),
    ] {
        let mut fixture = Fixture::with(config);
        assert_eq!(fixture.call("act").text(), "act {}");
        for request in fixture.bad.requests() {
            let headers = request.headers.iter();
            let sent: Vec<&str> = headers
                .filter(|(name, _)| name == "user-agent")
                .map(|(_, value)| value.as_str())
                .collect();
            assert_eq!(sent, [expected], "{} {request:?}", request.http_method);
        }
    }
}

fn redirect(status: u16, to: &str) -> Reply {
    Reply::status(status).header("location", to).runs(false)
}

#[test]
fn fault_30_redirects_within_the_origin_are_followed_three_times() {
    let mut fixture = Fixture::with("headers = { \"X-Key\" = \"k\" }\n");
    let here = fixture.bad.url().replace("/mcp", "/there");
    for (status, to) in [(307, "/there"), (308, here.as_str())] {
        fixture.bad.on_tool("act", redirect(status, to));
        assert_eq!(fixture.call("act").text(), "act {}");
        let calls = fixture.bad.requests_of("tools/call");
        let [.., first, second] = calls.as_slice() else {
            panic!("two requests should have come: {calls:?}")
        };
        assert_eq!(second.target, "/there");
        assert_eq!(
            (&second.http_method, &second.body),
            (&first.http_method, &first.body)
        );
        assert_eq!(second.headers, first.headers);
        assert_eq!(second.header("x-key"), Some("k"));
    }
    assert_eq!((fixture.sent("act"), fixture.bad.runs("act")), (4, 2));

    for _ in 0..3 {
        fixture.bad.on_tool("act", redirect(307, "/there"));
    }
    assert_eq!(fixture.call("act").text(), "act {}");
    assert_eq!((fixture.sent("act"), fixture.bad.runs("act")), (8, 3));

    fixture.bad.always_tool("act", redirect(307, "/there"));
    fixture.expect_error(
        "act",
        ("refused", "unknown", 4),
        "one address after the other",
    );
    assert_eq!((fixture.sent("act"), fixture.bad.runs("act")), (12, 3));
}

#[test]
fn fault_30_no_byte_reaches_another_origin() {
    let other = FakeBackend::start().tool("act");
    let mut fixture = Fixture::with("headers = { \"X-Key\" = \"k\" }\n");
    let there = other.url();
    let with_query = format!("{there}?token=hidden");
    let user = there.replace("http://", "http://user:hidden@");
    let as_localhost = fixture.bad.url().replace("127.0.0.1", "localhost");
    let encrypted = fixture.bad.url().replace("http:", "https:");
    for (status, to, expected_text) in [
        (301, there.as_str(), there.as_str()),
        (302, &there, &there),
        (303, &there, &there),
        (307, &there, &there),
        (308, &with_query, &there),
        (307, &user, &there),
        (307, there.trim_start_matches("http:"), &there),
        (307, &as_localhost, &as_localhost),
        (307, &encrypted, &encrypted),
        (302, "/there", "/there"),
        (300, "/there", "/there"),
        (307, "http://[", "an address that can't be read"),
        (307, "file:///etc/passwd", "file:///etc/passwd"),
    ] {
        let before = fixture.sent("act");
        fixture.bad.on_tool("act", redirect(status, to));
        let id = fixture.gateway.start_call("act", json!({}));
        let answer = fixture.gateway.answer(id);
        assert_eq!(
            answer.gateway_error(),
            ("refused", "unknown", 1),
            "{status} {to}"
        );
        let message = answer.message();
        assert!(
            message.contains(expected_text),
            "{expected_text} is not in {message}"
        );
        assert!(!message.contains("hidden"), "{message}");
        assert_eq!(fixture.sent("act") - before, 1);
    }
    fixture.check_good_backend();
    assert_eq!((other.connections(), fixture.bad.runs("act")), (0, 0));
    fixture.expect_success("act");
}

#[test]
fn fault_30_a_long_redirect_target_is_truncated_in_the_message() {
    let mut fixture = Fixture::new();
    let to = format!("http://127.0.0.2:9/{}", "x".repeat(20_000));
    fixture.bad.on_tool("act", redirect(307, &to));
    fixture.expect_error("act", ("refused", "unknown", 1), "http://127.0.0.2:9/xxx");
}

#[test]
fn fault_41_a_truncated_body_is_outcome_unknown() {
    let mut fixture = Fixture::new();
    for (name, reply) in [
        (
            "too long a length",
            Reply::text("x").length_off_by(10).then_hang_up(),
        ),
        (
            "no last chunk",
            Reply::sse().body(": nothing yet\n\n").then_hang_up(),
        ),
        (
            "within a chunk",
            Reply::raw(format!("{HEAD}transfer-encoding: chunked\r\n\r\nff\r\n{{")).then_hang_up(),
        ),
        (
            "after the head",
            Reply::status(200)
                .header("content-type", "application/json")
                .length_off_by(9)
                .then_reset(),
        ),
    ] {
        fixture.check_fault(Fault {
            name,
            reply,
            class: "outcome_unknown",
            executed: "unknown",
            expected_text: "connection lost after the request was sent",
            sent_if_safe: 2,
        });
    }
}

#[test]
fn fault_42_json_that_ends_in_the_middle_is_a_bad_reply() {
    Fixture::new().check_fault(Fault {
        name: "half",
        reply: Reply::status(200)
            .header("content-type", "application/json")
            .body(r#"{"jsonrpc":"2.0","id":"$id","res"#)
            .until_close(),
        class: "bad_reply",
        executed: "unknown",
        expected_text: "not JSON",
        sent_if_safe: 1,
    });
}

#[test]
fn fault_43_contradictory_framing_is_a_bad_reply() {
    let mut fixture = Fixture::new();
    let no_header = ("no header", "no header\r\n\r\n{}");
    for (name, rest) in BAD_FRAMING.into_iter().chain([no_header]) {
        fixture.check_fault(Fault {
            name,
            reply: Reply::raw(format!("{HEAD}{rest}")).then_hang_up(),
            class: "bad_reply",
            executed: "unknown",
            expected_text: "invalid HTTP response",
            sent_if_safe: 1,
        });
    }
}

#[test]
fn fault_43_a_response_that_is_not_http_is_a_bad_reply() {
    Fixture::new().check_fault(Fault {
        name: "SSH",
        reply: Reply::raw("SSH-2.0-OpenSSH_9.9\r\n"),
        class: "bad_reply",
        executed: "unknown",
        expected_text: "invalid HTTP response",
        sent_if_safe: 1,
    });
}

/// The bytes after the body are another response, which would match any following request.
#[test]
fn fault_44_bytes_past_the_length_never_reach_the_next_request() {
    let mut fixture = Fixture::new();
    let all = answers_to_all("smuggled");
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let excess = format!("{head}content-length: {}\r\n\r\n{all}", all.len());
    let difference = -isize::try_from(excess.len()).unwrap();
    for _ in 0..10 {
        // Body and excess are sent together: bytes that arrive after the next request was sent
        // can't be told from its answer.
        let reply = Reply::status(200)
            .header("content-type", "application/json")
            .body(format!("{}{excess}", text("own")))
            .length_off_by(difference);
        fixture.expect_text(reply, "own");
        fixture.expect_success("act");
    }
}

#[test]
fn fault_47_a_flood_of_headers_is_bounded() {
    let mut fixture = Fixture::new();
    let many: String = (0..100_000).map(|n| format!("x-{n}: y\r\n")).collect();
    let endless = format!("x-endless: {}", "y".repeat(16 << 20));
    for (name, flood) in [("many", many), ("endless", endless)] {
        fixture.check_fault(Fault {
            name,
            reply: Reply::raw(format!("HTTP/1.1 200 OK\r\n{flood}")).then_stall(),
            class: "bad_reply",
            executed: "unknown",
            expected_text: "invalid HTTP response",
            sent_if_safe: 1,
        });
    }
}

#[test]
fn fault_50_a_connection_closed_while_idle_goes_unnoticed() {
    let mut fixture = Fixture::new();
    for runs in 1..=5 {
        let connections = fixture.bad.connections();
        fixture.expect_success("act");
        fixture.bad.drop_connections();
        fixture.check_good_backend();
        fixture.expect_success("act");
        assert!(fixture.bad.connections() > connections);
        assert_eq!(fixture.bad.runs("act"), 2 * runs);
    }
    assert_eq!(fixture.handshakes(), 1);
}

#[test]
fn fault_50_a_connection_closed_during_a_call_is_outcome_unknown_and_ran_once() {
    let mut fixture = Fixture::new();
    for (name, reply) in [("closed", Reply::hang_up()), ("reset", Reply::reset())] {
        fixture.check_fault(Fault {
            name,
            reply,
            class: "outcome_unknown",
            executed: "unknown",
            expected_text: "connection lost after the request was sent",
            sent_if_safe: 2,
        });
    }
    // Each fault and the successful call after it.
    assert_eq!((fixture.bad.runs("act"), fixture.bad.runs("look")), (4, 6));
}
