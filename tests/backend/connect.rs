//! Connections that cannot be established (fault table, section B).

use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use sentinel_gateway::backend::error::BackendError;
use sentinel_gateway::backend::http::{Credentials, Endpoint};
use sentinel_gateway::budget::Budget;
use sentinel_gateway::config::{Environment, Overrides, load};
use sentinel_gateway::protocol::{Class, Executed};
use sentinel_gateway::transport::http::Pool;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::common::blackhole::Blackhole;
use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::fixture::Fixture;

#[test]
fn fault_21_refused_is_retried_then_unreachable() {
    let mut fixture = Fixture::new();
    fixture.expect_success("act");
    fixture.stop_bad_backend();
    for tool in ["act", "look"] {
        fixture.expect_error(tool, ("unreachable", "no", 2), "connection refused");
    }
    assert_eq!((fixture.bad.runs("act"), fixture.bad.runs("look")), (1, 0));
    fixture.bad.come_up();
    assert_eq!(fixture.call("act").text(), "act {}");
    assert_eq!(fixture.bad.runs("act"), 2);
}

#[test]
fn fault_22_a_blackhole_ends_with_the_connect_timeout() {
    let mut fixture = Fixture::with("connect_timeout_secs = 1\nretry_tools = \"never\"\n");
    fixture.expect_success("act");
    fixture.stop_bad_backend();
    let _blackhole = Blackhole::at(([127, 0, 0, 1], fixture.bad.port()).into()).unwrap();
    fixture.expect_error("act", ("unreachable", "no", 2), "connect timeout");
    assert_eq!(fixture.bad.runs("act"), 1);
}

/// The label is longer than 63 characters, so no resolver is queried (RFC 1035, section 2.3.4).
fn unresolvable_entry() -> String {
    let label = "x".repeat(64);
    format!("[[backends]]\nname = \"unresolvable\"\nurl = \"http://{label}.invalid/mcp\"\n")
}

#[test]
fn fault_23_a_name_that_does_not_resolve_is_unreachable() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sentinel.toml");
    std::fs::write(&file, unresolvable_entry()).unwrap();
    let overrides = Overrides {
        config: Some(file),
        ..Overrides::default()
    };
    let config = load(&overrides, &Environment::new(folder.path())).unwrap();
    let backend = Arc::clone(&config.backends[0]);
    let error: BackendError = Runtime::new().unwrap().block_on(async {
        let credentials = Arc::new(Credentials::new(Arc::clone(&backend), &Pool::default()));
        let (pool, budget) = (Pool::default(), Budget::new(1 << 20));
        let resolved = Endpoint::resolve(&backend, credentials, &pool, 1 << 20, budget);
        let endpoint = resolved.await.unwrap();
        let answer = endpoint.post(&HeaderMap::new(), Bytes::new(), None).await;
        answer.unwrap_err()
    });
    let executed = error.executed(true);
    assert_eq!(
        (error.class(executed), executed),
        (Class::Unreachable, Executed::No)
    );
    assert!(
        error.to_string().contains("the name can't be resolved"),
        "{error}"
    );
}

#[test]
fn fault_23_other_backends_are_listed_and_the_cause_is_reported() {
    let good = FakeBackend::start().tool("other");
    let mut gateway = TestGateway::with_config(&(unresolvable_entry() + &good.entry("good", "")));
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["other"]);
    let unknown = gateway.call("act", json!({}));
    assert_eq!(unknown.code(), -32602);
    let message = unknown.message();
    assert!(
        message.contains("unresolvable is down: the name can't be resolved"),
        "{message}"
    );
    assert_eq!(gateway.call("other", json!({})).text(), "other {}");
}

/// A pipe that is never written to: opening it blocks for ever.
#[cfg(unix)]
fn pipe(folder: &std::path::Path) -> String {
    let path = folder.join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    path.display().to_string()
}

#[cfg(unix)]
#[test]
fn a_file_that_never_yields_data_delays_only_its_backend() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = pipe(folder.path());
    for key in ["ca_file = PATH", "bearer = { file = PATH }"] {
        let (good, bad) = (FakeBackend::start().tool("other"), FakeBackend::start());
        let lines = key.replace("PATH", &format!("{pipe:?}"));
        let config = bad.entry("bad", &format!("{lines}\n")) + &good.entry("good", "");
        let mut gateway = TestGateway::with_config(&config);
        gateway.initialize();
        assert_eq!(gateway.call("other", json!({})).text(), "other {}");
        assert_eq!(bad.connections(), 0);
    }
}

#[cfg(unix)]
#[test]
fn a_certificate_must_be_a_regular_file() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = pipe(folder.path());
    for path in [pipe.as_str(), "/dev/zero"] {
        let bad = FakeBackend::start();
        let mut gateway =
            TestGateway::with_config(&bad.entry("bad", &format!("ca_file = {path:?}\n")));
        gateway.initialize();
        let message = gateway.call("act", json!({})).message().to_owned();
        let expected_text = format!("ca_file {path} is not a regular file");
        assert!(message.contains(&expected_text), "{message}");
    }
}

#[test]
fn localhost_names_are_resolved_without_dns() {
    let fake = FakeBackend::start().tool("act");
    let entry = fake.entry("fake", "headers = { \"X-Key\" = \"k\" }\n");
    for host in ["localhost", "LOCALHOST", "any.localhost"] {
        let mut gateway = TestGateway::with_config(&entry.replace("127.0.0.1", host));
        gateway.initialize();
        assert_eq!(gateway.call("act", json!({})).text(), "act {}", "{host}");
    }
}
