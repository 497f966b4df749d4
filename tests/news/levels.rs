//! How much a legacy session logs, where modern requests want it each their way (X-ML-09).

use sentinel_gateway::protocol::LogLevel;
use serde_json::json;

use crate::common::fake::FakeBackend;
use crate::news::alone::Alone;

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
fn the_lowest_that_anybody_wants_counts_and_the_standing_one_comes_back() {
    let fake = logging();
    let alone = Alone::up(&fake);
    let enter = |level| alone.wait(alone.backend.want_log_level(level));
    {
        let _entered = alone.enter();
        alone.backend.set_log_level(LogLevel::Error);
    }
    assert_eq!(next_level(&fake), "error");
    let info = enter(LogLevel::Info);
    assert_eq!(fake.requests_of("logging/setLevel").len(), 2);
    assert_eq!(next_level(&fake), "info");
    let debug = enter(LogLevel::Debug);
    assert_eq!(next_level(&fake), "debug");
    let alert = enter(LogLevel::Alert);
    let _entered = alone.enter();
    drop(alert);
    drop(debug);
    assert_eq!(next_level(&fake), "info");
    drop(info);
    assert_eq!(next_level(&fake), "error");
    assert_eq!(fake.requests_of("logging/setLevel").len(), 5);
}

#[test]
fn a_new_session_is_told_again() {
    let fake = logging();
    let mut alone = Alone::up(&fake);
    let _info = alone.wait(alone.backend.want_log_level(LogLevel::Info));
    assert_eq!(next_level(&fake), "info");
    fake.forget_sessions();
    assert_eq!(alone.call("a").unwrap(), "a {}");
    assert_eq!(next_level(&fake), "info");
    alone.listed();
}

#[test]
fn servers_without_logs_and_modern_ones_are_not_told() {
    for fake in [FakeBackend::start().tool("a"), logging().modern()] {
        let alone = Alone::up(&fake);
        let wish = alone.wait(alone.backend.want_log_level(LogLevel::Info));
        drop(wish);
        assert_eq!(alone.call("a").unwrap(), "a {}");
        assert!(fake.requests_of("logging/setLevel").is_empty());
    }
}
