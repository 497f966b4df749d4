//! Parked calls: a legacy backend sends a request during a call; the modern client gets
//! `input_required` and retries with its responses. The call stays parked until then and never runs
//! twice.

use serde_json::{Value, json};

use super::{accept, ask, asking, everything};
use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::{Answer, TestGateway};
use crate::common::message::{own_words, progress, request, text};
use crate::common::reply::Reply;
use crate::era_matrix::table::{LEGACY, MODERN, Pair};

pub(super) const PAIR: Pair = Pair::new(MODERN, LEGACY);

/// A backend whose tool `ask` sends requests, waits for a gate and returns, and a client with all
/// capabilities.
pub(super) struct Parked {
    pub fake: FakeBackend,
    pub gateway: TestGateway,
    pub gate: Gate,
    pub call: Value,
}

impl Parked {
    /// A call that is parked at one request, and the client's answer with it.
    pub fn asked() -> (Self, Answer) {
        let mut parked = Self::over(&[ask(0, "?")]);
        let asked = parked.call();
        (parked, asked)
    }

    /// The tool sends these requests.
    pub fn over(server_requests: &[Value]) -> Self {
        Self::with(|gate| asking(server_requests).hold(gate).event(text("done")))
    }

    /// The tool sends this reply.
    pub fn with(reply: impl FnOnce(&Gate) -> Reply) -> Self {
        let fake = PAIR.fake().tool("ask").tool("other");
        let gate = Gate::new();
        fake.on_tool("ask", reply(&gate));
        let gateway = PAIR.gateway_for(&fake, everything());
        let call = json!({ "name": "ask", "arguments": { "a": 1 } });
        Self {
            fake,
            gateway,
            gate,
            call,
        }
    }

    /// Calls the tool and returns the answer.
    pub fn call(&mut self) -> Answer {
        self.gateway.ask("tools/call", self.call.clone())
    }

    /// Retries with these responses and returns the id.
    pub fn retry(&mut self, asked: &Answer, answers: Value) -> u64 {
        self.gateway.retry("tools/call", &self.call, asked, answers)
    }

    /// Retries and accepts every input request; returns the id.
    pub fn retry_accepting(&mut self, asked: &Answer) -> u64 {
        let keys = asked
            .input_requests()
            .keys()
            .map(|key| (key.clone(), accept(key)));
        let answers = Value::Object(keys.collect());
        self.retry(asked, answers)
    }

    /// Asserts that the call reached the backend once and ran once.
    pub fn assert_ran_once(&self) {
        let calls = self.fake.requests_of("tools/call");
        let calls = calls.iter().filter(|call| call.tool() == "ask").count();
        assert_eq!((calls, self.fake.runs("ask")), (1, 1));
    }

    /// Asserts that the call fails.
    pub fn assert_fails(&mut self, id: u64) {
        let answer = self.gateway.answer(id);
        let code = answer.code();
        assert!(code == -32603 || code == -32602, "{answer:?}");
    }

    /// Asserts that the backend's other tool works.
    pub fn assert_other_works(&mut self) {
        assert_eq!(self.gateway.call("other", json!({})).text(), "other {}");
    }

    /// The response that the backend got to its request with this id.
    pub fn response_to(&self, id: impl Into<Value>) -> Option<Value> {
        let id = id.into();
        let answers = self.fake.requests_of("response").into_iter();
        answers
            .map(|answer| answer.message)
            .find(|answer| answer["id"] == id)
    }

    /// Opens the gate, and asserts that the call returns its result and ran once.
    pub fn finish(&mut self, id: u64) {
        self.gate.open();
        assert_eq!(self.gateway.answer(id).text(), "done");
        self.assert_ran_once();
    }
}

#[test]
fn concurrent_server_requests_are_one_round() {
    let mut parked = Parked::over(&[ask(0, "a"), ask("0", "b"), ask(7, "c")]);
    let asked = parked.call();
    let input_requests = asked.input_requests().clone();
    assert_eq!(input_requests.len(), 3);
    assert!(asked.request_state().is_some_and(Value::is_string));
    let answers: serde_json::Map<String, Value> = input_requests
        .iter()
        .map(|(key, input_request)| {
            let message = own_words(&input_request["params"]["message"]);
            (key.clone(), accept(message))
        })
        .collect();
    let id = parked.retry(&asked, Value::Object(answers));
    parked.fake.wait_for_requests("response", 3);
    for (request_id, message) in [(json!(0), "a"), (json!("0"), "b"), (json!(7), "c")] {
        let response = parked.response_to(request_id).unwrap();
        assert_eq!(response["result"], accept(message));
    }
    parked.finish(id);
}

#[test]
fn successive_server_requests_are_successive_rounds() {
    let gates = [Gate::new(), Gate::new()];
    let mut parked = Parked::with(|last| {
        let first = Reply::sse().event(ask(0, "first")).hold(&gates[0]);
        let second = first.event(ask(1, "second")).hold(&gates[1]);
        second.event(ask(2, "third")).hold(last).event(text("done"))
    });
    let mut asked = parked.call();
    for (nth, message) in [(0, "first"), (1, "second")] {
        assert_eq!(
            own_words(&asked.input_request().1["params"]["message"]),
            message
        );
        let id = parked.retry_accepting(&asked);
        parked.fake.wait_for_requests("response", nth + 1);
        assert!(parked.response_to(nth).unwrap()["result"].is_object());
        gates[nth].open();
        asked = parked.gateway.answer(id);
    }
    assert_eq!(
        own_words(&asked.input_request().1["params"]["message"]),
        "third"
    );
    let id = parked.retry_accepting(&asked);
    parked.finish(id);
}

#[test]
fn missing_responses_are_requested_again_and_unknown_keys_ignored() {
    let mut parked = Parked::over(&[ask(0, "a"), ask(1, "b")]);
    let asked = parked.call();
    let input_requests = asked.input_requests().clone();
    let key_of = |message: &str| {
        let mut all = input_requests.iter();
        let found = all
            .find(|(_, input_request)| own_words(&input_request["params"]["message"]) == message);
        found.unwrap().0.clone()
    };
    let answers = json!({ key_of("a"): accept("a"), "nobody's": accept("x") });
    let id = parked.retry(&asked, answers);
    let again = parked.gateway.answer(id);
    let (key, input_request) = again.input_request();
    assert_eq!(
        (key, own_words(&input_request["params"]["message"])),
        (key_of("b").as_str(), "b")
    );
    let id = parked.retry(&again, json!({ key: accept("b") }));
    parked.fake.wait_for_requests("response", 2);
    assert_eq!(parked.response_to(0).unwrap()["result"], accept("a"));
    assert_eq!(parked.response_to(1).unwrap()["result"], accept("b"));
    parked.finish(id);
    assert_eq!(parked.fake.requests_of("response").len(), 2);
}

#[test]
fn an_input_response_reaches_the_backend_byte_for_byte() {
    const RAW: &str = r#"{"action":"accept","content":{"z":1.10,"a":12345678901234567890}}"#;
    let (mut parked, asked) = Parked::asked();
    let mut params = parked.gateway.with_metadata(parked.call.clone());
    params["inputResponses"] = json!({ asked.input_request().0: "$raw" });
    params["requestState"] = asked.request_state().unwrap().clone();
    let call = json!({ "jsonrpc": "2.0", "id": "r", "method": "tools/call", "params": params });
    parked
        .gateway
        .send_raw(call.to_string().replace("\"$raw\"", RAW));
    let answer = parked.fake.next_request("response");
    let body = String::from_utf8(answer.body).unwrap();
    assert!(body.contains(&format!(r#""result":{RAW}"#)), "{body}");
    parked.gate.open();
    assert_eq!(parked.gateway.answer("r").text(), "done");
}

#[test]
fn a_forged_state_is_refused_and_the_original_stays_valid() {
    let (mut parked, asked) = Parked::asked();
    let state = asked.request_state().unwrap().as_str().unwrap().to_owned();
    let mut flipped = state.clone().into_bytes();
    let middle = flipped.len() / 2;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    let shorter = &state[..state.len() - 1];
    let longer = format!("{state}A");
    for forged in ["", "nonsense", &flipped, shorter, &longer] {
        let mut params = parked.call.clone();
        params["requestState"] = json!(forged);
        params["inputResponses"] = json!({ asked.input_request().0: accept("evil") });
        let refused = parked.gateway.ask("tools/call", params);
        assert_eq!(refused.code(), -32602, "{forged}");
    }
    assert!(parked.fake.requests_of("response").is_empty());
    let id = parked.retry_accepting(&asked);
    parked.finish(id);
}

#[test]
fn a_state_is_valid_once() {
    let (mut parked, asked) = Parked::asked();
    let id = parked.retry_accepting(&asked);
    parked.fake.next_request("response");
    let while_it_runs = parked.retry_accepting(&asked);
    assert_eq!(parked.gateway.answer(while_it_runs).code(), -32602);
    parked.finish(id);
    let afterwards = parked.retry_accepting(&asked);
    assert_eq!(parked.gateway.answer(afterwards).code(), -32602);
    parked.assert_ran_once();
    assert_eq!(parked.fake.requests_of("response").len(), 1);
}

#[test]
fn a_state_belongs_to_its_method_and_its_params() {
    let (mut parked, asked) = Parked::asked();
    let answers = json!({ asked.input_request().0: accept("x") });
    for (method, params) in [
        (
            "tools/call",
            json!({ "name": "ask", "arguments": { "a": 2 } }),
        ),
        ("tools/call", json!({ "name": "ask" })),
        (
            "tools/call",
            json!({ "name": "other", "arguments": { "a": 1 } }),
        ),
        (
            "prompts/get",
            json!({ "name": "ask", "arguments": { "a": 1 } }),
        ),
    ] {
        let id = parked
            .gateway
            .retry(method, &params, &asked, answers.clone());
        let refused = parked.gateway.answer(id);
        assert_eq!(refused.code(), -32602, "{method} {params}");
    }
    assert_eq!(parked.fake.runs("other"), 0);
    // `_meta` may differ.
    parked.call["_meta"] = json!({ "progressToken": "new", "com.example/x": 1 });
    let id = parked.retry_accepting(&asked);
    parked.finish(id);
}

#[test]
fn a_parked_call_sends_no_progress_and_then_uses_the_new_token() {
    let parked_at = Gate::new();
    let mut parked = Parked::with(|last| {
        let before = Reply::sse().event(progress(1.0)).event(ask(0, "?"));
        let during = before.hold(&parked_at).event(progress(2.0)).hold(last);
        during.event(progress(3.0)).event(text("done"))
    });
    parked.call["_meta"] = json!({ "progressToken": "old" });
    let asked = parked.call();
    let received = parked.gateway.next_notification("notifications/progress");
    assert_eq!(received.params()["progressToken"], "old");
    parked_at.open();
    parked.gate.wait_for(1);
    parked.call["_meta"] = json!({ "progressToken": 17 });
    let id = parked.retry_accepting(&asked);
    parked.fake.next_request("response");
    parked.gate.open();
    loop {
        let received = parked.gateway.next_notification("notifications/progress");
        assert_eq!(received.params()["progressToken"], 17);
        if received.params()["progress"] == 3.0 {
            break;
        }
    }
    parked.finish(id);
}

#[test]
fn capabilities_are_those_of_the_latest_round() {
    let between = Gate::new();
    let mut parked = Parked::with(|last| {
        let sample = json!({ "messages": [], "maxTokens": 1 });
        let second = request(json!(1), "sampling/createMessage", sample);
        let first = Reply::sse().event(ask(0, "?")).hold(&between);
        first.event(second).hold(last).event(text("done"))
    });
    let asked = parked.call();
    parked.gateway.modern(json!({ "elicitation": {} }));
    let id = parked.retry_accepting(&asked);
    parked.fake.wait_for_requests("response", 1);
    between.open();
    parked.fake.wait_for_requests("response", 2);
    let refused = parked.response_to(1).unwrap();
    assert!(refused["error"]["code"].is_i64(), "{refused}");
    parked.finish(id);
}

#[test]
fn twenty_parked_calls_get_their_own_responses() {
    let fake = PAIR.fake();
    let names: Vec<String> = (0..20).map(|n| format!("t{n}")).collect();
    let fake = names.iter().fold(fake, |fake, name| fake.tool(name));
    let gate = Gate::new();
    for name in &names {
        let stream = Reply::sse().event(ask(0, name)).hold(&gate);
        fake.on_tool(name, stream.event(text(name)));
    }
    let mut gateway = PAIR.gateway_for(&fake, everything());
    let calls: Vec<u64> = names
        .iter()
        .map(|name| gateway.start_call(name, json!({})))
        .collect();
    let asked: Vec<Answer> = calls.into_iter().map(|id| gateway.answer(id)).collect();
    let mut retries = Vec::new();
    for (name, asked) in names.iter().zip(&asked).rev() {
        let (key, input_request) = asked.input_request();
        assert_eq!(own_words(&input_request["params"]["message"]), *name);
        let call = json!({ "name": name, "arguments": {} });
        let answers = json!({ key: accept(name) });
        retries.push((name, gateway.retry("tools/call", &call, asked, answers)));
    }
    fake.wait_for_requests("response", 20);
    gate.open();
    for (name, id) in retries {
        assert_eq!(gateway.answer(id).text(), name);
        assert_eq!(fake.runs(name), 1);
    }
}

/// Beyond the limit the backend's request is refused, and every call still gets a response.
#[test]
fn the_number_of_parked_calls_is_limited() {
    const CALLS: usize = 300;
    let fake = PAIR.fake().tool("ask");
    let gate = Gate::new();
    fake.always_tool(
        "ask",
        asking(&[ask(0, "?")]).hold(&gate).event(text("done")),
    );
    let toml = fake.entry("fake", "max_in_flight = 1000");
    let mut gateway = PAIR.gateway_with(&toml, everything());
    let ids: Vec<u64> = (0..CALLS)
        .map(|_| gateway.start_call("ask", json!({})))
        .collect();
    gate.wait_for(CALLS);
    let refused = fake.next_request("response").message;
    assert!(refused["error"]["code"].is_i64(), "{refused}");
    gate.open();
    let answers = ids.into_iter().map(|id| gateway.answer(id));
    let parked = answers.filter(Answer::is_input_required).count();
    assert!((1..CALLS).contains(&parked), "{parked} are parked");
    assert_eq!(fake.runs("ask"), CALLS);
}
