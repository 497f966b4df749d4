//! Modern backends that violate the protocol, and the cache hints of several backends.

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::common::message::{complete, complete_text, request, result, text};
use crate::common::reply::Reply;
use crate::era_matrix::table::{LEGACY, MODERN, Pair};

/// A client of each era before a modern backend.
const CLIENTS: [Pair; 2] = [Pair::new(LEGACY, MODERN), Pair::new(MODERN, MODERN)];

#[test]
fn requests_of_a_modern_backend_are_ignored() {
    for pair in CLIENTS {
        let fake = pair.fake().tool("t");
        let ask = request(json!(1), "roots/list", json!({}));
        let ping = request(json!(0), "ping", json!({}));
        let stream = Reply::sse().event(ask).event(ping);
        fake.on_tool("t", stream.event(complete_text("done")));
        let mut gateway = pair.gateway_for(&fake, json!({ "roots": {} }));
        assert_eq!(gateway.call("t", json!({})).text(), "done");
        // The fake backend counts a response as a violation.
        gateway.call("t", json!({})).result();
        assert!(fake.requests_of("response").is_empty());
    }
}

#[test]
fn results_of_unknown_type_are_bad_replies() {
    let content = json!([{ "type": "text", "text": "x" }]);
    for pair in CLIENTS {
        for bad in [
            json!({ "resultType": "partial", "content": content }),
            json!({ "resultType": 7, "content": content }),
            json!({ "resultType": null, "content": content }),
            json!({ "resultType": "task", "taskId": "1", "status": "working" }),
            json!({ "resultType": "input_required" }),
            json!({ "resultType": "input_required", "inputRequests": {} }),
            json!({ "resultType": "input_required", "inputRequests": [] }),
            json!({ "resultType": "input_required",
                "inputRequests": { "k": { "method": "tools/list" } } }),
        ] {
            let fake = pair.fake().tool("t");
            fake.on_tool("t", Reply::result(bad.clone()));
            let mut gateway = pair.gateway(&fake);
            let answer = gateway.call("t", json!({}));
            assert_eq!(answer.code(), -32603, "{pair:?} {bad}");
            assert_eq!(answer.gateway_error().0, "bad_reply", "{pair:?} {bad}");
            assert_eq!(fake.requests_of("tools/call").len(), 1);
        }
    }
}

#[test]
fn a_result_without_a_type_is_complete() {
    for pair in CLIENTS {
        let fake = pair.fake().tool("t");
        fake.on_tool("t", Reply::json(&text("older")));
        let mut gateway = pair.gateway(&fake);
        assert_eq!(gateway.call("t", json!({})).text(), "older");
    }
}

#[test]
fn a_list_that_is_input_required_is_rejected() {
    for pair in CLIENTS {
        let fake = pair.fake().tool("t");
        let requests = json!({ "k": { "method": "roots/list" } });
        fake.on("tools/list", Reply::input_required(&requests, Some("s")));
        let mut gateway = pair.gateway_for(&fake, json!({ "roots": {} }));
        assert!(gateway.tool_names().is_empty());
    }
}

#[test]
fn tools_with_invalid_parameter_headers_are_rejected_and_others_stay() {
    let tool = |name: &str, properties: Value| json!({ "name": name, "inputSchema": { "type": "object", "properties": properties } });
    let marked = |kind: &str, header: &str| json!({ "type": kind, "x-mcp-header": header });
    let inner = json!({ "type": "object", "properties": { "a": marked("string", "A") } });
    let mut bad = vec![
        tool("empty", json!({ "a": marked("string", "") })),
        tool("space", json!({ "a": marked("string", "A B") })),
        tool("colon", json!({ "a": marked("string", "A:") })),
        tool("line", json!({ "a": marked("string", "A\r\nX: y") })),
        tool("letter", json!({ "a": marked("string", "Ä") })),
        tool(
            "twice",
            json!({ "a": marked("string", "Aa"), "b": marked("string", "aA") }),
        ),
        tool("number", json!({ "a": marked("number", "A") })),
        tool("object", json!({ "a": marked("object", "A") })),
        tool("array", json!({ "a": marked("array", "A") })),
        tool("null", json!({ "a": marked("null", "A") })),
        tool("untyped", json!({ "a": { "x-mcp-header": "A" } })),
        tool(
            "either",
            json!({ "a": { "type": ["string", "null"], "x-mcp-header": "A" } }),
        ),
        tool(
            "nameless",
            json!({ "a": { "type": "string", "x-mcp-header": 7 } }),
        ),
        tool("items", json!({ "a": { "type": "array", "items": inner } })),
        tool("oneOf", json!({ "a": { "oneOf": [inner] } })),
        tool("not", json!({ "a": { "not": inner } })),
    ];
    for keyword in [
        "allOf",
        "anyOf",
        "if",
        "then",
        "$defs",
        "additionalProperties",
    ] {
        let mut broken = tool(keyword, json!({}));
        broken["name"] = json!(keyword.trim_start_matches('$'));
        broken["inputSchema"][keyword] = match keyword {
            "allOf" | "anyOf" => json!([inner]),
            "$defs" => json!({ "x": inner }),
            _ => inner.clone(),
        };
        bad.push(broken);
    }
    let mut tools = vec![tool("first", json!({}))];
    tools.extend(bad.iter().cloned());
    tools.push(tool("last", json!({ "a": marked("string", "A-1.x") })));
    let list = complete(json!({ "tools": tools, "ttlMs": 0, "cacheScope": "public" }));
    for pair in CLIENTS {
        let fake = pair.fake();
        fake.always("tools/list", Reply::json(&list));
        let mut gateway = pair.gateway(&fake);
        assert_eq!(gateway.tool_names(), ["first", "last"], "{pair:?}");
        assert_eq!(gateway.call("space", json!({})).code(), -32602);
    }
    // A legacy backend gets no such headers, so its marks are irrelevant.
    let fake = FakeBackend::start();
    fake.always("tools/list", Reply::json(&result(json!({ "tools": bad }))));
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize();
    assert_eq!(gateway.tool_names().len(), bad.len());
}

#[test]
fn a_marked_parameter_below_a_property_named_like_a_keyword_is_found() {
    for pair in CLIENTS {
        let marked = json!({ "type": "string", "x-mcp-header": "A" });
        let inner = json!({ "type": "object", "properties": { "items": marked } });
        let schema = json!({ "type": "object", "properties": { "oneOf": inner } });
        let fake = pair.fake().tool_with("t", json!({ "inputSchema": schema }));
        let mut gateway = pair.gateway(&fake);
        gateway
            .call("t", json!({ "oneOf": { "items": "x" } }))
            .result();
        let call = fake.next_request("tools/call");
        assert_eq!(call.header("mcp-param-a"), Some("x"));
    }
}

/// The schema has changed since the tool was listed.
#[test]
fn a_header_mismatch_fetches_the_schema_and_repeats_the_call() {
    for pair in CLIENTS {
        let fake = pair.fake().tool("t");
        let mut gateway = pair.gateway(&fake);
        assert_eq!(gateway.tool_names(), ["t"]);
        let property = json!({ "type": "string", "x-mcp-header": "Region" });
        fake.add_property("t", "region", property);
        let answer = gateway.call("t", json!({ "region": "eu" }));
        assert!(answer.text().contains("eu"));
        assert_eq!(fake.violations().len(), 1);
        assert_eq!(
            (fake.requests_of("tools/call").len(), fake.runs("t")),
            (2, 1)
        );
        let again = &fake.requests_of("tools/call")[1];
        assert_eq!(again.header("mcp-param-region"), Some("eu"));

        let mismatch = json!({ "jsonrpc": "2.0", "id": "$id",
            "error": { "code": -32020, "message": "Header mismatch" } });
        fake.always_tool("t", Reply::json_as(400, &mismatch));
        let answer = gateway.call("t", json!({ "region": "eu" }));
        assert_eq!(answer.code(), -32603, "{answer:?}");
        assert_eq!(
            (fake.requests_of("tools/call").len(), fake.runs("t")),
            (4, 1)
        );
    }
}

#[test]
fn cache_hints_of_several_backends_are_combined_to_the_strictest() {
    let fake = |tool: &str| FakeBackend::start().tool(tool).modern();
    let hints = |gateway: &mut TestGateway| {
        let list = gateway.ask("tools/list", json!({}));
        let ttl = list.result()["ttlMs"].as_u64().unwrap();
        (
            ttl,
            list.result()["cacheScope"].as_str().unwrap().to_owned(),
        )
    };
    let (long, short) = (
        fake("long").caching(5000, "public"),
        fake("short").caching(1000, "private"),
    );
    let legacy = FakeBackend::start().tool("legacy");
    for (toml, expected) in [
        (long.entry("a", ""), (5000, "public")),
        (
            long.entry("a", "") + &short.entry("b", ""),
            (1000, "private"),
        ),
        (long.entry("a", "") + &legacy.entry("b", ""), (0, "private")),
    ] {
        let mut gateway = TestGateway::with_config(&toml);
        gateway.modern(json!({}));
        let (ttl, scope) = hints(&mut gateway);
        assert_eq!((ttl, scope.as_str()), expected);
    }
}

#[test]
fn cache_hints_of_a_resource_are_its_backends_or_none_for_legacy() {
    for (fake, expected) in [
        (
            FakeBackend::start().modern().caching(77, "public"),
            (77, "public"),
        ),
        (FakeBackend::start(), (0, "private")),
    ] {
        let fake = fake.resource("a:b");
        let mut gateway = TestGateway::over(&fake);
        gateway.modern(json!({}));
        let read = gateway.ask("resources/read", json!({ "uri": "a:b" }));
        let (ttl, scope) = (&read.result()["ttlMs"], &read.result()["cacheScope"]);
        assert_eq!((ttl, scope), (&json!(expected.0), &json!(expected.1)));
    }
}

#[test]
fn a_modern_client_is_told_which_backend_a_result_is_from_whatever_that_says() {
    const SERVER: &str = "io.modelcontextprotocol/serverInfo";
    let behind = json!({ "name": "behind", "version": "2" });
    let bank = json!({ "name": "bank", "version": "1" });
    for is_modern in [true, false] {
        let fake = FakeBackend::start().tool("t").prompt("p").resource("a:b");
        let fake = if is_modern { fake.modern() } else { fake };
        let mut gateway = TestGateway::with_config(&fake.entry("db", ""));
        gateway.modern(json!({}));
        let calls = [
            ("tools/call", json!({ "name": "t" }), "content"),
            ("prompts/get", json!({ "name": "p" }), "messages"),
            ("resources/read", json!({ "uri": "a:b" }), "contents"),
        ];
        for (method, params, member) in calls {
            for (own, named) in [
                (json!({}), None),
                (json!({ SERVER: behind }), Some(&behind)),
                // One that would pass for another.
                (
                    json!({ "sentinel-gateway/backend": "bank", "sentinel-gateway/serverInfo": bank }),
                    None,
                ),
                (
                    json!({ "sentinel-gateway/serverInfo": bank, SERVER: behind }),
                    Some(&behind),
                ),
            ] {
                let written = json!({ member: [], "_meta": own });
                let written = if is_modern {
                    complete(written)
                } else {
                    result(written)
                };
                fake.on(method, Reply::json(&written));
                let answer = gateway.ask(method, params.clone());
                let meta = &answer.result()["_meta"];
                assert_eq!(meta[SERVER]["name"], "sentinel", "{method} {own}");
                assert_eq!(meta["sentinel-gateway/backend"], "db", "{method} {own}");
                let shown = meta.get("sentinel-gateway/serverInfo");
                assert_eq!(shown, named, "{method} {own}");
            }
        }
        // What is of several backends, or of none, names none.
        let listed = gateway.ask("tools/list", json!({}));
        let meta = &listed.result()["_meta"];
        assert!(meta.get("sentinel-gateway/backend").is_none(), "{meta}");
    }
}
