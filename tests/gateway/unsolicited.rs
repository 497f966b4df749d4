//! Server requests on a stream that is no call's own (X-ML-05): a backend's GET stream, and the one
//! stream of the HTTP+SSE transport.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::PATIENCE;
use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::{Answer, TestGateway};
use crate::common::live_stream::LiveStream;
use crate::common::message::{asked_by, notification, request, text};
use crate::common::process::{Process, gateway as gateway_process};
use crate::common::reply::Reply;
use crate::common::wire::Request;

fn roots(id: u64) -> Value {
    request(json!(id), "roots/list", json!({}))
}

/// A backend with a GET stream, and the stream of its tool's response.
fn backend() -> (FakeBackend, LiveStream) {
    let fake = FakeBackend::start().tool("ask").with_get();
    let live = LiveStream::new();
    fake.on_tool("ask", Reply::sse().live(&live));
    (fake, live)
}

fn params() -> Value {
    json!({ "name": "ask" })
}

#[test]
fn a_legacy_client_gets_server_requests_outside_calls() {
    let (fake, _) = backend();
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize_with("2025-11-25", json!({ "roots": {} }));
    fake.stream(0).event(&roots(5));
    let server_request = gateway.next_request("roots/list");
    gateway.respond(&server_request, json!({ "roots": [1] }));
    let answer = fake.next_request("response").message;
    assert_eq!(
        (&answer["id"], &answer["result"]),
        (&json!(5), &json!({ "roots": [1] }))
    );

    fake.stream(0)
        .event(&request(json!(6), "sampling/createMessage", json!({})));
    let refusal = fake.next_request("response").message;
    assert_eq!(
        (&refusal["id"], &refusal["error"]["code"]),
        (&json!(6), &json!(-32601))
    );

    fake.stream(0).event(&roots(7));
    let server_request = gateway.next_request("roots/list");
    gateway.refuse(&server_request, -1, "no");
    assert_eq!(fake.next_request("response").message["error"]["code"], -1);
}

#[test]
fn a_server_request_is_cancelled_when_its_backend_cancels_it_or_disconnects() {
    let (fake, _) = backend();
    let mut gateway = TestGateway::over(&fake);
    gateway.initialize_with("2025-11-25", json!({ "roots": {} }));
    let get = fake.stream(0);
    get.event(&roots(5));
    let server_request = gateway.next_request("roots/list");
    get.event(&notification(
        "notifications/cancelled",
        json!({ "requestId": 5 }),
    ));
    let cancelled = gateway.next_notification("notifications/cancelled");
    assert_eq!(cancelled.params()["requestId"], *server_request.id());
    get.event(&roots(6));
    let server_request = gateway.next_request("roots/list");
    fake.forget_sessions();
    get.hang_up();
    let cancelled = gateway.next_notification("notifications/cancelled");
    assert_eq!(cancelled.params()["requestId"], *server_request.id());
}

#[test]
fn with_one_call_in_flight_a_modern_client_gets_the_request_through_it() {
    let (fake, live) = backend();
    let mut gateway = TestGateway::over(&fake);
    gateway.modern(json!({ "roots": {} }));
    let id = gateway.request("tools/call", params());
    fake.wait_for_requests("tools/call", 1);
    fake.stream(0).event(&roots(5));
    let asked = gateway.answer(id);
    assert_eq!(asked.input_request().1["method"], "roots/list");
    // A parked call is still the only one.
    fake.stream(0).event(&request(json!(6), "ping", json!({})));
    assert_eq!(fake.next_request("response").message["id"], 6);
    let answers = json!({ asked.input_request().0: { "roots": [] } });
    let again = gateway.retry("tools/call", &params(), &asked, answers);
    let answer = fake.next_request("response").message;
    assert_eq!(
        (&answer["id"], &answer["result"]),
        (&json!(5), &json!({ "roots": [] }))
    );
    live.event(&text("done"));
    assert_eq!(gateway.answer(again).text(), "done");
    assert_eq!(fake.runs("ask"), 1);
}

/// The transports of legacy servers, with a backend of each whose tools wait for a gate.
fn on_each_transport(test: impl Fn(FakeBackend, [Gate; 2])) {
    let servers: [fn(FakeBackend) -> FakeBackend; 2] =
        [FakeBackend::with_get, FakeBackend::http_sse];
    for transport in servers {
        let fake = transport(FakeBackend::start().tool("a").tool("b"));
        let gates = [Gate::new(), Gate::new()];
        for (tool, gate) in ["a", "b"].into_iter().zip(&gates) {
            fake.on_tool(tool, Reply::sse().hold(gate).event(text(tool)));
        }
        test(fake, gates);
    }
}

fn elicitation(id: u64, meta: Value) -> Value {
    let schema = json!({ "type": "object", "properties": {} });
    let params = json!({ "message": "who?", "requestedSchema": schema, "_meta": meta });
    request(json!(id), "elicitation/create", params)
}

fn by_token(call: &Request) -> Value {
    json!({ "progressToken": call.params()["_meta"]["progressToken"] })
}

fn by_task(task: &str) -> Value {
    json!({ "io.modelcontextprotocol/related-task": { "taskId": task } })
}

fn call_params(tool: &str) -> Value {
    json!({ "name": tool, "_meta": { "progressToken": tool } })
}

/// Calls both tools, and waits until the backend has the calls.
fn call_both(gateway: &mut TestGateway, fake: &FakeBackend) -> ([u64; 2], [Request; 2]) {
    let calls = ["a", "b"].map(|tool| {
        let id = gateway.request("tools/call", call_params(tool));
        (id, fake.next_request("tools/call"))
    });
    let [(a, at_a), (b, at_b)] = calls;
    ([a, b], [at_a, at_b])
}

fn refused(fake: &FakeBackend, server_request: &Value) {
    fake.request_client(server_request.clone());
    let refusal = fake.next_request("response").message;
    assert_eq!(
        (&refusal["id"], &refusal["error"]["code"]),
        (&server_request["id"], &json!(-32601)),
        "{refusal}"
    );
}

/// The call was answered with the question; its retry answers that.
fn answer_question(
    gateway: &mut TestGateway,
    fake: &FakeBackend,
    asked: &Answer,
    tool: &str,
) -> u64 {
    let (key, shown) = asked.input_request();
    let params = &shown["params"];
    assert_eq!(params["message"], asked_by("fake", "who?"));
    assert_eq!(params["_meta"]["sentinel-gateway/backend"], "fake");
    let answers = json!({ key: { "action": "decline" } });
    let again = gateway.retry("tools/call", &call_params(tool), asked, answers);
    let response = fake.next_request("response").message;
    assert_eq!(response["result"]["action"], "decline", "{response}");
    again
}

#[test]
fn of_two_modern_calls_the_one_that_is_named_gets_the_request() {
    on_each_transport(|fake, gates| {
        let mut gateway = TestGateway::over(&fake);
        gateway.modern(json!({ "elicitation": {} }));
        let ([a, b], [at_a, at_b]) = call_both(&mut gateway, &fake);
        fake.request_client(elicitation(5, by_token(&at_b)));
        let asked = gateway.answer(b);
        let token = &asked.input_request().1["params"]["_meta"]["progressToken"];
        assert!(token.is_null(), "the client knows no such token: {token}");
        let b = answer_question(&mut gateway, &fake, &asked, "b");
        fake.request_client(elicitation(6, by_token(&at_a)));
        let asked = gateway.answer(a);
        let a = answer_question(&mut gateway, &fake, &asked, "a");
        gates.iter().for_each(Gate::open);
        assert_eq!(gateway.answer(a).text(), "a");
        assert_eq!(gateway.answer(b).text(), "b");
        assert_eq!((fake.runs("a"), fake.runs("b")), (1, 1));
    });
}

#[test]
fn a_task_that_a_call_has_named_names_the_call() {
    on_each_transport(|fake, gates| {
        for (tool, gate) in ["a", "b"].into_iter().zip(&gates) {
            let params =
                json!({ "progressToken": "$token", "progress": 1, "_meta": by_task(tool) });
            let progress = notification("notifications/progress", params);
            let reply = Reply::sse().event(progress).hold(gate).event(text(tool));
            fake.reset_script(&format!("tools/call {tool}"));
            fake.on_tool(tool, reply);
        }
        let mut gateway = TestGateway::over(&fake);
        gateway.modern(json!({ "elicitation": {} }));
        let ([a, b], _) = call_both(&mut gateway, &fake);
        for _ in [a, b] {
            gateway.next_notification("notifications/progress");
        }
        refused(&fake, &elicitation(4, by_task("unknown")));
        fake.request_client(elicitation(5, by_task("b")));
        let asked = gateway.answer(b);
        let related = &asked.input_request().1["params"]["_meta"];
        let task = &related["io.modelcontextprotocol/related-task"]["taskId"];
        assert_eq!(*task, fake.task_id("fake", "b"));
        let b = answer_question(&mut gateway, &fake, &asked, "b");
        gates.iter().for_each(Gate::open);
        assert_eq!(gateway.answer(a).text(), "a");
        assert_eq!(gateway.answer(b).text(), "b");
    });
}

/// The questions of a tool that runs only as a task name the task, while the gateway waits for its result.
#[test]
fn a_required_task_names_the_call_that_it_is_of() {
    on_each_transport(|fake, [first, second]| {
        let can = json!({ "tasks": { "requests": { "tools": { "call": {} } } } });
        let task = |status: &str| {
            json!({ "taskId": "1", "status": status, "ttl": 60_000, "pollInterval": 50,
            "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z" })
        };
        let required = json!({ "execution": { "taskSupport": "required" } });
        let fake = fake.capabilities(can).tool_with("t", required);
        fake.on_tool("t", Reply::result(json!({ "task": task("working") })));
        fake.on("tasks/get", Reply::result(task("input_required")));
        let done = Reply::sse().hold(&second).event(text("done"));
        fake.on("tasks/result", done);
        let mut gateway = TestGateway::over(&fake);
        gateway.modern(json!({ "elicitation": {} }));
        let other = gateway.request("tools/call", call_params("a"));
        fake.next_request("tools/call");
        let call = gateway.request("tools/call", call_params("t"));
        fake.next_request("tasks/result");
        refused(&fake, &elicitation(4, by_task("2")));
        fake.request_client(elicitation(5, by_task("1")));
        let asked = gateway.answer(call);
        let call = answer_question(&mut gateway, &fake, &asked, "t");
        second.open();
        assert_eq!(gateway.answer(call).text(), "done");
        first.open();
        assert_eq!(gateway.answer(other).text(), "a");
        assert_eq!((fake.runs("a"), fake.runs("t")), (1, 1));
    });
}

#[test]
fn without_a_name_and_with_two_modern_calls_or_none_it_is_refused_and_the_log_says_why() {
    on_each_transport(|fake, gates| {
        let folder = TempDir::new().unwrap();
        let mut command = gateway_process(&folder, &fake.entry("fake", ""));
        command.args(["--log-level", "info"]);
        let mut process = Process::start(command, folder, PATIENCE);
        let gateway = &mut process.client;
        gateway.modern(json!({ "elicitation": {} }));
        gateway.ask("tools/list", json!({})).result();
        refused(&fake, &elicitation(1, json!({})));
        let ([a, b], _) = call_both(gateway, &fake);
        refused(&fake, &elicitation(2, json!({})));
        // The server's own token is no name.
        refused(&fake, &elicitation(3, json!({ "progressToken": 3 })));
        gates.iter().for_each(Gate::open);
        for call in [a, b] {
            gateway.answer(call).result();
        }
        let log = process.end().log;
        for why in [
            "no call is in flight that it could belong to",
            "it does not name the call in flight that it belongs to",
        ] {
            let mut lines = log.lines();
            let said = lines.any(|line| line.contains(why) && line.contains("fake"));
            assert!(said, "{why}: {log}");
        }
    });
}

#[test]
fn a_name_of_a_call_that_is_over_never_stands_for_another() {
    on_each_transport(|fake, [first, second]| {
        let mut gateway = TestGateway::over(&fake);
        gateway.modern(json!({ "elicitation": {} }));
        let ([a, b], [at_a, _]) = call_both(&mut gateway, &fake);
        first.open();
        assert_eq!(gateway.answer(a).text(), "a");
        refused(&fake, &elicitation(5, by_token(&at_a)));
        refused(&fake, &elicitation(6, by_task("another")));
        second.open();
        assert_eq!(gateway.answer(b).text(), "b");
    });
}

#[test]
fn a_modern_call_that_is_alone_gets_the_request() {
    on_each_transport(|fake, [gate, _]| {
        let mut gateway = TestGateway::over(&fake);
        gateway.modern(json!({ "elicitation": {} }));
        let mut call = gateway.request("tools/call", call_params("a"));
        fake.next_request("tools/call");
        // Also with a token of the server's own.
        for (id, meta) in [(5, json!({})), (6, json!({ "progressToken": "mine" }))] {
            fake.request_client(elicitation(id, meta.clone()));
            let asked = gateway.answer(call);
            let token = &asked.input_request().1["params"]["_meta"]["progressToken"];
            assert_eq!(*token, meta["progressToken"]);
            call = answer_question(&mut gateway, &fake, &asked, "a");
        }
        gate.open();
        assert_eq!(gateway.answer(call).text(), "a");
        assert_eq!(fake.runs("a"), 1);
    });
}

#[test]
fn a_legacy_client_is_told_who_asks_and_the_request_ends_with_the_call_that_it_names() {
    on_each_transport(|fake, gates| {
        let mut gateway = TestGateway::over(&fake);
        gateway.initialize_with("2025-11-25", json!({ "elicitation": {} }));
        gateway.wait_for_tool("a");
        let ([a, b], [at_a, at_b]) = call_both(&mut gateway, &fake);
        let mut ask = |server_request: &Value| {
            fake.request_client(server_request.clone());
            let asked = gateway.next_request("elicitation/create");
            assert_eq!(asked.params()["message"], asked_by("fake", "who?"));
            asked
        };
        let of_a = ask(&elicitation(5, by_token(&at_a)));
        let of_b = ask(&elicitation(6, by_token(&at_b)));
        // Its one client can be asked without a call, so nothing is guessed.
        let of_none = ask(&elicitation(7, json!({})));
        gateway.cancel(a);
        let cancelled = gateway.next_notification("notifications/cancelled");
        assert_eq!(cancelled.params()["requestId"], *of_a.id());
        assert_eq!(
            fake.next_request("response").message["error"]["code"],
            -32601
        );
        for (asked, id) in [(&of_none, 7), (&of_b, 6)] {
            gateway.respond(asked, json!({ "action": "decline" }));
            let response = fake.next_request("response").message;
            assert_eq!(
                (&response["id"], &response["result"]["action"]),
                (&json!(id), &json!("decline"))
            );
        }
        gates[1].open();
        assert_eq!(gateway.answer(b).text(), "b");
    });
}

/// What a backend says of an extension before its first listing, and before the client is initialized,
/// reaches the client.
#[test]
fn early_notifications_of_extensions_are_not_lost() {
    let changed = |number: u64| notification("notifications/x/changed", json!({ "n": number }));
    let fake = || {
        let fake = FakeBackend::start().tool("t").with_get();
        fake.capabilities(json!({ "extensions": { "com.example/x": {} } }))
    };
    // On the stream before anything else, while the list is not answered.
    let gate = Gate::new();
    let early = fake();
    early.on("GET", Reply::sse().event(changed(1)).then_stall());
    early.on("tools/list", Reply::json(&json!({})).after(&gate));
    let mut gateway = TestGateway::over(&early);
    gateway.initialize();
    let first = gateway.next_notification("notifications/x/changed");
    assert_eq!(first.params()["n"], 1);
    gate.open();

    // Before the client is initialized.
    let fake = fake();
    let mut gateway = TestGateway::over(&fake);
    gateway.send_initialize("2025-11-25", json!({}));
    let stream = fake.stream(0);
    stream.event(&changed(2));
    // It has been read when this is answered, and the loop has had it when the client's ping is.
    stream.event(&request(json!(1), "ping", json!({})));
    fake.next_request("response");
    gateway.ask("ping", json!({})).result();
    gateway.notify("notifications/initialized", json!({}));
    let next = gateway.next_notification("notifications/x/changed");
    assert_eq!(next.params()["n"], 2);
}
