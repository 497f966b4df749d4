//! Two backends have the same resource URIs: each keeps its own contents, wherever its URIs stand.

use std::time::Instant;

use serde_json::{Value, json};

use crate::common::PATIENCE;
use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::common::message::{error_with, notification};
use crate::common::reply::Reply;
use crate::era_matrix::table::Pair;

const UPDATED: &str = "notifications/resources/updated";

/// A backend whose every read of `uri` says who it is.
fn page(pair: Pair, fake: FakeBackend, uri: &str, text: &str) -> FakeBackend {
    let contents = json!({ "contents": [{ "uri": uri, "text": text }] });
    fake.always("resources/read", Reply::json(&pair.result(contents)));
    fake
}

fn read(gateway: &mut TestGateway, uri: &str) -> Value {
    let answer = gateway.ask("resources/read", json!({ "uri": uri }));
    answer.result()["contents"][0].clone()
}

fn last(fake: &FakeBackend, kind: &str) -> Value {
    fake.requests_of(kind).last().unwrap().params().clone()
}

fn listed(gateway: &mut TestGateway, method: &str, member: &str, key: &str) -> Vec<String> {
    let answer = gateway.ask(method, json!({}));
    let items = answer.result()[member].as_array().unwrap().clone();
    let uri = |item: &Value| item[key].as_str().unwrap().to_owned();
    items.iter().map(uri).collect()
}

/// A result in which a URI stands in every place that a content block has for one.
fn blocks(pair: Pair, uri: &str) -> Value {
    pair.result(json!({
        "content": [
            { "type": "text", "text": uri },
            { "type": "resource_link", "uri": uri, "name": uri },
            { "type": "resource", "resource": { "uri": uri, "text": "inside" } },
        ],
        "structuredContent": { "uri": uri },
        "_meta": { "ui": { "resourceUri": uri } },
    }))
}

pub fn under_alias(pair: Pair) -> &'static str {
    let fake = |own: &str| {
        let fake = pair.fake().tool(own).prompt(own);
        let fake = fake.resource("file:///a").template("db://{table}");
        fake.always_tool(own, Reply::json(&blocks(pair, "file:///a")));
        let link = json!({ "type": "resource_link", "uri": "file:///a", "name": "a" });
        let prompt = json!({ "messages": [{ "role": "user", "content": link }] });
        fake.always("prompts/get", Reply::json(&pair.result(prompt)));
        page(
            pair,
            fake.capabilities(json!({ "completions": {} })),
            "file:///a",
            own,
        )
    };
    let (one, two) = (fake("one"), fake("two"));
    let mut gateway = pair.gateway_with(&(one.entry("a", "") + &two.entry("b", "")), json!({}));
    let resources = listed(&mut gateway, "resources/list", "resources", "uri");
    assert_eq!(resources, ["file:///a", "file://b/a"]);
    let templates = listed(
        &mut gateway,
        "resources/templates/list",
        "resourceTemplates",
        "uriTemplate",
    );
    assert_eq!(templates, ["db://{table}", "db://b/{table}"]);
    for (own, uri, fake) in [("one", "file:///a", &one), ("two", "file://b/a", &two)] {
        let contents = read(&mut gateway, uri);
        assert_eq!(
            (&contents["uri"], &contents["text"]),
            (&json!(uri), &json!(own))
        );
        assert_eq!(last(fake, "resources/read")["uri"], "file:///a");
        let result = gateway.call(own, json!({})).result().clone();
        assert_eq!(result["content"][1]["uri"], uri);
        assert_eq!(result["content"][2]["resource"]["uri"], uri);
        assert_eq!(result["_meta"]["ui"]["resourceUri"], uri);
        // What a model reads, and what a schema describes, stays.
        assert_eq!(result["content"][0]["text"], "file:///a");
        assert_eq!(result["content"][1]["name"], "file:///a");
        assert_eq!(result["structuredContent"]["uri"], "file:///a");
        let prompt = gateway.ask("prompts/get", json!({ "name": own }));
        assert_eq!(prompt.result()["messages"][0]["content"]["uri"], uri);
    }
    for (template, uri, fake) in [
        ("db://{table}", "db://users", &one),
        ("db://b/{table}", "db://b/users", &two),
    ] {
        let reference = json!({ "type": "ref/resource", "uri": template });
        let params = json!({ "ref": reference, "argument": { "name": "table", "value": "u" } });
        gateway.ask("completion/complete", params).result();
        assert_eq!(
            last(fake, "completion/complete")["ref"]["uri"],
            "db://{table}"
        );
        read(&mut gateway, uri);
        assert_eq!(last(fake, "resources/read")["uri"], "db://users");
    }
    let code = if pair.modern_backend() {
        -32602
    } else {
        -32002
    };
    let gone = error_with(code, "gone", &json!({ "uri": "file:///a" }));
    two.reset_script("resources/read");
    two.on("resources/read", Reply::json(&gone));
    let answer = gateway.ask("resources/read", json!({ "uri": "file://b/a" }));
    assert_eq!(answer.error()["data"]["uri"], "file://b/a");
    "each its own"
}

/// A tool's page is its own server's, in any order of the config, listed or not.
pub fn apps(pair: Pair) -> &'static str {
    for (is_listed, swapped) in [(true, false), (true, true), (false, false), (false, true)] {
        let fake = |own: &str| {
            let ui = json!({ "_meta": { "ui": { "resourceUri": "ui://app", "visibility": ["model"] },
                "ui/resourceUri": "ui://app", "openai/outputTemplate": "ui://app" } });
            let fake = pair
                .fake()
                .tool_with(own, ui)
                .resource(&format!("x://{own}"));
            let fake = if is_listed {
                fake.resource("ui://app")
            } else {
                fake
            };
            page(pair, fake, "ui://app", own)
        };
        let (one, two) = (fake("one"), fake("two"));
        let mut toml = [one.entry("a", ""), two.entry("b", "")];
        if swapped {
            toml.reverse();
        }
        let mut gateway = pair.gateway_with(&toml.concat(), json!({}));
        // Until it is known whose each URI is, tools are listed without their pages.
        let begun = Instant::now();
        let tools = loop {
            let tools = gateway.list_tools();
            let has_page = |tool: &Value| tool["_meta"]["ui"]["resourceUri"].is_string();
            if tools.len() == 2 && tools.iter().all(has_page) {
                break tools;
            }
            assert!(begun.elapsed() < PATIENCE, "{tools:?}");
        };
        for tool in tools {
            let meta = &tool["_meta"];
            let uri = meta["ui"]["resourceUri"].as_str().unwrap();
            assert_eq!(
                (&meta["ui/resourceUri"], &meta["openai/outputTemplate"]),
                (&json!(uri), &json!(uri))
            );
            assert_eq!(meta["ui"]["visibility"], json!(["model"]));
            let contents = read(&mut gateway, uri);
            assert_eq!(
                (&contents["uri"], &contents["text"]),
                (&json!(uri), &tool["name"])
            );
        }
    }
    "each tool its own page"
}

/// What a result links to can be read at once, also beside another backend with resources.
pub fn unlisted(pair: Pair) -> &'static str {
    let fake = |own: &str| {
        let fake = pair.fake().tool(own).resource(&format!("x://{own}"));
        fake.always_tool(own, Reply::json(&blocks(pair, "mem://1")));
        page(pair, fake, "mem://1", own)
    };
    let (one, two) = (fake("one"), fake("two"));
    let hidden = pair
        .fake()
        .tool("other")
        .resource("mem://2")
        .template("tpl://{+all}");
    let hidden = page(pair, hidden, "mem://2", "other");
    for uri in ["mem://2", "tpl://secret"] {
        hidden.on_tool("other", Reply::json(&blocks(pair, "mem://1")));
        one.on_tool("one", Reply::json(&blocks(pair, uri)));
    }
    let toml = one.entry("a", "") + &two.entry("b", "") + &hidden.entry("c", "");
    let mut gateway = pair.gateway_with(&toml, json!({}));
    let answer = gateway.ask("resources/read", json!({ "uri": "mem://1" }));
    assert!(answer.code() < -32000, "nobody has named it");
    // A backend that names what is another's gets no reads of it.
    for (uri, alias) in [("mem://2", "mem://a/2"), ("tpl://secret", "tpl://a/secret")] {
        let result = gateway.call("one", json!({})).result().clone();
        assert_eq!(result["content"][1]["uri"], alias);
        assert_eq!(read(&mut gateway, uri)["text"], "other");
        assert_eq!(read(&mut gateway, alias)["text"], "one");
        assert_eq!(last(&one, "resources/read")["uri"], uri);
    }
    for (own, uri) in [
        ("one", "mem://1"),
        ("two", "mem://b/1"),
        ("other", "mem://c/1"),
    ] {
        let result = gateway.call(own, json!({})).result().clone();
        for place in [
            &result["content"][1]["uri"],
            &result["content"][2]["resource"]["uri"],
        ] {
            assert_eq!(place, uri);
        }
        assert_eq!(read(&mut gateway, uri)["text"], own);
    }
    assert_eq!(last(&two, "resources/read")["uri"], "mem://1");
    "read from who named it"
}

pub fn subscribed(pair: Pair) -> &'static str {
    let fake = || {
        let fake = pair.fake().tool("t").resource("file:///a");
        fake.capabilities(json!({ "resources": { "subscribe": true } }))
    };
    let (one, two) = (fake(), fake());
    let mut gateway = pair.gateway_with(&(one.entry("a", "") + &two.entry("b", "")), json!({}));
    let own = json!({ "uri": "file:///a" });
    for (uri, fake) in [("file:///a", &one), ("file://b/a", &two)] {
        let subscription = pair.modern_client().then(|| {
            let subscription = gateway.listen(json!({ "resourceSubscriptions": [uri] }));
            assert_eq!(subscription.honoured["resourceSubscriptions"], json!([uri]));
            subscription
        });
        if subscription.is_none() {
            gateway
                .ask("resources/subscribe", json!({ "uri": uri }))
                .result();
        }
        let streams = fake.subscribed_streams(UPDATED, &own);
        for part in ["", "/part"] {
            let mut changed = json!({ "uri": format!("file:///a{part}") });
            if pair.modern_backend() {
                changed["_meta"] = json!({ "io.modelcontextprotocol/subscriptionId": "$id" });
            }
            for stream in &streams {
                stream.event(&notification(UPDATED, changed.clone()));
            }
            let updated = match &subscription {
                Some(subscription) => gateway.next_subscribed(&subscription.id, UPDATED),
                None => gateway.next_notification(UPDATED),
            };
            assert_eq!(updated.params()["uri"], format!("{uri}{part}"));
        }
        match subscription {
            Some(subscription) => gateway.cancel(subscription.id),
            None => {
                gateway
                    .ask("resources/unsubscribe", json!({ "uri": uri }))
                    .result();
            }
        }
        if pair.modern_backend() {
            streams.iter().for_each(|stream| stream.wait_until_closed());
        } else {
            assert_eq!(
                fake.next_request("resources/unsubscribe").params()["uri"],
                "file:///a"
            );
        }
    }
    "each its own"
}
