//! Subscriptions in depth: several at a time, over several backends, and over backends that
//! disconnect.

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::common::reply::Reply;
use crate::era_matrix::table::{LEGACY, MODERN, Pair};

const TOOLS: &str = "notifications/tools/list_changed";
const UPDATED: &str = "notifications/resources/updated";
/// A modern client with a backend of each era.
const BACKENDS: [Pair; 2] = [Pair::new(MODERN, LEGACY), Pair::new(MODERN, MODERN)];

fn subscribable(pair: Pair, uri: &str) -> FakeBackend {
    let fake = pair.fake().tool("t").resource(uri);
    fake.capabilities(json!({ "resources": { "subscribe": true } }))
}

#[test]
fn several_subscriptions_with_ids_of_every_kind_coexist() {
    for pair in BACKENDS {
        let fake = subscribable(pair, "a:b");
        let mut gateway = pair.gateway(&fake);
        let ids = [json!("1"), json!(1), json!(0), json!("")];
        for id in &ids[..3] {
            let filter = json!({ "resourceSubscriptions": ["a:b"] });
            let subscription = gateway.listen_as(id.clone(), filter);
            assert_eq!(
                subscription.honoured["resourceSubscriptions"],
                json!(["a:b"])
            );
        }
        let filter = json!({ "toolsListChanged": true });
        let subscription = gateway.listen_as(ids[3].clone(), filter);
        assert_eq!(subscription.honoured, json!({ "toolsListChanged": true }));
        // The protocol checker fails the test on notifications outside a subscription's filter.
        fake.notify_clients(UPDATED, json!({ "uri": "a:b" }));
        for id in &ids[..3] {
            let updated = gateway.next_subscribed(id, UPDATED);
            assert_eq!(updated.params()["uri"], "a:b");
        }
        fake.set_tools(&["new"]);
        fake.notify_clients(TOOLS, json!({}));
        gateway.next_subscribed(&ids[3], TOOLS);
        for id in &ids[..3] {
            gateway.cancel(id.clone());
        }
        assert_eq!(gateway.list_tools().len(), 1);
    }
}

#[test]
fn resources_of_many_backends_are_one_subscription() {
    for pairs in [
        [Pair::new(MODERN, MODERN), Pair::new(MODERN, MODERN)],
        [Pair::new(MODERN, MODERN), Pair::new(MODERN, LEGACY)],
    ] {
        let (one, two) = (subscribable(pairs[0], "a:1"), subscribable(pairs[1], "a:2"));
        let toml = one.entry("one", "") + &two.entry("two", "");
        let mut gateway = pairs[0].gateway_with(&toml, json!({}));
        let filter = json!({ "resourceSubscriptions": ["a:1", "a:2"] });
        let subscription = gateway.listen(filter);
        let honoured = subscription.honoured["resourceSubscriptions"]
            .as_array()
            .unwrap();
        assert_eq!(honoured.len(), 2);
        for (fake, uri) in [(&one, "a:1"), (&two, "a:2")] {
            fake.notify_clients(UPDATED, json!({ "uri": uri }));
            let updated = gateway.next_subscribed(&subscription.id, UPDATED);
            assert_eq!(updated.params()["uri"], uri);
        }
        // No backend is subscribed to another backend's resource.
        for (fake, foreign) in [(&one, "a:2"), (&two, "a:1")] {
            assert!(!fake.has_subscriber(UPDATED, &json!({ "uri": foreign })));
        }
        let streams = one.subscribed_streams(UPDATED, &json!({ "uri": "a:1" }));
        gateway.cancel(subscription.id);
        streams.iter().for_each(|stream| stream.wait_until_closed());
    }
}

#[test]
fn resources_of_no_backend_are_not_honoured() {
    for pair in BACKENDS {
        let fake = pair.fake().resource("a:b");
        let mut gateway = pair.gateway(&fake);
        let filter = json!({ "resourceSubscriptions": ["x:y"], "unknownChanged": true });
        let subscription = gateway.listen(filter);
        let honoured = &subscription.honoured;
        let uris = honoured["resourceSubscriptions"].as_array();
        assert!(uris.is_none_or(Vec::is_empty), "{honoured}");
        assert!(honoured.get("unknownChanged").is_none(), "{honoured}");
    }
}

#[test]
fn a_backend_that_is_down_does_not_delay_a_subscription_and_joins_it_later() {
    for pair in BACKENDS {
        let down = FakeBackend::down().tool("late");
        let down = if pair.modern_backend() {
            down.modern()
        } else {
            down
        };
        let up = pair.fake().tool("t");
        let toml = up.entry("up", "") + &down.entry("down", "");
        let mut gateway = pair.gateway_with(&toml, json!({}));
        let subscription = gateway.listen(json!({ "toolsListChanged": true }));
        assert_eq!(gateway.tool_names(), ["t"]);
        down.come_up();
        gateway.next_subscribed(&subscription.id, TOOLS);
        assert_eq!(gateway.tool_names(), ["t", "late"]);
    }
}

#[test]
fn a_legacy_backend_gets_one_subscription_for_all_subscribers() {
    let pair = Pair::new(MODERN, LEGACY);
    let fake = subscribable(pair, "a:b");
    let mut gateway = pair.gateway(&fake);
    let filter = json!({ "resourceSubscriptions": ["a:b"] });
    let one = gateway.listen(filter.clone());
    let two = gateway.listen(filter);
    assert_eq!(fake.requests_of("resources/subscribe").len(), 1);
    gateway.cancel(one.id);
    // The response shows that the gateway has read the cancellation.
    gateway.discover().result();
    fake.notify_clients(UPDATED, json!({ "uri": "a:b" }));
    gateway.next_subscribed(&two.id, UPDATED);
    assert!(fake.requests_of("resources/unsubscribe").is_empty());
    gateway.cancel(two.id);
    fake.next_request("resources/unsubscribe");
}

#[test]
fn a_broken_stream_is_reopened_unnoticed_by_the_client() {
    let pair = Pair::new(MODERN, MODERN);
    for ends_well in [true, false] {
        let fake = subscribable(pair, "a:b");
        let mut gateway = pair.gateway(&fake);
        let subscription = gateway.listen(json!({ "resourceSubscriptions": ["a:b"] }));
        let uri = json!({ "uri": "a:b" });
        for stream in fake.subscribed_streams(UPDATED, &uri) {
            stream.text(": are you there?\r\n\r\n:\n");
            if ends_well {
                stream.event(&json!({ "jsonrpc": "2.0", "id": "$id", "result": {
                    "resultType": "complete",
                    "_meta": { "io.modelcontextprotocol/subscriptionId": "$id" } } }));
                stream.end();
            } else {
                stream.hang_up();
            }
            stream.wait_until_closed();
        }
        fake.notify_clients(UPDATED, uri);
        gateway.next_subscribed(&subscription.id, UPDATED);
    }
}

#[test]
fn a_backend_that_never_acknowledges_does_not_block_a_subscription() {
    let pair = Pair::new(MODERN, MODERN);
    let (silent, fake) = (subscribable(pair, "a:1"), subscribable(pair, "a:2"));
    silent.always("subscriptions/listen", Reply::stall());
    let toml = silent.entry("silent", "") + &fake.entry("fake", "");
    let mut gateway = pair.gateway_with(&toml, json!({}));
    let filter = json!({ "resourceSubscriptions": ["a:1", "a:2"] });
    let subscription = gateway.listen(filter);
    fake.notify_clients(UPDATED, json!({ "uri": "a:2" }));
    gateway.next_subscribed(&subscription.id, UPDATED);
}

#[test]
fn at_shutdown_subscriptions_are_cancelled_and_answered() {
    let pair = Pair::new(MODERN, MODERN);
    let fake = subscribable(pair, "a:b");
    let mut gateway = pair.gateway(&fake);
    let subscription = gateway.listen_as("s", json!({ "toolsListChanged": true }));
    gateway.shut_down();
    let cancelled = gateway.next_notification("notifications/cancelled");
    assert_eq!(cancelled.params()["requestId"], subscription.id);
    let answer = gateway.answer("s");
    assert!(cancelled.at < answer.0.at);
    let meta = &answer.result()["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/subscriptionId"], "s");
    gateway.exit();
}

#[test]
fn an_invalid_filter_is_refused_and_so_are_tasks_without_the_extension() {
    let pair = Pair::new(MODERN, MODERN);
    let fake = pair.fake();
    let mut gateway = pair.gateway(&fake);
    for params in [
        json!({}),
        json!({ "notifications": [] }),
        json!({ "notifications": { "resourceSubscriptions": "a:b" } }),
    ] {
        let answer = gateway.ask("subscriptions/listen", params.clone());
        assert_eq!(answer.code(), -32602, "{params}");
    }
    let params = json!({ "notifications": { "taskIds": ["1"] } });
    let answer = gateway.ask("subscriptions/listen", params);
    assert_eq!(answer.code(), -32021);
}

/// The rest of the subscription goes on, whenever the backend is asked.
#[test]
fn a_backend_that_refuses_a_task_in_a_filter_is_subscribed_to_all_the_same() {
    let pair = Pair::new(MODERN, MODERN);
    let extension = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    for is_late in [false, true] {
        let fake = FakeBackend::down().tool("t").modern();
        let fake = fake.capabilities(extension.clone()).behind(|request| {
            let names_tasks = request.params()["notifications"]["taskIds"].is_array();
            names_tasks.then(|| Reply::error(-32602, "no such task"))
        });
        if !is_late {
            fake.come_up();
        }
        let mut gateway = pair.gateway_with(&fake.entry("f", ""), extension.clone());
        if !is_late {
            assert_eq!(gateway.list_tools().len(), 1);
        }
        let filter = json!({ "taskIds": [fake.task_id("f", "1")], "toolsListChanged": true });
        let subscription = gateway.listen(filter);
        assert_eq!(subscription.honoured["taskIds"].is_array(), is_late);
        if is_late {
            fake.come_up();
            gateway.list_until(&["t"]);
        }
        fake.set_tools(&["new"]);
        fake.notify_clients(TOOLS, json!({}));
        gateway.next_subscribed(&subscription.id, TOOLS);
        gateway.list_until(&["new"]);
    }
}

#[test]
fn a_renewed_session_has_the_level_and_subscriptions_of_the_old_one() {
    let pair = Pair::new(LEGACY, LEGACY);
    let fake = subscribable(pair, "a:b").capabilities(json!({ "logging": {} }));
    let mut gateway = pair.gateway(&fake);
    let uri = json!({ "uri": "a:b" });
    gateway
        .ask("logging/setLevel", json!({ "level": "info" }))
        .result();
    gateway.ask("resources/subscribe", uri.clone()).result();
    fake.wait_for_requests("GET", 1);
    fake.set_tools(&["t", "new"]).forget_all_state();
    gateway.call("t", json!({})).result();
    fake.wait_for_requests("logging/setLevel", 2);
    fake.wait_for_requests("resources/subscribe", 2);
    fake.notify_clients(UPDATED, uri);
    gateway.next_notification(UPDATED);
    gateway.wait_for_tool("new");
}

#[test]
fn a_client_of_the_legacy_era_shares_one_stream_of_a_modern_backend() {
    let pair = Pair::new(LEGACY, MODERN);
    let fake = subscribable(pair, "a:b").resource("a:c");
    let mut gateway = pair.gateway(&fake);
    for uri in ["a:b", "a:c"] {
        gateway
            .ask("resources/subscribe", json!({ "uri": uri }))
            .result();
    }
    for uri in ["a:c", "a:b"] {
        fake.notify_clients(UPDATED, json!({ "uri": uri }));
        let updated = gateway.next_notification(UPDATED);
        assert_eq!(updated.params(), &json!({ "uri": uri }));
    }
    gateway
        .ask("resources/unsubscribe", json!({ "uri": "a:b" }))
        .result();
    fake.notify_clients(UPDATED, json!({ "uri": "a:c" }));
    gateway.next_notification(UPDATED);
}

#[test]
fn clients_of_both_eras_get_an_update_each_in_its_era() {
    let fake = subscribable(Pair::new(LEGACY, LEGACY), "a:b");
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize().result();
    gateway
        .ask("resources/subscribe", json!({ "uri": "a:b" }))
        .result();
    gateway.modern(json!({}));
    let subscription = gateway.listen(json!({ "resourceSubscriptions": ["a:b"] }));
    fake.notify_clients(UPDATED, json!({ "uri": "a:b" }));
    gateway.next_subscribed(&subscription.id, UPDATED);
    let bare = gateway.next_notification(UPDATED);
    assert_eq!(bare.params()["_meta"], Value::Null);
    gateway.cancel(subscription.id);
    gateway.legacy().ask("ping", json!({})).result();
    fake.notify_clients(UPDATED, json!({ "uri": "a:b" }));
    gateway.next_notification(UPDATED);
    assert!(fake.requests_of("resources/unsubscribe").is_empty());
}

#[test]
fn a_subscriptions_id_is_in_use_until_it_ends() {
    let pair = Pair::new(MODERN, MODERN);
    let fake = subscribable(pair, "a:b");
    let mut gateway = pair.gateway(&fake);
    let filter = json!({ "resourceSubscriptions": ["a:b"] });
    gateway.listen_as("s", filter.clone());
    gateway.request_as("s", "tools/list", json!({}));
    assert_eq!(gateway.answer("s").code(), -32600);
    fake.notify_clients(UPDATED, json!({ "uri": "a:b" }));
    gateway.next_subscribed(&json!("s"), UPDATED);
    gateway.cancel("s");
    gateway.listen_as("s", filter);
    fake.notify_clients(UPDATED, json!({ "uri": "a:b" }));
    gateway.next_subscribed(&json!("s"), UPDATED);
}

/// After the response to a later request the protocol checker allows no more messages.
#[test]
fn a_subscription_cancelled_before_acknowledgement_stays_silent() {
    for pair in BACKENDS {
        let fake = subscribable(pair, "a:b");
        let mut gateway = pair.gateway(&fake);
        gateway.list_tools();
        for id in 0..50 {
            let params = json!({ "notifications": { "resourceSubscriptions": ["a:b"],
                "toolsListChanged": true } });
            gateway.request_as(id + 1000, "subscriptions/listen", params);
            gateway.cancel(id + 1000);
        }
        gateway.ignore("notifications/subscriptions/acknowledged");
        gateway.call("t", json!({})).result();
        fake.set_tools(&["new"]);
        fake.notify_clients(TOOLS, json!({}));
        gateway.list_until(&["new"]);
    }
}
