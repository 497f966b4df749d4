//! Subscriptions to single resources, counted by URI.

use serde_json::json;

use crate::common::fake::FakeBackend;
use crate::common::reply::Reply;
use crate::news::alone::Alone;

const UPDATED: &str = "notifications/resources/updated";

fn subscribing() -> FakeBackend {
    FakeBackend::start()
        .tool("a")
        .resource("a:b")
        .capabilities(json!({ "resources": { "subscribe": true } }))
}

#[test]
fn a_legacy_server_is_asked_by_the_first_and_told_by_the_last() {
    let fake = subscribing().with_get();
    let mut alone = Alone::up(&fake);
    let first = alone.subscribe("a:b").unwrap();
    let second = alone.subscribe("a:b").unwrap();
    let asked = fake.next_request("resources/subscribe");
    assert_eq!(asked.params()["uri"], "a:b");
    fake.notify_clients(UPDATED, json!({ "uri": "a:b" }));
    assert_eq!(alone.notice(UPDATED), json!({ "uri": "a:b" }));
    let _entered = alone.enter();
    drop(first);
    assert_eq!(alone.call("a").unwrap(), "a {}");
    assert!(fake.requests_of("resources/unsubscribe").is_empty());
    drop(second);
    let told = fake.next_request("resources/unsubscribe");
    assert_eq!(told.params()["uri"], "a:b");
    assert_eq!(fake.requests_of("resources/subscribe").len(), 1);
}

#[test]
fn a_refusal_is_the_servers_own() {
    let fake = subscribing();
    let alone = Alone::up(&fake);
    fake.on("resources/subscribe", Reply::error(-32002, "no such thing"));
    let refusal = alone.subscribe("a:x").unwrap_err();
    assert_eq!(
        refusal,
        json!({ "code": -32002, "message": "no such thing" })
    );
    // Whoever comes next asks anew.
    let _entered = alone.enter();
    drop(alone.subscribe("a:x").unwrap());
    fake.next_request("resources/unsubscribe");
    assert_eq!(fake.requests_of("resources/subscribe").len(), 2);
}

#[test]
fn a_server_without_them_is_not_asked() {
    for fake in [
        FakeBackend::start().resource("a:b"),
        FakeBackend::start().resource("a:b").modern(),
    ] {
        let alone = Alone::up(&fake);
        let refusal = alone.subscribe("a:b").unwrap_err();
        assert_eq!(refusal["code"], -32601);
        assert!(refusal["message"].as_str().unwrap().starts_with("fake: "));
        assert!(fake.requests_of("resources/subscribe").is_empty());
    }
}

#[test]
fn a_backend_that_is_down_is_asked_when_it_comes() {
    let fake = FakeBackend::down()
        .resource("a:b")
        .capabilities(json!({ "resources": { "subscribe": true } }));
    let mut alone = Alone::over(&fake);
    alone.down();
    let wish = alone.subscribe("a:b").unwrap();
    fake.come_up();
    alone.listed();
    assert_eq!(
        fake.next_request("resources/subscribe").params()["uri"],
        "a:b"
    );
    let _entered = alone.enter();
    drop(wish);
    fake.next_request("resources/unsubscribe");
}

#[test]
fn a_new_session_is_asked_for_everything_again() {
    let fake = subscribing().with_get();
    let mut alone = Alone::up(&fake);
    let _one = alone.subscribe("a:1").unwrap();
    let _two = alone.subscribe("a:2").unwrap();
    fake.forget_sessions();
    assert_eq!(alone.call("a").unwrap(), "a {}");
    fake.wait_for_requests("resources/subscribe", 4);
    let mut uris: Vec<_> = fake.requests_of("resources/subscribe")[2..]
        .iter()
        .map(|request| request.params()["uri"].clone())
        .collect();
    uris.sort_by_key(ToString::to_string);
    assert_eq!(uris, ["a:1", "a:2"]);
    fake.stream(1);
    alone.listed();
    fake.notify_clients(UPDATED, json!({ "uri": "a:2" }));
    assert_eq!(alone.notice(UPDATED)["uri"], "a:2");
}

#[test]
fn a_modern_server_hears_the_union_of_what_is_wanted() {
    let fake = subscribing().modern();
    let mut alone = Alone::up(&fake);
    let first = fake.stream(0);
    let one = alone.subscribe("a:1").unwrap();
    fake.notify_clients(UPDATED, json!({ "uri": "a:1" }));
    assert_eq!(alone.notice(UPDATED), json!({ "uri": "a:1" }));
    first.wait_until_closed();
    let _two = alone.subscribe("a:2").unwrap();
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
fn what_a_modern_server_does_not_honour_is_refused() {
    let fake = subscribing().modern();
    let alone = Alone::up(&fake);
    fake.stream(0);
    let acknowledged = json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
        "params": { "_meta": { "io.modelcontextprotocol/subscriptionId": "$id" }, "notifications": {} } });
    fake.on(
        "subscriptions/listen",
        Reply::sse().event(acknowledged).then_stall(),
    );
    let refusal = alone.subscribe("a:1").unwrap_err();
    assert_eq!(refusal["code"], -32602);
}
