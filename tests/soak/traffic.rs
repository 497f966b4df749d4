//! The client's requests: the tool, the backend and the era, and whether the call is cancelled or sent
//! twice. All of it follows from the request's number, so that every run sends the same mix.

use std::time::Duration;

use serde_json::{Value, json};

use super::backends::answer_text;
use super::tracker::{Expected, RequestInfo};

/// The configured timeout of a call to a flaky backend, in seconds.
pub(crate) const FLAKY_TIMEOUT: u64 = 3;
/// The most that a call to a flaky backend may take.
const FLAKY_LIMIT: Duration = Duration::from_secs(FLAKY_TIMEOUT + 2);
/// The most that a call to a good backend may take, including an elicitation.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// A request of the client, what is expected of it, and what follows it.
pub(crate) struct Outgoing {
    pub(crate) message: Value,
    pub(crate) info: RequestInfo,
    pub(crate) then: Then,
}

/// What follows the request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Nothing,
    /// The same request once more.
    Copy,
    /// It is cancelled a little later.
    Cancel,
}

/// The request with this number to one of the good backends.
pub(crate) fn good_request(id: u64, backends: &[&'static str]) -> Outgoing {
    // 37 and 100 have no common factor, so neighbours differ in kind.
    let kind = id * 37 % 100;
    let backend = backends[id as usize % backends.len()];
    let modern = id / 5 % 2 == 1;
    let to = |tool| Call {
        backend,
        tool,
        id,
        modern,
    };
    match kind {
        0..5 => to("ask").elicitation(),
        5..10 => to("work").outgoing(Then::Cancel),
        10..13 => to("work").outgoing(Then::Copy),
        13..20 => to("progress").outgoing(Then::Nothing),
        20 => plain(id, "tools/list", modern, Expected::Tool("json__echo")),
        21 => ping(id),
        22 => {
            let mut outgoing = to("no_such_tool").outgoing(Then::Nothing);
            outgoing.info.expected = Expected::Refusal(-32602);
            outgoing
        }
        23..26 => to("echo").sized(64 << 10),
        _ => {
            let mut outgoing = to("echo").sized(id as usize * 7919 % 4096);
            outgoing.info.timed = true;
            outgoing
        }
    }
}

/// The request with this number to one of the flaky backends.
pub(crate) fn flaky_request(id: u64, backends: &[&'static str]) -> Outgoing {
    let backend = backends[id as usize % backends.len()];
    let modern = id / 3 % 2 == 1;
    let call = Call {
        backend,
        tool: "echo",
        id,
        modern,
    };
    let mut outgoing = call.outgoing(Then::Nothing);
    outgoing.info.flaky = true;
    outgoing.info.limit = FLAKY_LIMIT;
    outgoing
}

/// A call of `echo`.
pub(crate) fn echo(id: u64, backend: &'static str, modern: bool) -> Outgoing {
    Call {
        backend,
        tool: "echo",
        id,
        modern,
    }
    .outgoing(Then::Nothing)
}

/// A retry of the call with the number `call`, with input responses, under a new id.
pub(crate) fn retry(id: u64, call: u64, tool: &str, more: &Value) -> Outgoing {
    let mut params = json!({ "name": tool, "arguments": { "call": call } });
    for (key, value) in more.as_object().into_iter().flatten() {
        params[key] = value.clone();
    }
    params["_meta"] = metadata();
    let (_, own) = tool.split_once("__").unwrap_or_default();
    let text = answer_text(own, &json!({ "call": call }));
    Outgoing {
        message: request(id, "tools/call", params),
        info: request_info(Expected::Text(text), "one that requests input"),
        then: Then::Nothing,
    }
}

/// A request without params.
pub(crate) fn plain(id: u64, method: &str, modern: bool, expected: Expected) -> Outgoing {
    let mut params = json!({});
    if modern {
        params["_meta"] = metadata();
    }
    Outgoing {
        message: request(id, method, params),
        info: request_info(expected, "the gateway"),
        then: Then::Nothing,
    }
}

/// A ping of the gateway itself.
pub(crate) fn ping(id: u64) -> Outgoing {
    plain(id, "ping", false, Expected::Result)
}

/// The handshake.
pub(crate) fn initialize(id: u64) -> Outgoing {
    let params = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": capabilities(), "clientInfo": client(),
    });
    Outgoing {
        message: request(id, "initialize", params),
        info: request_info(Expected::Result, "the gateway"),
        then: Then::Nothing,
    }
}

/// A call of one tool of one backend.
struct Call {
    backend: &'static str,
    tool: &'static str,
    id: u64,
    modern: bool,
}

impl Call {
    fn outgoing(self, then: Then) -> Outgoing {
        let arguments = json!({ "call": self.id });
        self.with(&arguments, then)
    }

    fn sized(self, bytes: usize) -> Outgoing {
        let arguments = json!({ "call": self.id, "text": "soak".repeat(bytes / 4) });
        self.with(&arguments, Then::Nothing)
    }

    /// A modern client gets `input_required` as the answer, a legacy client a server request before it.
    fn elicitation(self) -> Outgoing {
        let (call, modern) = (self.id, self.modern);
        let tool = format!("{}__{}", self.backend, self.tool);
        let mut outgoing = self.outgoing(Then::Nothing);
        if modern {
            outgoing.info.expected = Expected::InputRequired { call, tool };
        }
        outgoing
    }

    fn with(self, arguments: &Value, then: Then) -> Outgoing {
        let name = format!("{}__{}", self.backend, self.tool);
        let mut params = json!({ "name": name, "arguments": arguments });
        if self.modern {
            params["_meta"] = metadata();
        }
        if self.tool == "progress" {
            params["_meta"]["progressToken"] = json!(self.id);
        }
        let text = answer_text(self.tool, arguments);
        let mut info = request_info(Expected::Text(text), self.backend);
        info.copies += u32::from(then == Then::Copy);
        Outgoing {
            message: request(self.id, "tools/call", params),
            info,
            then,
        }
    }
}

fn request_info(expected: Expected, backend: &'static str) -> RequestInfo {
    RequestInfo {
        expected,
        backend,
        flaky: false,
        timed: false,
        answered: None,
        limit: LIMIT,
        copies: 1,
    }
}

fn request(id: u64, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

fn metadata() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": client(),
        "io.modelcontextprotocol/clientCapabilities": capabilities(),
    })
}

fn client() -> Value {
    json!({ "name": "soak", "version": "1" })
}

fn capabilities() -> Value {
    json!({ "elicitation": {} })
}
