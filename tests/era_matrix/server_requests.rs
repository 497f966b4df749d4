//! Requests of a backend to the client during a call. [`input`](crate::era_matrix::input) tests
//! them in depth.

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::TestGateway;
use crate::common::message::request;
use crate::common::reply::Reply;
use crate::era_matrix::table::Pair;

const WAY: [&str; 4] = [
    "request ← request",
    "request ← input_required",
    "input_required ← request",
    "input_required ← input_required",
];

/// A request of a backend, and the client's result.
pub struct Question {
    pub method: &'static str,
    pub params: Value,
    pub answer: Value,
}

pub fn sampling(pair: Pair) -> &'static str {
    let message = json!({ "role": "user", "content": { "type": "text", "text": "?" } });
    let content = json!({ "type": "text", "text": "42" });
    let question = Question {
        method: "sampling/createMessage",
        params: json!({ "messages": [message], "maxTokens": 7, "temperature": 0.5 }),
        answer: json!({ "role": "assistant", "content": content, "model": "m" }),
    };
    let mut fixture = Fixture::new(pair, json!({ "sampling": {} }), &question);
    let shown = fixture.exchange(&question);
    assert_eq!(shown, question.params);
    way(pair)
}

pub fn elicitation_form(pair: Pair) -> &'static str {
    let properties = json!({ "name": { "type": "string", "title": "Name" } });
    let schema = json!({ "type": "object", "properties": properties, "required": ["name"] });
    let question = Question {
        method: "elicitation/create",
        params: json!({ "message": "who?", "requestedSchema": schema }),
        answer: json!({ "action": "accept", "content": { "name": "octocat" } }),
    };
    // An empty elicitation capability means forms.
    let mut fixture = Fixture::new(pair, json!({ "elicitation": {} }), &question);
    let shown = fixture.exchange(&question);
    assert_eq!(shown["message"], "who?");
    assert_eq!(shown["requestedSchema"], question.params["requestedSchema"]);
    way(pair)
}

/// A legacy client needs an `elicitationId`, which the modern era doesn't have (MCP 2025-11-25,
/// client/elicitation).
pub fn elicitation_url(pair: Pair) -> &'static str {
    let mut params = json!({ "mode": "url", "url": "https://a.example/?x", "message": "there" });
    if !pair.modern_backend() {
        params["elicitationId"] = json!("e-1");
    }
    let question = Question {
        method: "elicitation/create",
        params,
        answer: json!({ "action": "accept" }),
    };
    let can = json!({ "elicitation": { "form": {}, "url": {} } });
    let mut fixture = Fixture::new(pair, can, &question);
    let shown = fixture.exchange(&question);
    assert_eq!(shown["url"], question.params["url"]);
    assert_eq!(shown["mode"], "url");
    if !pair.modern_client() {
        let id = shown["elicitationId"].as_str().unwrap_or_default();
        assert!(!id.is_empty(), "{shown}");
        assert!(pair.modern_backend() || id == "e-1", "{shown}");
    }
    way(pair)
}

pub fn roots(pair: Pair) -> &'static str {
    let question = Question {
        method: "roots/list",
        params: json!({}),
        answer: json!({ "roots": [{ "uri": "file:///home", "name": "home" }] }),
    };
    let mut fixture = Fixture::new(pair, json!({ "roots": {} }), &question);
    fixture.exchange(&question);
    way(pair)
}

/// The backend gets the client's capabilities, and an error for an undeclared one. The protocol
/// checker fails the test if the request reaches the client.
pub fn undeclared(pair: Pair) -> &'static str {
    let question = Question {
        method: "sampling/createMessage",
        params: json!({ "messages": [], "maxTokens": 1 }),
        answer: Value::Null,
    };
    let mut fixture = Fixture::new(pair, json!({ "elicitation": {} }), &question);
    let id = fixture.gateway.start_call("ask", json!({}));
    if pair.modern_backend() {
        let answer = fixture.gateway.answer(id);
        assert!(answer.0.json.get("error").is_some(), "{answer:?}");
        if pair.modern_client() {
            assert_eq!(answer.code(), -32021);
            let required = &answer.error()["data"]["requiredCapabilities"];
            assert!(required["sampling"].is_object(), "{answer:?}");
        }
        let call = fixture.fake.next_request("tools/call");
        let declared = call.meta("clientCapabilities");
        assert!(declared["elicitation"].is_object(), "{declared}");
        assert!(declared.get("sampling").is_none(), "{declared}");
        assert_eq!(fixture.fake.runs("ask"), 0);
    } else {
        let refusal = fixture.fake.next_request("response");
        assert!(refusal.message["error"]["code"].is_i64(), "{refusal:?}");
        fixture.gate.open();
        assert_eq!(fixture.gateway.answer(id).text(), "done");
    }
    pair.pick(
        "error to the backend",
        "the call fails",
        "error to the backend",
        "-32021",
    )
}

/// A gateway, its client, and a backend whose tool `ask` sends one request.
struct Fixture {
    pair: Pair,
    fake: FakeBackend,
    gateway: TestGateway,
    gate: Gate,
}

impl Fixture {
    fn new(pair: Pair, capabilities: Value, question: &Question) -> Self {
        let fake = pair.fake().tool("ask");
        let gate = Gate::new();
        let (method, params) = (question.method, question.params.clone());
        if pair.modern_backend() {
            let requests = json!({ "k": { "method": method, "params": params } });
            fake.on_tool(
                "ask",
                Reply::input_required(&requests, Some("s\u{e9}cret==")),
            );
            fake.on_tool("ask", Reply::json(&pair.text("done")));
        } else {
            let stream = Reply::sse().event(request(json!(0), method, params));
            fake.on_tool("ask", stream.hold(&gate).event(pair.text("done")));
        }
        let gateway = pair.gateway_for(&fake, capabilities);
        Self {
            pair,
            fake,
            gateway,
            gate,
        }
    }

    /// Calls the tool and lets the client answer the request; asserts that the answer reaches the
    /// backend and that the tool runs once. Returns the params that the client got.
    fn exchange(&mut self, question: &Question) -> Value {
        let call = json!({ "name": "ask", "arguments": { "a": 1 } });
        let id = self.gateway.request("tools/call", call.clone());
        let (shown, id) = if self.pair.modern_client() {
            let asked = self.gateway.answer(id);
            let (key, shown) = asked.input_request();
            assert_eq!(shown["method"], question.method);
            let answers = json!({ key: question.answer });
            let id = self.gateway.retry("tools/call", &call, &asked, answers);
            (shown["params"].clone(), id)
        } else {
            let asked = self.gateway.next_request(question.method);
            self.gateway.respond(&asked, question.answer.clone());
            (asked.params().clone(), id)
        };
        assert_eq!(self.received(), question.answer);
        if !self.pair.modern_backend() && !self.pair.modern_client() {
            self.assert_completion_forwarded(&shown);
        }
        self.gate.open();
        assert_eq!(self.gateway.answer(id).text(), "done");
        assert_eq!(self.fake.runs("ask"), 1);
        shown
    }

    /// The result that the backend gets.
    fn received(&self) -> Value {
        if !self.pair.modern_backend() {
            let answer = self.fake.next_request("response");
            assert_eq!(answer.message["id"], 0);
            assert_eq!(self.fake.requests_of("tools/call").len(), 1);
            return answer.message["result"].clone();
        }
        let first = self.fake.next_request("tools/call");
        let again = self.fake.next_request("tools/call");
        assert!(first.params().get("inputResponses").is_none());
        assert!(first.params().get("requestState").is_none());
        assert_eq!(again.params()["requestState"], "s\u{e9}cret==");
        assert_eq!(again.params()["arguments"], json!({ "a": 1 }));
        assert_ne!(again.message["id"], first.message["id"]);
        again.params()["inputResponses"]["k"].clone()
    }

    /// Asserts that the completion of a URL elicitation, sent on the GET stream, is forwarded.
    fn assert_completion_forwarded(&mut self, shown: &Value) {
        if let Some(id) = shown.get("elicitationId") {
            let done = "notifications/elicitation/complete";
            self.fake
                .notify_clients(done, json!({ "elicitationId": id }));
            let forwarded = self.gateway.next_notification(done);
            assert_eq!(forwarded.params()["elicitationId"], *id);
        }
    }
}

fn way(pair: Pair) -> &'static str {
    let [ll, lm, ml, mm] = WAY;
    pair.pick(ll, lm, ml, mm)
}
