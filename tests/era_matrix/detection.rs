//! Detection of a backend's era by one probe, `server/discover`, which has no side effects.

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::common::message::error_with;
use crate::common::reply::Reply;
use crate::common::streams::refusals;
use crate::era_matrix::table::{LEGACY, MODERN};

/// Calls the tool `t` with a client of each era, and asserts that it runs once for each.
fn assert_both_eras_served(fake: &FakeBackend, more: &str) {
    let runs = fake.runs("t");
    let toml = fake.entry("fake", more);
    let mut gateway = TestGateway::with_config(&toml);
    gateway.initialize().result();
    assert_eq!(gateway.call("t", json!({})).text(), "t {}");
    let mut gateway = TestGateway::with_config(&toml);
    gateway.modern(json!({}));
    assert_eq!(gateway.call("t", json!({})).text(), "t {}");
    assert_eq!(fake.runs("t"), runs + 2);
}

#[test]
fn every_way_to_refuse_the_probe_makes_a_server_legacy() {
    for (name, refusal) in refusals() {
        eprintln!("{name}");
        for fake in [
            FakeBackend::start(),
            FakeBackend::start().without_sessions(),
        ] {
            let fake = fake.tool("t").refusing_modern(refusal.clone());
            assert_both_eras_served(&fake, "");
            assert_eq!(fake.requests_of("server/discover").len(), 2);
            assert_eq!(fake.requests_of("initialize").len(), 2);
        }
    }
}

#[test]
fn a_server_with_an_empty_result_for_the_probe_is_legacy() {
    let empty = Reply::result(json!({}));
    let fake = FakeBackend::start().tool("t").refusing_modern(empty);
    assert_both_eras_served(&fake, "");
}

#[test]
fn a_server_of_both_eras_is_spoken_to_in_that_of_the_client() {
    let fake = FakeBackend::start().tool("t").dual();
    assert_both_eras_served(&fake, "");
    assert_eq!(fake.requests_of("initialize").len(), 1);
    assert_eq!(fake.requests_of("server/discover").len(), 2);
}

#[test]
fn the_config_can_say_which_era_it_is() {
    let fake = FakeBackend::start().tool("t").dual();
    assert_both_eras_served(&fake, "protocol = \"legacy\"");
    assert!(fake.requests_of("server/discover").is_empty());
    assert_eq!(fake.requests_of("initialize").len(), 2);
    assert_both_eras_served(&fake, "protocol = \"modern\"");
    assert_eq!(fake.requests_of("initialize").len(), 2);

    let legacy = FakeBackend::start().tool("t");
    let toml = legacy.entry("fake", "protocol = \"modern\"");
    let mut gateway = TestGateway::with_config(&toml);
    gateway.modern(json!({}));
    let answer = gateway.call("t", json!({}));
    assert!(answer.message().contains("fake is down"), "{answer:?}");
    assert!(legacy.requests_of("initialize").is_empty());
}

#[test]
fn a_server_error_does_not_decide_the_era() {
    for status in [500, 503] {
        let fake = FakeBackend::start().tool("t").modern();
        fake.on("server/discover", Reply::status(status));
        let mut gateway = TestGateway::over(&fake);
        gateway.modern(json!({}));
        assert_eq!(gateway.call("t", json!({})).text(), "t {}");
        assert_eq!(fake.requests_of("initialize").len(), 1, "{status}");
        assert_eq!(fake.requests_of("server/discover").len(), 2, "{status}");
    }
}

#[test]
fn a_modern_server_that_requires_authorization_is_down_with_that_reason() {
    for status in [401, 403] {
        let fake = FakeBackend::start().tool("t").modern();
        fake.always("server/discover", Reply::status(status));
        let mut gateway = TestGateway::over(&fake);
        gateway.modern(json!({}));
        let answer = gateway.call("t", json!({}));
        let reason = format!("(HTTP {status})");
        assert!(answer.message().contains(&reason), "{answer:?}");
        let handshake = ["server/discover", "initialize"];
        let kinds = fake.requests();
        let mut kinds = kinds.iter().map(|request| request.kind().to_owned());
        assert!(kinds.all(|kind| handshake.contains(&kind.as_str())));
    }
}

#[test]
fn a_modern_server_of_another_version_is_down_with_a_reason() {
    let fake = FakeBackend::start().tool("t").modern();
    let data = json!({ "supported": ["2099-01-01"], "requested": MODERN });
    let unsupported = error_with(-32022, "Unsupported protocol version", &data);
    fake.always("server/discover", Reply::json_as(400, &unsupported));
    let mut gateway = TestGateway::over(&fake);
    gateway.modern(json!({}));
    let answer = gateway.call("t", json!({}));
    assert!(answer.message().contains("2099-01-01"), "{answer:?}");
    assert!(fake.requests_of("initialize").is_empty());
}

#[test]
fn a_server_that_supports_only_legacy_versions_is_legacy() {
    let data = json!({ "supported": [LEGACY], "requested": MODERN });
    let unsupported = error_with(-32022, "Unsupported protocol version", &data);
    let refusal = Reply::json_as(400, &unsupported);
    let fake = FakeBackend::start().tool("t").refusing_modern(refusal);
    assert_both_eras_served(&fake, "");
}

/// Some servers don't answer unknown methods.
#[test]
fn a_server_that_never_answers_the_probe_is_legacy() {
    let fake = FakeBackend::start()
        .tool("t")
        .refusing_modern(Reply::stall());
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize().result();
    gateway.wait_for_tool("t");
    assert_eq!(gateway.call("t", json!({})).text(), "t {}");
}

#[test]
fn an_http_sse_server_is_detected_by_its_get_stream() {
    let fake = FakeBackend::start().tool("t").http_sse();
    assert_both_eras_served(&fake, "");
    let posted = fake.requests_of("tools/call");
    assert!(
        posted
            .iter()
            .all(|call| call.target.starts_with("/messages?client="))
    );
}

#[test]
fn the_probe_has_every_required_header() {
    for fake in [FakeBackend::start().modern(), FakeBackend::start()] {
        let mut gateway = TestGateway::over(&fake);
        gateway.initialize().result();
        let probe = fake.next_request("server/discover");
        assert_eq!(probe.header("mcp-method"), Some("server/discover"));
        assert_eq!(probe.header("mcp-protocol-version"), Some(MODERN));
        assert_eq!(*probe.meta("protocolVersion"), json!(MODERN));
        assert!(probe.meta("clientCapabilities").is_object());
        assert_ne!(probe.message["id"], Value::Null);
        assert_eq!(probe.header("mcp-session-id"), None);
    }
}
