//! A fake backend of each era sends what its era defines, and refuses what it must.

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::live_stream::LiveStream;
use crate::common::message::complete_text;
use crate::common::reply::Reply;
use crate::common::streams::refusals;
use crate::harness::Client;

const MODERN: &str =
    "MCP-Protocol-Version: 2026-07-28\r\nAccept: application/json, text/event-stream\r\n";

fn with_meta(mut params: Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    params
}

/// Sends one modern request with these further headers, and returns the response.
fn ask(fake: &FakeBackend, method: &str, headers: &str, params: Value) -> String {
    let mut client = Client::connect(fake).unwrap();
    client.headers = format!("{MODERN}Mcp-Method: {method}\r\n{headers}");
    client.ask(method, with_meta(params))
}

#[test]
fn a_modern_server_serves_without_a_handshake() {
    let fake = FakeBackend::start().tool("echo").prompt("p").modern();
    let fake = fake.resource("file:///ä").caching(5, "private");
    let discovered = ask(&fake, "server/discover", "", json!({}));
    for part in [
        "200",
        r#""supportedVersions":["2026-07-28"]"#,
        r#""resultType":"complete""#,
        r#""ttlMs":5"#,
        r#""cacheScope":"private""#,
        r#""io.modelcontextprotocol/serverInfo":{"name":"fake""#,
    ] {
        assert!(discovered.contains(part), "{part} is not in {discovered}");
    }
    assert!(ask(&fake, "tools/list", "", json!({})).contains(r#""ttlMs":5"#));
    let call = json!({ "name": "echo", "arguments": {} });
    let called = ask(&fake, "tools/call", "Mcp-Name: echo\r\n", call);
    assert!(called.contains(r#""resultType":"complete""#) && called.contains("echo {}"));
    let uri = "Mcp-Name: =?base64?ZmlsZTovLy/DpA==?=\r\n";
    let read = ask(&fake, "resources/read", uri, json!({ "uri": "file:///ä" }));
    assert!(read.contains(r#""cacheScope":"private""#), "{read}");
    let unknown = ask(&fake, "ping", "", json!({}));
    assert!(unknown.starts_with("HTTP/1.1 404") && unknown.contains("-32601"));
    assert_eq!(fake.violations(), [""; 0]);
}

#[test]
fn a_modern_server_refuses_invalid_requests_and_records_violations() {
    let schema = json!({ "type": "object", "properties": { "a": { "type": "object",
        "properties": { "n": { "type": "integer", "x-mcp-header": "N" } } } } });
    let fake = FakeBackend::start().tool_with("t", json!({ "inputSchema": schema }));
    let fake = fake.modern();
    let call = |n: Value| json!({ "name": "t", "arguments": { "a": { "n": n } } });
    for (headers, params, code) in [
        ("", call(json!(1)), "-32020"),
        ("Mcp-Name: other\r\n", call(json!(1)), "-32020"),
        ("Mcp-Name: t\r\n", call(json!(1)), "-32020"),
        (
            "Mcp-Name: t\r\nMcp-Param-N: 2\r\n",
            call(json!(1)),
            "-32020",
        ),
        (
            "Mcp-Name: t\r\nMcp-Param-N: 1\r\n",
            call(Value::Null),
            "-32020",
        ),
        (
            "Mcp-Name: t\r\nMcp-Param-N: 1.0\r\n",
            call(json!(1)),
            "result",
        ),
        ("Mcp-Name: t\r\n", call(Value::Null), "result"),
        (
            "Mcp-Name: t\r\nMcp-Session-Id: 1\r\n",
            call(Value::Null),
            "result",
        ),
    ] {
        let answer = ask(&fake, "tools/call", headers, params);
        let status = if code == "result" { "200" } else { "400" };
        assert!(
            answer.contains(code) && answer.contains(status),
            "{headers}: {answer}"
        );
    }
    assert_eq!(fake.violations().len(), 6);
    assert_eq!(fake.runs("t"), 3);

    let mut client = Client::connect(&fake).unwrap();
    let version = json!({ "protocolVersion": "2025-11-25" });
    let refused = client.ask("initialize", version);
    assert!(refused.starts_with("HTTP/1.1 400") && refused.contains("-32022"));
    assert!(refused.contains(r#""supported":["2026-07-28"]"#));
    assert_eq!(fake.violations(), [""; 0]);
    assert!(client.ask("tools/list", json!({})).contains("-32602"));
    client.send_to("GET /mcp", "");
    assert!(client.read_answer().starts_with("HTTP/1.1 405"));
    assert_eq!(fake.violations().len(), 2);
}

#[test]
fn a_dual_server_serves_each_era_by_its_rules() {
    let fake = FakeBackend::start().tool("echo").dual();
    let legacy = Client::in_session(&fake).call("echo");
    assert!(legacy.contains("echo") && !legacy.contains("resultType"));
    let call = json!({ "name": "echo", "arguments": {} });
    let modern = ask(&fake, "tools/call", "Mcp-Name: echo\r\n", call);
    assert!(modern.contains("resultType") && !modern.contains("mcp-session-id"));
}

#[test]
fn legacy_servers_refuse_modern_requests_with_the_scripted_reply() {
    for (name, refusal) in refusals() {
        let fake = FakeBackend::start().tool("echo").refusing_modern(refusal);
        let refused = ask(&fake, "server/discover", "", json!({}));
        let status = name.split(',').next().unwrap();
        assert!(
            refused.starts_with(&format!("HTTP/1.1 {status}")),
            "{name}: {refused}"
        );
        assert!(!refused.contains("-3202"), "{name}: {refused}");
        assert!(Client::in_session(&fake).call("echo").contains("echo"));
    }
}

#[test]
fn a_subscription_is_acknowledged_and_then_gets_what_its_filter_names() {
    let fake = FakeBackend::start().tool("t").resource("a:b").modern();
    let fake = fake.capabilities(json!({ "resources": { "subscribe": true } }));
    let mut client = Client::connect(&fake).unwrap();
    client.headers = format!("{MODERN}Mcp-Method: subscriptions/listen\r\n");
    let filter = json!({ "toolsListChanged": true, "promptsListChanged": true,
        "resourceSubscriptions": ["a:b"] });
    client.send(
        "subscriptions/listen",
        with_meta(json!({ "notifications": filter })),
    );
    let acknowledged = client.read_to("\n\n");
    assert!(acknowledged.contains("acknowledged") && acknowledged.contains("toolsListChanged"));
    assert!(!acknowledged.contains("promptsListChanged"));
    fake.notify_clients("notifications/tools/list_changed", json!({}));
    let changed = client.read_to("\n\n");
    assert!(changed.contains(r#"subscriptionId":7"#), "{changed}");
    fake.notify_clients("notifications/resources/updated", json!({ "uri": "a:b" }));
    assert!(client.read_to("\n\n").contains("a:b"));
    let other = json!({ "uri": "c:d" });
    assert!(!fake.has_subscriber("notifications/resources/updated", &other));
    drop(client);
    fake.stream(0).wait_until_closed();
}

#[test]
fn a_client_that_disconnects_from_a_held_reply_is_counted() {
    let fake = FakeBackend::start().tool("slow").modern();
    let gate = Gate::new();
    let reply = Reply::sse().hold(&gate).event(complete_text("late"));
    fake.on_tool("slow", reply);
    let mut client = Client::connect(&fake).unwrap();
    client.headers = format!("{MODERN}Mcp-Method: tools/call\r\nMcp-Name: slow\r\n");
    client.send("tools/call", with_meta(json!({ "name": "slow" })));
    gate.wait_for(1);
    assert_eq!(gate.disconnects(), 0);
    drop(client);
    gate.wait_for_disconnects(1);
}

#[test]
fn a_legacy_stream_gets_changed_lists_and_subscribed_resources() {
    let fake = FakeBackend::start().with_get().without_sessions();
    let mut client = Client::connect(&fake).unwrap();
    client.ask("resources/subscribe", json!({ "uri": "a:b" }));
    client.send_to("GET /mcp", "");
    fake.notify_clients("notifications/tools/list_changed", json!({}));
    client.read_to("\r\n\r\n");
    let changed = client.read_to("\n\n");
    assert!(changed.contains("list_changed") && !changed.contains("_meta"));
    fake.notify_clients("notifications/resources/updated", json!({ "uri": "a:b" }));
    assert!(client.read_to("\n\n").contains("a:b"));
    let other = json!({ "uri": "c:d" });
    assert!(!fake.has_subscriber("notifications/resources/updated", &other));
}

#[test]
fn a_stream_that_ends_early_is_resumed_with_last_event_id() {
    let fake = FakeBackend::start().tool("slow").without_sessions();
    let rest = LiveStream::new();
    fake.on_tool("slow", Reply::sse().priming_event("e1", 10));
    fake.on("GET e1", Reply::sse().live(&rest));
    let mut client = Client::connect(&fake).unwrap();
    client.send("tools/call", json!({ "name": "slow" }));
    let first = client.read_to("0\r\n\r\n");
    assert!(first.contains("id: e1\nretry: 10\ndata:\n\n"), "{first}");
    client.headers = "Last-Event-ID: e1\r\n".into();
    client.send_to("GET /mcp", "");
    rest.text("data: the rest\n\n");
    rest.end();
    assert!(client.read_to("0\r\n\r\n").contains("the rest"));
}

#[test]
fn http_sse_answers_on_the_stream_that_get_opened() {
    let fake = FakeBackend::start().tool("echo").http_sse();
    let (mut stream, mut client) = (
        Client::connect(&fake).unwrap(),
        Client::connect(&fake).unwrap(),
    );
    client.send("initialize", json!({}));
    assert!(client.read_answer().starts_with("HTTP/1.1 405"));
    stream.send_to("GET /mcp", "");
    let opened = stream.read_to("\n\n");
    assert!(
        opened.contains("event: endpoint\ndata: /messages?client=1"),
        "{opened}"
    );
    let call = json!({ "jsonrpc": "2.0", "id": 8, "method": "tools/call",
        "params": { "name": "echo", "arguments": {} } });
    client.send_to("POST /messages?client=1", &call.to_string());
    assert!(client.read_answer().starts_with("HTTP/1.1 202"));
    let answer = stream.read_to("\n\n");
    assert!(
        answer.contains(r#""id":8"#) && answer.contains("echo {}"),
        "{answer}"
    );
}

#[test]
fn encoded_header_values_are_decoded() {
    for (header, value) in [
        ("us-west1", Some("us-west1")),
        ("=?base64?SGVsbG8sIOS4lueVjA==?=", Some("Hello, 世界")),
        ("=?base64?IHBhZGRlZCA=?=", Some(" padded ")),
        ("=?base64?bGluZTEKbGluZTI=?=", Some("line1\nline2")),
        (
            "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=",
            Some("=?base64?literal?="),
        ),
        ("=?base64?not base64?=", None),
        ("a\tb", None),
        ("", Some("")),
    ] {
        assert_eq!(
            crate::common::headers::decode(header).as_deref(),
            value,
            "{header}"
        );
    }
}
