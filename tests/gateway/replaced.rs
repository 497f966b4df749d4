//! The URL of a backend changes while its name stays: what clients still have of the server before is not
//! sent to the server after it.

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gateway::{Answer, TestGateway};
use crate::common::live_stream::LiveStream;
use crate::common::message::{complete, request, text};
use crate::common::reply::Reply;

const TASKS: &str = "io.modelcontextprotocol/tasks";
const RAN: &str = "the tool MAY HAVE RUN: check before calling again";

/// The server of the URL after it, of each era.
fn servers_after(tool: &str) -> [FakeBackend; 2] {
    let server = || FakeBackend::start().tool(tool).tool("new");
    [server(), server().modern()]
}

/// Gives the backend of a modern client the URL of this server, and waits until its tools are listed.
fn replace(gateway: &mut TestGateway, server: &FakeBackend, tools: &[&str]) {
    let changes = gateway.listen(json!({ "toolsListChanged": true }));
    gateway.save_config(&server.entry("db", ""));
    while gateway.tool_names() != tools {
        gateway.next_subscribed(&changes.id, "notifications/tools/list_changed");
    }
    gateway.cancel(changes.id);
}

/// A refusal that says why, and that the call was possibly made.
fn is_replaced(answer: &Answer) {
    assert_eq!(answer.code(), -32602, "{}", answer.message());
    for part in ["db: ", "another URL", "nothing was sent", "new call", RAN] {
        assert!(answer.message().contains(part), "{}", answer.message());
    }
    assert_eq!(answer.gateway_error(), ("refused", "unknown", 0));
}

fn form(message: &str) -> Value {
    json!({ "message": message, "requestedSchema": {} })
}

#[test]
fn a_state_of_the_server_before_is_refused() {
    for after in servers_after("ask") {
        let before = FakeBackend::start().modern().tool("ask");
        let asks = json!({ "k": { "method": "elicitation/create", "params": form("?") } });
        before.on_tool("ask", Reply::input_required(&asks, Some("of the first")));
        let mut gateway = TestGateway::with_config(&before.entry("db", ""));
        gateway.modern(json!({ "elicitation": {} }));
        let params = json!({ "name": "ask", "arguments": {} });
        let asked = gateway.ask("tools/call", params.clone());
        replace(&mut gateway, &after, &["ask", "new"]);
        let yes = json!({ "k": { "action": "accept" } });
        let retried = gateway.retry("tools/call", &params, &asked, yes.clone());
        is_replaced(&gateway.answer(retried));
        assert!(after.requests_of("tools/call").is_empty());
        assert_eq!(gateway.ask("tools/call", params.clone()).text(), "ask {}");
        // It holds again at its own URL.
        replace(&mut gateway, &before, &["ask"]);
        let retried = gateway.retry("tools/call", &params, &asked, yes);
        assert_eq!(gateway.answer(retried).text(), "ask {}");
        let sent = &before.requests_of("tools/call")[1];
        assert_eq!(sent.params()["requestState"], "of the first");
    }
}

/// A call that is parked goes on at the server that runs it.
#[test]
fn a_parked_call_ends_at_the_server_before() {
    for after in servers_after("ask") {
        let before = FakeBackend::start().tool("ask");
        let live = LiveStream::new();
        before.on_tool("ask", Reply::sse().live(&live));
        let mut gateway = TestGateway::with_config(&before.entry("db", ""));
        gateway.modern(json!({ "elicitation": {} }));
        let params = json!({ "name": "ask", "arguments": {} });
        let call = gateway.request("tools/call", params.clone());
        live.event(&request(json!(7), "elicitation/create", form("?")));
        let asked = gateway.answer(call);
        replace(&mut gateway, &after, &["ask", "new"]);
        let (key, _) = asked.input_request();
        let yes = json!({ key: { "action": "accept" } });
        let retried = gateway.retry("tools/call", &params, &asked, yes);
        assert_eq!(before.next_request("response").message["id"], 7);
        live.event(&text("done"));
        live.end();
        assert_eq!(gateway.answer(retried).text(), "done");
        assert_eq!((before.runs("ask"), after.runs("ask")), (1, 0));
        for kind in ["tools/call", "response"] {
            assert!(after.requests_of(kind).is_empty(), "{kind}");
        }
    }
}

fn task(more: Value) -> Value {
    let mut task = json!({ "taskId": "1", "status": "working", "ttl": 60_000, "ttlMs": 60_000,
        "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z" });
    let members = task.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    task
}

/// Tasks that a server has, and one that the gateway keeps for a modern client.
#[test]
fn a_task_of_the_server_before_is_refused() {
    let of_2025 = json!({ "tasks": { "list": {}, "cancel": {},
        "requests": { "tools": { "call": {} } } } });
    let extension = json!({ "extensions": { TASKS: {} } });
    let support = |support: &str| json!({ "execution": { "taskSupport": support } });
    for (client_is_modern, server_is_modern) in [(true, true), (true, false), (false, false)] {
        for after in servers_after("t") {
            let before = match (client_is_modern, server_is_modern) {
                (_, true) => FakeBackend::start().modern().tool("t"),
                (true, _) => FakeBackend::start().tool_with("t", support("required")),
                (false, _) => FakeBackend::start().tool_with("t", support("optional")),
            };
            let of_server = if server_is_modern {
                &extension
            } else {
                &of_2025
            };
            let before = before.capabilities(of_server.clone());
            let after = after
                .capabilities(extension.clone())
                .capabilities(of_2025.clone());
            let mut state = complete(task(json!({})));
            if !server_is_modern {
                let result = state["result"].as_object_mut().unwrap();
                result.retain(|key, _| !["resultType", "ttlMs"].contains(&key.as_str()));
            }
            before.on_tool(
                "t",
                Reply::result(match server_is_modern {
                    true => task(json!({ "resultType": "task" })),
                    false => json!({ "task": state["result"] }),
                }),
            );
            before.always("tasks/get", Reply::json(&state));
            let mut gateway = TestGateway::with_config(&before.entry("db", ""));
            let call = json!({ "name": "t", "arguments": {} });
            let (id, methods) = if client_is_modern {
                gateway.modern(extension.clone());
                let answer = gateway.ask("tools/call", call);
                let methods = ["tasks/get", "tasks/update", "tasks/cancel"];
                (answer.result()["taskId"].clone(), methods)
            } else {
                gateway.initialize();
                let mut call = call;
                call["task"] = json!({ "ttl": 60_000 });
                let answer = gateway.ask("tools/call", call);
                let methods = ["tasks/get", "tasks/result", "tasks/cancel"];
                (answer.result()["task"]["taskId"].clone(), methods)
            };
            let about = json!({ "taskId": id, "inputResponses": {} });
            gateway.ask("tasks/get", about.clone()).result();
            if client_is_modern {
                replace(&mut gateway, &after, &["t", "new"]);
            } else {
                gateway.save_config(&after.entry("db", ""));
                gateway.wait_for_tool("new");
            }
            for method in methods {
                is_replaced(&gateway.ask(method, about.clone()));
                assert!(after.requests_of(method).is_empty(), "{method}");
            }
            if client_is_modern {
                let filter = json!({ "taskIds": [id], "toolsListChanged": true });
                let subscription = gateway.listen(filter);
                assert_eq!(subscription.honoured, json!({ "toolsListChanged": true }));
                gateway.cancel(subscription.id);
            }
        }
    }
}

#[test]
fn a_task_is_found_by_another_run_with_the_same_url() {
    let extension = json!({ "extensions": { TASKS: {} } });
    let fake = FakeBackend::start()
        .modern()
        .tool("t")
        .capabilities(extension.clone());
    fake.on_tool("t", Reply::result(task(json!({ "resultType": "task" }))));
    fake.always("tasks/get", Reply::json(&complete(task(json!({})))));
    let mut id = None;
    for more in ["", "timeout_secs = 7"] {
        let mut gateway = TestGateway::with_config(&fake.entry("db", more));
        gateway.modern(extension.clone());
        let id = id.get_or_insert_with(|| {
            let answer = gateway.call("t", json!({}));
            answer.result()["taskId"].clone()
        });
        assert_eq!(gateway.tool_names(), ["t"]);
        let answer = gateway.ask("tasks/get", json!({ "taskId": id }));
        assert_eq!(answer.result()["taskId"], *id);
        assert_eq!(fake.next_request("tasks/get").params()["taskId"], "1");
    }
}
