//! Group C, as far as HTTP itself goes: interim responses, redirects, framing, connections.

use serde_json::json;

use crate::common::fake::FakeBackend;
use crate::common::malformed::BAD_FRAMING;
use crate::common::message::text;
use crate::common::reply::Reply;
use crate::rig::{Fault, Rig, answers_to_all};

/// The head of a good response whose body ends with the connection.
const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";

#[test]
fn fault_28_interim_responses_are_passed_over() {
    let mut rig = Rig::new();
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    let reply = Reply::raw(interim)
        .body(format!("{HEAD}\r\n{}", text("through")))
        .then_hang_up();
    rig.understands(reply, "through");
}

#[test]
fn fault_28_another_protocol_is_a_bad_reply() {
    let switch =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    Rig::new().suffers(Fault {
        name: "101",
        reply: Reply::raw(switch),
        class: "bad_reply",
        executed: "unknown",
        says: "HTTP 101",
        sent_if_safe: 1,
    });
}

#[test]
fn who_we_are_is_said_once_unless_the_config_says_otherwise() {
    let us = concat!("sentinel-gateway/", env!("CARGO_PKG_VERSION"));
    for (config, due) in [
        ("", us),
        ("headers = { \"User-Agent\" = \"ours\" }\n", "ours"),
    ] {
        let mut rig = Rig::with(config);
        assert_eq!(rig.call("act").text(), "act {}");
        for request in rig.bad.requests() {
            let said = request.headers.iter();
            let said: Vec<&str> = said
                .filter(|(name, _)| name == "user-agent")
                .map(|(_, value)| value.as_str())
                .collect();
            assert_eq!(said, [due], "{} {request:?}", request.http_method);
        }
    }
}

fn redirect(status: u16, to: &str) -> Reply {
    Reply::status(status).header("location", to).runs(false)
}

#[test]
fn fault_30_redirects_within_the_origin_are_followed_three_times() {
    let mut rig = Rig::with("headers = { \"X-Key\" = \"k\" }\n");
    let here = rig.bad.url().replace("/mcp", "/there");
    for (status, to) in [(307, "/there"), (308, here.as_str())] {
        rig.bad.on_tool("act", redirect(status, to));
        assert_eq!(rig.call("act").text(), "act {}");
        let calls = rig.bad.requests_of("tools/call");
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
    assert_eq!((rig.sent("act"), rig.bad.runs("act")), (4, 2));

    for _ in 0..3 {
        rig.bad.on_tool("act", redirect(307, "/there"));
    }
    assert_eq!(rig.call("act").text(), "act {}");
    assert_eq!((rig.sent("act"), rig.bad.runs("act")), (8, 3));

    rig.bad.always_tool("act", redirect(307, "/there"));
    rig.fails("act", ("refused", "no", 1), "over and over");
    assert_eq!((rig.sent("act"), rig.bad.runs("act")), (12, 3));
}

#[test]
fn fault_30_not_a_byte_reaches_a_foreign_origin() {
    let foreign = FakeBackend::start().tool("act");
    let mut rig = Rig::with("headers = { \"X-Key\" = \"k\" }\n");
    let there = foreign.url();
    let with_query = format!("{there}?token=hidden");
    let user = there.replace("http://", "http://user:hidden@");
    let as_localhost = rig.bad.url().replace("127.0.0.1", "localhost");
    let encrypted = rig.bad.url().replace("http:", "https:");
    for (status, to, says) in [
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
        (307, "http://[", "nowhere that can be read"),
        (307, "file:///etc/passwd", "file:///etc/passwd"),
    ] {
        let before = rig.sent("act");
        rig.bad.on_tool("act", redirect(status, to));
        let id = rig.gateway.start_call("act", json!({}));
        let answer = rig.gateway.answer(id);
        assert_eq!(
            answer.gateway_error(),
            ("refused", "no", 1),
            "{status} {to}"
        );
        let message = answer.message();
        assert!(message.contains(says), "{says} is not in {message}");
        assert!(!message.contains("hidden"), "{message}");
        assert_eq!(rig.sent("act") - before, 1);
    }
    rig.good_works();
    assert_eq!((foreign.connections(), rig.bad.runs("act")), (0, 0));
    rig.works("act");
}

#[test]
fn fault_30_a_long_target_is_told_in_short() {
    let mut rig = Rig::new();
    let to = format!("http://127.0.0.2:9/{}", "x".repeat(20_000));
    rig.bad.on_tool("act", redirect(307, &to));
    rig.fails("act", ("refused", "no", 1), "http://127.0.0.2:9/xxx");
}

#[test]
fn fault_41_a_body_cut_off_is_outcome_unknown() {
    let mut rig = Rig::new();
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
        rig.suffers(Fault {
            name,
            reply,
            class: "outcome_unknown",
            executed: "unknown",
            says: "connection lost after the request was sent",
            sent_if_safe: 2,
        });
    }
}

#[test]
fn fault_42_json_that_ends_in_the_middle_is_a_bad_reply() {
    Rig::new().suffers(Fault {
        name: "half",
        reply: Reply::status(200)
            .header("content-type", "application/json")
            .body(r#"{"jsonrpc":"2.0","id":"$id","res"#)
            .until_close(),
        class: "bad_reply",
        executed: "unknown",
        says: "not JSON",
        sent_if_safe: 1,
    });
}

#[test]
fn fault_43_framing_that_contradicts_itself_is_a_bad_reply() {
    let mut rig = Rig::new();
    let no_header = ("no header", "no header\r\n\r\n{}");
    for (name, rest) in BAD_FRAMING.into_iter().chain([no_header]) {
        rig.suffers(Fault {
            name,
            reply: Reply::raw(format!("{HEAD}{rest}")).then_hang_up(),
            class: "bad_reply",
            executed: "unknown",
            says: "not HTTP as it should be",
            sent_if_safe: 1,
        });
    }
}

#[test]
fn fault_43_what_is_no_http_at_all_is_a_bad_reply() {
    Rig::new().suffers(Fault {
        name: "SSH",
        reply: Reply::raw("SSH-2.0-OpenSSH_9.9\r\n"),
        class: "bad_reply",
        executed: "unknown",
        says: "not HTTP as it should be",
        sent_if_safe: 1,
    });
}

/// What stands behind a body is another response, which would fit whatever is asked next.
#[test]
fn fault_44_bytes_past_the_length_never_reach_the_next_request() {
    let mut rig = Rig::new();
    let all = answers_to_all("smuggled");
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let excess = format!("{head}content-length: {}\r\n\r\n{all}", all.len());
    let lie = -isize::try_from(excess.len()).unwrap();
    for _ in 0..10 {
        // Body and excess go out together. What comes after the next request was sent can't be
        // told from its answer by anybody.
        let reply = Reply::status(200)
            .header("content-type", "application/json")
            .body(format!("{}{excess}", text("own")))
            .length_off_by(lie);
        rig.understands(reply, "own");
        rig.works("act");
    }
}

#[test]
fn fault_47_a_flood_of_headers_is_bounded() {
    let mut rig = Rig::new();
    let many: String = (0..100_000).map(|n| format!("x-{n}: y\r\n")).collect();
    let endless = format!("x-endless: {}", "y".repeat(16 << 20));
    for (name, flood) in [("many", many), ("endless", endless)] {
        rig.suffers(Fault {
            name,
            reply: Reply::raw(format!("HTTP/1.1 200 OK\r\n{flood}")).then_stall(),
            class: "bad_reply",
            executed: "unknown",
            says: "not HTTP as it should be",
            sent_if_safe: 1,
        });
    }
}

#[test]
fn fault_50_a_connection_closed_while_idle_goes_unnoticed() {
    let mut rig = Rig::new();
    for runs in 1..=5 {
        let connections = rig.bad.connections();
        rig.works("act");
        rig.bad.drop_connections();
        rig.good_works();
        rig.works("act");
        assert!(rig.bad.connections() > connections);
        assert_eq!(rig.bad.runs("act"), 2 * runs);
    }
    assert_eq!(rig.handshakes(), 1);
}

#[test]
fn fault_50_a_connection_closed_at_work_is_outcome_unknown_and_ran_once() {
    let mut rig = Rig::new();
    for (name, reply) in [("closed", Reply::hang_up()), ("reset", Reply::reset())] {
        rig.suffers(Fault {
            name,
            reply,
            class: "outcome_unknown",
            executed: "unknown",
            says: "connection lost after the request was sent",
            sent_if_safe: 2,
        });
    }
    // Each fault and the good call after it.
    assert_eq!((rig.bad.runs("act"), rig.bad.runs("look")), (4, 6));
}
