//! The connection pool: connections are kept, reused, and shared by backends with equal settings.

use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use serde_json::json;

/// Its tool is read-only, so that a call that meets a closed connection is retried.
fn fake() -> FakeBackend {
    let safe = json!({ "annotations": { "readOnlyHint": true } });
    FakeBackend::start().tool_with("read", safe)
}

#[test]
fn sequential_calls_share_a_connection() {
    let fake = fake();
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize();
    gateway.wait_for_tool("read");
    gateway.call("read", json!({}));
    let before = fake.connections();
    for _ in 0..20 {
        gateway.call("read", json!({}));
    }
    assert_eq!(fake.connections(), before);
}

#[test]
fn backends_without_settings_of_their_own_share_a_client() {
    let fake = fake();
    let entries = fake.entry("first", "") + &fake.entry("second", "");
    let mut gateway = TestGateway::with_config(&entries);
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["read", "second__read"]);
    gateway.call("read", json!({}));
    let before = fake.connections();
    fake.drop_connections();
    gateway.call("read", json!({}));
    gateway.call("second__read", json!({}));
    assert_eq!(fake.connections(), before + 1);
}

#[test]
fn backends_with_settings_of_their_own_have_their_own_client() {
    let fake = fake();
    let entries = fake.entry("first", "") + &fake.entry("second", "connect_timeout_secs = 7");
    let mut gateway = TestGateway::with_config(&entries);
    gateway.initialize();
    assert_eq!(gateway.tool_names(), ["read", "second__read"]);
    gateway.call("read", json!({}));
    let before = fake.connections();
    fake.drop_connections();
    gateway.call("read", json!({}));
    gateway.call("second__read", json!({}));
    assert_eq!(fake.connections(), before + 2);
}
