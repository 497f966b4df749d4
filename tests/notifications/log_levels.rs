//! The log level of a legacy session, which modern requests set individually (X-ML-09).

use std::time::Duration;

use sentinel_gateway::protocol::LogLevel;
use serde_json::json;

use crate::common::fake::FakeBackend;
use crate::notifications::fixture::BackendFixture;

const LIMIT: Duration = Duration::from_secs(2);

fn next_level(fake: &FakeBackend) -> String {
    let request = fake.next_request("logging/setLevel");
    request.params()["level"].as_str().unwrap().to_owned()
}

fn logging() -> FakeBackend {
    FakeBackend::start()
        .tool("a")
        .capabilities(json!({ "logging": {} }))
}

#[test]
fn the_lowest_requested_log_level_is_set_and_then_restored() {
    let fake = logging();
    let fixture = BackendFixture::connected(&fake);
    let request_level = |level| fixture.wait(fixture.backend.want_log_level(level, LIMIT));
    {
        let _entered = fixture.enter();
        fixture.backend.set_log_level(LogLevel::Error);
    }
    assert_eq!(next_level(&fake), "error");
    let info = request_level(LogLevel::Info);
    assert_eq!(fake.requests_of("logging/setLevel").len(), 2);
    assert_eq!(next_level(&fake), "info");
    let debug = request_level(LogLevel::Debug);
    assert_eq!(next_level(&fake), "debug");
    let alert = request_level(LogLevel::Alert);
    let _entered = fixture.enter();
    drop(alert);
    drop(debug);
    assert_eq!(next_level(&fake), "info");
    drop(info);
    assert_eq!(next_level(&fake), "error");
    assert_eq!(fake.requests_of("logging/setLevel").len(), 5);
}

#[test]
fn a_new_session_gets_the_log_level_again() {
    let fake = logging();
    let mut fixture = BackendFixture::connected(&fake);
    let _info = fixture.wait(fixture.backend.want_log_level(LogLevel::Info, LIMIT));
    assert_eq!(next_level(&fake), "info");
    fake.forget_sessions();
    assert_eq!(fixture.call("a").unwrap(), "a {}");
    assert_eq!(next_level(&fake), "info");
    fixture.next_listing();
}

#[test]
fn servers_without_logging_and_modern_servers_get_no_log_level() {
    for fake in [FakeBackend::start().tool("a"), logging().modern()] {
        let fixture = BackendFixture::connected(&fake);
        let level = fixture.wait(fixture.backend.want_log_level(LogLevel::Info, LIMIT));
        drop(level);
        assert_eq!(fixture.call("a").unwrap(), "a {}");
        assert!(fake.requests_of("logging/setLevel").is_empty());
    }
}
