//! What a response proves about a call: whether it may be sent again, and what the client is told.

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::common::message::error;
use crate::common::reply::Reply;

/// Codes that only the modern era uses.
const RESERVED: [i64; 3] = [-32020, -32021, -32022];

fn initialized(fake: &FakeBackend) -> TestGateway {
    let mut gateway = TestGateway::with_config(&fake.entry("fake", ""));
    gateway.initialize();
    gateway
}

fn error_of_nobody(code: i64) -> Value {
    json!({ "jsonrpc": "2.0", "id": null, "error": { "code": code, "message": "no" } })
}

/// Calls a tool that runs and gets this reply. It runs once, and the client is told that it may
/// have run.
fn runs_once(fake: &FakeBackend, gateway: &mut TestGateway, name: &str, reply: Reply) {
    let ran = fake.runs("write");
    fake.on_tool("write", reply.runs(true));
    let answer = gateway.call("write", json!({}));
    let (_, executed, attempts) = answer.gateway_error();
    assert_eq!((executed, attempts), ("unknown", 1), "{name}");
    assert!(answer.message().contains("MAY HAVE RUN"), "{name}");
    assert_eq!(fake.runs("write"), ran + 1, "{name}");
    // Not too many failures in a row: the breaker has tests of its own.
    assert_eq!(gateway.call("fine", json!({})).text(), "fine {}", "{name}");
}

#[test]
fn a_modern_refusal_that_is_no_json_rpc_error_is_not_resent_in_another_era() {
    let fake = FakeBackend::start().modern().tool("write").tool("fine");
    let mut gateway = initialized(&fake);
    for status in [400, 404, 405] {
        for (name, reply) in [
            ("empty", Reply::status(status)),
            ("text", Reply::status(status).body("no such thing")),
        ] {
            runs_once(&fake, &mut gateway, &format!("{status} {name}"), reply);
        }
        // Its words arrive, and prove no more.
        let ran = fake.runs("write");
        let error = Reply::json_as(status, &error_of_nobody(-32600));
        fake.on_tool("write", error.runs(true));
        assert_eq!(gateway.call("write", json!({})).code(), -32600);
        assert_eq!(fake.runs("write"), ran + 1, "{status}");
    }
}

#[test]
fn fault_100_reserved_codes_of_a_legacy_server_are_no_evidence() {
    let fake = FakeBackend::start().tool("write").tool("fine");
    let mut gateway = initialized(&fake);
    for status in [400, 409, 500, 502, 504] {
        for code in RESERVED {
            let reply = Reply::json_as(status, &error_of_nobody(code));
            runs_once(&fake, &mut gateway, &format!("{status} {code}"), reply);
        }
    }
}

#[test]
fn fault_100_a_header_mismatch_with_status_200_is_the_answer() {
    let fake = FakeBackend::start().modern().tool("write").tool("fine");
    let mut gateway = initialized(&fake);
    fake.on_tool("write", Reply::error(-32020, "mismatch").runs(true));
    let answer = gateway.call("write", json!({}));
    assert_eq!(answer.message(), "mismatch");
    assert_eq!(fake.runs("write"), 1);
}

#[test]
fn a_status_that_sounds_like_a_refusal_does_not_prove_that_the_tool_did_not_run() {
    for fake in [
        FakeBackend::start(),
        FakeBackend::start().without_sessions(),
    ] {
        let fake = fake.tool("write").tool("fine");
        let mut gateway = initialized(&fake);
        for status in [
            303, 402, 403, 406, 408, 409, 410, 413, 418, 422, 451, 499, 501, 599,
        ] {
            let reply = Reply::status(status);
            runs_once(&fake, &mut gateway, &status.to_string(), reply);
        }
    }
}

#[test]
fn a_404_in_a_session_with_a_json_rpc_error_to_this_request_is_the_answer() {
    let fake = FakeBackend::start().tool("write");
    let mut gateway = initialized(&fake);
    let error = error(-32002, "no row");
    fake.on_tool("write", Reply::json_as(404, &error).runs(true));
    assert_eq!(gateway.call("write", json!({})).message(), "no row");
    assert_eq!(fake.runs("write"), 1);
    assert_eq!(fake.requests_of("initialize").len(), 1);
}
