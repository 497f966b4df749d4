//! Handshake, utilities, notifications and shutdown.

use serde_json::{Value, json};

use crate::common::gate::Gate;
use crate::common::live_stream::LiveStream;
use crate::common::message::{notification, progress as step};
use crate::common::reply::Reply;
use crate::era_matrix::table::{LEGACY, MODERN, Pair};

const CAN_RELAY: [&str; 3] = ["sampling", "elicitation", "roots"];

pub fn handshake(pair: Pair) -> &'static str {
    let fake = pair.fake().tool("echo");
    let mut gateway = crate::common::gateway::TestGateway::over(&fake);
    let can = json!({ "sampling": {} });
    if pair.modern_client() {
        gateway.modern(can.clone());
        let answer = gateway.discover();
        let result = answer.result();
        let versions = result["supportedVersions"].as_array().unwrap();
        assert!(versions.contains(&json!(MODERN)), "{result}");
        assert!(result.get("serverInfo").is_none(), "{result}");
        let info = &result["_meta"]["io.modelcontextprotocol/serverInfo"];
        assert_eq!(info["name"], "sentinel");
        assert_eq!(result["capabilities"]["tools"]["listChanged"], true);
    } else {
        let answer = gateway.initialize_with(pair.client, can.clone());
        assert_eq!(answer.result()["protocolVersion"], pair.client);
        assert_eq!(answer.result()["serverInfo"]["name"], "sentinel");
        let capabilities = &answer.result()["capabilities"];
        assert_eq!(capabilities["tools"]["listChanged"], true);
    }
    assert_eq!(gateway.tool_names(), ["echo"]);
    if pair.modern_backend() {
        let probe = fake.next_request("server/discover");
        assert_eq!(probe.meta("protocolVersion"), MODERN);
        assert!(fake.requests_of("initialize").is_empty());
    } else {
        let hello = fake.next_request("initialize");
        let capabilities = &hello.params()["capabilities"];
        let version = &hello.params()["protocolVersion"];
        if pair.modern_client() {
            assert_eq!(version, LEGACY);
            assert!(CAN_RELAY.iter().all(|can| capabilities[*can].is_object()));
        } else {
            assert_eq!((version, capabilities), (&json!(pair.client), &can));
        }
        fake.next_request("notifications/initialized");
    }
    pair.pick(
        "`initialize` → `initialize`",
        "`initialize` → `server/discover`",
        "`server/discover` → `initialize`",
        "`server/discover` → `server/discover`",
    )
}

pub fn ping(pair: Pair) -> &'static str {
    let fake = pair.fake();
    let mut gateway = pair.gateway(&fake);
    let answer = gateway.ask("ping", json!({}));
    let outcome = if pair.modern_client() {
        assert_eq!(answer.code(), -32601);
        "-32601"
    } else {
        assert_eq!(*answer.result(), json!({}));
        "answered by the gateway"
    };
    assert!(fake.requests_of("ping").is_empty());
    outcome
}

/// Methods that only the other era has are unknown.
pub fn foreign_methods(pair: Pair) -> &'static str {
    let fake = pair.fake().tool("t").resource("a:b");
    let mut gateway = pair.gateway(&fake);
    let uri = json!({ "uri": "a:b" });
    let level = json!({ "level": "info" });
    let hello = json!({ "protocolVersion": LEGACY, "capabilities": {} });
    let foreign = if pair.modern_client() {
        vec![
            ("initialize", hello),
            ("logging/setLevel", level),
            ("resources/subscribe", uri.clone()),
            ("resources/unsubscribe", uri),
        ]
    } else {
        let filter = json!({ "notifications": { "toolsListChanged": true } });
        vec![("subscriptions/listen", filter)]
    };
    for (method, params) in foreign {
        assert_eq!(gateway.ask(method, params).code(), -32601, "{method}");
    }
    assert_eq!(gateway.call("t", json!({})).text(), "t {}");
    "-32601"
}

/// The client's level applies, however its era sets it, and whatever the backend sends.
pub fn logging(pair: Pair) -> &'static str {
    let fake = pair.fake().tool("t").capabilities(json!({ "logging": {} }));
    let log = |level: &str| {
        let params = json!({ "level": level, "logger": "db", "data": { "text": level } });
        notification("notifications/message", params)
    };
    let stream = Reply::sse().event(log("error")).event(pair.text("done"));
    fake.always_tool("t", stream);
    let mut gateway = pair.gateway(&fake);
    let meta = if pair.modern_client() {
        json!({ "io.modelcontextprotocol/logLevel": "warning" })
    } else {
        gateway
            .ask("logging/setLevel", json!({ "level": "warning" }))
            .result();
        json!({})
    };
    let answer = gateway.ask("tools/call", json!({ "name": "t", "_meta": meta }));
    let received = gateway.next_notification("notifications/message");
    assert!(received.at < answer.0.at);
    assert_eq!(received.params()["data"], json!({ "text": "error" }));
    if pair.modern_backend() {
        let call = fake.next_request("tools/call");
        assert_eq!(call.meta("logLevel"), "warning");
    } else {
        let set = fake.next_request("logging/setLevel");
        assert_eq!(set.params()["level"], "warning");
    }
    if pair.modern_client() {
        // A message below the level, and a request without a level: the protocol checker fails the
        // test if either gets a log message.
        let stream = Reply::sse().event(log("info")).event(pair.text("done"));
        fake.on_tool("t", stream);
        gateway
            .ask("tools/call", json!({ "name": "t", "_meta": meta }))
            .result();
        gateway.ask("tools/call", json!({ "name": "t" })).result();
        let bad = json!({ "io.modelcontextprotocol/logLevel": "loud" });
        let answer = gateway.ask("tools/call", json!({ "name": "t", "_meta": bad }));
        assert_eq!(answer.code(), -32602);
    }
    pair.pick(
        "`setLevel` → `setLevel`",
        "`setLevel` → `logLevel`",
        "`logLevel` → `setLevel`, filtered",
        "`logLevel` → `logLevel`, filtered",
    )
}

pub fn progress(pair: Pair) -> &'static str {
    let fake = pair.fake().tool("slow");
    let mut stream = Reply::sse();
    for value in [1.0, 2.0, 2.0, 1.5, 3.0] {
        stream = stream.event(step(value));
    }
    fake.on_tool("slow", stream.event(pair.text("done")));
    let mut gateway = pair.gateway(&fake);
    let id = gateway.start_call_with_progress("slow", "mine");
    for value in [1.0, 2.0, 3.0] {
        let received = gateway.next_notification("notifications/progress");
        assert_eq!(received.params()["progressToken"], "mine");
        assert_eq!(received.params()["progress"].as_f64(), Some(value));
    }
    assert_eq!(gateway.answer(id).text(), "done");
    let token = &fake.next_request("tools/call").message["params"]["_meta"]["progressToken"];
    assert!(!token.is_null() && token != "mine");
    "under the client's token, increasing"
}

pub fn cancellation(pair: Pair) -> &'static str {
    let fake = pair.fake().tool("slow").tool("other");
    let gate = Gate::new();
    let late = Reply::sse().hold(&gate).event(pair.text("late"));
    fake.on_tool("slow", late);
    let mut gateway = pair.gateway(&fake);
    let id = gateway.start_call("slow", json!({}));
    gate.wait_for(1);
    gateway.cancel(id);
    if pair.modern_backend() {
        gate.wait_for_disconnects(1);
    } else {
        let called = fake.next_request("tools/call");
        let cancelled = fake.next_request("notifications/cancelled");
        assert_eq!(cancelled.params()["requestId"], called.message["id"]);
    }
    gate.open();
    assert_eq!(gateway.call("other", json!({})).text(), "other {}");
    if pair.modern_backend() {
        "the stream is closed"
    } else {
        "`notifications/cancelled`"
    }
}

pub fn changed_lists(pair: Pair) -> &'static str {
    const CHANGED: &str = "notifications/tools/list_changed";
    let fake = pair.fake().tool("old");
    let mut gateway = pair.gateway(&fake);
    assert_eq!(gateway.tool_names(), ["old"]);
    let subscription = pair
        .modern_client()
        .then(|| gateway.listen(json!({ "toolsListChanged": true })));
    fake.set_tools(&["new"]);
    fake.notify_clients(CHANGED, json!({}));
    loop {
        match &subscription {
            Some(subscription) => gateway.next_subscribed(&subscription.id, CHANGED),
            None => gateway.next_notification(CHANGED),
        };
        if gateway.tool_names() == ["new"] {
            break;
        }
    }
    if let Some(subscription) = subscription {
        assert_eq!(subscription.honoured["toolsListChanged"], true);
        gateway.cancel(subscription.id);
    }
    pair.pick(
        "notification ← GET stream",
        "notification ← listen",
        "listen ← GET stream",
        "listen ← listen",
    )
}

pub fn updated_resources(pair: Pair) -> &'static str {
    const UPDATED: &str = "notifications/resources/updated";
    let fake = pair.fake().resource("a:b").resource("a:c");
    let fake = fake.capabilities(json!({ "resources": { "subscribe": true } }));
    let mut gateway = pair.gateway(&fake);
    let uri = json!({ "uri": "a:b" });
    let subscription = pair.modern_client().then(|| {
        let filter = json!({ "resourceSubscriptions": ["a:b"] });
        let subscription = gateway.listen(filter);
        assert_eq!(
            subscription.honoured["resourceSubscriptions"],
            json!(["a:b"])
        );
        subscription
    });
    if subscription.is_none() {
        gateway.ask("resources/subscribe", uri.clone()).result();
    }
    fake.notify_clients(UPDATED, uri.clone());
    let streams = fake.subscribed_streams(UPDATED, &uri);
    if let Some(subscription) = subscription {
        gateway.next_subscribed(&subscription.id, UPDATED);
        gateway.cancel(subscription.id);
    } else {
        let updated = gateway.next_notification(UPDATED);
        let meta = &updated.params()["_meta"]["io.modelcontextprotocol/subscriptionId"];
        assert_eq!(*meta, Value::Null, "{}", updated.line);
        gateway.ask("resources/unsubscribe", uri).result();
    }
    if pair.modern_backend() {
        streams.iter().for_each(|stream| stream.wait_until_closed());
    } else {
        let ended = fake.next_request("resources/unsubscribe");
        assert_eq!(ended.params()["uri"], "a:b");
    }
    pair.pick(
        "subscribe → subscribe",
        "subscribe → listen",
        "listen → subscribe",
        "listen → listen",
    )
}

/// Legacy backends get a legacy client's notification; a modern backend requests the roots each
/// time.
pub fn changed_roots(pair: Pair) -> &'static str {
    const CHANGED: &str = "notifications/roots/list_changed";
    let fake = pair.fake().tool("t");
    let mut gateway = pair.gateway_for(&fake, json!({ "roots": { "listChanged": true } }));
    gateway.call("t", json!({})).result();
    gateway.notify(CHANGED, json!({}));
    if pair.pick(true, false, false, false) {
        fake.next_request(CHANGED);
        return "forwarded";
    }
    gateway.call("t", json!({})).result();
    let call = fake.next_request("tools/call");
    let roots = &call.meta("clientCapabilities")["roots"];
    assert!(
        !pair.modern_backend() || pair.modern_client() || *roots == json!({}),
        "{roots}"
    );
    "requested each time"
}

/// An interrupted response is resumed where the backend's era allows it, and nothing runs twice.
pub fn interrupted_responses(pair: Pair) -> &'static str {
    let fake = pair.fake().tool("t");
    let rest = LiveStream::new();
    fake.on_tool("t", Reply::sse().priming_event("e1", 10));
    fake.on("GET e1", Reply::sse().live(&rest));
    let mut gateway = pair.gateway(&fake);
    let id = gateway.start_call("t", json!({}));
    if !pair.modern_backend() {
        let called = fake.next_request("tools/call");
        let mut done = pair.text("the rest");
        done["id"] = called.message["id"].clone();
        rest.event(&done);
    }
    let answer = gateway.answer(id);
    assert_eq!(fake.runs("t"), 1);
    assert_eq!(fake.requests_of("tools/call").len(), 1);
    if pair.modern_backend() {
        assert_eq!(answer.gateway_error(), ("outcome_unknown", "unknown", 1));
        return "`outcome_unknown`";
    }
    assert_eq!(answer.text(), "the rest");
    "resumed"
}

pub fn shutdown(pair: Pair) -> &'static str {
    let fake = pair.fake().tool("t");
    let mut gateway = pair.gateway(&fake);
    gateway.call("t", json!({})).result();
    let stream = fake.stream(0);
    gateway.eof();
    gateway.exit();
    stream.wait_until_closed();
    if pair.modern_backend() {
        return "streams are closed";
    }
    fake.next_request("DELETE");
    "the session is deleted"
}
