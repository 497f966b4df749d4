//! The gateway's `subscriptions/listen` stream of a modern backend.

use serde_json::json;

use sentinel_gateway::backend::SubscribeError;
use sentinel_gateway::protocol::Kind;

use crate::common::fake::FakeBackend;
use crate::common::message::{complete, error, notification};
use crate::common::reply::Reply;
use crate::notifications::fixture::BackendFixture;

const TOOLS_CHANGED: &str = "notifications/tools/list_changed";

#[test]
fn the_subscription_requests_what_the_server_declares() {
    let fake = FakeBackend::start().tool("a").prompt("p").modern();
    let _fixture = BackendFixture::connected(&fake);
    fake.stream(0);
    let listen = fake.next_request("subscriptions/listen");
    let filter = json!({ "toolsListChanged": true, "promptsListChanged": true });
    assert_eq!(listen.params()["notifications"], filter);
    assert!(listen.meta("clientCapabilities")["sampling"].is_object());
    assert_eq!(listen.header("mcp-method"), Some("subscriptions/listen"));
}

#[test]
fn a_changed_list_is_fetched_again() {
    let fake = FakeBackend::start().tool("a").modern();
    let mut fixture = BackendFixture::connected(&fake);
    fake.stream(0).text(":\r\n: keep-alive\r\n\r\n");
    fake.set_tools(&["a", "b"]);
    fake.notify_clients(TOOLS_CHANGED, json!({}));
    let listing = fixture.next_listing();
    assert_eq!(listing.items(Kind::Tool).len(), 2);
    let freshness = listing.freshness(Kind::Tool);
    assert_eq!((freshness.ttl_ms, freshness.public), (60_000, true));
}

#[test]
fn subscription_ids_are_not_forwarded() {
    let fake = FakeBackend::start().tool("a").modern();
    let mut fixture = BackendFixture::connected(&fake);
    let meta = |more: serde_json::Value| {
        let mut meta = json!({ "io.modelcontextprotocol/subscriptionId": "$id" });
        meta.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({ "taskId": "1", "_meta": meta })
    };
    let stream = fake.stream(0);
    let method = "notifications/tasks/status";
    stream.event(&notification(method, meta(json!({}))));
    assert_eq!(fixture.next_notification(method), json!({ "taskId": "1" }));
    stream.event(&notification(method, meta(json!({ "x": 1 }))));
    assert_eq!(
        fixture.next_notification(method)["_meta"],
        json!({ "x": 1 })
    );
}

#[test]
fn a_subscription_that_ends_is_reopened_and_the_lists_are_fetched() {
    let fake = FakeBackend::start().tool("a").modern();
    let mut fixture = BackendFixture::connected(&fake);
    let first = fake.stream(0);
    fake.set_tools(&["a", "b"]);
    first.hang_up();
    assert_eq!(fixture.next_listing().items(Kind::Tool).len(), 2);
    let second = fake.stream(1);
    second.event(&complete(json!({})));
    fake.stream(2);
    assert_eq!(fake.requests_of("server/discover").len(), 1);
}

#[test]
fn a_server_that_refuses_subscriptions_is_asked_once() {
    for refusal in [
        Reply::json_as(404, &error(-32601, "Method not found")),
        Reply::error(-32602, "no such filter"),
        Reply::status(404),
        Reply::status(405),
        Reply::status(403),
        Reply::json(&complete(json!({}))),
        Reply::sse().event(complete(json!({}))),
        Reply::status(200).body("<html>"),
    ] {
        let fake = FakeBackend::start()
            .tool("a")
            .resource("a:b")
            .capabilities(json!({ "resources": { "subscribe": true } }))
            .modern();
        fake.always("subscriptions/listen", refusal);
        let fixture = BackendFixture::connected(&fake);
        fake.wait_for_requests("subscriptions/listen", 1);
        let refusal = fixture.subscribe("a:b").unwrap_err();
        assert!(matches!(refusal, SubscribeError::NotHonoured));
        assert!(fixture.wait(fixture.backend.refresh_lists()).is_some());
        assert_eq!(fixture.call("a").unwrap(), "a {}");
        assert_eq!(fake.requests_of("subscriptions/listen").len(), 1);
    }
}

#[test]
fn the_subscription_closes_at_shutdown() {
    let fake = FakeBackend::start().tool("a").modern();
    let fixture = BackendFixture::connected(&fake);
    let stream = fake.stream(0);
    drop(fixture);
    stream.wait_until_closed();
    assert_eq!(fake.streams(), 1);
}
