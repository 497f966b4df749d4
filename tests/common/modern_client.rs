//! The modern era's part of the test client: metadata on each request, retries with input
//! responses, and subscriptions (MCP 2026-07-28).

use serde_json::{Map, Value, json};

use super::gateway::{Answer, TestGateway};
use super::protocol_checker::Message;

const PREFIX: &str = "io.modelcontextprotocol/";

/// An acknowledged subscription.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The id of its `subscriptions/listen` request.
    pub id: Value,
    /// The part of the requested filter that the gateway honours.
    pub honoured: Value,
}

impl TestGateway {
    /// Makes the client one of the modern era with these capabilities, for its next requests.
    /// Members that a test puts into `_meta` itself stay.
    pub fn modern(&mut self, capabilities: Value) -> &mut Self {
        self.modern = Some(capabilities);
        self
    }

    /// Makes the client one of the legacy era, for its next requests.
    pub fn legacy(&mut self) -> &mut Self {
        self.modern = None;
        self
    }

    /// Params with the metadata of the client's era.
    pub fn with_metadata(&self, mut params: Value) -> Value {
        if let (Some(capabilities), true) = (&self.modern, params.is_object()) {
            let meta = &mut params["_meta"];
            for (key, value) in [
                ("protocolVersion", &json!("2026-07-28")),
                ("clientInfo", &json!({ "name": "test", "version": "1.0" })),
                ("clientCapabilities", capabilities),
            ] {
                let key = format!("{PREFIX}{key}");
                if meta.get(&key).is_none() {
                    meta[key] = value.clone();
                }
            }
        }
        params
    }

    /// Sends `server/discover` and waits for the response.
    pub fn discover(&mut self) -> Answer {
        self.ask("server/discover", json!({}))
    }

    /// Subscribes under an id that the test chooses, and waits for the acknowledgement.
    pub fn listen_as(&mut self, id: impl Into<Value>, filter: Value) -> Subscription {
        let id = id.into();
        let params = json!({ "notifications": filter });
        self.request_as(id.clone(), "subscriptions/listen", params);
        let acknowledged = self.next_subscribed(&id, "notifications/subscriptions/acknowledged");
        let honoured = acknowledged.params()["notifications"].clone();
        Subscription { id, honoured }
    }

    /// Subscribes, and waits for the acknowledgement.
    pub fn listen(&mut self, filter: Value) -> Subscription {
        let params = json!({ "notifications": filter });
        let id = json!(self.request("subscriptions/listen", params));
        let acknowledged = self.next_subscribed(&id, "notifications/subscriptions/acknowledged");
        let honoured = acknowledged.params()["notifications"].clone();
        Subscription { id, honoured }
    }

    /// Waits for the next notification of this method on the subscription with this id.
    pub fn next_subscribed(&mut self, id: &Value, method: &str) -> Message {
        self.take(&format!("{method} for {id}"), |message| {
            message.method() == Some(method)
                && message.params()["_meta"][format!("{PREFIX}subscriptionId")] == *id
        })
    }

    /// Retries a request with input responses and the state of `required`, and returns the new id.
    pub fn retry(
        &mut self,
        method: &str,
        params: &Value,
        required: &Answer,
        responses: Value,
    ) -> u64 {
        let mut params = params.clone();
        params["inputResponses"] = responses;
        if let Some(state) = required.request_state() {
            params["requestState"] = state.clone();
        }
        self.request(method, params)
    }

    /// Sends a request and retries it until it is complete. `respond` gets the key and the body of
    /// each input request.
    pub fn request_with_input(
        &mut self,
        method: &str,
        params: &Value,
        mut respond: impl FnMut(&str, &Value) -> Value,
    ) -> Answer {
        let id = self.request(method, params.clone());
        let mut reply = self.answer(id);
        while reply.is_input_required() {
            let requests = reply.input_requests().clone();
            let responses: Map<String, Value> = requests
                .iter()
                .map(|(key, request)| (key.clone(), respond(key, request)))
                .collect();
            let id = self.retry(method, params, &reply, Value::Object(responses));
            reply = self.answer(id);
        }
        reply
    }
}

impl Answer {
    /// Whether its `resultType` is `input_required`.
    pub fn is_input_required(&self) -> bool {
        self.0.json["result"]["resultType"] == "input_required"
    }

    /// Its input requests, by key.
    ///
    /// # Panics
    /// If it has none.
    pub fn input_requests(&self) -> &Map<String, Value> {
        assert!(
            self.is_input_required(),
            "not input_required: {}",
            self.0.line
        );
        let requests = self.result()["inputRequests"].as_object();
        requests.unwrap_or_else(|| panic!("no inputRequests in {}", self.0.line))
    }

    /// Its only input request, with its key.
    ///
    /// # Panics
    /// If it has none or several.
    pub fn input_request(&self) -> (&str, &Value) {
        let mut requests = self.input_requests().iter();
        match (requests.next(), requests.next()) {
            (Some((key, request)), None) => (key, request),
            _ => panic!("not exactly one input request: {}", self.0.line),
        }
    }

    /// The `requestState` to return with the input responses.
    pub fn request_state(&self) -> Option<&Value> {
        self.0.json["result"].get("requestState")
    }
}
