//! Tasks: those of MCP 2025-11-25 between legacy sides, those of the extension between modern
//! sides. In every other combination a call stays a plain call, unless its tool runs only as a task.
//! Where one era has no counterpart of what the other has, the refusal is checked.

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::TestGateway;
use crate::common::live_stream::LiveStream;
use crate::common::message::{asked_by, complete, error_with, notification, request, result};
use crate::common::modern_client::Subscription;
use crate::common::reply::Reply;
use crate::era_matrix::table::Pair;

const EXTENSION: &str = "io.modelcontextprotocol/tasks";
const STATE: &str = "notifications/tasks";
const STATUS: &str = "notifications/tasks/status";
const RELATED: &str = "io.modelcontextprotocol/related-task";
const BACKEND: &str = "sentinel-gateway/backend";

pub fn of_2025(pair: Pair) -> &'static str {
    let can =
        json!({ "tasks": { "list": {}, "cancel": {}, "requests": { "tools": { "call": {} } } } });
    if pair.modern_client() || pair.modern_backend() {
        let fake = pair.fake().tool("t");
        let mut gateway = pair.gateway(&fake);
        let params = json!({ "name": "t", "arguments": {}, "task": { "ttl": 1000 } });
        assert_eq!(gateway.ask("tools/call", params).text(), "t {}");
        if pair.modern_client() {
            // It has no such member.
            let called = fake.next_request("tools/call");
            assert!(called.params()["task"].is_null(), "{called:?}");
        }
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
        fake.notify_clients(STATUS, completed);
        let status = gateway.next_notification(STATUS);
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
        return plainly_called(pair);
    }
    for is_asked_beside in [false, true] {
        required_and_asked(pair, is_asked_beside);
    }
    if pair.modern_client() {
        kept_for_client(pair);
        return "as a task of the gateway's own, or of the client's";
    }
    "as a task of the gateway's own"
}

/// A modern definition can't say so: the tool is called plainly, and a server that demands the extension
/// says that itself.
fn plainly_called(pair: Pair) -> &'static str {
    let fake = pair
        .fake()
        .tool_with("t", json!({ "execution": { "taskSupport": "required" } }))
        .capabilities(json!({ "extensions": { EXTENSION: {} } }));
    let mut gateway = pair.gateway(&fake);
    assert_eq!(gateway.list_tools().len(), 1);
    let answer = gateway.call("t", json!({ "a": 1 }));
    assert_eq!(answer.text(), r#"t {"a":1}"#);
    let required = json!({ "requiredCapabilities": { "extensions": { EXTENSION: {} } } });
    let refusal = error_with(-32021, "t runs only as a task", &required);
    fake.on_tool("t", Reply::json_as(400, &refusal));
    let answer = gateway.call("t", json!({}));
    assert_eq!(answer.message(), "t runs only as a task");
    assert_eq!(answer.error()["data"], required);
    assert_eq!(answer.code(), pair.pick(0, -32603, 0, -32021));
    for called in fake.requests_of("tools/call") {
        assert!(called.params()["task"].is_null(), "{called:?}");
        let declared = &called.meta("clientCapabilities")["extensions"][EXTENSION];
        assert!(declared.is_null(), "{called:?}");
    }
    assert_eq!(fake.requests_of("tools/call").len(), 2);
    pair.pick(
        "",
        "plain call; -32603 where the server demands the extension",
        "",
        "plain call; -32021 where the server demands the extension",
    )
}

/// The server asks on the stream of the result, or beside it on its own one, where the task says whose
/// question it is.
fn required_and_asked(pair: Pair, is_asked_beside: bool) {
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
    let form = json!({ "message": "?", "requestedSchema": {}, "_meta": related });
    let question = request(json!(9), "elicitation/create", form);
    match is_asked_beside {
        true => fake.request_client(question),
        false => answers.event(&question),
    }
    let accepted = json!({ "action": "accept", "content": {} });
    let id = if pair.modern_client() {
        let asked = gateway.answer(id);
        assert_eq!(asked.result()["_meta"][BACKEND], "fake");
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
}

/// The same tool for a modern client that can have tasks: it gets one at once, asks for its state, is
/// told of it, and answers what it asks.
fn kept_for_client(pair: Pair) {
    let can = json!({ "tasks": { "cancel": {}, "requests": { "tools": { "call": {} } } } });
    let state = |id: &str, status: &str| {
        json!({ "taskId": id, "status": status, "ttl": 1000, "pollInterval": 50,
        "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z" })
    };
    let made = |id: &str| Reply::result(json!({ "task": state(id, "working") }));
    let other = pair.fake().tool("other").resource("file:///a");
    let fake = pair.fake().capabilities(can).resource("file:///a");
    let fake = fake.tool_with("t", json!({ "execution": { "taskSupport": "required" } }));
    let toml = other.entry("a", "") + &fake.entry("b", "");
    let able = json!({ "elicitation": {}, "extensions": { EXTENSION: {} } });
    let mut gateway = pair.gateway_with(&toml, able);
    assert_eq!(gateway.list_tools().len(), 2);

    let (gate, answers) = (Gate::new(), LiveStream::new());
    fake.on_tool("t", made("1"));
    let polled = Reply::result(state("1", "input_required"));
    fake.on("tasks/get", polled.after(&gate));
    fake.on("tasks/result", Reply::sse().live(&answers));
    let id = |own: &str| fake.task_id("b", own);
    let created = gateway.call("t", json!({})).result().clone();
    assert_eq!(created["resultType"], "task");
    assert_eq!(created["_meta"][BACKEND], "b");
    assert_eq!(
        (&created["taskId"], &created["status"]),
        (&json!(id("1")), &json!("working"))
    );
    assert_eq!(
        (&created["ttlMs"], &created["pollIntervalMs"]),
        (&json!(1000), &json!(50))
    );
    assert!(created["ttl"].is_null() && created["createdAt"].is_string());
    let about = json!({ "taskId": id("1") });
    let now = gateway.ask("tasks/get", about.clone()).result().clone();
    assert_eq!(
        (&now["resultType"], &now["status"]),
        (&json!("complete"), &json!("working"))
    );
    let subscription = gateway.listen(json!({ "taskIds": [id("1"), id("7")] }));
    assert_eq!(subscription.honoured, json!({ "taskIds": [id("1")] }));
    gate.open();
    fake.next_request("tasks/result");
    let related = json!({ RELATED: { "taskId": "1" } });
    let form = json!({ "message": "?", "requestedSchema": {}, "_meta": related });
    fake.request_client(request(json!(9), "elicitation/create", form));
    let told = gateway.next_subscribed(&subscription.id, STATE);
    let now = gateway.ask("tasks/get", about.clone()).result().clone();
    assert_eq!(told.params()["inputRequests"], now["inputRequests"]);
    assert_eq!(
        (&now["status"], &now["taskId"]),
        (&json!("input_required"), &json!(id("1")))
    );
    let (key, asked) = now["inputRequests"]
        .as_object()
        .unwrap()
        .iter()
        .next()
        .unwrap();
    assert_eq!(asked["params"]["message"], asked_by("b", "?"));
    let accepted = json!({ key: { "action": "accept", "content": {} } });
    let update = json!({ "taskId": id("1"), "inputResponses": accepted });
    gateway.ask("tasks/update", update.clone()).result();
    let response = fake.next_request("response");
    assert_eq!(response.message["result"]["action"], "accept");
    let told = gateway.next_subscribed(&subscription.id, STATE);
    assert_eq!(told.params()["status"], "working");
    let link = json!({ "type": "resource_link", "uri": "file:///a", "name": "a" });
    let mut done = json!({ "content": [link], "_meta": related });
    done["_meta"][BACKEND] = json!("a");
    answers.event(&json!({ "jsonrpc": "2.0", "id": "$id", "result": done }));
    answers.end();
    let told = gateway
        .next_subscribed(&subscription.id, STATE)
        .params()
        .clone();
    let now = gateway.ask("tasks/get", about).result().clone();
    for state in [&told, &now] {
        assert_eq!(state["status"], "completed");
        assert_eq!(state["result"]["content"][0]["uri"], "file://b/a");
        assert!(state["result"]["_meta"][RELATED].is_null());
        assert_eq!(state["result"]["_meta"][BACKEND], "b");
    }
    assert_eq!(now["_meta"][BACKEND], "b");
    gateway.ask("tasks/update", update).result();
    assert_eq!(fake.runs("t"), 1);

    fake.on_tool("t", made("2"));
    fake.always("tasks/get", Reply::result(state("2", "working")));
    let id = gateway.call("t", json!({})).result()["taskId"].clone();
    gateway
        .ask("tasks/cancel", json!({ "taskId": id }))
        .result();
    assert_eq!(fake.next_request("tasks/cancel").params()["taskId"], "2");
    let now = gateway
        .ask("tasks/get", json!({ "taskId": id }))
        .result()
        .clone();
    assert_eq!(now["status"], "cancelled");

    fake.on_tool("t", made("3"));
    fake.always("tasks/get", Reply::result(state("3", "failed")));
    fake.on("tasks/result", Reply::error(-32050, "it broke"));
    let id = gateway.call("t", json!({})).result()["taskId"].clone();
    let subscription = gateway.listen(json!({ "taskIds": [id] }));
    let mut now = gateway
        .ask("tasks/get", json!({ "taskId": id }))
        .result()
        .clone();
    if now["status"] == "working" {
        now = gateway
            .next_subscribed(&subscription.id, STATE)
            .params()
            .clone();
    }
    // The code is the modern specification's for something else.
    assert_eq!(
        (&now["status"], &now["error"]["code"]),
        (&json!("failed"), &json!(-32603))
    );
    gateway.ignore(STATE);

    let polls = fake.requests_of("tasks/get").len();
    let unknown = gateway.ask("tasks/get", json!({ "taskId": fake.task_id("b", "9") }));
    assert_eq!(unknown.code(), -32602);
    assert_eq!(fake.requests_of("tasks/get").len(), polls);
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
        let backend = id.as_str().unwrap().split('.').next().unwrap();
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
    if !pair.modern_client() {
        return unasked(pair);
    }
    if !pair.modern_backend() {
        return of_kept(pair);
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
    let (of_one, of_two) = (one.task_id("a", "1"), two.task_id("b", "1"));
    let of_none = none.task_id("c", "1");
    // The last is of another URL.
    let of_another = one.task_id("b", "1");
    let all: [&str; 6] = [&of_one, &of_two, &of_none, "x:1", "1", &of_another];
    let both = gateway.listen(json!({ "taskIds": all }));
    assert_eq!(both.honoured, json!({ "taskIds": [of_one, of_two] }));
    let first = gateway.listen(json!({ "taskIds": [of_one], "toolsListChanged": true }));
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
            assert_eq!(told["taskId"], fake.task_id(backend, "1"));
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
    streams[0].event(&notification(STATUS, old));
    let told = gateway.next_subscribed(&both.id, STATE);
    assert_eq!(told.params()["status"], "failed");
    gateway.cancel(both.id);
    streams.iter().for_each(|stream| stream.wait_until_closed());
    assert!(one.has_subscriber(STATE, &state("working")));
    "of the tasks that it names"
}

/// A legacy client can't subscribe. A legacy server tells it of every task; the states of a modern one
/// have another form, and reach none.
fn unasked(pair: Pair) -> &'static str {
    let fake = |own: &str| {
        let can = json!({ "tasks": { "list": {} }, "extensions": { EXTENSION: {} } });
        pair.fake().tool(own).capabilities(can)
    };
    let (one, two) = (fake("one"), fake("two"));
    let toml = one.entry("a", "") + &two.entry("b", "");
    let mut gateway = pair.gateway_with(&toml, json!({ "extensions": { EXTENSION: {} } }));
    assert_eq!(gateway.list_tools().len(), 2);
    let filter = json!({ "notifications": { "taskIds": [one.task_id("a", "1")] } });
    let refused = gateway.ask("subscriptions/listen", filter);
    let why = "the gateway does not know the method \"subscriptions/listen\"";
    assert_eq!((refused.code(), refused.message()), (-32601, why));
    let state = json!({ "taskId": "1", "status": "working", "ttl": 1000,
        "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z" });
    for (fake, backend) in [(&two, "b"), (&one, "a")] {
        if !pair.modern_backend() {
            fake.notify_clients(STATUS, state.clone());
            let told = gateway.next_notification(STATUS);
            assert_eq!(told.params()["taskId"], fake.task_id(backend, "1"));
            assert_eq!(told.params()["status"], "working");
            continue;
        }
        for method in [STATE, STATUS] {
            fake.stream(0).event(&notification(method, state.clone()));
        }
        await_changed_list(fake, &mut gateway, None);
    }
    pair.pick("of every task", "none; to subscribe is -32601", "", "")
}

/// Of a legacy server's tasks a modern client knows those that the gateway keeps for it.
fn of_kept(pair: Pair) -> &'static str {
    let can = json!({ "tasks": { "cancel": {}, "requests": { "tools": { "call": {} } } } });
    let fake = pair.fake().capabilities(can);
    let fake = fake.tool_with("t", json!({ "execution": { "taskSupport": "required" } }));
    let state = |id: &str, status: &str| {
        json!({ "taskId": id, "status": status, "ttl": 1000, "pollInterval": 50,
        "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z" })
    };
    let gate = Gate::new();
    fake.on_tool("t", Reply::result(json!({ "task": state("1", "working") })));
    fake.on(
        "tasks/get",
        Reply::result(state("1", "completed")).after(&gate),
    );
    fake.on("tasks/result", Reply::json(&pair.text("done")));
    let mut gateway = pair.gateway_for(&fake, json!({ "extensions": { EXTENSION: {} } }));
    gateway.list_tools();
    let kept = gateway.call("t", json!({})).result()["taskId"].clone();
    let wanted = json!({ "taskIds": [kept, "fake:7"], "toolsListChanged": true });
    let subscription = gateway.listen(wanted);
    let honoured = json!({ "taskIds": [kept], "toolsListChanged": true });
    assert_eq!(subscription.honoured, honoured);
    fake.notify_clients(STATUS, state("7", "completed"));
    await_changed_list(&fake, &mut gateway, Some(&subscription));
    gate.open();
    let told = gateway.next_subscribed(&subscription.id, STATE);
    assert_eq!(told.params()["taskId"], kept);
    assert_eq!(told.params()["status"], "completed");
    assert_eq!(told.params()["result"]["content"][0]["text"], "done");
    "of the tasks that the gateway keeps for it"
}

/// Waits until what the server has sent on its stream is read: its changed list comes last.
fn await_changed_list(
    fake: &FakeBackend,
    gateway: &mut TestGateway,
    subscription: Option<&Subscription>,
) {
    const CHANGED: &str = "notifications/tools/list_changed";
    let name = format!("tool-{}", fake.port());
    fake.put_tool(&name, json!({}));
    fake.notify_clients(CHANGED, json!({}));
    loop {
        match subscription {
            Some(subscription) => gateway.next_subscribed(&subscription.id, CHANGED),
            None => gateway.next_notification(CHANGED),
        };
        if gateway.tool_names().contains(&name) {
            return;
        }
    }
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
