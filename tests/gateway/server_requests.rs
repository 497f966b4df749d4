//! Server requests and notifications of backends during a call.

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::TestGateway;
use crate::common::message::{attributed, error_with, notification, progress, request, text};
use crate::common::reply::Reply;

const VERSION: &str = "2025-11-25";

/// A reply that sends this request with id 0, and the result when the gate opens.
fn asking(method: &str, params: Value, gate: &Gate) -> Reply {
    Reply::sse()
        .event(request(json!(0), method, params))
        .hold(gate)
        .event(text("done"))
}

#[test]
fn server_requests_get_gateway_ids_and_are_answered_under_the_backends_ids() {
    let fake = FakeBackend::start().tool("ask");
    let mut gateway = TestGateway::over(&fake);
    let can = json!({ "sampling": {}, "elicitation": { "form": {}, "url": {} }, "roots": {} });
    gateway.initialize_with(VERSION, can);
    for (method, params) in [
        (
            "sampling/createMessage",
            json!({ "messages": [], "maxTokens": 7 }),
        ),
        (
            "elicitation/create",
            json!({ "message": "?", "requestedSchema": {} }),
        ),
        (
            "elicitation/create",
            json!({ "mode": "url", "url": "https://a.example" }),
        ),
        ("roots/list", json!({})),
    ] {
        let gate = Gate::new();
        fake.on_tool("ask", asking(method, params.clone(), &gate));
        let call = gateway.start_call("ask", json!({}));
        let server_request = gateway.next_request(method);
        assert_eq!(*server_request.params(), attributed("fake", method, params));
        gateway.respond(&server_request, json!({ "answer": method }));
        let answer = fake.next_request("response");
        assert_eq!(answer.message["id"], 0);
        assert_eq!(answer.message["result"], json!({ "answer": method }));
        gate.open();
        assert_eq!(gateway.answer(call).text(), "done");
    }
}

#[test]
fn server_requests_of_two_backends_with_one_id_are_kept_apart() {
    let (one, two) = (
        FakeBackend::start().tool("one"),
        FakeBackend::start().tool("two"),
    );
    let gate = Gate::new();
    one.on_tool("one", asking("roots/list", json!({ "of": 1 }), &gate));
    two.on_tool("two", asking("roots/list", json!({ "of": 2 }), &gate));
    let mut gateway = TestGateway::with_config(&(one.entry("one", "") + &two.entry("two", "")));
    gateway.initialize_with(VERSION, json!({ "roots": {} }));
    let calls = [
        gateway.start_call("one", json!({})),
        gateway.start_call("two", json!({})),
    ];
    let server_requests = [
        gateway.next_request("roots/list"),
        gateway.next_request("roots/list"),
    ];
    assert_ne!(server_requests[0].id(), server_requests[1].id());
    for server_request in server_requests.iter().rev() {
        gateway.respond(
            server_request,
            json!({ "to": server_request.params()["of"] }),
        );
    }
    for (fake, n) in [(&one, 1), (&two, 2)] {
        let answer = fake.next_request("response");
        assert_eq!(answer.message["result"]["to"], n);
        assert_eq!(answer.message["id"], 0);
    }
    gate.open();
    for call in calls {
        gateway.answer(call).result();
    }
}

#[test]
fn the_clients_error_response_reaches_the_backend() {
    let fake = FakeBackend::start().tool("ask");
    let gate = Gate::new();
    fake.on_tool("ask", asking("sampling/createMessage", json!({}), &gate));
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize_with(VERSION, json!({ "sampling": {} }));
    let call = gateway.start_call("ask", json!({}));
    let server_request = gateway.next_request("sampling/createMessage");
    gateway.refuse(&server_request, -1, "the user said no");
    let answer = fake.next_request("response");
    let error = json!({ "code": -1, "message": "the user said no" });
    assert_eq!(answer.message["error"], error);
    gate.open();
    gateway.answer(call).result();
}

#[test]
fn undeclared_capabilities_are_refused_without_the_client() {
    let fake = FakeBackend::start().tool("ask");
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize_with(VERSION, json!({ "elicitation": {} }));
    for (method, params, code) in [
        ("sampling/createMessage", json!({}), -32601),
        ("roots/list", json!({}), -32601),
        ("elicitation/create", json!({ "mode": "url" }), -32602),
        ("tools/list", json!({}), -32601),
    ] {
        let gate = Gate::new();
        fake.on_tool("ask", asking(method, params, &gate));
        let call = gateway.start_call("ask", json!({}));
        let refusal = fake.next_request("response");
        assert_eq!(refusal.message["id"], 0);
        assert_eq!(refusal.message["error"]["code"], code, "{method}");
        gate.open();
        gateway.answer(call).result();
    }
}

#[test]
fn a_ping_of_the_backend_is_answered_without_the_client() {
    let fake = FakeBackend::start().tool("ask");
    let gate = Gate::new();
    fake.on_tool("ask", asking("ping", json!({}), &gate));
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize();
    let call = gateway.start_call("ask", json!({}));
    assert_eq!(fake.next_request("response").message["result"], json!({}));
    gate.open();
    gateway.answer(call).result();
}

#[test]
fn a_server_request_is_cancelled_with_its_call() {
    let fake = FakeBackend::start().tool("ask");
    let gate = Gate::new();
    fake.on_tool("ask", asking("roots/list", json!({}), &gate));
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize_with(VERSION, json!({ "roots": {} }));
    let call = gateway.start_call("ask", json!({}));
    let server_request = gateway.next_request("roots/list");
    gateway.cancel(call);
    let cancelled = gateway.next_notification("notifications/cancelled");
    assert_eq!(cancelled.params()["requestId"], *server_request.id());
    // This response comes too late.
    gateway.respond(&server_request, json!({ "roots": [] }));
    gateway.ask("ping", json!({})).result();
    assert!(fake.requests_of("response").is_empty());
}

#[test]
fn a_server_request_is_cancelled_when_the_backend_cancels_it() {
    let fake = FakeBackend::start().tool("ask");
    let cancelled = notification("notifications/cancelled", json!({ "requestId": 0 }));
    let gate = Gate::new();
    let reply = Reply::sse()
        .event(request(json!(0), "roots/list", json!({})))
        .hold(&gate)
        .event(cancelled)
        .event(text("done"));
    fake.on_tool("ask", reply);
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize_with(VERSION, json!({ "roots": {} }));
    let call = gateway.start_call("ask", json!({}));
    let server_request = gateway.next_request("roots/list");
    gate.open();
    let cancelled = gateway.next_notification("notifications/cancelled");
    assert_eq!(cancelled.params()["requestId"], *server_request.id());
    gateway.answer(call).result();
}

#[test]
fn progress_of_two_calls_is_not_mixed() {
    let fake = FakeBackend::start().tool("one").tool("two");
    let gate = Gate::new();
    for (tool, value) in [("one", 1.0), ("two", 2.0)] {
        let reply = Reply::sse()
            .event(progress(value))
            .hold(&gate)
            .event(text(tool));
        fake.on_tool(tool, reply);
    }
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize();
    let calls = [
        gateway.start_call_with_progress("one", "1"),
        gateway.start_call_with_progress("two", 1),
    ];
    for _ in calls {
        let received = gateway.next_notification("notifications/progress");
        let expected = if received.params()["progress"] == 1.0 {
            json!("1")
        } else {
            json!(1)
        };
        assert_eq!(received.params()["progressToken"], expected);
    }
    gate.open();
    for (call, tool) in calls.into_iter().zip(["one", "two"]) {
        assert_eq!(gateway.answer(call).text(), tool);
    }
    let sent = [
        fake.next_request("tools/call"),
        fake.next_request("tools/call"),
    ];
    let token = |n: usize| &sent[n].params()["_meta"]["progressToken"];
    assert_ne!(token(0), token(1));
}

#[test]
fn a_backends_log_message_is_sent_before_the_response() {
    let fake = FakeBackend::start().tool("talk");
    let log = json!({ "level": "info", "data": { "n": 1 } });
    fake.on_tool(
        "talk",
        Reply::sse()
            .event(notification("notifications/message", log.clone()))
            .event(text("done")),
    );
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize();
    let call = gateway.start_call("talk", json!({}));
    let received = gateway.next_message();
    assert_eq!(
        (received.method(), received.params()),
        (Some("notifications/message"), &log)
    );
    gateway.answer(call).result();
}

/// Messages that are too large for the loop have the URIs of clients all the same.
#[test]
fn the_uris_of_large_messages_are_those_of_clients() {
    const LINKS: usize = 1_000;
    let link = json!({ "type": "resource_link", "uri": "file:///a", "name": "a link" });
    let links = vec![link; LINKS];
    let shown = |links: &Value| {
        let links = links.as_array().unwrap();
        let is_shown = |link: &&Value| link["uri"] == "file://b/a";
        assert_eq!(links.iter().filter(is_shown).count(), LINKS);
    };
    let one = FakeBackend::start().tool("one").resource("file:///a");
    let two = FakeBackend::start().tool("two").resource("file:///a");
    let two = two.with_get();
    let sampling = json!({ "messages": [{ "role": "user", "content": links }], "maxTokens": 7 });
    let result = json!({ "content": links });
    let reply = || {
        let asked = request(json!(0), "sampling/createMessage", sampling.clone());
        Reply::sse().event(asked)
    };
    let gate = Gate::new();
    two.on_tool("two", reply().hold(&gate).event(answered(&result)));
    let mut gateway = TestGateway::with_config(&(one.entry("a", "") + &two.entry("b", "")));
    gateway.initialize_with(VERSION, json!({ "sampling": {} }));
    let listed = gateway.ask("resources/list", json!({})).result().clone();
    assert_eq!(listed["resources"][1]["uri"], "file://b/a");

    let call = gateway.start_call("two", json!({}));
    let asked = gateway.next_request("sampling/createMessage");
    shown(&asked.params()["messages"][0]["content"]);
    gateway.respond(&asked, json!({}));
    two.wait_for_requests("response", 1);
    gate.open();
    shown(&gateway.answer(call).result()["content"]);

    let task = json!({ "taskId": "7", "status": "working", "result": result });
    let status = "notifications/tasks/status";
    two.stream(0).event(&notification(status, task));
    shown(&gateway.next_notification(status).params()["result"]["content"]);

    // One that is given up while its URIs are mapped isn't asked for.
    two.on_tool("two", reply().then_hang_up());
    gateway.call("two", json!({})).error();
    gateway.ask("ping", json!({})).result();
}

/// A small notification does not overtake a large one of its backend, whose URIs take longer.
#[test]
fn notifications_of_a_backend_stay_in_order_behind_a_large_one() {
    let link = json!({ "type": "resource_link", "uri": "file:///a", "name": "a link" });
    let links = vec![link; 400];
    let one = FakeBackend::start().tool("one").resource("file:///a");
    let two = FakeBackend::start().tool("two").resource("file:///a");
    let two = two.with_get();
    let mut gateway = TestGateway::with_config(&(one.entry("a", "") + &two.entry("b", "")));
    gateway.initialize();
    gateway.list_tools();
    let method = "notifications/tasks/status";
    let stream = two.stream(0);
    for number in 0..12 {
        // Two large ones after each other, and small ones behind them.
        let links = if number % 4 < 2 { &links[..] } else { &[] };
        let result = json!({ "content": links });
        let status = json!({ "taskId": number.to_string(), "status": "working", "result": result });
        stream.event(&notification(method, status));
    }
    for number in 0..12 {
        let status = gateway.next_notification(method);
        let id = two.task_id("b", &number.to_string());
        assert_eq!(status.params()["taskId"], id);
    }
}

fn answered(result: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": "$id", "result": result })
}

/// Two servers may use one id: the client sees each under its backend's name, in requests, in the error -32042
/// and in the notification that it is complete, during a call and outside of calls.
#[test]
fn elicitations_of_two_backends_with_one_id_are_kept_apart() {
    const COMPLETE: &str = "notifications/elicitation/complete";
    let server = |tool| {
        let fake = FakeBackend::start().with_get().tool(tool);
        let fake = fake.resource(&format!("file:///{tool}"));
        fake.capabilities(json!({ "resources": { "subscribe": true } }))
    };
    let (one, two) = (server("one"), server("two"));
    let three = FakeBackend::start().modern().tool("three");
    let toml = one.entry("a", "") + &two.entry("b", "") + &three.entry("c", "");
    let mut gateway = TestGateway::with_config(&toml);
    let can = json!({ "elicitation": { "form": {}, "url": {} } });
    gateway.initialize_with(VERSION, can);
    assert_eq!(gateway.list_tools().len(), 3);
    let url = json!({ "mode": "url", "url": "https://a.example", "message": "m",
        "elicitationId": "same" });
    for (fake, name, tool) in [(&one, "a", "one"), (&two, "b", "two")] {
        let expected = format!("{name}:same");
        let gate = Gate::new();
        let done = notification(COMPLETE, json!({ "elicitationId": "same" }));
        let asking = request(json!(0), "elicitation/create", url.clone());
        let reply = Reply::sse().event(asking).hold(&gate);
        fake.on_tool(tool, reply.event(done).event(text("done")));
        let call = gateway.start_call(tool, json!({}));
        let asked = gateway.next_request("elicitation/create");
        assert_eq!(asked.params()["elicitationId"], expected);
        gateway.respond(&asked, json!({ "action": "accept" }));
        fake.next_request("response");
        gate.open();
        let completed = gateway.next_notification(COMPLETE);
        assert_eq!(completed.params()["elicitationId"], expected);
        assert_eq!(gateway.answer(call).text(), "done");

        let data = json!({ "elicitations": [url] });
        let wants = error_with(-32042, "first", &data);
        fake.on_tool(tool, Reply::json(&wants).runs(false));
        let refused = gateway.call(tool, json!({}));
        let shown = &refused.error()["data"]["elicitations"][0];
        assert_eq!(shown["elicitationId"], expected);
        fake.always("resources/subscribe", Reply::json(&wants));
        let about = json!({ "uri": format!("file:///{tool}") });
        let refused = gateway.ask("resources/subscribe", about);
        let shown = &refused.error()["data"]["elicitations"][0];
        assert_eq!(shown["elicitationId"], expected);
        fake.notify_clients(COMPLETE, json!({ "elicitationId": "same", "n": 1.5 }));
        let completed = gateway.next_notification(COMPLETE);
        assert_eq!(
            *completed.params(),
            json!({ "elicitationId": expected, "n": 1.5 })
        );
    }
    let asks = json!({ "k": { "method": "elicitation/create", "params": url } });
    three.on_tool("three", Reply::input_required(&asks, None));
    let call = gateway.start_call("three", json!({}));
    let asked = gateway.next_request("elicitation/create");
    assert_eq!(asked.params()["elicitationId"], "c:same");
    gateway.respond(&asked, json!({ "action": "accept" }));
    gateway.answer(call).result();
}
