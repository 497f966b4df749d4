//! What must pass unchanged, and the parameters in headers.

use serde_json::{Value, json};

use crate::common::reply::Reply;
use crate::era_matrix::table::Pair;

/// JSON that parsing and serialising would change.
const RAW: &str = r#"{"n":1.10,"big":123456789012345678901234567890,"e":1E+2,"s":"\ud83d\ude00\u0000\/","z":1,"a":2}"#;

pub fn structured(pair: Pair) -> &'static str {
    let fake = pair.fake().tool_with(
        "t",
        json!({ "title": "T", "outputSchema": { "type": "object", "$defs": { "x": {} } } }),
    );
    let structured = json!({ "rows": [1, { "a": null }] });
    let result = json!({ "structuredContent": structured,
        "content": [{ "type": "text", "text": "rows" }] });
    fake.on_tool("t", Reply::json(&pair.result(result)));
    let mut gateway = pair.gateway(&fake);
    let tool = &gateway.list_tools()[0];
    assert_eq!(tool["title"], "T");
    assert_eq!(tool["outputSchema"]["$defs"], json!({ "x": {} }));
    let answer = gateway.call("t", json!({}));
    assert_eq!(answer.result()["structuredContent"], structured);
    "unchanged"
}

pub fn bytes(pair: Pair) -> &'static str {
    let fake = pair.fake().tool("t");
    let kind = if pair.modern_backend() {
        r#""resultType":"complete","#
    } else {
        ""
    };
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":"$id","result":{{{kind}"content":[],"structuredContent":{RAW}}}}}"#
    );
    let reply = Reply::status(200).header("content-type", "application/json");
    fake.on_tool("t", reply.body(body));
    let mut gateway = pair.gateway(&fake);
    let params = json!({ "name": "t", "arguments": "$arguments" });
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": gateway.with_metadata(params) });
    let line = call.to_string().replace("\"$arguments\"", RAW);
    gateway.send_raw(&line);
    let answer = gateway.answer(1);
    assert!(answer.0.line.contains(RAW), "{}", answer.0.line);
    let body = String::from_utf8(fake.next_request("tools/call").body).unwrap();
    assert!(body.contains(&format!(r#""arguments":{RAW}"#)), "{body}");
    "byte for byte"
}

pub fn metadata(pair: Pair) -> &'static str {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
    let fake = pair.fake().tool("t");
    let result = json!({ "content": [], "_meta": { "com.example/cost": 7 } });
    fake.on_tool("t", Reply::json(&pair.result(result)));
    let mut gateway = pair.gateway(&fake);
    let meta = json!({ "traceparent": TRACE, "tracestate": "a=b", "baggage": "c=d",
        "com.example/tenant": { "z": [1], "a": null } });
    let answer = gateway.ask("tools/call", json!({ "name": "t", "_meta": meta }));
    assert_eq!(answer.result()["_meta"]["com.example/cost"], 7);
    let call = fake.next_request("tools/call");
    for (key, value) in meta.as_object().unwrap() {
        assert_eq!(call.params()["_meta"][key], *value, "{key}");
    }
    if pair.modern_backend() {
        let info = call.meta("clientInfo");
        assert_eq!(info["name"], "test");
    } else {
        assert_eq!(*call.meta("protocolVersion"), Value::Null);
        assert_eq!(*call.meta("clientCapabilities"), Value::Null);
    }
    "unchanged; the protocol's own keys by era"
}

/// Each id is returned with its JSON type and spelling, and none reaches the backend.
pub fn ids(pair: Pair) -> &'static str {
    let fake = pair.fake().tool("t");
    let mut gateway = pair.gateway(&fake);
    let ids = [
        json!(0),
        json!("0"),
        json!(-5),
        json!(i64::MAX),
        json!(""),
        json!("ä \"q\" \u{1}"),
        json!("x".repeat(300)),
    ];
    for id in &ids {
        gateway.request_as(id.clone(), "tools/call", json!({ "name": "t" }));
    }
    for id in &ids {
        gateway.answer(id.clone()).result();
    }
    let calls = fake.requests_of("tools/call");
    let mut seen: Vec<String> = calls
        .iter()
        .map(|call| call.message["id"].to_string())
        .collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), ids.len());
    assert!(!seen.contains(&"null".to_owned()));
    "echoed in their JSON type"
}

/// A modern backend gets the parameters that its schema marks as headers. The fake backend checks
/// them too.
pub fn headers(pair: Pair) -> &'static str {
    let schema = json!({ "type": "object", "properties": {
        "region": { "type": "string", "x-mcp-header": "Region" },
        "deep": { "type": "object", "properties": {
            "n": { "type": "integer", "x-mcp-header": "N" } } },
        "flag": { "type": "boolean", "x-mcp-header": "Flag" },
    } });
    let fake = pair.fake().tool_with("t", json!({ "inputSchema": schema }));
    let mut gateway = pair.gateway(&fake);
    for (arguments, region, n, flag) in [
        (
            json!({ "region": "us-west1", "deep": { "n": 42 }, "flag": true }),
            Some("us-west1"),
            Some("42"),
            Some("true"),
        ),
        (
            json!({ "region": "Hello, 世界" }),
            Some("=?base64?SGVsbG8sIOS4lueVjA==?="),
            None,
            None,
        ),
        (
            json!({ "region": " padded " }),
            Some("=?base64?IHBhZGRlZCA=?="),
            None,
            None,
        ),
        (
            json!({ "region": "line1\nline2" }),
            Some("=?base64?bGluZTEKbGluZTI=?="),
            None,
            None,
        ),
        (
            json!({ "region": "=?base64?literal?=" }),
            Some("=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
            None,
            None,
        ),
        (
            json!({ "region": "a\tb" }),
            Some("=?base64?YQli?="),
            None,
            None,
        ),
        (
            json!({ "region": "", "deep": { "n": -7 }, "flag": false }),
            Some(""),
            Some("-7"),
            Some("false"),
        ),
        (json!({ "deep": { "n": 42.0 } }), None, Some("42"), None),
        (json!({ "region": null, "deep": {} }), None, None, None),
        (json!({}), None, None, None),
    ] {
        gateway.call("t", arguments).result();
        let call = fake.next_request("tools/call");
        let expected = if pair.modern_backend() {
            [region, n, flag]
        } else {
            [None; 3]
        };
        let names = ["mcp-param-region", "mcp-param-n", "mcp-param-flag"];
        assert_eq!(names.map(|name| call.header(name)), expected);
        let name = call.header("mcp-name");
        assert_eq!(name, pair.modern_backend().then_some("t"));
    }
    if pair.modern_backend() {
        "sent"
    } else {
        "none"
    }
}
