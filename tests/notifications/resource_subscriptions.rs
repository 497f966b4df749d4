//! Subscriptions to single resources, reference-counted by URI.

use serde_json::json;

use sentinel_gateway::backend::SubscribeError;

use crate::common::fake::FakeBackend;
use crate::common::reply::Reply;
use crate::notifications::fixture::BackendFixture;

const UPDATED: &str = "notifications/resources/updated";

fn subscribing() -> FakeBackend {
    FakeBackend::start()
        .tool("a")
        .resource("a:b")
        .capabilities(json!({ "resources": { "subscribe": true } }))
}

#[test]
fn a_legacy_server_gets_one_subscribe_and_one_unsubscribe_per_uri() {
    let fake = subscribing().with_get();
    let mut fixture = BackendFixture::connected(&fake);
    let first = fixture.subscribe("a:b").unwrap();
    let second = fixture.subscribe("a:b").unwrap();
    let asked = fake.next_request("resources/subscribe");
    assert_eq!(asked.params()["uri"], "a:b");
    fake.notify_clients(UPDATED, json!({ "uri": "a:b" }));
    assert_eq!(fixture.next_notification(UPDATED), json!({ "uri": "a:b" }));
    let _entered = fixture.enter();
    drop(first);
    assert_eq!(fixture.call("a").unwrap(), "a {}");
    assert!(fake.requests_of("resources/unsubscribe").is_empty());
    drop(second);
    let sent = fake.next_request("resources/unsubscribe");
    assert_eq!(sent.params()["uri"], "a:b");
    assert_eq!(fake.requests_of("resources/subscribe").len(), 1);
}

#[test]
fn a_refused_subscription_returns_the_servers_error() {
    let fake = subscribing();
    let fixture = BackendFixture::connected(&fake);
    fake.on("resources/subscribe", Reply::error(-32002, "no such thing"));
    let refusal = fixture.subscribe("a:x").unwrap_err();
    let SubscribeError::Refused(refusal) = refusal else {
        panic!("{refusal:?}");
    };
    assert_eq!(
        refusal.as_str(),
        r#"{"code":-32002,"message":"no such thing"}"#
    );
    // The next subscription asks the server again.
    let _entered = fixture.enter();
    drop(fixture.subscribe("a:x").unwrap());
    fake.next_request("resources/unsubscribe");
    assert_eq!(fake.requests_of("resources/subscribe").len(), 2);
}

#[test]
fn a_server_without_subscriptions_is_not_asked() {
    for fake in [
        FakeBackend::start().resource("a:b"),
        FakeBackend::start().resource("a:b").modern(),
    ] {
        let fixture = BackendFixture::connected(&fake);
        let refusal = fixture.subscribe("a:b").unwrap_err();
        assert!(matches!(refusal, SubscribeError::NotOffered));
        assert!(fake.requests_of("resources/subscribe").is_empty());
    }
}

#[test]
fn a_backend_that_is_down_is_asked_once_it_connects() {
    let fake = FakeBackend::down()
        .resource("a:b")
        .capabilities(json!({ "resources": { "subscribe": true } }));
    let mut fixture = BackendFixture::over(&fake);
    fixture.wait_until_down();
    let subscription = fixture.subscribe("a:b").unwrap();
    fake.come_up();
    fixture.next_listing();
    assert_eq!(
        fake.next_request("resources/subscribe").params()["uri"],
        "a:b"
    );
    let _entered = fixture.enter();
    drop(subscription);
    fake.next_request("resources/unsubscribe");
}

#[test]
fn a_new_session_gets_every_subscription_again() {
    let fake = subscribing().with_get();
    let mut fixture = BackendFixture::connected(&fake);
    let _one = fixture.subscribe("a:1").unwrap();
    let _two = fixture.subscribe("a:2").unwrap();
    fake.forget_sessions();
    assert_eq!(fixture.call("a").unwrap(), "a {}");
    fake.wait_for_requests("resources/subscribe", 4);
    let mut uris: Vec<_> = fake.requests_of("resources/subscribe")[2..]
        .iter()
        .map(|request| request.params()["uri"].clone())
        .collect();
    uris.sort_by_key(ToString::to_string);
    assert_eq!(uris, ["a:1", "a:2"]);
    fake.stream(1);
    fixture.next_listing();
    fake.notify_clients(UPDATED, json!({ "uri": "a:2" }));
    assert_eq!(fixture.next_notification(UPDATED)["uri"], "a:2");
}

#[test]
fn a_modern_server_gets_the_union_of_all_subscriptions() {
    let fake = subscribing().modern();
    let mut fixture = BackendFixture::connected(&fake);
    let first = fake.stream(0);
    let one = fixture.subscribe("a:1").unwrap();
    fake.notify_clients(UPDATED, json!({ "uri": "a:1" }));
    assert_eq!(fixture.next_notification(UPDATED), json!({ "uri": "a:1" }));
    first.wait_until_closed();
    let _two = fixture.subscribe("a:2").unwrap();
    let uris = |nth: usize| {
        let listens = fake.requests_of("subscriptions/listen");
        listens[nth].params()["notifications"]["resourceSubscriptions"].clone()
    };
    assert_eq!((uris(1), uris(2)), (json!(["a:1"]), json!(["a:1", "a:2"])));
    drop(one);
    fake.wait_for_requests("subscriptions/listen", 4);
    assert_eq!(uris(3), json!(["a:2"]));
    fake.stream(2).wait_until_closed();
    assert!(fake.stream(3).is_open());
}

#[test]
fn a_subscription_that_a_modern_server_does_not_acknowledge_is_refused() {
    let fake = subscribing().modern();
    let fixture = BackendFixture::connected(&fake);
    fake.stream(0);
    let acknowledged = json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
        "params": { "_meta": { "io.modelcontextprotocol/subscriptionId": "$id" }, "notifications": {} } });
    fake.on(
        "subscriptions/listen",
        Reply::sse().event(acknowledged).then_stall(),
    );
    let refusal = fixture.subscribe("a:1").unwrap_err();
    assert!(matches!(refusal, SubscribeError::NotHonoured));
}
