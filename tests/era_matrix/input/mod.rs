//! Questions of backends across the eras, in depth. Whatever happens, a tool runs once.

mod input_required;
mod interleavings;
mod mixed_eras;
mod parked;
mod parked_ends;

use serde_json::{Value, json};

use crate::common::message::request;
use crate::common::reply::Reply;

/// What a client can do that can do everything.
fn everything() -> Value {
    json!({ "sampling": {}, "elicitation": { "form": {}, "url": {} }, "roots": {} })
}

/// Params of a question by form.
fn form(words: &str) -> Value {
    json!({ "message": words, "requestedSchema": { "type": "object", "properties": {} } })
}

/// As a modern backend asks.
fn elicit(words: &str) -> Value {
    json!({ "method": "elicitation/create", "params": form(words) })
}

/// As a legacy backend asks.
fn ask(id: impl Into<Value>, words: &str) -> Value {
    request(id.into(), "elicitation/create", form(words))
}

/// A stream that begins with these questions.
fn asking(questions: &[Value]) -> Reply {
    questions.iter().cloned().fold(Reply::sse(), Reply::event)
}

/// An answer to a question by form.
fn accept(words: &str) -> Value {
    json!({ "action": "accept", "content": { "said": words } })
}
