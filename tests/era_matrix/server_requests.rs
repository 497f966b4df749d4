//! Requests of a backend to the client during a call. [`input`](crate::era_matrix::input) tests
//! them in depth.

use serde_json::{Value, json};

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::TestGateway;
use crate::common::message::{asked_by, attributed, request};
use crate::common::reply::Reply;
use crate::era_matrix::table::Pair;

const WAY: [&str; 4] = [
    "request ← request",
    "request ← input_required",
    "input_required ← request",
    "input_required ← input_required",
];

/// A request of a backend, and the client's result.
pub struct ServerRequest {
    pub method: &'static str,
    pub params: Value,
    pub answer: Value,
}

pub fn sampling(pair: Pair) -> &'static str {
    let message = json!({ "role": "user", "content": { "type": "text", "text": "?" } });
    let content = json!({ "type": "text", "text": "42" });
    let server_request = ServerRequest {
        method: "sampling/createMessage",
        params: json!({ "messages": [message], "maxTokens": 7, "temperature": 0.5 }),
        answer: json!({ "role": "assistant", "content": content, "model": "m" }),
    };
    let mut fixture = Fixture::new(pair, json!({ "sampling": {} }), &server_request);
    let shown = fixture.exchange(&server_request);
    let ServerRequest { method, params, .. } = server_request;
    assert_eq!(shown, attributed("fake", method, params));
    way(pair)
}

pub fn elicitation_form(pair: Pair) -> &'static str {
    let properties = json!({ "name": { "type": "string", "title": "Name" } });
    let schema = json!({ "type": "object", "properties": properties, "required": ["name"] });
    let server_request = ServerRequest {
        method: "elicitation/create",
        params: json!({ "message": "who?", "requestedSchema": schema }),
        answer: json!({ "action": "accept", "content": { "name": "octocat" } }),
    };
    // An empty elicitation capability means forms.
    let mut fixture = Fixture::new(pair, json!({ "elicitation": {} }), &server_request);
    let shown = fixture.exchange(&server_request);
    assert_eq!(shown["message"], asked_by("fake", "who?"));
    assert_eq!(
        shown["requestedSchema"],
        server_request.params["requestedSchema"]
    );
    way(pair)
}

/// A legacy client needs an `elicitationId`, which the modern era doesn't have (MCP 2025-11-25,
/// client/elicitation).
pub fn elicitation_url(pair: Pair) -> &'static str {
    let mut params = json!({ "mode": "url", "url": "https://a.example/?x", "message": "there" });
    if !pair.modern_backend() {
        params["elicitationId"] = json!("e-1");
    }
    let server_request = ServerRequest {
        method: "elicitation/create",
        params,
        answer: json!({ "action": "accept" }),
    };
    let can = json!({ "elicitation": { "form": {}, "url": {} } });
    let mut fixture = Fixture::new(pair, can, &server_request);
    let shown = fixture.exchange(&server_request);
    assert_eq!(shown["url"], server_request.params["url"]);
    assert_eq!(shown["mode"], "url");
    assert_eq!(shown["message"], asked_by("fake", "there"));
    if !pair.modern_client() {
        let id = shown["elicitationId"].as_str().unwrap_or_default();
        assert!(!id.is_empty(), "{shown}");
        assert!(pair.modern_backend() || id == "fake:e-1", "{shown}");
    }
    way(pair)
}

pub fn roots(pair: Pair) -> &'static str {
    let server_request = ServerRequest {
        method: "roots/list",
        // What the gateway alone says.
        params: json!({ "_meta": { "sentinel-gateway/backend": "bank", "sentinel-gateway/serverInfo": {} } }),
        answer: json!({ "roots": [{ "uri": "file:///home", "name": "home" }] }),
    };
    let mut fixture = Fixture::new(pair, json!({ "roots": {} }), &server_request);
    let shown = fixture.exchange(&server_request);
    assert_eq!(shown, attributed("fake", "roots/list", json!({})));
    way(pair)
}

/// The backend gets the client's capabilities, and an error for an undeclared one. The protocol
/// checker fails the test if the request reaches the client.
pub fn undeclared(pair: Pair) -> &'static str {
    let server_request = ServerRequest {
        method: "sampling/createMessage",
        params: json!({ "messages": [], "maxTokens": 1 }),
        answer: Value::Null,
    };
    let mut fixture = Fixture::new(pair, json!({ "elicitation": {} }), &server_request);
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
    fn new(pair: Pair, capabilities: Value, server_request: &ServerRequest) -> Self {
        let fake = pair.fake().tool("ask");
        let gate = Gate::new();
        let (method, params) = (server_request.method, server_request.params.clone());
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
    fn exchange(&mut self, server_request: &ServerRequest) -> Value {
        let call = json!({ "name": "ask", "arguments": { "a": 1 } });
        let id = self.gateway.request("tools/call", call.clone());
        let (shown, id) = if self.pair.modern_client() {
            let asked = self.gateway.answer(id);
            let (key, shown) = asked.input_request();
            assert_eq!(shown["method"], server_request.method);
            let answers = json!({ key: server_request.answer });
            let id = self.gateway.retry("tools/call", &call, &asked, answers);
            (shown["params"].clone(), id)
        } else {
            let asked = self.gateway.next_request(server_request.method);
            self.gateway.respond(&asked, server_request.answer.clone());
            (asked.params().clone(), id)
        };
        assert_eq!(self.received(), server_request.answer);
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
                .notify_clients(done, json!({ "elicitationId": "e-1" }));
            let forwarded = self.gateway.next_notification(done);
            assert_eq!(forwarded.params()["elicitationId"], *id);
        }
    }
}

fn way(pair: Pair) -> &'static str {
    let [ll, lm, ml, mm] = WAY;
    pair.pick(ll, lm, ml, mm)
}
