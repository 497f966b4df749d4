//! What a test does as a client of the modern era: metadata on each request, questions answered by
//! asking again, subscriptions.

use serde_json::{Map, Value, json};

use super::gateway::{Answer, TestGateway};
use super::protocol_checker::Message;

const PREFIX: &str = "io.modelcontextprotocol/";

/// A subscription that has been acknowledged.
#[derive(Clone, Debug)]
pub struct Subscription {
    pub id: Value,
    /// What is honoured of what was asked for.
    pub honoured: Value,
}

impl TestGateway {
    /// From now on the client is of the modern era and can do these things. What a test itself
    /// puts into `_meta` stays.
    pub fn modern(&mut self, capabilities: Value) -> &mut Self {
        self.modern = Some(capabilities);
        self
    }

    /// From now on its requests are of the legacy era.
    pub fn legacy(&mut self) -> &mut Self {
        self.modern = None;
        self
    }

    /// Params as they are sent.
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

    /// Asks who it is.
    pub fn discover(&mut self) -> Answer {
        self.ask("server/discover", json!({}))
    }

    /// Subscribes, under an id of the test's choice.
    pub fn listen_as(&mut self, id: impl Into<Value>, filter: Value) -> Subscription {
        let id = id.into();
        let params = json!({ "notifications": filter });
        self.request_as(id.clone(), "subscriptions/listen", params);
        let acknowledged = self.next_subscribed(&id, "notifications/subscriptions/acknowledged");
        let honoured = acknowledged.params()["notifications"].clone();
        Subscription { id, honoured }
    }

    /// Subscribes.
    pub fn listen(&mut self, filter: Value) -> Subscription {
        let params = json!({ "notifications": filter });
        let id = json!(self.request("subscriptions/listen", params));
        let acknowledged = self.next_subscribed(&id, "notifications/subscriptions/acknowledged");
        let honoured = acknowledged.params()["notifications"].clone();
        Subscription { id, honoured }
    }

    /// The next notification of this method on the subscription with this id.
    pub fn next_subscribed(&mut self, id: &Value, method: &str) -> Message {
        self.take(&format!("{method} for {id}"), |message| {
            message.method() == Some(method)
                && message.params()["_meta"][format!("{PREFIX}subscriptionId")] == *id
        })
    }

    /// Asks again with answers to what the gateway wanted to know, and returns the new id.
    pub fn retry(&mut self, method: &str, params: &Value, asked: &Answer, answers: Value) -> u64 {
        let mut params = params.clone();
        params["inputResponses"] = answers;
        if let Some(state) = asked.request_state() {
            params["requestState"] = state.clone();
        }
        self.request(method, params)
    }

    /// A request from beginning to end, whatever is asked in between: each question is handed to
    /// `answer`, with its key.
    pub fn request_with_input(
        &mut self,
        method: &str,
        params: &Value,
        mut answer: impl FnMut(&str, &Value) -> Value,
    ) -> Answer {
        let id = self.request(method, params.clone());
        let mut reply = self.answer(id);
        while reply.is_input_required() {
            let questions = reply.input_requests().clone();
            let answers: Map<String, Value> = questions
                .iter()
                .map(|(key, question)| (key.clone(), answer(key, question)))
                .collect();
            let id = self.retry(method, params, &reply, Value::Object(answers));
            reply = self.answer(id);
        }
        reply
    }
}

impl Answer {
    /// Whether it wants to know something first.
    pub fn is_input_required(&self) -> bool {
        self.0.json["result"]["resultType"] == "input_required"
    }

    /// What it wants to know, by key.
    ///
    /// # Panics
    /// If it wants to know nothing.
    pub fn input_requests(&self) -> &Map<String, Value> {
        assert!(self.is_input_required(), "no question: {}", self.0.line);
        let questions = self.result()["inputRequests"].as_object();
        questions.unwrap_or_else(|| panic!("no questions in {}", self.0.line))
    }

    /// The one thing it wants to know, and its key.
    ///
    /// # Panics
    /// If it wants to know more or less.
    pub fn input_request(&self) -> (&str, &Value) {
        let mut questions = self.input_requests().iter();
        match (questions.next(), questions.next()) {
            (Some((key, question)), None) => (key, question),
            _ => panic!("not one question: {}", self.0.line),
        }
    }

    /// What has to be sent back with the answers.
    pub fn request_state(&self) -> Option<&Value> {
        self.0.json["result"].get("requestState")
    }
}
