//! Server requests and input requests across the eras, in depth. In every case a tool runs once.

mod input_required;
mod interleavings;
mod mixed_eras;
mod parked;
mod parked_ends;

use serde_json::{Value, json};

use crate::common::message::request;
use crate::common::reply::Reply;

/// All client capabilities.
fn everything() -> Value {
    json!({ "sampling": {}, "elicitation": { "form": {}, "url": {} }, "roots": {} })
}

/// Params of an elicitation by form.
fn form(message: &str) -> Value {
    json!({ "message": message, "requestedSchema": { "type": "object", "properties": {} } })
}

/// An elicitation by form as a modern backend's input request.
fn elicit(message: &str) -> Value {
    json!({ "method": "elicitation/create", "params": form(message) })
}

/// An elicitation by form as a legacy backend's request.
fn ask(id: impl Into<Value>, message: &str) -> Value {
    request(id.into(), "elicitation/create", form(message))
}

/// A stream that begins with these requests.
fn asking(server_requests: &[Value]) -> Reply {
    server_requests
        .iter()
        .cloned()
        .fold(Reply::sse(), Reply::event)
}

/// The result of an accepted elicitation by form.
fn accept(value: &str) -> Value {
    json!({ "action": "accept", "content": { "value": value } })
}
