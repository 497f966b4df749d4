//! Backends that disconnect and return, in the same era or in the other.

use serde_json::json;

use crate::common::fake::FakeBackend;
use crate::era_matrix::table::{LEGACY, MODERN, Pair};

const TOOLS: &str = "notifications/tools/list_changed";
const UPDATED: &str = "notifications/resources/updated";

#[test]
fn a_subscription_outlives_its_backend() {
    for backend in [LEGACY, MODERN] {
        let pair = Pair::new(MODERN, backend);
        let fake = pair.fake().tool("old").resource("a:b");
        let fake = fake.capabilities(json!({ "resources": { "subscribe": true } }));
        let mut gateway = pair.gateway(&fake);
        let tools = gateway.listen(json!({ "toolsListChanged": true }));
        let updates = gateway.listen(json!({ "resourceSubscriptions": ["a:b"] }));
        assert_eq!(gateway.tool_names(), ["old"]);
        fake.go_down();
        fake.set_tools(&["new"]).forget_all_state();
        fake.come_up();
        gateway.next_subscribed(&tools.id, TOOLS);
        assert_eq!(gateway.tool_names(), ["new"]);
        fake.notify_clients(UPDATED, json!({ "uri": "a:b" }));
        gateway.next_subscribed(&updates.id, UPDATED);
        assert_eq!(gateway.call("new", json!({})).text(), "new {}");
    }
}

/// Calls a backend that changes its era, with a client of each era.
fn assert_change_detected(to_modern: bool, goes_down: bool) {
    for client in [LEGACY, MODERN] {
        let pair = Pair::new(client, LEGACY);
        let fake = FakeBackend::start().tool("t");
        fake.set_era(!to_modern);
        let mut gateway = pair.gateway(&fake);
        gateway.call("t", json!({})).result();
        if goes_down {
            fake.go_down();
        }
        fake.set_era(to_modern);
        if goes_down {
            fake.come_up();
        }
        assert_eq!(gateway.call_until_success("t").text(), "t {}", "{client}");
        assert_eq!(fake.runs("t"), 2, "{client}");
        // The requests before the change was detected.
        fake.violations();
    }
}

#[test]
fn a_backend_that_returns_as_modern_is_detected() {
    assert_change_detected(true, true);
}

#[test]
fn a_backend_that_returns_as_legacy_is_detected() {
    assert_change_detected(false, true);
}

/// Behind a load balancer the connection stays open.
#[test]
fn a_backend_that_becomes_modern_without_disconnecting_is_detected() {
    assert_change_detected(true, false);
}

#[test]
fn a_backend_that_becomes_legacy_without_disconnecting_is_detected() {
    assert_change_detected(false, false);
}
