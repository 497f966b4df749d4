//! Tasks: those of MCP 2025-11-25 between legacy sides, those of the extension between modern
//! sides. In every other combination a call stays a plain call.

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gateway::TestGateway;
use crate::common::live_stream::LiveStream;
use crate::common::message::{asked_by, complete, notification, request, result};
use crate::common::reply::Reply;
use crate::era_matrix::table::Pair;

const EXTENSION: &str = "io.modelcontextprotocol/tasks";
const STATE: &str = "notifications/tasks";
const RELATED: &str = "io.modelcontextprotocol/related-task";

pub fn of_2025(pair: Pair) -> &'static str {
    let can =
        json!({ "tasks": { "list": {}, "cancel": {}, "requests": { "tools": { "call": {} } } } });
    if pair.modern_client() || pair.modern_backend() {
        let fake = pair.fake().tool("t");
        let mut gateway = pair.gateway(&fake);
        let params = json!({ "name": "t", "arguments": {}, "task": { "ttl": 1000 } });
        assert_eq!(gateway.ask("tools/call", params).text(), "t {}");
        return "plain call";
    }
    let task = json!({ "taskId": "1", "status": "working", "ttl": 1000,
        "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z" });
    let fake = |tool: &str| {
        let fake = pair
            .fake()
            .tool_with(tool, json!({ "execution": { "taskSupport": "optional" } }));
        let fake = fake.capabilities(can.clone());
        fake.on_tool(tool, Reply::result(json!({ "task": task })));
        fake.always("tasks/get", Reply::result(task.clone()));
        fake.always("tasks/cancel", Reply::result(task.clone()));
        fake.always("tasks/list", Reply::result(json!({ "tasks": [task] })));
        let related = json!({ RELATED: { "taskId": "1" } });
        let done = json!({ "content": [{ "type": "text", "text": tool }], "_meta": related });
        fake.always("tasks/result", Reply::json(&result(done)));
        fake
    };
    let (one, two) = (fake("one"), fake("two"));
    let mut gateway = pair.gateway_with(&(one.entry("a", "") + &two.entry("b", "")), json!({}));
    let mut ids = Vec::new();
    for (tool, fake) in [("one", &one), ("two", &two)] {
        let params = json!({ "name": tool, "arguments": {}, "task": { "ttl": 1000 } });
        let answer = gateway.ask("tools/call", params);
        let id = answer.result()["task"]["taskId"].clone();
        assert_eq!(
            fake.next_request("tools/call").params()["task"]["ttl"],
            1000
        );
        for method in ["tasks/get", "tasks/cancel"] {
            let answer = ask_about(&mut gateway, method, &id, fake);
            assert_eq!(answer["taskId"], id);
        }
        let answer = ask_about(&mut gateway, "tasks/result", &id, fake);
        assert_eq!(answer["content"][0]["text"], tool);
        assert_eq!(answer["_meta"][RELATED]["taskId"], id);
        let mut completed = task.clone();
        completed["status"] = json!("completed");
        fake.notify_clients("notifications/tasks/status", completed);
        let status = gateway.next_notification("notifications/tasks/status");
        assert_eq!(status.params()["taskId"], id);
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1]);
    let listed = gateway.ask("tasks/list", json!({}));
    let listed = listed.result()["tasks"].as_array().unwrap();
    let listed: Vec<Value> = listed.iter().map(|task| task["taskId"].clone()).collect();
    assert_eq!(listed, ids);
    let unknown = gateway.ask("tasks/get", json!({ "taskId": "unknown" }));
    assert_eq!(unknown.code(), -32602);
    "under gateway ids"
}

/// A tool that runs only as a task is called by a client that asks for none.
pub fn required(pair: Pair) -> &'static str {
    if pair.modern_backend() {
        return "plain call";
    }
    let can = json!({ "tasks": { "cancel": {}, "requests": { "tools": { "call": {} } } } });
    let task = |status: &str| {
        json!({ "taskId": "1", "status": status, "ttl": 1000, "pollInterval": 50,
        "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z" })
    };
    let fake = pair.fake().capabilities(can);
    let fake = fake.tool_with("t", json!({ "execution": { "taskSupport": "required" } }));
    let made = json!({ "task": task("working") });
    fake.on_tool("t", Reply::result(made.clone()));
    fake.on("tasks/get", Reply::result(task("working")));
    fake.on("tasks/get", Reply::result(task("input_required")));
    let answers = LiveStream::new();
    fake.on("tasks/result", Reply::sse().live(&answers));
    let mut gateway = pair.gateway_for(&fake, json!({ "elicitation": {} }));
    gateway.list_tools();
    let params = json!({ "name": "t", "arguments": { "a": 1 } });
    let id = gateway.request("tools/call", params.clone());
    let called = fake.next_request("tools/call");
    assert!(
        called.params()["task"]["ttl"].is_u64(),
        "{:?}",
        called.params()
    );
    assert_eq!(called.params()["arguments"]["a"], 1);
    assert_eq!(fake.next_request("tasks/result").params()["taskId"], "1");
    assert_eq!(fake.requests_of("tasks/get").len(), 2);
    let related = json!({ RELATED: { "taskId": "1" } });
    answers.event(&request(
        json!(9),
        "elicitation/create",
        json!({ "message": "?", "requestedSchema": {}, "_meta": related }),
    ));
    let accepted = json!({ "action": "accept", "content": {} });
    let id = if pair.modern_client() {
        let asked = gateway.answer(id);
        let (key, _) = asked.input_request();
        let mut retried = params.clone();
        retried["inputResponses"] = json!({ key: accepted });
        retried["requestState"] = asked.request_state().unwrap().clone();
        gateway.request("tools/call", retried)
    } else {
        let asked = gateway.next_request("elicitation/create");
        gateway.respond(&asked, accepted);
        id
    };
    assert_eq!(
        fake.next_request("response").message["result"]["action"],
        "accept"
    );
    let done = json!({ "content": [{ "type": "text", "text": "done" }], "_meta": related });
    answers.event(&json!({ "jsonrpc": "2.0", "id": "$id", "result": done }));
    answers.end();
    let answer = gateway.answer(id);
    assert_eq!(answer.text(), "done");
    assert_eq!(answer.result()["_meta"][RELATED], Value::Null);
    assert_eq!(fake.runs("t"), 1);

    fake.on_tool("t", Reply::result(made));
    fake.always("tasks/get", Reply::result(task("working")));
    let id = gateway.request("tools/call", params);
    fake.wait_for_requests("tasks/get", 3);
    gateway.cancel(id);
    assert_eq!(fake.next_request("tasks/cancel").params()["taskId"], "1");
    "as a task of the gateway's own"
}

pub fn of_2026(pair: Pair) -> &'static str {
    let extension = json!({ "extensions": { EXTENSION: {} } });
    if pair.modern_client() && pair.modern_backend() {
        return between_modern(pair, &extension);
    }
    let fake = pair.fake().tool("t").capabilities(extension.clone());
    let mut gateway = pair.gateway_for(&fake, extension);
    assert_eq!(gateway.call("t", json!({})).text(), "t {}");
    if pair.modern_backend() {
        let call = fake.next_request("tools/call");
        let declared = &call.meta("clientCapabilities")["extensions"][EXTENSION];
        assert!(declared.is_null(), "{declared}");
    }
    "plain call"
}

fn between_modern(pair: Pair, extension: &Value) -> &'static str {
    let mut task = json!({ "taskId": "1", "status": "working", "ttlMs": 1000,
        "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z" });
    let mut created = task.clone();
    created["resultType"] = json!("task");
    task["status"] = json!("input_required");
    task["inputRequests"] = json!({ "k": { "method": "elicitation/create",
        "params": { "message": "?", "requestedSchema": {} } } });
    let fake = |tool: &str| {
        let fake = pair.fake().tool(tool).capabilities(extension.clone());
        fake.on_tool(tool, Reply::result(created.clone()));
        fake.always("tasks/get", Reply::json(&complete(task.clone())));
        fake.always("tasks/update", Reply::json(&complete(json!({}))));
        fake.always("tasks/cancel", Reply::json(&complete(json!({}))));
        fake
    };
    let (one, two) = (fake("one"), fake("two"));
    let toml = one.entry("a", "") + &two.entry("b", "");
    let mut can = extension.clone();
    can["elicitation"] = json!({});
    let mut gateway = pair.gateway_with(&toml, can);
    let mut ids = Vec::new();
    for (tool, fake) in [("one", &one), ("two", &two)] {
        let answer = gateway.call(tool, json!({}));
        assert_eq!(answer.result()["resultType"], "task");
        let id = answer.result()["taskId"].clone();
        let got = ask_about(&mut gateway, "tasks/get", &id, fake);
        assert_eq!(got["taskId"], id);
        let shown = &got["inputRequests"]["k"]["params"];
        let backend = id.as_str().unwrap().split(':').next().unwrap();
        assert_eq!(shown["message"], asked_by(backend, "?"));
        let answers = json!({ "k": { "action": "decline" } });
        let params = json!({ "taskId": id, "inputResponses": answers });
        gateway.ask("tasks/update", params).result();
        let update = fake.next_request("tasks/update");
        assert_eq!(update.params()["taskId"], "1");
        assert_eq!(update.params()["inputResponses"], answers);
        ask_about(&mut gateway, "tasks/cancel", &id, fake);
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1]);
    let unknown = gateway.ask("tasks/get", json!({ "taskId": "unknown" }));
    assert_eq!(unknown.code(), -32602);
    "under gateway ids"
}

/// A subscription gets the states of the tasks that it names, and of no other.
pub fn subscribed(pair: Pair) -> &'static str {
    if !(pair.modern_client() && pair.modern_backend()) {
        return pair.pick("of every task", "no tasks", "no tasks", "");
    }
    let extension = json!({ "extensions": { EXTENSION: {} } });
    let fake = |own: &str| {
        let fake = pair.fake().tool(own).resource("file:///a");
        fake.capabilities(extension.clone())
    };
    let (one, two) = (fake("one"), fake("two"));
    let none = pair.fake().tool("three").resource("x://y");
    let toml = one.entry("a", "") + &two.entry("b", "") + &none.entry("c", "");
    let mut gateway = pair.gateway_with(&toml, extension);
    assert_eq!(gateway.list_tools().len(), 3);
    let all = json!({ "taskIds": ["a:1", "b:1", "c:1", "x:1", "1"] });
    let both = gateway.listen(all);
    assert_eq!(both.honoured, json!({ "taskIds": ["a:1", "b:1"] }));
    let first = gateway.listen(json!({ "taskIds": ["a:1"], "toolsListChanged": true }));
    let state = |status: &str| {
        let link = json!({ "type": "resource_link", "uri": "file:///a", "name": "a" });
        let asked = json!({ "method": "elicitation/create",
            "params": { "message": "?", "requestedSchema": {} } });
        json!({ "taskId": "1", "status": status, "ttlMs": 1000,
            "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z",
            "inputRequests": { "k": asked }, "result": { "content": [link] } })
    };
    for (fake, backend, uri, status) in [
        (&two, "b", "file://b/a", "working"),
        (&one, "a", "file:///a", "input_required"),
        (&two, "b", "file://b/a", "completed"),
    ] {
        fake.notify_clients(STATE, state(status));
        for subscription in [Some(&both), Some(&first).filter(|_| backend == "a")] {
            let Some(subscription) = subscription else {
                continue;
            };
            let told = gateway.next_subscribed(&subscription.id, STATE);
            let told = told.params();
            assert_eq!(told["taskId"], format!("{backend}:1"));
            assert_eq!(told["status"], status);
            assert_eq!(told["result"]["content"][0]["uri"], uri);
            let shown = &told["inputRequests"]["k"]["params"]["message"];
            assert_eq!(*shown, asked_by(backend, "?"));
        }
    }
    let listens = two.requests_of("subscriptions/listen");
    let listen = listens.last().unwrap();
    assert_eq!(listen.params()["notifications"]["taskIds"], json!(["1"]));
    let declared = &listen.meta("clientCapabilities")["extensions"][EXTENSION];
    assert!(declared.is_object(), "{listen:?}");
    // Some servers use the name of 2025-11-25.
    let streams = two.subscribed_streams(STATE, &state("working"));
    let mut old = state("failed");
    old["_meta"] = json!({ "io.modelcontextprotocol/subscriptionId": "$id" });
    streams[0].event(&notification("notifications/tasks/status", old));
    let told = gateway.next_subscribed(&both.id, STATE);
    assert_eq!(told.params()["status"], "failed");
    gateway.cancel(both.id);
    streams.iter().for_each(|stream| stream.wait_until_closed());
    assert!(one.has_subscriber(STATE, &state("working")));
    "of the tasks that it names"
}

/// Sends a request about a task under the client's id, and asserts that the backend gets its own.
fn ask_about(gateway: &mut TestGateway, method: &str, id: &Value, fake: &FakeBackend) -> Value {
    let answer = gateway.ask(method, json!({ "taskId": id }));
    assert_eq!(
        fake.next_request(method).params()["taskId"],
        "1",
        "{method}"
    );
    answer.result().clone()
}
