//! A legacy backend that asks in the middle of a modern client's call: the client is answered
//! with questions, comes back with answers, and the tool runs once.

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gateway::{Answer, TestGateway};
use crate::common::live_stream::LiveStream;
use crate::common::message::{error, error_with, notification, progress};
use crate::common::message::{request, result, text};
use crate::common::reply::Reply;

/// One backend with one tool, whose stream the test writes, and a client that can be asked.
struct Rig {
    fake: FakeBackend,
    live: LiveStream,
    gateway: TestGateway,
}

fn everything() -> Value {
    json!({ "sampling": {}, "roots": {}, "elicitation": { "form": {}, "url": {} } })
}

fn rig() -> Rig {
    rig_with("")
}

fn rig_with(entry: &str) -> Rig {
    let fake = FakeBackend::start().tool("ask");
    let live = LiveStream::new();
    fake.on_tool("ask", Reply::sse().live(&live));
    let mut gateway = TestGateway::with_config(&fake.entry("fake", entry));
    gateway.modern(everything());
    Rig {
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

impl Rig {
    /// Calls the tool, which asks this; the questions of the client's answer.
    fn call(&mut self, ask: &[Value]) -> Answer {
        let id = self.gateway.request("tools/call", params());
        // In one piece: how long it takes to come is not what is tested.
        let events = ask.iter().map(|ask| format!("data: {ask}\n\n"));
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

    /// What the backend is answered next: the id it asked under, and the whole answer.
    fn heard(&self) -> (Value, Value) {
        let answer = self.fake.next_request("response").message;
        (answer["id"].clone(), answer)
    }
}

impl Drop for Rig {
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
fn a_question_is_answered_by_asking_again_and_the_tool_runs_once() {
    let mut rig = rig();
    let asked = rig.call(&[form(7, "name?")]);
    let (key, question) = asked.input_request();
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(question["params"]["message"], "name?");
    let answers = json!({ key: { "action": "accept", "content": { "name": 1.10 } } });
    let again = rig.start_retry(&asked, answers);
    let (id, heard) = rig.heard();
    assert_eq!(id, 7);
    assert_eq!(heard["result"]["content"], json!({ "name": 1.10 }));
    rig.live.event(&text("done"));
    let done = rig.gateway.answer(again);
    assert_eq!(done.text(), "done");
    assert_eq!(done.result()["resultType"], "complete");
    assert_eq!(rig.fake.runs("ask"), 1);
}

#[test]
fn every_kind_of_question_and_several_rounds() {
    let mut rig = rig();
    let mut asked = rig.call(&[request(json!("r"), "roots/list", json!({}))]);
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
        let again = rig.start_retry(&asked, json!({ key: { "n": n } }));
        assert_eq!(rig.heard().1["result"]["n"], n);
        rig.live.event(&request(json!(n), method, params.clone()));
        asked = rig.gateway.answer(again);
        let (_, question) = asked.input_request();
        assert_eq!(*question, json!({ "method": method, "params": params }));
    }
    let again = rig.start_retry(&asked, yes(&asked));
    rig.live.event(&text("done"));
    assert_eq!(rig.gateway.answer(again).text(), "done");
}

#[test]
fn questions_that_come_together_are_asked_together() {
    let mut rig = rig();
    let asked = rig.call(&[form(1, "one"), form(2, "two"), form(3, "three")]);
    assert_eq!(asked.input_requests().len(), 3);
    let answers = asked.input_requests().iter().map(|(key, question)| {
        let message = question["params"]["message"].clone();
        (
            key.clone(),
            json!({ "action": "accept", "content": { "m": message } }),
        )
    });
    let answers = Value::Object(answers.collect());
    let again = rig.start_retry(&asked, answers);
    let mut heard = [rig.heard(), rig.heard(), rig.heard()];
    heard.sort_by_key(|(id, _)| id.as_u64());
    for ((id, answer), (n, message)) in heard.iter().zip([(1, "one"), (2, "two"), (3, "three")]) {
        assert_eq!(*id, n);
        assert_eq!(answer["result"]["content"]["m"], message);
    }
    rig.live.event(&text("done"));
    assert_eq!(rig.gateway.answer(again).text(), "done");
}

#[test]
fn what_was_left_unanswered_is_asked_again() {
    let mut rig = rig();
    let asked = rig.call(&[form(1, "one"), form(2, "two")]);
    let keys: Vec<String> = asked.input_requests().keys().cloned().collect();
    let half = json!({ &keys[0]: { "action": "decline" }, "nobody": {} });
    let asked_again = rig.retry(&asked, half);
    assert_eq!(asked_again.input_request().0, keys[1]);
    assert_ne!(asked_again.request_state(), asked.request_state());
    assert_eq!(rig.heard().1["result"]["action"], "decline");
    let none = rig.retry(&asked_again, json!({}));
    assert_eq!(none.input_request().0, keys[1]);
    let again = rig.start_retry(&none, yes(&none));
    assert_eq!(rig.heard().0, 2);
    rig.live.event(&text("done"));
    assert_eq!(rig.gateway.answer(again).text(), "done");
}

#[test]
fn a_state_is_good_once_for_the_same_request_and_unchanged() {
    let mut rig = rig();
    let asked = rig.call(&[form(1, "one")]);
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
        let refused = rig.gateway.ask("tools/call", params);
        assert_eq!(refused.code(), -32602, "{}", refused.message());
    }
    let as_prompt = retry(params(), &state);
    assert_eq!(rig.gateway.ask("prompts/get", as_prompt).code(), -32602);
    let mut bad = retry(params(), &state);
    bad["inputResponses"] = json!({ "ask-1": "yes" });
    assert_eq!(rig.gateway.ask("tools/call", bad).code(), -32602);

    let again = rig.start_retry(&asked, answers.clone());
    assert_eq!(rig.heard().0, 1);
    let used = rig.retry(&asked, answers.clone());
    assert_eq!(used.code(), -32602);
    rig.live.event(&text("done"));
    assert_eq!(rig.gateway.answer(again).text(), "done");
    assert_eq!(rig.retry(&asked, answers).code(), -32602);
}

#[test]
fn the_end_that_comes_meanwhile_is_kept_for_the_retry() {
    let mut rig = rig();
    let asked = rig.call(&[form(1, "one")]);
    rig.live.event(&text("done all the same"));
    rig.live.end();
    rig.live.wait_until_closed();
    let done = rig.retry(&asked, yes(&asked));
    assert_eq!(done.text(), "done all the same");
    assert!(rig.fake.requests_of("response").is_empty());
}

#[test]
fn a_connection_lost_meanwhile_is_told_at_the_retry_and_nothing_runs_again() {
    let safe = "tools.retry = { ask = \"always\" }";
    let mut rig = rig_with(safe);
    let asked = rig.call(&[form(1, "one")]);
    rig.live.hang_up();
    rig.live.wait_until_closed();
    let lost = rig.retry(&asked, yes(&asked));
    assert_eq!(lost.gateway_error(), ("outcome_unknown", "unknown", 1));
}

#[test]
fn a_question_that_the_backend_takes_back_is_not_asked() {
    let mut rig = rig();
    let taken_back = |id: u64| notification("notifications/cancelled", json!({ "requestId": id }));
    let asked = rig.call(&[form(1, "one"), taken_back(1), form(2, "two")]);
    assert_eq!(asked.input_request().1["params"]["message"], "two");
    rig.live.event(&taken_back(2));
    rig.live.event(&form(3, "three"));
    rig.live.event(&request(json!(4), "ping", json!({})));
    assert_eq!(rig.heard().0, 4, "a ping is answered meanwhile");
    let next = rig.retry(&asked, yes(&asked));
    assert_eq!(next.input_request().1["params"]["message"], "three");
    let again = rig.start_retry(&next, yes(&next));
    assert_eq!(rig.heard().0, 3);
    rig.live.event(&text("done"));
    assert_eq!(rig.gateway.answer(again).text(), "done");
}

#[test]
fn progress_and_logs_go_to_the_request_in_flight_under_its_token_and_level() {
    let mut rig = rig();
    let log = |level: &str| {
        notification(
            "notifications/message",
            json!({ "level": level, "data": level }),
        )
    };
    let mut first = params();
    first["_meta"] = json!({ "progressToken": "first" });
    let id = rig.gateway.request("tools/call", first);
    rig.live.event(&progress(1.0));
    rig.live.event(&log("error"));
    rig.live.event(&form(1, "one"));
    let note = rig.gateway.next_notification("notifications/progress");
    assert_eq!(note.params()["progressToken"], "first");
    let asked = rig.gateway.answer(id);

    rig.live.event(&progress(2.0));
    rig.live.event(&log("error"));
    rig.live.event(&request(json!(9), "ping", json!({})));
    assert_eq!(rig.heard().0, 9);

    let mut second = params();
    second["_meta"] = json!({ "progressToken": 2, "io.modelcontextprotocol/logLevel": "warning" });
    let again = rig
        .gateway
        .retry("tools/call", &second, &asked, yes(&asked));
    assert_eq!(rig.heard().0, 1);
    for message in [progress(3.0), log("info"), log("error"), text("done")] {
        rig.live.event(&message);
    }
    let note = rig.gateway.next_notification("notifications/progress");
    assert_eq!(
        note.params(),
        &json!({ "progressToken": 2, "progress": 3.0 })
    );
    let note = rig.gateway.next_notification("notifications/message");
    assert_eq!(note.params()["level"], "error");
    assert_eq!(rig.gateway.answer(again).text(), "done");
}

#[test]
fn a_retry_that_wants_more_logs_has_the_backend_say_more() {
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
fn what_a_request_does_not_declare_is_refused_to_the_backend() {
    let mut rig = rig();
    rig.gateway.modern(json!({ "elicitation": {} }));
    let id = rig.gateway.request("tools/call", params());
    for (n, (method, params, code)) in [
        ("sampling/createMessage", json!({}), -32601),
        ("roots/list", json!({}), -32601),
        ("elicitation/create", json!({ "mode": "url" }), -32602),
        ("tools/list", json!({}), -32601),
    ]
    .into_iter()
    .enumerate()
    {
        rig.live.event(&request(json!(n), method, params));
        let (id, refusal) = rig.heard();
        assert_eq!(
            (id, refusal["error"]["code"].as_i64()),
            (json!(n), Some(code))
        );
    }
    rig.live.event(&text("done"));
    assert_eq!(rig.gateway.answer(id).text(), "done");
}

#[test]
fn a_call_that_fails_for_want_of_a_capability_names_it() {
    let failed = json!({ "content": [{ "type": "text", "text": "no" }], "isError": true });
    for end in [result(failed), error(-32000, "no")] {
        let mut rig = rig();
        rig.gateway.modern(json!({ "elicitation": {} }));
        let id = rig.gateway.request("tools/call", params());
        rig.live.event(&request(json!(1), "roots/list", json!({})));
        rig.heard();
        rig.live.event(&end);
        let missing = rig.gateway.answer(id);
        assert_eq!(missing.code(), -32021);
        let required = &missing.error()["data"]["requiredCapabilities"];
        assert_eq!(*required, json!({ "roots": {} }));
    }
}

#[test]
fn a_call_that_fails_for_other_reasons_keeps_its_error() {
    let mut rig = rig();
    rig.gateway.modern(json!({ "elicitation": {} }));
    let asked = rig.call(&[
        form(1, "one"),
        request(json!(2), "tools/list", json!({})),
        request(json!(3), "roots/list", json!({})),
    ]);
    for _ in 0..2 {
        assert_eq!(rig.heard().1["error"]["code"], -32601);
    }
    // What it was refused can't be why: it could be asked now.
    rig.gateway
        .modern(json!({ "elicitation": {}, "roots": {} }));
    let again = rig.start_retry(&asked, yes(&asked));
    rig.live.event(&error(-32000, "mine"));
    assert_eq!(rig.gateway.answer(again).code(), -32000);
}

#[test]
fn a_retry_that_declares_less_is_not_asked_for_more() {
    let mut rig = rig();
    let asked = rig.call(&[form(1, "one"), request(json!(2), "roots/list", json!({}))]);
    rig.gateway.modern(json!({ "elicitation": {} }));
    let form_only = json!({ "ask-1": { "action": "accept" } });
    let again = rig.start_retry(&asked, form_only);
    let mut heard = [rig.heard(), rig.heard()];
    heard.sort_by_key(|(id, _)| id.as_u64());
    assert_eq!(heard[0].1["result"]["action"], "accept");
    assert_eq!(heard[1].1["error"]["code"], -32601);
    rig.live.event(&text("done"));
    assert_eq!(rig.gateway.answer(again).text(), "done");
}

#[test]
fn a_cancelled_retry_cancels_the_call() {
    let mut rig = rig();
    let asked = rig.call(&[form(1, "one")]);
    let again = rig.start_retry(&asked, yes(&asked));
    assert_eq!(rig.heard().0, 1);
    rig.gateway.cancel(again);
    let cancelled = rig.fake.next_request("notifications/cancelled");
    let call = rig.fake.next_request("tools/call");
    assert_eq!(cancelled.params()["requestId"], call.message["id"]);
    rig.live.wait_until_closed();
}

#[test]
fn the_end_of_the_gateway_cancels_what_waits() {
    let mut rig = rig();
    rig.call(&[form(1, "one")]);
    rig.gateway.eof();
    rig.gateway.exit();
    let cancelled = rig.fake.next_request("notifications/cancelled");
    let call = rig.fake.next_request("tools/call");
    assert_eq!(cancelled.params()["requestId"], call.message["id"]);
}

#[test]
fn after_sixteen_rounds_the_backend_is_told_that_it_asks_too_much() {
    let mut rig = rig();
    let mut asked = rig.call(&[form(1, "again?")]);
    for n in 2..=16 {
        let again = rig.start_retry(&asked, yes(&asked));
        assert_eq!(rig.heard().1["result"]["action"], "accept");
        rig.live.event(&form(n, "again?"));
        asked = rig.gateway.answer(again);
    }
    let again = rig.start_retry(&asked, yes(&asked));
    assert_eq!(rig.heard().0, 16);
    rig.live.event(&form(17, "again?"));
    let (id, refusal) = rig.heard();
    assert_eq!((id, &refusal["error"]["code"]), (json!(17), &json!(-32603)));
    rig.live.event(&text("enough"));
    assert_eq!(rig.gateway.answer(again).text(), "enough");
}

#[test]
fn prompts_and_resources_may_ask_and_completions_may_not() {
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
fn urls_to_be_visited_first_become_questions_and_the_call_is_made_again() {
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
    let (key, question) = asked.input_request();
    let shown = json!({ "mode": "url", "url": "https://a.example", "message": "sign in" });
    assert_eq!(
        *question,
        json!({ "method": "elicitation/create", "params": shown })
    );
    assert_eq!(asked.request_state(), None);
    let answers = json!({ key: { "action": "accept" } });
    let again = gateway.retry("tools/call", &params(), &asked, answers);
    assert_eq!(gateway.answer(again).text(), r#"ask {"n":1}"#);
    let sent = fake.requests_of("tools/call");
    assert_eq!(sent[1].params()["inputResponses"], Value::Null);
    assert_eq!(fake.runs("ask"), 1);

    // A user who said no isn't asked the same again.
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

/// How long that is, another call shows: it has the same two seconds, and ends meanwhile.
#[test]
fn the_time_that_the_client_takes_is_not_the_calls() {
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
fn a_waiting_call_may_flood_without_a_listener() {
    let mut rig = rig();
    let asked = rig.call(&[form(1, "one")]);
    for n in 0..10_000 {
        rig.live.event(&progress(f64::from(n)));
    }
    rig.live.event(&text("done"));
    rig.live.end();
    rig.live.wait_until_closed();
    assert_eq!(rig.retry(&asked, yes(&asked)).text(), "done");
}
