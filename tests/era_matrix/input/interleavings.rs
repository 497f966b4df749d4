//! Concurrent calls with server requests and input requests in a random order. In any order every
//! request gets its own response, and every tool runs once.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::{accept, ask, elicit, everything};
use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::{Answer, TestGateway};
use crate::common::message::{notification, own_words, progress, text};
use crate::common::reply::Reply;
use crate::common::rng::Rng;
use crate::era_matrix::table::{LEGACY, MODERN, Pair};

const CALLS: usize = 12;
const SEEDS: u64 = 12;

fn name(call: usize) -> String {
    format!("t{call}")
}

/// Scripts a legacy backend's tool: requests, some of them cancelled, progress, and waits for
/// responses. Returns the ids that must be answered.
fn legacy_script(fake: &FakeBackend, tool: &str, rng: &mut Rng) -> Vec<String> {
    let mut stream = Reply::sse();
    let mut open: Vec<(String, Gate)> = Vec::new();
    let mut answered = Vec::new();
    for step in 0..3 + rng.below(6) {
        match rng.below(4) {
            0 => stream = stream.event(progress(step as f64)),
            1 if !open.is_empty() && rng.below(3) == 0 => {
                let (id, _) = open.remove(rng.below(open.len()));
                let params = json!({ "requestId": id });
                stream = stream.event(notification("notifications/cancelled", params));
            }
            2 if !open.is_empty() => {
                for (id, gate) in open.drain(..) {
                    stream = stream.hold(&gate);
                    answered.push(id);
                }
            }
            _ => {
                let id = format!("{tool}-{step}");
                let gate = fake.response_gate(&json!(id));
                stream = stream.event(ask(id.clone(), &id));
                open.push((id, gate));
            }
        }
    }
    for (id, gate) in open {
        stream = stream.hold(&gate);
        answered.push(id);
    }
    fake.on_tool(tool, stream.event(text(tool)));
    answered
}

/// Scripts a modern backend's tool: rounds of input requests, some without a state. Returns the keys
/// that must be answered.
fn modern_script(fake: &FakeBackend, tool: &str, rng: &mut Rng) -> Vec<String> {
    let mut answered = Vec::new();
    for round in 0..rng.below(4) {
        let mut inputs = Map::new();
        for n in 0..1 + rng.below(3) {
            let key = format!("{tool}-{round}-{n}");
            inputs.insert(key.clone(), elicit(&key));
            answered.push(key);
        }
        let state = format!("{tool} {round}");
        let state = (rng.below(3) > 0).then_some(state.as_str());
        fake.on_tool(tool, Reply::input_required(&Value::Object(inputs), state));
    }
    answered
}

/// A client of either era that answers every request, in a random order.
struct Driver {
    gateway: TestGateway,
    modern: bool,
    rng: Rng,
}

impl Driver {
    /// Calls all tools concurrently, and answers until all calls are complete.
    fn run(&mut self) {
        let mut pending = HashMap::new();
        for call in 0..CALLS {
            let meta = json!({ "progressToken": name(call) });
            let params = json!({ "name": name(call), "arguments": {}, "_meta": meta });
            pending.insert(self.gateway.request("tools/call", params), call);
        }
        while !pending.is_empty() {
            let message = self.gateway.next_message();
            if message.method() == Some("elicitation/create") {
                let text = own_words(&message.params()["message"]).to_owned();
                self.gateway.respond(&message, accept(&text));
            } else if message.is_response() {
                let id = message.id().as_u64().unwrap();
                let call = pending.remove(&id).unwrap();
                let answer = Answer(message);
                if answer.is_input_required() {
                    assert!(self.modern);
                    pending.insert(self.retry(call, &answer), call);
                } else {
                    assert!(answer.text().starts_with(&name(call)), "{answer:?}");
                }
            }
        }
    }

    /// Retries with a random part of the responses.
    fn retry(&mut self, call: usize, asked: &Answer) -> u64 {
        let mut answers = Map::new();
        for (key, input_request) in asked.input_requests() {
            if self.rng.below(4) > 0 {
                let message = own_words(&input_request["params"]["message"]);
                answers.insert(key.clone(), accept(message));
            }
        }
        let meta =
            json!({ "progressToken": format!("{}-{}", name(call), self.rng.below(1 << 30)) });
        let params = json!({ "name": name(call), "arguments": {}, "_meta": meta });
        self.gateway
            .retry("tools/call", &params, asked, Value::Object(answers))
    }
}

/// Scripts a tool of a backend, and returns which requests must be answered.
type Script = fn(&FakeBackend, &str, &mut Rng) -> Vec<String>;

/// Runs a seed to the end. Returns the backend, all requests that must be answered, and the driver,
/// which keeps the gateway running until the test has inspected the backend.
fn run_seed(pair: Pair, seed: u64, script: Script) -> (FakeBackend, Vec<String>, Driver) {
    let fake = (0..CALLS).fold(pair.fake(), |fake, call| fake.tool(&name(call)));
    let mut rng = Rng(seed);
    let scripts = (0..CALLS).map(|call| script(&fake, &name(call), &mut rng));
    let expected = scripts.flatten().collect();
    let mut driver = Driver {
        gateway: pair.gateway_for(&fake, everything()),
        modern: pair.modern_client(),
        rng,
    };
    driver.run();
    (fake, expected, driver)
}

fn assert_each_ran_once(fake: &FakeBackend, seed: u64) {
    for call in 0..CALLS {
        assert_eq!(fake.runs(&name(call)), 1, "seed {seed}");
    }
}

#[test]
fn legacy_backends_are_answered_in_any_order() {
    for client in [LEGACY, MODERN] {
        for seed in 0..SEEDS {
            let pair = Pair::new(client, LEGACY);
            let (fake, expected, _driver) = run_seed(pair, seed, legacy_script);
            let mut response = HashMap::new();
            for answer in fake.requests_of("response") {
                let id = answer.message["id"].as_str().unwrap().to_owned();
                let twice = response.insert(id, answer.message["result"].clone());
                assert!(twice.is_none(), "seed {seed}: answered twice: {answer:?}");
            }
            for id in expected {
                assert_eq!(response.get(&id), Some(&accept(&id)), "seed {seed}");
            }
            assert_eq!(fake.requests_of("tools/call").len(), CALLS, "seed {seed}");
            assert_each_ran_once(&fake, seed);
        }
    }
}

#[test]
fn modern_backends_are_answered_in_any_order() {
    for client in [LEGACY, MODERN] {
        for seed in 0..SEEDS {
            let pair = Pair::new(client, MODERN);
            let (fake, expected, _driver) = run_seed(pair, seed, modern_script);
            let mut response = HashMap::new();
            for call in fake.requests_of("tools/call") {
                let answers = call.params()["inputResponses"].as_object().cloned();
                response.extend(answers.into_iter().flatten());
            }
            // Between modern sides a client may omit responses; the gateway must not add them.
            let lenient = pair.modern_client();
            for key in expected {
                let received = response.get(&key);
                assert!(
                    received == Some(&accept(&key)) || (lenient && received.is_none()),
                    "seed {seed}"
                );
            }
            assert_each_ran_once(&fake, seed);
        }
    }
}

/// A client of each era with one backend of each era.
#[test]
fn all_pairs_of_eras_work_concurrently() {
    let fakes = [
        FakeBackend::start().tool("l").with_get(),
        FakeBackend::start().tool("m").modern(),
    ];
    let toml = fakes[0].entry("legacy", "") + &fakes[1].entry("modern", "");
    let mut gateway = TestGateway::with_config(&toml);
    gateway.initialize_with(LEGACY, everything()).result();
    for round in 0..20 {
        let inputs = json!({ "k": elicit("m") });
        for id in [2 * round, 2 * round + 1] {
            let gate = fakes[0].response_gate(&json!(id));
            let stream = Reply::sse().event(ask(id, "l")).hold(&gate);
            fakes[0].on_tool("l", stream.event(text("l")));
            fakes[1].on_tool("m", Reply::input_required(&inputs, Some("s")));
        }
        let legacy = ["l", "m"].map(|tool| gateway.start_call(tool, json!({})));
        gateway.modern(everything());
        let modern = ["l", "m"].map(|tool| gateway.start_call(tool, json!({})));
        fakes[1].wait_for_requests("tools/call", 4 * round + 2);
        for _ in legacy {
            let server_request = gateway.next_request("elicitation/create");
            let message = own_words(&server_request.params()["message"]).to_owned();
            gateway.respond(&server_request, accept(&message));
        }
        for (id, tool) in modern.into_iter().zip(["l", "m"]) {
            let mut answer = gateway.answer(id);
            let call = json!({ "name": tool, "arguments": {} });
            while answer.is_input_required() {
                let (key, input_request) = answer.input_request();
                let message = own_words(&input_request["params"]["message"]);
                let answers = json!({ key: accept(message) });
                let id = gateway.retry("tools/call", &call, &answer, answers);
                answer = gateway.answer(id);
            }
            assert!(answer.text().starts_with(tool));
        }
        gateway.legacy();
        for (id, tool) in legacy.into_iter().zip(["l", "m"]) {
            assert!(gateway.answer(id).text().starts_with(tool));
        }
    }
    assert_eq!((fakes[0].runs("l"), fakes[1].runs("m")), (40, 40));
}
