//! Tools, resources, prompts and completion: their lists and their use.

use serde_json::{Value, json};

use crate::common::message::{error, error_with};
use crate::common::reply::Reply;
use crate::era_matrix::table::Pair;

const UNCHANGED: &str = "unchanged";

pub fn tools(pair: Pair) -> &'static str {
    let fake = pair.fake().tool("echo");
    let mut gateway = pair.gateway(&fake);
    let tools = gateway.list_tools();
    assert_eq!(tools[0]["name"], "echo");
    assert_eq!(tools[0]["description"], "echo, a tool");
    let answer = gateway.call("echo", json!({ "a": 1 }));
    assert_eq!(answer.text(), r#"echo {"a":1}"#);
    assert_eq!(fake.runs("echo"), 1);
    UNCHANGED
}

pub fn tool_error(pair: Pair) -> &'static str {
    let fake = pair.fake().tool("t");
    let sorry = json!({ "content": [{ "type": "text", "text": "sorry" }], "isError": true });
    fake.on_tool("t", Reply::json(&pair.result(sorry)));
    fake.on_tool("t", Reply::json(&error(-32603, "broken inside")));
    let mut gateway = pair.gateway(&fake);
    let answer = gateway.call("t", json!({}));
    assert_eq!(answer.result()["isError"], true);
    assert_eq!(answer.text(), "sorry");
    let broken = gateway.call("t", json!({}));
    assert_eq!((broken.code(), broken.message()), (-32603, "broken inside"));
    UNCHANGED
}

pub fn unknown_tool(pair: Pair) -> &'static str {
    let fake = pair.fake().tool("t");
    let mut gateway = pair.gateway(&fake);
    let answer = gateway.call("u", json!({}));
    assert_eq!(answer.code(), -32602);
    assert_eq!(fake.requests_of("tools/call").len(), 0);
    "-32602"
}

pub fn resources(pair: Pair) -> &'static str {
    let fake = pair.fake().resource("file:///a").template("db://{table}");
    let mut gateway = pair.gateway(&fake);
    let listed = gateway.ask("resources/list", json!({}));
    assert_eq!(listed.result()["resources"][0]["uri"], "file:///a");
    let templates = gateway.ask("resources/templates/list", json!({}));
    let template = &templates.result()["resourceTemplates"][0];
    assert_eq!(template["uriTemplate"], "db://{table}");
    for uri in ["file:///a", "db://users", "db://ü"] {
        let read = gateway.ask("resources/read", json!({ "uri": uri }));
        assert_eq!(read.result()["contents"][0]["uri"], uri);
    }
    UNCHANGED
}

pub fn unknown_resource(pair: Pair) -> &'static str {
    let uri = "file:///none";
    let fake = pair.fake().resource("file:///a");
    let code = if pair.modern_backend() {
        -32602
    } else {
        -32002
    };
    let unknown = error_with(code, "Resource not found", &json!({ "uri": uri }));
    fake.on("resources/read", Reply::json(&unknown));
    let without_resources = pair.fake();
    let by_the_backend = pair
        .gateway(&fake)
        .ask("resources/read", json!({ "uri": uri }));
    let by_the_gateway = pair
        .gateway(&without_resources)
        .ask("resources/read", json!({ "uri": uri }));
    for answer in [by_the_backend, by_the_gateway] {
        let expected = if pair.modern_client() { -32602 } else { -32002 };
        assert_eq!(answer.code(), expected, "{answer:?}");
        if pair.modern_client() {
            assert_eq!(answer.error()["data"]["uri"], uri);
        }
    }
    if pair.modern_client() {
        "-32602 with `data.uri`"
    } else {
        "-32002"
    }
}

pub fn prompts(pair: Pair) -> &'static str {
    let fake = pair.fake().prompt("greet");
    let mut gateway = pair.gateway(&fake);
    let listed = gateway.ask("prompts/list", json!({}));
    assert_eq!(listed.result()["prompts"][0]["name"], "greet");
    let params = json!({ "name": "greet", "arguments": { "who": "you" } });
    let prompt = gateway.ask("prompts/get", params);
    assert_eq!(prompt.result()["messages"][0]["content"]["text"], "greet");
    let got = fake.next_request("prompts/get");
    assert_eq!(got.params()["arguments"]["who"], "you");
    UNCHANGED
}

/// Two backends have a prompt of one name: each completes its own prompt under its own name.
pub fn completion(pair: Pair) -> &'static str {
    let can = json!({ "completions": {} });
    let one = pair.fake().prompt("p").capabilities(can.clone());
    let two = pair
        .fake()
        .prompt("p")
        .template("db://{t}")
        .capabilities(can);
    let toml = one.entry("one", "") + &two.entry("two", "");
    let mut gateway = pair.gateway_with(&toml, json!({}));
    let argument = json!({ "name": "a", "value": "o" });
    for (reference, fake, own) in [
        (json!({ "type": "ref/prompt", "name": "p" }), &one, "p"),
        (json!({ "type": "ref/prompt", "name": "two__p" }), &two, "p"),
        (
            json!({ "type": "ref/resource", "uri": "db://{t}" }),
            &two,
            "",
        ),
    ] {
        let params = json!({ "ref": reference, "argument": argument });
        let answer = gateway.ask("completion/complete", params);
        assert_eq!(
            answer.result()["completion"]["values"],
            json!(["one", "two"])
        );
        let request = fake.next_request("completion/complete");
        assert_eq!(request.params()["argument"], argument);
        if !own.is_empty() {
            assert_eq!(request.params()["ref"]["name"], own);
        }
    }
    UNCHANGED
}

/// The gateway fetches every page of the backend and returns all entries.
pub fn pages(pair: Pair) -> &'static str {
    let fake = pair.fake().tool("a").tool("b").tool("c");
    let fake = fake.page_size(1).resource("a:1").resource("a:2");
    let mut gateway = pair.gateway(&fake);
    assert_eq!(gateway.tool_names(), ["a", "b", "c"]);
    let pages = fake.requests_of("tools/list");
    let cursors: Vec<&Value> = pages.iter().map(|page| &page.params()["cursor"]).collect();
    assert_eq!(cursors, [&Value::Null, &json!("1"), &json!("2")]);
    let listed = gateway.ask("resources/list", json!({}));
    assert_eq!(listed.result()["resources"].as_array().unwrap().len(), 2);
    let unknown = gateway.ask("tools/list", json!({ "cursor": "unknown" }));
    assert_eq!(unknown.code(), -32602);
    "all fetched"
}
