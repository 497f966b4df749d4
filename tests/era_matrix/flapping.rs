//! Backends that go and come back, in the same era or in the other.

use std::time::Instant;

use serde_json::json;

use crate::common::PATIENCE;
use crate::common::fake::FakeBackend;
use crate::common::gateway::{Answer, TestGateway};
use crate::table::{MODERN, PAIRS, Pair};

const TOOLS: &str = "notifications/tools/list_changed";
const UPDATED: &str = "notifications/resources/updated";

/// Calls until it works: what comes back is found again by itself, in the end.
fn works_again(gateway: &mut TestGateway, tool: &str) -> Answer {
    let begun = Instant::now();
    loop {
        let answer = gateway.call(tool, json!({}));
        if answer.0.json.get("result").is_some() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "never again: {answer:?}");
    }
}

#[test]
fn a_subscription_outlives_its_backend() {
    for backend in PAIRS.map(|pair| pair.backend).into_iter().take(2) {
        let pair = Pair::new(MODERN, backend);
        let fake = pair.fake().tool("old").resource("a:b");
        let fake = fake.capabilities(json!({ "resources": { "subscribe": true } }));
        let mut gateway = pair.gateway(&fake);
        let tools = gateway.listen(json!({ "toolsListChanged": true }));
        let updates = gateway.listen(json!({ "resourceSubscriptions": ["a:b"] }));
        assert_eq!(gateway.tool_names(), ["old"]);
        fake.go_down();
        fake.set_tools(&["new"]).forget_everything();
        fake.come_up();
        gateway.next_subscribed(&tools.id, TOOLS);
        assert_eq!(gateway.tool_names(), ["new"]);
        fake.announce(UPDATED, json!({ "uri": "a:b" }));
        gateway.next_subscribed(&updates.id, UPDATED);
        assert_eq!(gateway.call("new", json!({})).text(), "new {}");
    }
}

#[test]
fn a_backend_that_comes_back_in_the_other_era_is_served_in_it() {
    for pair in PAIRS {
        let fake = FakeBackend::start().tool("t");
        fake.become_of(pair.modern_backend());
        let mut gateway = pair.gateway(&fake);
        gateway.call("t", json!({})).result();
        fake.go_down();
        fake.become_of(!pair.modern_backend());
        fake.come_up();
        assert_eq!(works_again(&mut gateway, "t").text(), "t {}", "{pair:?}");
        assert_eq!(fake.runs("t"), 2, "{pair:?}");
        fake.offences();
    }
}

/// An upgrade behind a balancer: nobody hangs up, and all of a sudden it is another.
#[test]
fn a_backend_that_changes_its_era_under_way_is_found_out() {
    for pair in PAIRS {
        let fake = FakeBackend::start().tool("t");
        fake.become_of(pair.modern_backend());
        let mut gateway = pair.gateway(&fake);
        gateway.call("t", json!({})).result();
        fake.become_of(!pair.modern_backend());
        assert_eq!(works_again(&mut gateway, "t").text(), "t {}", "{pair:?}");
        assert_eq!(fake.runs("t"), 2, "{pair:?}");
        fake.offences();
    }
}
