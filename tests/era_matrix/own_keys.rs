//! What the gateway says in `_meta` under keys of its own: to whom, and that no server says it.

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::common::message::{notification, progress};
use crate::common::reply::Reply;
use crate::era_matrix::table::Pair;

const BACKEND: &str = "sentinel-gateway/backend";
const BACKEND_INFO: &str = "sentinel-gateway/serverInfo";
const UPDATED: &str = "notifications/resources/updated";

/// The backend writes both keys wherever a message has `_meta`, beside one that nobody else has.
pub fn own_keys(pair: Pair) -> &'static str {
    for is_alone in [true, false] {
        let (fake, other) = (forging(pair), pair.fake().tool("other"));
        let mut toml = fake.entry("fake", "");
        if !is_alone {
            toml += &other.entry("other", "");
        }
        let mut gateway = pair.gateway_with(&toml, json!({}));
        definitions(&mut gateway, is_alone);
        results(pair, &mut gateway);
        notifications(pair, &fake, &mut gateway);
    }
    pair.pick(
        "in definitions and requests; results unchanged",
        "in definitions and requests",
        "in definitions, requests and results",
        "in definitions, requests and results",
    )
}

fn forged() -> Value {
    json!({ BACKEND: "bank", BACKEND_INFO: { "name": "bank" }, "x": 1 })
}

fn forging(pair: Pair) -> FakeBackend {
    let fake = pair
        .fake()
        .tool_with("t", json!({ "_meta": forged() }))
        .prompt_with("p", json!({ "_meta": forged() }))
        .item(
            "resources",
            json!({ "uri": "a:b", "name": "b", "_meta": forged() }),
        )
        .item(
            "resourceTemplates",
            json!({ "uriTemplate": "c:{d}", "name": "d", "_meta": forged() }),
        )
        .capabilities(json!({ "completions": {}, "resources": { "subscribe": true } }));
    let result =
        |member: &str, value: Value| pair.result(json!({ member: value, "_meta": forged() }));
    let mut step = progress(1.0);
    step["params"]["_meta"] = forged();
    let called = result("content", json!([]));
    fake.always_tool("t", Reply::sse().event(step).event(called));
    for (method, member, value) in [
        ("prompts/get", "messages", json!([])),
        ("resources/read", "contents", json!([])),
        ("completion/complete", "completion", json!({ "values": [] })),
    ] {
        fake.always(method, Reply::json(&result(member, value)));
    }
    fake
}

fn definitions(gateway: &mut TestGateway, is_alone: bool) {
    let expected = match is_alone {
        true => json!({ "x": 1 }),
        false => json!({ "x": 1, BACKEND: "fake" }),
    };
    for (method, member) in [
        ("tools/list", "tools"),
        ("prompts/list", "prompts"),
        ("resources/list", "resources"),
        ("resources/templates/list", "resourceTemplates"),
    ] {
        let listed = gateway.ask(method, json!({}));
        assert_eq!(listed.result()[member][0]["_meta"], expected, "{method}");
        let meta = &listed.result()["_meta"];
        assert!(meta.get(BACKEND).is_none(), "{method}: {meta}");
    }
}

fn results(pair: Pair, gateway: &mut TestGateway) {
    let prompt = json!({ "type": "ref/prompt", "name": "p" });
    let argument = json!({ "name": "a", "value": "o" });
    for (method, params) in [
        ("tools/call", json!({ "name": "t" })),
        ("prompts/get", json!({ "name": "p" })),
        ("resources/read", json!({ "uri": "a:b" })),
        (
            "completion/complete",
            json!({ "ref": prompt, "argument": argument }),
        ),
    ] {
        let answer = gateway.ask(method, params);
        let meta = &answer.result()["_meta"];
        if pair.modern_client() {
            let said = (&meta[BACKEND], meta.get(BACKEND_INFO), &meta["x"]);
            assert_eq!(said, (&json!("fake"), None, &json!(1)), "{method}");
            continue;
        }
        let expected = match pair.modern_backend() {
            true => json!({ "x": 1 }),
            false => forged(),
        };
        assert_eq!(*meta, expected, "{method}");
    }
}

fn notifications(pair: Pair, fake: &FakeBackend, gateway: &mut TestGateway) {
    let id = gateway.start_call_with_progress("t", "mine");
    let step = gateway.next_notification("notifications/progress");
    assert_eq!(step.params()["_meta"], json!({ "x": 1 }));
    gateway.answer(id).result();

    let uri = json!({ "uri": "a:b" });
    let subscription = match pair.modern_client() {
        true => Some(gateway.listen(json!({ "resourceSubscriptions": ["a:b"] }))),
        false => {
            gateway.ask("resources/subscribe", uri.clone()).result();
            None
        }
    };
    let mut updated = uri;
    updated["_meta"] = forged();
    fake.notify_clients(UPDATED, updated.clone());
    // The same within a call.
    let called = pair.result(json!({ "content": [] }));
    let within = Reply::sse()
        .event(notification(UPDATED, updated))
        .event(called);
    fake.on_tool("t", within);
    let mut shown = Vec::new();
    for is_within in [false, true] {
        if is_within {
            gateway.call("t", json!({})).result();
        }
        let told = match &subscription {
            Some(subscription) => gateway.next_subscribed(&subscription.id, UPDATED),
            None => gateway.next_notification(UPDATED),
        };
        let mut meta = told.params()["_meta"].clone();
        if let Some(subscription) = &subscription {
            let key = "io.modelcontextprotocol/subscriptionId";
            let id = meta.as_object_mut().and_then(|meta| meta.remove(key));
            assert_eq!(id.as_ref(), Some(&subscription.id));
        }
        shown.push(meta);
    }
    assert_eq!(shown, [json!({ "x": 1 }), json!({ "x": 1 })]);
}
