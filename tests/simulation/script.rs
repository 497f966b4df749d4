//! The scripted replies of a backend to each attempt of a call, and the permitted outcomes.

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::message::{notification, progress, request, text, text_of_any_era};
use crate::common::reply::Reply;
use crate::common::rng::Rng;

/// A tool that is called once, and its script.
pub struct Tool {
    pub name: String,
    pub modern: bool,
    /// Known to be safe to run twice.
    pub safe: bool,
    /// The error classes that its scripted faults can cause.
    pub classes: Vec<&'static str>,
    /// Its backend requests input.
    pub asks: bool,
    /// Its backend answers with a tool error.
    pub errs: bool,
}

/// Makes the script of one tool and queues it at its backend. Gates that hold replies are added.
/// `asks`: it may request input, which each era does in its own way.
pub fn write(
    fake: &FakeBackend,
    name: String,
    (modern, asks): (bool, bool),
    rng: &mut Rng,
    gates: &mut Vec<Gate>,
) -> Tool {
    let mut tool = Tool {
        safe: rng.one_in(2),
        name,
        modern,
        classes: Vec::new(),
        asks: false,
        errs: false,
    };
    for _ in 0..rng.below(3) {
        let (class, reply) = fault(rng);
        tool.classes.push(class);
        fake.on_tool(&tool.name, reply);
    }
    match rng.below(4) {
        0 if asks => {
            tool.asks = true;
            if modern {
                modern_input(fake, &tool.name, rng);
            } else {
                let reply = legacy_input(fake, &tool.name, rng, gates);
                fake.on_tool(&tool.name, reply);
            }
        }
        1 => {
            tool.errs = true;
            fake.on_tool(&tool.name, Reply::error(-1, "the tool says no"));
        }
        2 => drop(fake.on_tool(&tool.name, slow_answer(&tool, rng, gates))),
        _ => {}
    }
    tool
}

fn answer(tool: &Tool) -> Value {
    text_of_any_era(&tool.name)
}

/// An answer that is held, with progress before it.
fn slow_answer(tool: &Tool, rng: &mut Rng, gates: &mut Vec<Gate>) -> Reply {
    let gate = Gate::new();
    gates.push(gate.clone());
    if rng.one_in(2) {
        return Reply::json(&answer(tool)).after(&gate);
    }
    let mut stream = Reply::sse();
    for step in 0..rng.below(4) {
        stream = stream.event(progress(step as f64));
    }
    stream = stream.hold(&gate).event(progress(10.0)).event(answer(tool));
    if rng.one_in(2) {
        // Messages after the answer belong to no call.
        stream = stream.event(progress(11.0)).event(answer(tool));
    }
    stream
}

/// A fault, and the error class if the call is not retried.
fn fault(rng: &mut Rng) -> (&'static str, Reply) {
    let wait = *rng.pick(&["0", "1", "7", "40", "soon"]);
    match rng.below(12) {
        0 => ("outcome_unknown", Reply::status(500).body("boom")),
        1 => ("outcome_unknown", Reply::status(502)),
        2 => ("overloaded", Reply::status(503)),
        3 => ("overloaded", Reply::status(503).runs(true)),
        4 => ("overloaded", Reply::status(503).header("retry-after", wait)),
        5 => (
            "rate_limited",
            Reply::status(429).header("retry-after", wait),
        ),
        6 => ("outcome_unknown", Reply::hang_up()),
        7 => ("outcome_unknown", Reply::reset()),
        8 => ("outcome_unknown", Reply::sse().event(progress(0.5))),
        9 => ("deadline", Reply::stall()),
        10 => (
            "bad_reply",
            Reply::status(200)
                .header("content-type", "application/json")
                .body("{"),
        ),
        _ => (
            "bad_reply",
            Reply::json(&json!({ "jsonrpc": "2.0", "id": "unknown", "result": {} })),
        ),
    }
}

fn form(message: &str) -> Value {
    json!({ "message": message, "requestedSchema": { "type": "object", "properties": {} } })
}

/// Server requests on the call's stream, some of them cancelled, and the answer after all others
/// have been answered.
fn legacy_input(fake: &FakeBackend, tool: &str, rng: &mut Rng, gates: &mut Vec<Gate>) -> Reply {
    let mut stream = Reply::sse();
    let mut waits = Vec::new();
    for n in 0..1 + rng.below(2) {
        let id = format!("{tool} asks {n}");
        let gate = fake.response_gate(&json!(id));
        stream = stream.event(request(json!(id), "elicitation/create", form(&id)));
        if rng.one_in(4) {
            let params = json!({ "requestId": id });
            stream = stream.event(notification("notifications/cancelled", params));
        } else {
            gates.push(gate.clone());
            waits.push(gate);
        }
    }
    for gate in &waits {
        stream = stream.hold(gate);
    }
    stream.event(text(tool))
}

/// Rounds of `input_required`. The tool runs after the last one.
fn modern_input(fake: &FakeBackend, tool: &str, rng: &mut Rng) {
    for round in 0..1 + rng.below(2) {
        let words = format!("{tool} asks {round}");
        let asks = json!({ "k": { "method": "elicitation/create", "params": form(&words) } });
        fake.on_tool(tool, Reply::input_required(&asks, Some(&words)));
    }
}
