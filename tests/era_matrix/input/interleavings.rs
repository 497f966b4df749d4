//! Many calls at once, each asked this and that in an order that chance gives. Whatever the order,
//! every question is answered with its own answer, and every tool runs once.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::{accept, ask, elicit, everything};
use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::{Answer, TestGateway};
use crate::common::message::{notification, progress, text};
use crate::common::reply::Reply;
use crate::common::rng::Rng;
use crate::era_matrix::table::{LEGACY, MODERN, Pair};

const CALLS: usize = 12;
const SEEDS: u64 = 12;

fn name(call: usize) -> String {
    format!("t{call}")
}

/// What a legacy backend's tool does: questions, some taken back, progress, waits for answers.
fn legacy_story(fake: &FakeBackend, tool: &str, rng: &mut Rng) -> Vec<String> {
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

/// What a modern backend's tool does: rounds of questions, some without a state.
fn modern_story(fake: &FakeBackend, tool: &str, rng: &mut Rng) -> Vec<String> {
    let mut answered = Vec::new();
    for round in 0..rng.below(4) {
        let mut asks = Map::new();
        for n in 0..1 + rng.below(3) {
            let key = format!("{tool}-{round}-{n}");
            asks.insert(key.clone(), elicit(&key));
            answered.push(key);
        }
        let state = format!("{tool} {round}");
        let state = (rng.below(3) > 0).then_some(state.as_str());
        fake.on_tool(tool, Reply::input_required(&Value::Object(asks), state));
    }
    answered
}

/// A client of either era that answers whatever it is asked, in an order that chance gives.
struct Player {
    gateway: TestGateway,
    modern: bool,
    rng: Rng,
}

impl Player {
    /// Calls all tools at once, and plays to the end.
    fn play(&mut self) {
        let mut pending = HashMap::new();
        for call in 0..CALLS {
            let meta = json!({ "progressToken": name(call) });
            let params = json!({ "name": name(call), "arguments": {}, "_meta": meta });
            pending.insert(self.gateway.request("tools/call", params), call);
        }
        while !pending.is_empty() {
            let message = self.gateway.next_message();
            if message.method() == Some("elicitation/create") {
                let words = message.params()["message"].as_str().unwrap().to_owned();
                self.gateway.respond(&message, accept(&words));
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

    /// Answers all or some.
    fn retry(&mut self, call: usize, asked: &Answer) -> u64 {
        let mut answers = Map::new();
        for (key, question) in asked.input_requests() {
            if self.rng.below(4) > 0 {
                let words = question["params"]["message"].as_str().unwrap();
                answers.insert(key.clone(), accept(words));
            }
        }
        let meta =
            json!({ "progressToken": format!("{}-{}", name(call), self.rng.below(1 << 30)) });
        let params = json!({ "name": name(call), "arguments": {}, "_meta": meta });
        self.gateway
            .retry("tools/call", &params, asked, Value::Object(answers))
    }
}

/// Scripts a tool of a backend, and says which questions must be answered.
type Story = fn(&FakeBackend, &str, &mut Rng) -> Vec<String>;

/// Plays a seed's stories to the end: the backend, all that must be answered, and the player, whose
/// gateway runs on until the test has looked at the backend.
fn played(pair: Pair, seed: u64, story: Story) -> (FakeBackend, Vec<String>, Player) {
    let fake = (0..CALLS).fold(pair.fake(), |fake, call| fake.tool(&name(call)));
    let mut rng = Rng(seed);
    let stories = (0..CALLS).map(|call| story(&fake, &name(call), &mut rng));
    let expected = stories.flatten().collect();
    let mut player = Player {
        gateway: pair.gateway_for(&fake, everything()),
        modern: pair.modern_client(),
        rng,
    };
    player.play();
    (fake, expected, player)
}

fn each_ran_once(fake: &FakeBackend, seed: u64) {
    for call in 0..CALLS {
        assert_eq!(fake.runs(&name(call)), 1, "seed {seed}");
    }
}

#[test]
fn legacy_backends_are_answered_in_any_order() {
    for client in [LEGACY, MODERN] {
        for seed in 0..SEEDS {
            let pair = Pair::new(client, LEGACY);
            let (fake, expected, _player) = played(pair, seed, legacy_story);
            let mut heard = HashMap::new();
            for answer in fake.requests_of("response") {
                let id = answer.message["id"].as_str().unwrap().to_owned();
                let twice = heard.insert(id, answer.message["result"].clone());
                assert!(twice.is_none(), "seed {seed}: answered twice: {answer:?}");
            }
            for id in expected {
                assert_eq!(heard.get(&id), Some(&accept(&id)), "seed {seed}");
            }
            assert_eq!(fake.requests_of("tools/call").len(), CALLS, "seed {seed}");
            each_ran_once(&fake, seed);
        }
    }
}

#[test]
fn modern_backends_are_answered_in_any_order() {
    for client in [LEGACY, MODERN] {
        for seed in 0..SEEDS {
            let pair = Pair::new(client, MODERN);
            let (fake, expected, _player) = played(pair, seed, modern_story);
            let mut heard = HashMap::new();
            for call in fake.requests_of("tools/call") {
                let answers = call.params()["inputResponses"].as_object().cloned();
                heard.extend(answers.into_iter().flatten());
            }
            // A modern client may leave out what a modern backend asked: that is between them.
            let lenient = pair.modern_client();
            for key in expected {
                let said = heard.get(&key);
                assert!(
                    said == Some(&accept(&key)) || (lenient && said.is_none()),
                    "seed {seed}"
                );
            }
            each_ran_once(&fake, seed);
        }
    }
}

/// Both clients at once before one backend of each era.
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
        let asks = json!({ "k": elicit("m") });
        for id in [2 * round, 2 * round + 1] {
            let gate = fakes[0].response_gate(&json!(id));
            let stream = Reply::sse().event(ask(id, "l")).hold(&gate);
            fakes[0].on_tool("l", stream.event(text("l")));
            fakes[1].on_tool("m", Reply::input_required(&asks, Some("s")));
        }
        let legacy = ["l", "m"].map(|tool| gateway.start_call(tool, json!({})));
        gateway.modern(everything());
        let modern = ["l", "m"].map(|tool| gateway.start_call(tool, json!({})));
        fakes[1].wait_for_requests("tools/call", 4 * round + 2);
        for _ in legacy {
            let question = gateway.next_request("elicitation/create");
            let words = question.params()["message"].as_str().unwrap().to_owned();
            gateway.respond(&question, accept(&words));
        }
        for (id, tool) in modern.into_iter().zip(["l", "m"]) {
            let mut answer = gateway.answer(id);
            let call = json!({ "name": tool, "arguments": {} });
            while answer.is_input_required() {
                let (key, question) = answer.input_request();
                let words = question["params"]["message"].as_str().unwrap();
                let answers = json!({ key: accept(words) });
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
