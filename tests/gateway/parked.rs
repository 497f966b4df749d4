//! Parked calls: a legacy backend sends a server request during a modern client's call. The client
//! gets `input_required`, retries with its responses, and the tool runs once.

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gateway::{Answer, TestGateway};
use crate::common::live_stream::LiveStream;
use crate::common::message::{attributed, error, error_with, notification, own_words, progress};
use crate::common::message::{request, result, text};
use crate::common::reply::Reply;

/// One backend with one tool, whose response stream the test writes, and a client with all
/// capabilities. On drop it asserts that the tool was called and ran at most once.
struct Fixture {
    fake: FakeBackend,
    live: LiveStream,
    gateway: TestGateway,
}

fn everything() -> Value {
    json!({ "sampling": {}, "roots": {}, "elicitation": { "form": {}, "url": {} } })
}

fn fixture() -> Fixture {
    fixture_with("")
}

fn fixture_with(entry: &str) -> Fixture {
    let fake = FakeBackend::start().tool("ask");
    let live = LiveStream::new();
    fake.on_tool("ask", Reply::sse().live(&live));
    let mut gateway = TestGateway::with_config(&fake.entry("fake", entry));
    gateway.modern(everything());
    Fixture {
        fake,
        live,
        gateway,
    }
}

fn params() -> Value {
    json!({ "name": "ask", "arguments": { "n": 1 } })
}

fn form(id: u64, message: &str) -> Value {
    let params = json!({ "message": message, "requestedSchema": {} });
    request(json!(id), "elicitation/create", params)
}

impl Fixture {
    /// Calls the tool, which sends these requests, and returns the client's answer.
    fn call(&mut self, requests: &[Value]) -> Answer {
        let id = self.gateway.request("tools/call", params());
        // In one write, so that they arrive together.
        let events = requests
            .iter()
            .map(|request| format!("data: {request}\n\n"));
        self.live.text(&events.collect::<String>());
        self.gateway.answer(id)
    }

    fn start_retry(&mut self, asked: &Answer, answers: Value) -> u64 {
        self.gateway.retry("tools/call", &params(), asked, answers)
    }

    fn retry(&mut self, asked: &Answer, answers: Value) -> Answer {
        let id = self.start_retry(asked, answers);
        self.gateway.answer(id)
    }

    /// The next response to the backend: its id, and the whole message.
    fn response(&self) -> (Value, Value) {
        let answer = self.fake.next_request("response").message;
        (answer["id"].clone(), answer)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.fake.runs("ask") <= 1, "the tool ran again");
            assert_eq!(self.fake.requests_of("tools/call").len(), 1);
        }
    }
}

fn yes(answer: &Answer) -> Value {
    let answers = answer.input_requests().keys();
    let yes = json!({ "action": "accept" });
    Value::Object(answers.map(|key| (key.clone(), yes.clone())).collect())
}

#[test]
fn a_server_request_is_answered_by_a_retry_and_the_tool_runs_once() {
    let mut fixture = fixture();
    let asked = fixture.call(&[form(7, "name?")]);
    let (key, input_request) = asked.input_request();
    assert_eq!(input_request["method"], "elicitation/create");
    assert_eq!(own_words(&input_request["params"]["message"]), "name?");
    let answers = json!({ key: { "action": "accept", "content": { "name": 1.10 } } });
    let again = fixture.start_retry(&asked, answers);
    let (id, response) = fixture.response();
    assert_eq!(id, 7);
    assert_eq!(response["result"]["content"], json!({ "name": 1.10 }));
    fixture.live.event(&text("done"));
    let done = fixture.gateway.answer(again);
    assert_eq!(done.text(), "done");
    assert_eq!(done.result()["resultType"], "complete");
    assert_eq!(fixture.fake.runs("ask"), 1);
}

#[test]
fn every_kind_of_server_request_works_over_several_rounds() {
    let mut fixture = fixture();
    let mut asked = fixture.call(&[request(json!("r"), "roots/list", json!({}))]);
    for (n, (method, params)) in [
        (
            "sampling/createMessage",
            json!({ "messages": [], "maxTokens": 1 }),
        ),
        (
            "elicitation/create",
            json!({ "mode": "url", "url": "https://a.example" }),
        ),
        (
            "elicitation/create",
            json!({ "mode": "form", "message": "?" }),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let key = asked.input_request().0.to_owned();
        let again = fixture.start_retry(&asked, json!({ key: { "n": n } }));
        assert_eq!(fixture.response().1["result"]["n"], n);
        fixture
            .live
            .event(&request(json!(n), method, params.clone()));
        asked = fixture.gateway.answer(again);
        let (_, input_request) = asked.input_request();
        assert_eq!(
            *input_request,
            json!({ "method": method, "params": attributed("fake", method, params) })
        );
    }
    let again = fixture.start_retry(&asked, yes(&asked));
    fixture.live.event(&text("done"));
    assert_eq!(fixture.gateway.answer(again).text(), "done");
}

#[test]
fn server_requests_that_come_together_are_one_round() {
    let mut fixture = fixture();
    let asked = fixture.call(&[form(1, "one"), form(2, "two"), form(3, "three")]);
    assert_eq!(asked.input_requests().len(), 3);
    let answers = asked.input_requests().iter().map(|(key, input_request)| {
        let message = own_words(&input_request["params"]["message"]);
        (
            key.clone(),
            json!({ "action": "accept", "content": { "m": message } }),
        )
    });
    let answers = Value::Object(answers.collect());
    let again = fixture.start_retry(&asked, answers);
    let mut response = [fixture.response(), fixture.response(), fixture.response()];
    response.sort_by_key(|(id, _)| id.as_u64());
    for ((id, answer), (n, message)) in response.iter().zip([(1, "one"), (2, "two"), (3, "three")])
    {
        assert_eq!(*id, n);
        assert_eq!(answer["result"]["content"]["m"], message);
    }
    fixture.live.event(&text("done"));
    assert_eq!(fixture.gateway.answer(again).text(), "done");
}

#[test]
fn input_requests_without_a_response_are_repeated() {
    let mut fixture = fixture();
    let asked = fixture.call(&[form(1, "one"), form(2, "two")]);
    let keys: Vec<String> = asked.input_requests().keys().cloned().collect();
    let half = json!({ &keys[0]: { "action": "decline" }, "nobody": {} });
    let asked_again = fixture.retry(&asked, half);
    assert_eq!(asked_again.input_request().0, keys[1]);
    assert_ne!(asked_again.request_state(), asked.request_state());
    assert_eq!(fixture.response().1["result"]["action"], "decline");
    let none = fixture.retry(&asked_again, json!({}));
    assert_eq!(none.input_request().0, keys[1]);
    let again = fixture.start_retry(&none, yes(&none));
    assert_eq!(fixture.response().0, 2);
    fixture.live.event(&text("done"));
    assert_eq!(fixture.gateway.answer(again).text(), "done");
}

#[test]
fn a_state_is_valid_once_for_the_same_request_and_unchanged() {
    let mut fixture = fixture();
    let asked = fixture.call(&[form(1, "one")]);
    let answers = yes(&asked);
    let state = asked.request_state().unwrap().as_str().unwrap().to_owned();
    let retry = |params: Value, state: &str| {
        let mut params = params;
        params["inputResponses"] = answers.clone();
        params["requestState"] = json!(state);
        params
    };
    let other = json!({ "name": "ask", "arguments": { "n": 2 } });
    for params in [
        retry(params(), &state[..state.len() - 1]),
        retry(params(), &format!("{state}0")),
        retry(params(), "x"),
        retry(params(), ""),
        retry(other, &state),
        json!({ "name": "ask", "arguments": { "n": 1 }, "requestState": 1 }),
    ] {
        let refused = fixture.gateway.ask("tools/call", params);
        assert_eq!(refused.code(), -32602, "{}", refused.message());
    }
    let as_prompt = retry(params(), &state);
    assert_eq!(fixture.gateway.ask("prompts/get", as_prompt).code(), -32602);
    let mut bad = retry(params(), &state);
    bad["inputResponses"] = json!({ "ask-1": "yes" });
    assert_eq!(fixture.gateway.ask("tools/call", bad).code(), -32602);

    let again = fixture.start_retry(&asked, answers.clone());
    assert_eq!(fixture.response().0, 1);
    let used = fixture.retry(&asked, answers.clone());
    assert_eq!(used.code(), -32602);
    fixture.live.event(&text("done"));
    assert_eq!(fixture.gateway.answer(again).text(), "done");
    assert_eq!(fixture.retry(&asked, answers).code(), -32602);
}

#[test]
fn a_result_that_comes_while_parked_is_kept_for_the_retry() {
    let mut fixture = fixture();
    let asked = fixture.call(&[form(1, "one")]);
    fixture.live.event(&text("done all the same"));
    fixture.live.end();
    fixture.live.wait_until_closed();
    let done = fixture.retry(&asked, yes(&asked));
    assert_eq!(done.text(), "done all the same");
    assert!(fixture.fake.requests_of("response").is_empty());
}

#[test]
fn a_connection_lost_while_parked_fails_the_retry_and_nothing_runs_again() {
    let safe = "tools.retry = { ask = \"always\" }";
    let mut fixture = fixture_with(safe);
    let asked = fixture.call(&[form(1, "one")]);
    fixture.live.hang_up();
    fixture.live.wait_until_closed();
    let lost = fixture.retry(&asked, yes(&asked));
    assert_eq!(lost.gateway_error(), ("outcome_unknown", "unknown", 1));
}

#[test]
fn a_server_request_that_the_backend_cancels_is_not_forwarded() {
    let mut fixture = fixture();
    let cancelled = |id: u64| notification("notifications/cancelled", json!({ "requestId": id }));
    let asked = fixture.call(&[form(1, "one"), cancelled(1), form(2, "two")]);
    assert_eq!(
        own_words(&asked.input_request().1["params"]["message"]),
        "two"
    );
    fixture.live.event(&cancelled(2));
    fixture.live.event(&form(3, "three"));
    fixture.live.event(&request(json!(4), "ping", json!({})));
    assert_eq!(fixture.response().0, 4, "a ping is answered meanwhile");
    let next = fixture.retry(&asked, yes(&asked));
    assert_eq!(
        own_words(&next.input_request().1["params"]["message"]),
        "three"
    );
    let again = fixture.start_retry(&next, yes(&next));
    assert_eq!(fixture.response().0, 3);
    fixture.live.event(&text("done"));
    assert_eq!(fixture.gateway.answer(again).text(), "done");
}

#[test]
fn progress_and_logs_go_to_the_request_in_flight_under_its_token_and_level() {
    let mut fixture = fixture();
    let log = |level: &str| {
        notification(
            "notifications/message",
            json!({ "level": level, "data": level }),
        )
    };
    let mut first = params();
    first["_meta"] = json!({ "progressToken": "first" });
    let id = fixture.gateway.request("tools/call", first);
    fixture.live.event(&progress(1.0));
    fixture.live.event(&log("error"));
    fixture.live.event(&form(1, "one"));
    let received = fixture.gateway.next_notification("notifications/progress");
    assert_eq!(received.params()["progressToken"], "first");
    let asked = fixture.gateway.answer(id);

    fixture.live.event(&progress(2.0));
    fixture.live.event(&log("error"));
    fixture.live.event(&request(json!(9), "ping", json!({})));
    assert_eq!(fixture.response().0, 9);

    let mut second = params();
    second["_meta"] = json!({ "progressToken": 2, "io.modelcontextprotocol/logLevel": "warning" });
    let again = fixture
        .gateway
        .retry("tools/call", &second, &asked, yes(&asked));
    assert_eq!(fixture.response().0, 1);
    for message in [progress(3.0), log("info"), log("error"), text("done")] {
        fixture.live.event(&message);
    }
    let received = fixture.gateway.next_notification("notifications/progress");
    assert_eq!(
        received.params(),
        &json!({ "progressToken": 2, "progress": 3.0 })
    );
    let received = fixture.gateway.next_notification("notifications/message");
    assert_eq!(received.params()["level"], "error");
    assert_eq!(fixture.gateway.answer(again).text(), "done");
}

#[test]
fn a_retry_with_a_lower_log_level_sets_the_backends_level() {
    let fake = FakeBackend::start().tool("ask");
    let fake = fake.capabilities(json!({ "logging": {} }));
    let live = LiveStream::new();
    fake.on_tool("ask", Reply::sse().live(&live));
    let mut gateway = TestGateway::over(&fake);
    gateway.modern(everything());
    let id = gateway.request("tools/call", params());
    live.event(&form(1, "one"));
    let asked = gateway.answer(id);
    let mut again = params();
    again["_meta"] = json!({ "io.modelcontextprotocol/logLevel": "debug" });
    let id = gateway.retry("tools/call", &again, &asked, yes(&asked));
    let level = fake.next_request("logging/setLevel");
    assert_eq!(level.params()["level"], "debug");
    live.event(&text("done"));
    assert_eq!(gateway.answer(id).text(), "done");
}

#[test]
fn server_requests_for_undeclared_capabilities_are_refused() {
    let mut fixture = fixture();
    fixture.gateway.modern(json!({ "elicitation": {} }));
    let id = fixture.gateway.request("tools/call", params());
    for (n, (method, params, code)) in [
        ("sampling/createMessage", json!({}), -32601),
        ("roots/list", json!({}), -32601),
        ("elicitation/create", json!({ "mode": "url" }), -32602),
        ("tools/list", json!({}), -32601),
    ]
    .into_iter()
    .enumerate()
    {
        fixture.live.event(&request(json!(n), method, params));
        let (id, refusal) = fixture.response();
        assert_eq!(
            (id, refusal["error"]["code"].as_i64()),
            (json!(n), Some(code))
        );
    }
    fixture.live.event(&text("done"));
    assert_eq!(fixture.gateway.answer(id).text(), "done");
}

#[test]
fn a_call_that_fails_for_a_missing_capability_names_it() {
    let failed = json!({ "content": [{ "type": "text", "text": "no" }], "isError": true });
    for end in [result(failed), error(-32000, "no")] {
        let mut fixture = fixture();
        fixture.gateway.modern(json!({ "elicitation": {} }));
        let id = fixture.gateway.request("tools/call", params());
        fixture
            .live
            .event(&request(json!(1), "roots/list", json!({})));
        fixture.response();
        fixture.live.event(&end);
        let missing = fixture.gateway.answer(id);
        assert_eq!(missing.code(), -32021);
        let required = &missing.error()["data"]["requiredCapabilities"];
        assert_eq!(*required, json!({ "roots": {} }));
    }
}

#[test]
fn a_call_that_fails_for_other_reasons_keeps_its_error() {
    let mut fixture = fixture();
    fixture.gateway.modern(json!({ "elicitation": {} }));
    let asked = fixture.call(&[
        form(1, "one"),
        request(json!(2), "tools/list", json!({})),
        request(json!(3), "roots/list", json!({})),
    ]);
    for _ in 0..2 {
        assert_eq!(fixture.response().1["error"]["code"], -32601);
    }
    // The refused requests can't be the cause: the capability is declared now.
    fixture
        .gateway
        .modern(json!({ "elicitation": {}, "roots": {} }));
    let again = fixture.start_retry(&asked, yes(&asked));
    fixture.live.event(&error(-32000, "mine"));
    assert_eq!(fixture.gateway.answer(again).code(), -32000);
}

#[test]
fn a_retry_that_declares_less_gets_no_further_input_requests() {
    let mut fixture = fixture();
    let asked = fixture.call(&[form(1, "one"), request(json!(2), "roots/list", json!({}))]);
    fixture.gateway.modern(json!({ "elicitation": {} }));
    let form_only = json!({ "ask-1": { "action": "accept" } });
    let again = fixture.start_retry(&asked, form_only);
    let mut response = [fixture.response(), fixture.response()];
    response.sort_by_key(|(id, _)| id.as_u64());
    assert_eq!(response[0].1["result"]["action"], "accept");
    assert_eq!(response[1].1["error"]["code"], -32601);
    fixture.live.event(&text("done"));
    assert_eq!(fixture.gateway.answer(again).text(), "done");
}

#[test]
fn a_cancelled_retry_cancels_the_call() {
    let mut fixture = fixture();
    let asked = fixture.call(&[form(1, "one")]);
    let again = fixture.start_retry(&asked, yes(&asked));
    assert_eq!(fixture.response().0, 1);
    fixture.gateway.cancel(again);
    let cancelled = fixture.fake.next_request("notifications/cancelled");
    let call = fixture.fake.next_request("tools/call");
    assert_eq!(cancelled.params()["requestId"], call.message["id"]);
    fixture.live.wait_until_closed();
}

#[test]
fn the_end_of_the_gateway_cancels_parked_calls() {
    let mut fixture = fixture();
    fixture.call(&[form(1, "one")]);
    fixture.gateway.eof();
    fixture.gateway.exit();
    let cancelled = fixture.fake.next_request("notifications/cancelled");
    let call = fixture.fake.next_request("tools/call");
    assert_eq!(cancelled.params()["requestId"], call.message["id"]);
}

#[test]
fn after_sixteen_rounds_the_backends_request_is_refused() {
    let mut fixture = fixture();
    let mut asked = fixture.call(&[form(1, "again?")]);
    for n in 2..=16 {
        let again = fixture.start_retry(&asked, yes(&asked));
        assert_eq!(fixture.response().1["result"]["action"], "accept");
        fixture.live.event(&form(n, "again?"));
        asked = fixture.gateway.answer(again);
    }
    let again = fixture.start_retry(&asked, yes(&asked));
    assert_eq!(fixture.response().0, 16);
    fixture.live.event(&form(17, "again?"));
    let (id, refusal) = fixture.response();
    assert_eq!((id, &refusal["error"]["code"]), (json!(17), &json!(-32603)));
    fixture.live.event(&text("enough"));
    assert_eq!(fixture.gateway.answer(again).text(), "enough");
}

#[test]
fn server_requests_work_in_prompts_and_resources_and_not_in_completions() {
    let fake = FakeBackend::start().prompt("p").resource("a:b");
    let mut gateway = TestGateway::over(&fake);
    gateway.modern(everything());
    for (method, params, end) in [
        (
            "prompts/get",
            json!({ "name": "p" }),
            json!({ "messages": [] }),
        ),
        (
            "resources/read",
            json!({ "uri": "a:b" }),
            json!({ "contents": [] }),
        ),
    ] {
        let live = LiveStream::new();
        fake.on(method, Reply::sse().live(&live));
        let id = gateway.request(method, params.clone());
        live.event(&form(1, "one"));
        let asked = gateway.answer(id);
        let again = gateway.retry(method, &params, &asked, yes(&asked));
        fake.next_request("response");
        live.event(&result(end));
        assert_eq!(gateway.answer(again).result()["resultType"], "complete");
        assert_eq!(fake.requests_of(method).len(), 1);
    }
    let live = LiveStream::new();
    fake.on("completion/complete", Reply::sse().live(&live));
    let reference = json!({ "type": "ref/prompt", "name": "p" });
    let id = gateway.request("completion/complete", json!({ "ref": reference }));
    live.event(&form(1, "one"));
    assert_eq!(
        fake.next_request("response").message["error"]["code"],
        -32601
    );
    live.event(&result(json!({ "completion": { "values": [] } })));
    gateway.answer(id).result();
}

#[test]
fn required_urls_become_input_requests_and_the_call_is_repeated() {
    let fake = FakeBackend::start().tool("ask");
    let elicitation = json!({ "mode": "url", "elicitationId": "e", "url": "https://a.example",
        "message": "sign in" });
    let first = error_with(
        -32042,
        "sign in first",
        &json!({ "elicitations": [elicitation] }),
    );
    fake.on_tool("ask", Reply::json(&first).runs(false));
    let mut gateway = TestGateway::over(&fake);
    gateway.modern(everything());
    let asked = gateway.ask("tools/call", params());
    let (key, input_request) = asked.input_request();
    let shown = json!({ "mode": "url", "url": "https://a.example", "message": "sign in" });
    assert_eq!(
        *input_request,
        json!({ "method": "elicitation/create", "params": attributed("fake", "elicitation/create", shown) })
    );
    assert_eq!(asked.request_state(), None);
    let answers = json!({ key: { "action": "accept" } });
    let again = gateway.retry("tools/call", &params(), &asked, answers);
    assert_eq!(gateway.answer(again).text(), r#"ask {"n":1}"#);
    let sent = fake.requests_of("tools/call");
    assert_eq!(sent[1].params()["inputResponses"], Value::Null);
    assert_eq!(fake.runs("ask"), 1);

    // After the user has declined, the request isn't repeated.
    fake.on_tool("ask", Reply::json(&first).runs(false));
    let declined = json!({ key: { "action": "decline" } });
    let again = gateway.retry("tools/call", &params(), &asked, declined);
    assert_eq!(gateway.answer(again).code(), -32603);

    fake.on_tool("ask", Reply::json(&first).runs(false));
    gateway.modern(json!({ "elicitation": { "form": {} } }));
    let refused = gateway.ask("tools/call", params());
    assert_eq!(refused.code(), -32021);
    let required = json!({ "elicitation": { "url": {} } });
    assert_eq!(refused.error()["data"]["requiredCapabilities"], required);
    assert!(refused.message().contains("elicitation by URL"));
}

/// Another call with the same deadline of two seconds ends meanwhile.
#[test]
fn the_clients_time_does_not_count_against_the_deadline() {
    let fake = FakeBackend::start().tool("ask").tool("slow");
    let live = LiveStream::new();
    fake.on_tool("ask", Reply::sse().live(&live));
    fake.on_tool("slow", Reply::stall());
    let mut gateway = TestGateway::with_config(&fake.entry("fake", "timeout_secs = 2"));
    gateway.modern(everything());
    let id = gateway.request("tools/call", params());
    live.event(&form(1, "one"));
    let asked = gateway.answer(id);
    let slow = gateway.call("slow", json!({}));
    assert_eq!(slow.gateway_error().0, "deadline");
    let again = gateway.retry("tools/call", &params(), &asked, yes(&asked));
    fake.next_request("response");
    live.event(&text("done"));
    assert_eq!(gateway.answer(again).text(), "done");
    assert_eq!(fake.runs("ask"), 1);
}

#[test]
fn a_parked_call_may_send_much_progress_without_harm() {
    let mut fixture = fixture();
    let asked = fixture.call(&[form(1, "one")]);
    for n in 0..10_000 {
        fixture.live.event(&progress(f64::from(n)));
    }
    fixture.live.event(&text("done"));
    fixture.live.end();
    fixture.live.wait_until_closed();
    assert_eq!(fixture.retry(&asked, yes(&asked)).text(), "done");
}
