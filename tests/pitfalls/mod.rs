//! Known defects of other gateways, with a test for each. A test's comment names the defect.

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::TestGateway;
use crate::common::message::{complete_text, notification, request, text};
use crate::common::reply::Reply;
use crate::common::wire::Request;
use serde_json::{Value, json};

const ERAS: [bool; 2] = [false, true];

/// A backend of either era.
fn backend(modern: bool) -> FakeBackend {
    let fake = FakeBackend::start();
    if modern { fake.modern() } else { fake }
}

/// A client of either era, after its handshake if it has one.
fn client(toml: &str, modern: bool, capabilities: Value) -> TestGateway {
    let mut gateway = TestGateway::with_config(toml);
    if modern {
        gateway.modern(capabilities);
    } else {
        gateway.initialize_with("2025-11-25", capabilities).result();
    }
    gateway
}

fn done(modern: bool, words: &str) -> Value {
    if modern {
        complete_text(words)
    } else {
        text(words)
    }
}

fn progress_of(token: &Value, value: u64) -> Value {
    let params = json!({ "progressToken": token, "progress": value });
    notification("notifications/progress", params)
}

/// Progress keyed by the client's token leaks to another call.
#[test]
fn progress_of_two_calls_with_the_same_token_is_not_mixed() {
    for modern in ERAS {
        let fakes = ["one", "two"].map(|tool| backend(modern).tool(tool));
        let gates = [Gate::new(), Gate::new()];
        for ((fake, gate), tool) in fakes.iter().zip(&gates).zip(["one", "two"]) {
            // The client's token is unknown at the backend.
            let stream = Reply::sse().event(progress_of(&json!("same"), 99));
            let stream = stream.event(progress_of(&json!("$token"), 1)).hold(gate);
            fake.on_tool(tool, stream.event(done(modern, tool)));
        }
        let toml = fakes[0].entry("a", "") + &fakes[1].entry("b", "");
        let mut gateway = client(&toml, modern, json!({}));
        let one = gateway.start_call_with_progress("one", "same");
        let first = gateway.next_notification("notifications/progress");
        let two = gateway.start_call_with_progress("two", "same");
        let second = gateway.next_notification("notifications/progress");
        assert_eq!(
            [&first, &second].map(|progress| progress.params()["progress"].as_u64()),
            [Some(1); 2]
        );
        let tokens = fakes.each_ref().map(|fake| {
            let call = fake.next_request("tools/call");
            call.params()["_meta"]["progressToken"].to_string()
        });
        assert_ne!(tokens[0], tokens[1]);
        gates.iter().for_each(Gate::open);
        assert_eq!(gateway.answer(one).text(), "one");
        assert_eq!(gateway.answer(two).text(), "two");
    }
}

/// Progress with an invented token makes strict clients close the transport.
#[test]
fn a_call_without_a_progress_token_gets_no_progress() {
    for modern in ERAS {
        let fake = backend(modern).tool("t");
        let tokens = [json!("$token"), json!(1), json!("1"), Value::Null, json!(0)];
        let stream = tokens.iter().fold(Reply::sse(), |stream, token| {
            stream.event(progress_of(token, 1))
        });
        fake.on_tool("t", stream.event(done(modern, "done")));
        let mut gateway = client(&fake.entry("fake", ""), modern, json!({}));
        // Progress that reached the client would fail the test as an unexpected message.
        assert_eq!(gateway.call("t", json!({})).text(), "done");
        let meta = &fake.next_request("tools/call").message["params"]["_meta"];
        assert_eq!(meta["progressToken"], Value::Null);
    }
}

/// Responses with the same id are routed to the wrong call.
#[test]
fn a_response_with_the_id_of_another_backends_call_is_dropped() {
    for modern in ERAS {
        let fakes = ["one", "two"].map(|tool| backend(modern).tool(tool));
        let gate = Gate::new();
        let held = Reply::sse().hold(&gate).event(done(modern, "two's own"));
        fakes[1].on_tool("two", held);
        let toml = fakes[0].entry("a", "") + &fakes[1].entry("b", "");
        let mut gateway = client(&toml, modern, json!({}));
        let two = gateway.start_call("two", json!({}));
        gate.wait_for(1);
        let mut other_id = done(modern, "stolen");
        other_id["id"] = fakes[1].next_request("tools/call").message["id"].clone();
        let stream = Reply::sse()
            .event(other_id)
            .event(done(modern, "one's own"));
        fakes[0].on_tool("one", stream);
        assert_eq!(gateway.call("one", json!({})).text(), "one's own");
        gate.open();
        assert_eq!(gateway.answer(two).text(), "two's own");
    }
}

/// Cancelled requests are answered.
#[test]
fn a_cancelled_call_is_not_answered_however_it_ends() {
    for modern in ERAS {
        let fake = backend(modern).tool("t").tool("other");
        for ending in [
            Reply::sse().event(done(modern, "late")),
            Reply::sse().then_hang_up(),
        ] {
            let gate = Gate::new();
            fake.on_tool("t", ending.after(&gate));
            let mut gateway = client(&fake.entry("fake", ""), modern, json!({}));
            let id = gateway.start_call("t", json!({}));
            gate.wait_for(1);
            gateway.cancel(id);
            gateway.cancel(id);
            // After this answer, the protocol checker accepts no answer to the cancelled id.
            gateway.call("other", json!({})).result();
            gate.open();
            gateway.call("other", json!({})).result();
        }
    }
}

/// A lost session, reported with 404, is never replaced.
#[test]
fn a_lost_session_is_replaced_and_repeated_404s_end_with_an_error() {
    for modern in ERAS {
        let fake = FakeBackend::start().tool("t");
        let mut gateway = client(&fake.entry("fake", ""), modern, json!({}));
        gateway.call("t", json!({})).result();
        for _ in 0..3 {
            fake.forget_sessions();
            assert_eq!(gateway.call("t", json!({})).text(), "t {}");
        }
        assert_eq!(fake.requests_of("initialize").len(), 4);
        fake.always_tool("t", Reply::status(404).body("Session not found"));
        let answer = gateway.call("t", json!({}));
        assert_eq!(answer.code(), -32603);
        assert!(fake.requests_of("initialize").len() <= 6);
        fake.reset_script("tools/call t");
        assert_eq!(gateway.call("t", json!({})).text(), "t {}");
    }
}

/// GET is repeated in a loop on a session that isn't initialized.
#[test]
fn a_refused_get_is_not_repeated() {
    for (status, modern) in [(404, false), (405, true), (405, false), (404, true)] {
        let fake = FakeBackend::start().tool("t").with_get();
        fake.always("GET", Reply::status(status));
        let mut gateway = client(&fake.entry("fake", ""), modern, json!({}));
        for _ in 0..50 {
            gateway.call("t", json!({})).result();
        }
        let gets = fake.requests_of("GET");
        assert!(gets.len() <= 2, "{} × GET", gets.len());
        let requests = fake.requests();
        let kinds: Vec<&str> = requests.iter().map(Request::kind).collect();
        if let Some(get) = kinds.iter().position(|kind| *kind == "GET") {
            let ready = kinds
                .iter()
                .position(|kind| *kind == "notifications/initialized");
            assert!(ready.unwrap() < get, "{kinds:?}");
        }
    }
}

/// The empty data of priming events is parsed as JSON.
#[test]
fn an_event_without_data_is_ignored() {
    for modern in ERAS {
        for backend_is_modern in ERAS {
            let fake = backend(backend_is_modern).tool("t");
            let stream = Reply::sse()
                .body("id: 1\ndata:\n\n")
                .body("id: 2\ndata: \n\nevent: message\ndata\n\n: hello\n\nretry: 3\n\n")
                .event(done(backend_is_modern, "done"));
            fake.on_tool("t", stream);
            let mut gateway = client(&fake.entry("fake", ""), modern, json!({}));
            assert_eq!(gateway.call("t", json!({})).text(), "done");
        }
    }
}

/// `resultType` leaks to a legacy client.
#[test]
fn a_legacy_client_gets_no_members_of_the_modern_era() {
    let fake = backend(true).tool("t").prompt("p").resource("a:b");
    let fake = fake.capabilities(json!({ "completions": {} }));
    let mut gateway = client(&fake.entry("fake", ""), false, json!({}));
    let argument = json!({ "name": "a", "value": "b" });
    let reference = json!({ "type": "ref/prompt", "name": "p" });
    for (method, params) in [
        ("tools/list", json!({})),
        ("prompts/list", json!({})),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("tools/call", json!({ "name": "t" })),
        ("prompts/get", json!({ "name": "p" })),
        ("resources/read", json!({ "uri": "a:b" })),
        (
            "completion/complete",
            json!({ "ref": reference, "argument": argument }),
        ),
    ] {
        let answer = gateway.ask(method, params);
        answer.result();
        for member in [
            "resultType",
            "ttlMs",
            "cacheScope",
            "io.modelcontextprotocol",
        ] {
            assert!(
                !answer.0.line.contains(member),
                "{member} in {}",
                answer.0.line
            );
        }
    }
}

/// The memory for SSE events is unbounded.
#[test]
fn an_event_over_the_cap_is_an_error() {
    for modern in ERAS {
        let fake = backend(modern).tool("t");
        let toml = format!(
            "[gateway]\nmax_message_bytes = 100000\n{}",
            fake.entry("fake", "retries = 0")
        );
        let mut gateway = client(&toml, modern, json!({}));
        let long = "x".repeat(200_000);
        for stream in [
            Reply::sse().body(format!("data: {long}")).then_stall(),
            Reply::sse().body("data: x\n".repeat(50_000)).then_stall(),
            Reply::sse().body(format!("id: {long}")).then_stall(),
            Reply::sse().event(done(modern, &long)),
        ] {
            fake.on_tool("t", stream);
            let answer = gateway.call("t", json!({}));
            assert_eq!(answer.gateway_error().0, "too_large", "{answer:?}");
        }
        assert_eq!(gateway.call("t", json!({})).text(), "t {}");
    }
}

/// Headers leak to the target of a redirect.
#[test]
fn nothing_is_sent_to_the_target_of_a_redirect_to_another_origin() {
    for modern in ERAS {
        let (fake, other) = (backend(modern).tool("t"), backend(modern).tool("t"));
        let more = "retries = 0\nheaders = { \"X-Key\" = \"secret\" }";
        let mut gateway = client(&fake.entry("fake", more), modern, json!({}));
        for status in [301, 302, 303, 307, 308] {
            let redirect = Reply::status(status).header("location", &other.url());
            fake.on_tool("t", redirect);
            assert_eq!(gateway.call("t", json!({})).gateway_error().0, "refused");
        }
        assert_eq!(other.connections(), 0);
        assert!(
            fake.requests()
                .iter()
                .all(|request| request.header("x-key").is_some())
        );
    }
}

/// `server/discover` lacks the `Mcp-Method` header, and a server doesn't answer.
#[test]
fn every_request_to_a_modern_backend_has_the_mcp_method_header() {
    let fake = backend(true).tool("t").prompt("p").resource("a:b");
    let mut gateway = client(&fake.entry("fake", ""), true, json!({}));
    gateway.call("t", json!({})).result();
    gateway.ask("prompts/get", json!({ "name": "p" })).result();
    gateway
        .ask("resources/read", json!({ "uri": "a:b" }))
        .result();
    let subscription = gateway.listen(json!({ "toolsListChanged": true }));
    gateway.cancel(subscription.id);
    let requests = fake.requests();
    assert_eq!(requests[0].kind(), "server/discover");
    for request in requests {
        assert_eq!(request.header("mcp-method"), Some(request.kind()));
    }
}

/// Only the first page of a list is read.
#[test]
fn all_pages_of_a_list_are_fetched() {
    for backend_is_modern in ERAS {
        let names = ["a", "b", "c", "d", "e"];
        let fake = backend(backend_is_modern).page_size(2);
        let fake = names
            .iter()
            .fold(fake, |fake, name| fake.tool(name).prompt(name));
        let mut gateway = client(&fake.entry("fake", ""), true, json!({}));
        assert_eq!(gateway.tool_names(), names);
        let prompts = gateway.ask("prompts/list", json!({}));
        assert_eq!(prompts.result()["prompts"].as_array().unwrap().len(), 5);
    }
}

/// The server returns a cursor that it then ignores, so the client loops.
#[test]
fn the_gateway_returns_no_cursor_that_it_ignores() {
    for modern in ERAS {
        let fake = backend(modern).page_size(100);
        let names: Vec<String> = (0..1_000).map(|n| format!("t{n}")).collect();
        let fake = names.iter().fold(fake, |fake, name| fake.tool(name));
        let mut gateway = client(&fake.entry("fake", ""), modern, json!({}));
        assert_eq!(gateway.tool_names(), names);
        for cursor in ["", "0", "nowhere"] {
            let answer = gateway.ask("tools/list", json!({ "cursor": cursor }));
            assert_eq!(answer.code(), -32602, "{cursor:?}");
        }
    }
}

/// The id `0` is taken for a missing id.
#[test]
fn zero_is_a_valid_request_id() {
    for modern in ERAS {
        let fake = FakeBackend::start().tool("ask");
        let gate = Gate::new();
        let server_request = request(json!(0), "roots/list", json!({}));
        let stream = Reply::sse().event(server_request).hold(&gate);
        fake.on_tool("ask", stream.event(text("done")));
        let mut gateway = client(&fake.entry("fake", ""), modern, json!({ "roots": {} }));
        let call = json!({ "name": "ask", "arguments": {} });
        let roots = json!({ "roots": [] });
        gateway.request_as(0, "tools/call", call.clone());
        let id = if modern {
            let input_required = gateway.answer(0);
            let answers = json!({ input_required.input_request().0: roots });
            gateway.retry("tools/call", &call, &input_required, answers)
        } else {
            let server_request = gateway.next_request("roots/list");
            gateway.respond(&server_request, roots);
            0
        };
        let response = fake.next_request("response").message;
        assert_eq!(
            (&response["id"], response["result"].is_object()),
            (&json!(0), true)
        );
        gate.open();
        assert_eq!(gateway.answer(id).text(), "done");
        assert_eq!(fake.runs("ask"), 1);
    }
}
