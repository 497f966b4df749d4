//! `attempts`, the log, and the requests that a server got: all three count the same, whatever made the
//! gateway send a call again.
//!
//! Each case is a real process with one call. Every request after the first has its line in the log.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::fake::FakeBackend;
use crate::common::gateway::Answer;
use crate::common::h2::{Http2Fault, Http2Server};
use crate::common::message::{error, text};
use crate::common::process::{Process, gateway};
use crate::common::reply::Reply;
use crate::common::tls::Authority;

/// Longer than usual: the machine keeps every core busy meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);
/// The log lines for a request that is sent again.
const AGAIN: [&str; 3] = [
    "retrying after transient error",
    "a redirect is followed",
    "the headers of the call were refused: it is sent again, as listed now",
];

/// A process that has made one call.
struct Called {
    answer: Answer,
    /// Lines of the log that say that the call is sent again.
    again: u64,
}

/// Calls a tool through a gateway with this config. `capabilities` are the client's.
fn call(toml: &str, tool: &str, folder: TempDir, capabilities: Value) -> Called {
    let mut command = gateway(&folder, toml);
    command.env("RUST_LOG", "sentinel_gateway=debug");
    let mut process = Process::start(command, folder, PATIENCE);
    process.client.initialize_with("2025-11-25", capabilities);
    let id = process.client.start_call(tool, json!({}));
    if tool == "asks" {
        let request = process.client.next_request("elicitation/create");
        let answer = json!({ "action": "accept", "content": {} });
        process.client.respond(&request, answer);
    }
    let answer = process.client.answer(id);
    let log = process.end().log;
    let again = log.lines().filter(|line| {
        let of_call = line.contains("method=tools/call");
        of_call && AGAIN.iter().any(|words| line.contains(words))
    });
    Called {
        again: again.count() as u64,
        answer,
    }
}

/// A fake with the tools `unsafe`, `safe` and `asks`, which answers their calls with these replies,
/// one after the other, and all further ones with the last.
fn answering(fake: FakeBackend, replies: Vec<Reply>) -> FakeBackend {
    let mut replies = VecDeque::from(replies);
    fake.tool("unsafe")
        .tool("asks")
        .tool_with("safe", json!({ "annotations": { "readOnlyHint": true } }))
        .respond_with(move |request| {
            let is_call = request.kind() == "tools/call";
            is_call.then(|| match replies.len() {
                1 => replies[0].clone(),
                _ => replies.pop_front().unwrap(),
            })
        })
}

/// Checks a call that fails in the end: the server got it `requests` times, and everything says so.
fn check(
    name: &str,
    fake: FakeBackend,
    (tool, more): (&str, &str),
    replies: Vec<Reply>,
    expected: (&str, &str, u64),
) {
    eprintln!("{name}");
    let rounds = u64::from(tool == "asks");
    let fake = answering(fake, replies);
    let folder = TempDir::new().unwrap();
    let capabilities = json!({ "elicitation": {} });
    let called = call(&fake.entry("fake", more), tool, folder, capabilities);
    assert_eq!(called.answer.gateway_error(), expected, "{name}");
    let (.., requests) = expected;
    let got = fake.requests_of("tools/call").len() as u64;
    assert_eq!(got, requests, "{name}: requests that the server got");
    // Another round of a call is no repetition.
    assert_eq!(
        called.again + rounds,
        requests - 1,
        "{name}: lines of the log"
    );
}

fn legacy() -> FakeBackend {
    FakeBackend::start()
}

fn modern() -> FakeBackend {
    FakeBackend::start().modern()
}

fn busy() -> Reply {
    Reply::status(503).header("retry-after", "0")
}

fn moved() -> Reply {
    Reply::status(307).header("location", "/elsewhere")
}

#[test]
fn retries_agree() {
    for retries in [0, 2] {
        let config = format!("retries = {retries}");
        let all = retries + 1;
        let write = ("unsafe", config.as_str());
        let read = ("safe", config.as_str());
        let overloaded = ("overloaded", "no", all);
        check("503", legacy(), write, vec![busy()], overloaded);
        let limited = ("rate_limited", "no", all);
        check("429", modern(), write, vec![Reply::status(429)], limited);
        let unknown = ("outcome_unknown", "unknown", all);
        check("500", legacy(), read, vec![Reply::status(500)], unknown);
        let once = ("outcome_unknown", "unknown", 1);
        check("hang up", legacy(), write, vec![Reply::hang_up()], once);
    }
}

#[test]
fn redirects_agree() {
    let none = ("unsafe", "retries = 0");
    // The first, and three redirects; the fourth is not followed.
    let refused = ("refused", "unknown", 4);
    check("a circle", legacy(), none, vec![moved()], refused);
    let unknown = ("outcome_unknown", "unknown", 2);
    let replies = vec![moved(), Reply::status(500)];
    check("an error there", modern(), none, replies, unknown);
    // Each attempt is redirected once.
    let replies = vec![moved(), busy(), moved(), busy()];
    let overloaded = ("overloaded", "no", 4);
    check(
        "busy there",
        legacy(),
        ("unsafe", "retries = 1"),
        replies,
        overloaded,
    );
}

#[test]
fn a_new_session_agrees() {
    let none = ("unsafe", "retries = 0");
    let lost = ("refused", "no", 2);
    check("404", legacy(), none, vec![Reply::status(404)], lost);
    let unknown = ("outcome_unknown", "unknown", 2);
    let replies = vec![Reply::status(404), Reply::status(500)];
    check("404, then 500", legacy(), none, replies, unknown);
}

/// Over the transport of 2024-11-05 the response to a POST carries no answer, but it may show that the
/// request was taken.
#[test]
fn the_transport_of_2024_agrees() {
    let old = || FakeBackend::start().http_sse();
    let (none, one) = (("unsafe", "retries = 0"), ("unsafe", "retries = 1"));
    let lost = ("refused", "no", 2);
    check("404", old(), none, vec![Reply::status(404)], lost);
    let unknown = ("outcome_unknown", "unknown", 1);
    let result = Reply::json_as(404, &text("ran"));
    check("404 with a result", old(), none, vec![result], unknown);
    let cut = Reply::status(404)
        .body("gone")
        .length_off_by(9)
        .then_hang_up();
    check("404 that is cut off", old(), none, vec![cut], unknown);
    let limited = ("rate_limited", "no", 2);
    check("429", old(), one, vec![Reply::status(429)], limited);
    check("500", old(), one, vec![Reply::status(500)], unknown);
}

#[test]
fn another_era_agrees() {
    let (read, write) = (("safe", "retries = 0"), ("unsafe", "retries = 0"));
    let unknown = |requests| ("outcome_unknown", "unknown", requests);
    check(
        "modern, 404",
        modern(),
        read,
        vec![Reply::status(404)],
        unknown(2),
    );
    check(
        "modern, 404",
        modern(),
        write,
        vec![Reply::status(404)],
        unknown(1),
    );
    let reserved = || vec![Reply::json_as(400, &error(-32022, "no"))];
    check("legacy, -32022", legacy(), read, reserved(), unknown(2));
    check("legacy, -32022", legacy(), write, reserved(), unknown(1));
}

#[test]
fn a_refused_header_agrees() {
    let mismatch = || Reply::json_as(400, &error(-32020, "mismatch"));
    let config = ("unsafe", "retries = 1");
    let unknown = ("outcome_unknown", "unknown", 2);
    check(
        "then 500",
        modern(),
        config,
        vec![mismatch(), Reply::status(500)],
        unknown,
    );
    // Both attempts with the tool listed again.
    let overloaded = ("overloaded", "no", 3);
    check(
        "then 503",
        modern(),
        config,
        vec![mismatch(), busy()],
        overloaded,
    );
    // The first may have run: a later attempt that was not taken does not change that.
    let may_have_run = Reply::json(&error(-32020, "mismatch"));
    let replies = vec![may_have_run, busy()];
    let overloaded = ("overloaded", "unknown", 2);
    check(
        "with 200",
        modern(),
        ("safe", "retries = 0"),
        replies,
        overloaded,
    );
}

#[test]
fn rounds_agree() {
    let form = json!({ "message": "?", "requestedSchema": { "type": "object", "properties": {} } });
    let asks = json!({ "k": { "method": "elicitation/create", "params": form } });
    let required = || Reply::input_required(&asks, Some("state")).runs(true);
    let config = ("asks", "retries = 1");
    let unknown = ("outcome_unknown", "unknown", 2);
    check(
        "500 in the second",
        modern(),
        config,
        vec![required(), Reply::status(500)],
        unknown,
    );
    // The first round had begun to run it.
    let overloaded = ("overloaded", "unknown", 3);
    check(
        "503 in the second",
        modern(),
        config,
        vec![required(), busy()],
        overloaded,
    );
}

#[test]
fn renewed_credentials_agree() {
    for (second, expected) in [
        (Reply::status(401), ("auth_required", "no", 2)),
        (Reply::status(500), ("outcome_unknown", "unknown", 2)),
    ] {
        let folder = TempDir::new().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "one").unwrap();
        let file = token.clone();
        let mut second = Some(second);
        let mut refused = None;
        let fake = legacy().tool("unsafe").respond_with(move |request| {
            let call = request.kind() == "tools/call";
            call.then(|| match second.take() {
                Some(reply) if refused.is_some() => reply,
                taken => {
                    second = taken;
                    refused = Some(());
                    std::fs::write(&file, "two").unwrap();
                    Reply::status(401).runs(true)
                }
            })
        });
        let more = format!("retries = 0\nbearer = {{ file = '{}' }}", token.display());
        let called = call(&fake.entry("fake", &more), "unsafe", folder, json!({}));
        assert_eq!(called.answer.gateway_error(), expected);
        let requests = fake.requests_of("tools/call");
        assert_eq!((requests.len(), called.again), (2, 1));
        let tokens: Vec<_> = requests
            .iter()
            .map(|request| request.header("authorization"))
            .collect();
        assert_eq!(tokens, [Some("Bearer one"), Some("Bearer two")]);
    }
}

#[test]
fn http2_agrees() {
    let authority = Authority::new();
    for (fault, retries, expected) in [
        (Http2Fault::RefusedStream, 0, ("unreachable", "no", 1)),
        (Http2Fault::RefusedStream, 2, ("unreachable", "no", 3)),
        (Http2Fault::GoAway, 0, ("unreachable", "no", 1)),
        (Http2Fault::GoAway, 2, ("unreachable", "no", 3)),
        (
            Http2Fault::GoAwayAfterTaking,
            2,
            ("outcome_unknown", "unknown", 1),
        ),
    ] {
        let fake = Arc::new(FakeBackend::start().without_sessions().tool("unsafe"));
        let h2 = Http2Server::before(&fake, &authority.issue(&["127.0.0.1"]));
        h2.on_call(&[fault; 20]);
        let (ca, folder) = (authority.file(), TempDir::new().unwrap());
        let toml = format!(
            "[[backends]]\nname = \"fake\"\nurl = \"{}\"\nretries = {retries}\nca_file = '{}'\n",
            h2.url(),
            ca.path().display()
        );
        let called = call(&toml, "unsafe", folder, json!({}));
        let name = format!("{fault:?}, {retries} retries");
        assert_eq!(called.answer.gateway_error(), expected, "{name}");
        let (.., requests) = expected;
        assert_eq!(20 - h2.faults_left() as u64, requests, "{name}");
        assert_eq!(called.again, requests - 1, "{name}");
        // The session is as good as before.
        let handshakes = fake.requests_of("initialize").len();
        assert_eq!(handshakes, 1, "{name}");
    }
}

#[test]
fn a_backend_that_is_down_agrees() {
    let fake = FakeBackend::start().tool("unsafe");
    let more = "retries = 2";
    let folder = TempDir::new().unwrap();
    let mut command = gateway(&folder, &fake.entry("fake", more));
    command.env("RUST_LOG", "sentinel_gateway=debug");
    let mut process = Process::start(command, folder, PATIENCE);
    process.client.initialize();
    process.client.call("unsafe", json!({})).text();
    fake.go_down();
    let answer = process.client.call("unsafe", json!({}));
    let log = process.end().log;
    // None of them reached it.
    assert_eq!(answer.gateway_error(), ("unreachable", "no", 3));
    let again = log.lines().filter(|line| line.contains(AGAIN[0]));
    assert_eq!(again.count(), 2, "{log}");
    assert_eq!(fake.runs("unsafe"), 1);
}

#[test]
fn a_handshake_that_fails_is_no_request() {
    let fake = FakeBackend::start().tool("unsafe");
    // The session is lost, and no new one can be made.
    let lost = Reply::status(404);
    let mut forgotten = false;
    let fake = fake.respond_with(move |request| match request.kind() {
        "tools/call" => {
            forgotten = true;
            Some(lost.clone())
        }
        "initialize" | "server/discover" if forgotten => Some(Reply::status(500)),
        _ => None,
    });
    let folder = TempDir::new().unwrap();
    let called = call(
        &fake.entry("fake", "retries = 1"),
        "unsafe",
        folder,
        json!({}),
    );
    let (class, executed, _) = called.answer.gateway_error();
    assert_eq!((class, executed), ("unreachable", "no"));
    assert_eq!(fake.requests_of("tools/call").len(), 1);
    assert!(called.answer.message().contains("did not run"));
}
