//! Group B: no connection comes about.

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
use crate::rig::Rig;

#[test]
fn fault_21_refused_is_retried_then_unreachable() {
    let mut rig = Rig::new();
    rig.works("act");
    rig.dies();
    for tool in ["act", "look"] {
        rig.fails(tool, ("unreachable", "no", 2), "connection refused");
    }
    assert_eq!((rig.bad.runs("act"), rig.bad.runs("look")), (1, 0));
    rig.bad.come_up();
    assert_eq!(rig.call("act").text(), "act {}");
    assert_eq!(rig.bad.runs("act"), 2);
}

#[test]
fn fault_22_a_blackhole_ends_with_the_connect_timeout() {
    let mut rig = Rig::with("connect_timeout_secs = 1\nretry_tools = \"never\"\n");
    rig.works("act");
    rig.dies();
    let _blackhole = Blackhole::at(([127, 0, 0, 1], rig.bad.port()).into()).unwrap();
    rig.fails("act", ("unreachable", "no", 2), "connect timeout");
    assert_eq!(rig.bad.runs("act"), 1);
}

/// No resolver is asked for a label of more than 63 characters (RFC 1035, section 2.3.4).
fn nameless() -> String {
    let label = "x".repeat(64);
    format!("[[backends]]\nname = \"nameless\"\nurl = \"http://{label}.invalid/mcp\"\n")
}

#[test]
fn fault_23_a_name_that_does_not_resolve_is_unreachable() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sentinel.toml");
    std::fs::write(&file, nameless()).unwrap();
    let overrides = Overrides {
        config: Some(file),
        ..Overrides::default()
    };
    let config = load(&overrides, &Environment::new(folder.path())).unwrap();
    let backend = Arc::clone(&config.backends[0]);
    let error: BackendError = Runtime::new().unwrap().block_on(async {
        let credentials = Arc::new(Credentials::new(Arc::clone(&backend)));
        let (pool, budget) = (Pool::default(), Budget::new(1 << 20));
        let resolved = Endpoint::resolve(&backend, credentials, &pool, 1 << 20, budget);
        let endpoint = resolved.await.unwrap();
        let answer = endpoint.post(&HeaderMap::new(), Bytes::new()).await;
        answer.unwrap_err()
    });
    assert_eq!(
        (error.class(), error.executed()),
        (Class::Unreachable, Executed::No)
    );
    assert!(
        error.to_string().contains("the name can't be resolved"),
        "{error}"
    );
}

#[test]
fn fault_23_the_others_are_listed_and_the_cause_is_told() {
    let good = FakeBackend::start().tool("other");
    let mut gateway = TestGateway::with_config(&(nameless() + &good.entry("good", "")));
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["other"]);
    let unknown = gateway.call("act", json!({}));
    assert_eq!(unknown.code(), -32602);
    let message = unknown.message();
    assert!(
        message.contains("nameless is down: the name can't be resolved"),
        "{message}"
    );
    assert_eq!(gateway.call("other", json!({})).text(), "other {}");
}

/// A pipe into which nobody ever writes: to open it is to wait for ever.
#[cfg(unix)]
fn pipe(folder: &std::path::Path) -> String {
    let path = folder.join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    path.display().to_string()
}

#[cfg(unix)]
#[test]
fn a_file_that_gives_nothing_holds_up_its_backend_alone() {
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
fn a_certificate_must_lie_in_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = pipe(folder.path());
    for path in [pipe.as_str(), "/dev/zero"] {
        let bad = FakeBackend::start();
        let mut gateway =
            TestGateway::with_config(&bad.entry("bad", &format!("ca_file = {path:?}\n")));
        gateway.initialize();
        let message = gateway.call("act", json!({})).message().to_owned();
        let says = format!("ca_file {path} is not a regular file");
        assert!(message.contains(&says), "{message}");
    }
}

#[test]
fn a_name_that_stands_for_this_machine_is_asked_of_nobody() {
    let fake = FakeBackend::start().tool("act");
    let entry = fake.entry("fake", "headers = { \"X-Key\" = \"k\" }\n");
    for host in ["localhost", "LOCALHOST", "any.localhost"] {
        let mut gateway = TestGateway::with_config(&entry.replace("127.0.0.1", host));
        gateway.initialize();
        assert_eq!(gateway.call("act", json!({})).text(), "act {}", "{host}");
    }
}
