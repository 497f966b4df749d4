//! What the client asks: which tool of which backend, in which era, and what else it does to the
//! call. The mix follows from a request's number alone, so that every run asks the same.

use std::time::Duration;

use serde_json::{Value, json};

use super::backends::said;
use super::ledger::{Asked, Wants};

/// The deadline of a call to a flaky backend, in seconds, as the config has it.
pub(crate) const FLAKY_TIMEOUT: u64 = 3;
/// How long any call to a flaky backend may take.
const FLAKY_LIMIT: Duration = Duration::from_secs(FLAKY_TIMEOUT + 2);
/// The same for the others; a question on the way is in it.
const LIMIT: Duration = Duration::from_secs(10);

/// A request of the client, and what belongs to it.
pub(crate) struct Ask {
    pub(crate) message: Value,
    pub(crate) asked: Asked,
    pub(crate) then: Then,
}

/// What follows right behind the request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Nothing,
    /// The same request once more.
    Copy,
    /// It is cancelled a little later.
    Cancel,
}

/// The request with this number to one of the backends that are well.
pub(crate) fn ask(id: u64, backends: &[&'static str]) -> Ask {
    // A step that has no factor in common with 100: neighbours differ in kind.
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
        0..5 => to("ask").question(),
        5..10 => to("work").ask(Then::Cancel),
        10..13 => to("work").ask(Then::Copy),
        13..20 => to("progress").ask(Then::Nothing),
        20 => plain(id, "tools/list", modern, Wants::Tool("json__echo")),
        21 => plain(id, "ping", false, Wants::Result),
        22 => {
            let mut ask = to("no_such_tool").ask(Then::Nothing);
            ask.asked.wants = Wants::Refusal(-32602);
            ask
        }
        23..26 => to("echo").sized(64 << 10),
        _ => {
            let mut ask = to("echo").sized(id as usize * 7919 % 4096);
            ask.asked.timed = true;
            ask
        }
    }
}

/// The request with this number to one of the flaky backends.
pub(crate) fn ask_flaky(id: u64, backends: &[&'static str]) -> Ask {
    let backend = backends[id as usize % backends.len()];
    let modern = id / 3 % 2 == 1;
    let call = Call {
        backend,
        tool: "echo",
        id,
        modern,
    };
    let mut ask = call.ask(Then::Nothing);
    ask.asked.flaky = true;
    ask.asked.limit = FLAKY_LIMIT;
    ask
}

/// A call to a tool whose answer names the number.
pub(crate) fn simple(id: u64, backend: &'static str, modern: bool) -> Ask {
    Call {
        backend,
        tool: "echo",
        id,
        modern,
    }
    .ask(Then::Nothing)
}

/// The call with the number `call` again, with answers, under a new id.
pub(crate) fn again(id: u64, call: u64, tool: &str, more: &Value) -> Ask {
    let mut params = json!({ "name": tool, "arguments": { "call": call } });
    for (key, value) in more.as_object().into_iter().flatten() {
        params[key] = value.clone();
    }
    params["_meta"] = metadata();
    let (_, own) = tool.split_once("__").unwrap_or_default();
    let text = said(own, &json!({ "call": call }));
    Ask {
        message: request(id, "tools/call", params),
        asked: asked(Wants::Text(text), "one that asks"),
        then: Then::Nothing,
    }
}

/// A request with nothing to say.
pub(crate) fn plain(id: u64, method: &str, modern: bool, wants: Wants) -> Ask {
    let mut params = json!({});
    if modern {
        params["_meta"] = metadata();
    }
    Ask {
        message: request(id, method, params),
        asked: asked(wants, "the gateway"),
        then: Then::Nothing,
    }
}

/// The handshake.
pub(crate) fn initialize(id: u64) -> Ask {
    let params = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": capabilities(), "clientInfo": client(),
    });
    Ask {
        message: request(id, "initialize", params),
        asked: asked(Wants::Result, "the gateway"),
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
    fn ask(self, then: Then) -> Ask {
        let arguments = json!({ "call": self.id });
        self.with(&arguments, then)
    }

    fn sized(self, bytes: usize) -> Ask {
        let arguments = json!({ "call": self.id, "text": "soak".repeat(bytes / 4) });
        self.with(&arguments, Then::Nothing)
    }

    /// A modern client gets the question as the answer; the other one is asked in between.
    fn question(self) -> Ask {
        let (call, modern) = (self.id, self.modern);
        let tool = format!("{}__{}", self.backend, self.tool);
        let mut ask = self.ask(Then::Nothing);
        if modern {
            ask.asked.wants = Wants::Question { call, tool };
        }
        ask
    }

    fn with(self, arguments: &Value, then: Then) -> Ask {
        let name = format!("{}__{}", self.backend, self.tool);
        let mut params = json!({ "name": name, "arguments": arguments });
        if self.modern {
            params["_meta"] = metadata();
        }
        if self.tool == "progress" {
            params["_meta"]["progressToken"] = json!(self.id);
        }
        let text = said(self.tool, arguments);
        let mut asked = asked(Wants::Text(text), self.backend);
        asked.copies += u32::from(then == Then::Copy);
        Ask {
            message: request(self.id, "tools/call", params),
            asked,
            then,
        }
    }
}

fn asked(wants: Wants, backend: &'static str) -> Asked {
    Asked {
        wants,
        backend,
        flaky: false,
        timed: false,
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
