//! Requests with invalid metadata, and clients of both eras on one stdin.

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::common::message::complete_text;
use crate::common::reply::Reply;
use crate::era_matrix::table::{LEGACY, MODERN};

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const INFO: &str = "io.modelcontextprotocol/clientInfo";

fn with_tool() -> (FakeBackend, TestGateway) {
    let fake = FakeBackend::start().tool("t").modern();
    let gateway = TestGateway::over(&fake);
    (fake, gateway)
}

#[test]
fn metadata_that_is_missing_or_of_a_wrong_type_is_refused() {
    let (fake, mut gateway) = with_tool();
    for meta in [
        json!({ CAPABILITIES: {} }),
        json!({ CAPABILITIES: {}, INFO: { "name": "x", "version": "1" } }),
        json!({ VERSION: MODERN }),
        json!({ VERSION: MODERN, CAPABILITIES: null }),
        json!({ VERSION: MODERN, CAPABILITIES: [] }),
        json!({ VERSION: 20260728, CAPABILITIES: {} }),
    ] {
        for method in ["tools/list", "tools/call", "server/discover"] {
            let answer = gateway.ask(method, json!({ "name": "t", "_meta": meta }));
            assert_eq!(answer.code(), -32602, "{method} {meta}");
        }
    }
    assert_eq!(fake.runs("t"), 0);
    // `clientInfo` is optional.
    let meta = json!({ VERSION: MODERN, CAPABILITIES: {} });
    let answer = gateway.ask("tools/call", json!({ "name": "t", "_meta": meta }));
    answer.result();
}

#[test]
fn an_unsupported_version_is_refused_with_the_supported_ones() {
    let (_fake, mut gateway) = with_tool();
    for version in ["2099-01-01", "1.0", ""] {
        for method in ["server/discover", "tools/list", "tools/call"] {
            let meta = json!({ VERSION: version, CAPABILITIES: {} });
            let answer = gateway.ask(method, json!({ "name": "t", "_meta": meta }));
            assert_eq!(answer.code(), -32022, "{method} {version}");
            let data = &answer.error()["data"];
            assert_eq!(data["requested"], version);
            assert!(
                data["supported"]
                    .as_array()
                    .unwrap()
                    .contains(&json!(MODERN))
            );
        }
    }
}

#[test]
fn requests_of_both_eras_work_on_one_stdin() {
    for legacy_first in [true, false] {
        let fake = FakeBackend::start().tool("t").modern();
        let mut gateway = TestGateway::over(&fake);
        if legacy_first {
            gateway
                .initialize_with(LEGACY, json!({ "roots": {} }))
                .result();
        }
        gateway.modern(json!({ "elicitation": {} }));
        // The protocol checker fails the test on members of the other era.
        gateway.call("t", json!({})).result();
        gateway.discover().result();
        assert_eq!(gateway.ask("ping", json!({})).code(), -32601);
        if !legacy_first {
            gateway
                .legacy()
                .initialize_with(LEGACY, json!({ "roots": {} }))
                .result();
        }
        gateway.legacy().call("t", json!({})).result();
        gateway.ask("ping", json!({})).result();
        gateway
            .modern(json!({ "elicitation": {} }))
            .call("t", json!({}))
            .result();
        // Each client gets the request in its own era.
        let requests = json!({ "k": { "method": "roots/list" } });
        fake.on_tool("t", Reply::input_required(&requests, None));
        fake.on_tool("t", Reply::json(&complete_text("done")));
        let id = gateway.legacy().start_call("t", json!({}));
        let server_request = gateway.next_request("roots/list");
        gateway.respond(&server_request, json!({ "roots": [] }));
        assert_eq!(gateway.answer(id).text(), "done");
        fake.on_tool("t", Reply::input_required(&requests, None));
        let can = json!({ "roots": {} });
        assert!(gateway.modern(can).call("t", json!({})).is_input_required());
    }
}

#[test]
fn a_modern_client_needs_no_handshake_and_gets_no_unsolicited_messages() {
    let fake = FakeBackend::start().tool("old").with_get();
    let mut gateway = TestGateway::over(&fake);
    gateway.modern(json!({}));
    assert_eq!(gateway.tool_names(), ["old"]);
    fake.set_tools(&["new"]);
    fake.notify_clients("notifications/tools/list_changed", json!({}));
    fake.notify_clients(
        "notifications/message",
        json!({ "level": "error", "data": "x" }),
    );
    gateway.list_until(&["new"]);
}

#[test]
fn lists_are_the_same_for_all_capabilities_and_every_time() {
    let (one, two) = (
        FakeBackend::start().tool("b"),
        FakeBackend::start().tool("a").modern(),
    );
    let toml = one.entry("one", "") + &two.entry("two", "");
    let mut gateway = TestGateway::with_config(&toml);
    gateway.modern(json!({}));
    let first = gateway.ask("tools/list", json!({}));
    for capabilities in [json!({}), json!({ "sampling": {} })] {
        gateway.modern(capabilities);
        let again = gateway.ask("tools/list", json!({}));
        assert_eq!(again.result()["tools"], first.result()["tools"]);
    }
    let listed = first.result()["tools"].as_array().unwrap();
    let names: Vec<&Value> = listed.iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["b", "a"]);
}
