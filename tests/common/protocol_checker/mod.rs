//! The protocol checker: asserts on every line what any gateway must do for any client.
//!
//! It sees both directions. Each line on stdout is one JSON-RPC message or a batch of responses. A
//! request gets one response, a cancelled one at most one, and there is no response without a
//! request. Each era gets only members, codes and notifications that it defines, and a modern
//! client gets no requests. It must not know what a test is about.

mod eras;
mod request;
mod streams;

use std::collections::HashMap;

use serde_json::Value;

use request::ClientRequest;
use streams::LegacyClient;

/// A message of the gateway.
#[derive(Clone, Debug)]
pub struct Message {
    /// The number of its line on stdout, counted from 0.
    pub at: usize,
    /// The line as received.
    pub line: String,
    pub json: Value,
}

impl Message {
    pub fn is_response(&self) -> bool {
        self.json.get("method").is_none()
    }

    /// `None` for a response.
    pub fn method(&self) -> Option<&str> {
        self.json["method"].as_str()
    }

    pub fn params(&self) -> &Value {
        &self.json["params"]
    }

    pub fn id(&self) -> &Value {
        &self.json["id"]
    }
}

/// The state of one connection. Ids are compared by their JSON text.
#[derive(Default)]
pub struct ProtocolChecker {
    lines: usize,
    /// Checks only JSON-RPC and that each request gets one response, as for any proxy.
    pub json_rpc_only: bool,
    requests: HashMap<String, RequestsById>,
    /// Lines that were no valid message: each may get an error response with `id: null` or its id.
    malformed: usize,
    /// The legacy client's capabilities, once it has sent `initialize`.
    legacy: Option<Value>,
    /// The legacy client has sent `notifications/initialized`, or a request after `initialize`.
    ready: bool,
    sent: usize,
    /// Cancelled ids, with the number of requests that had been sent by then.
    cancelled: Vec<(String, usize)>,
}

/// All requests under one id.
#[derive(Default)]
struct RequestsById {
    sent: usize,
    cancelled: usize,
    answered: usize,
    /// The latest of them.
    request: ClientRequest,
    /// The place of the first one that may be unanswered: when an id is in use twice, a response
    /// may belong to either request.
    oldest: usize,
    progress: Option<f64>,
    acknowledged: bool,
    /// The latest request was cancelled.
    latest_cancelled: bool,
    /// The gateway has certainly read the cancellation.
    cancellation_read: bool,
}

impl RequestsById {
    fn is_open(&self) -> bool {
        self.answered < self.sent && !self.cancellation_read
    }
}

impl ProtocolChecker {
    /// Records a line that the client sends.
    pub fn sent(&mut self, line: &[u8]) {
        match serde_json::from_slice(line) {
            Ok(Value::Array(batch)) if batch.is_empty() => self.malformed += 1,
            Ok(Value::Array(batch)) => batch.iter().for_each(|message| self.sent_message(message)),
            Ok(message) => self.sent_message(&message),
            Err(_) => self.malformed += 1,
        }
    }

    fn sent_message(&mut self, message: &Value) {
        let id = message.get("id");
        let method = message["method"].as_str();
        let id_is_legal = id.is_none_or(|id| id.is_string() || id.is_i64() || id.is_u64());
        let is_response = message.get("result").is_some() || message.get("error").is_some();
        if message["jsonrpc"] != "2.0" || !id_is_legal || (method.is_none() && !is_response) {
            self.malformed += 1;
        } else if let (Some(id), Some(_)) = (id, method) {
            self.sent_request(id, message);
        } else if method == Some("notifications/initialized") {
            self.ready |= self.legacy.is_some();
        } else if method == Some("notifications/cancelled") {
            let id = message["params"]["requestId"].to_string();
            if let Some(entry) = self.requests.get_mut(&id) {
                entry.cancelled += 1;
                entry.latest_cancelled = true;
                self.cancelled.push((id, self.sent));
            }
        }
    }

    fn sent_request(&mut self, id: &Value, message: &Value) {
        self.sent += 1;
        let entry = self.requests.entry(id.to_string()).or_default();
        // The id of an open subscription is in use: this request will be refused.
        if entry.is_open() && entry.request.is_listen() && !entry.latest_cancelled {
            entry.sent += 1;
            return;
        }
        let oldest = if entry.is_open() {
            entry.oldest
        } else {
            self.sent
        };
        *entry = RequestsById {
            oldest,
            sent: entry.sent + 1,
            cancelled: entry.cancelled,
            answered: entry.answered,
            request: ClientRequest::read(message, self.sent),
            ..RequestsById::default()
        };
        if entry.request.modern {
            return;
        }
        if entry.request.method == "initialize" {
            self.legacy = Some(message["params"]["capabilities"].clone());
        } else {
            self.ready |= self.legacy.is_some();
        }
    }

    /// The gateway reads lines in order: a response shows that it has read everything before the
    /// request.
    fn has_read(&mut self, place: usize) {
        let cancelled = self.cancelled.extract_if(.., |(_, at)| *at < place);
        for (id, at) in cancelled.collect::<Vec<_>>() {
            let entry = self.requests.get_mut(&id);
            if let Some(entry) = entry.filter(|entry| entry.request.place <= at) {
                entry.cancellation_read = entry.request.method != "initialize";
            }
        }
    }

    /// Checks a line of the gateway and returns its messages.
    ///
    /// # Panics
    /// If it violates the protocol.
    pub fn received(&mut self, line: &[u8]) -> Vec<Message> {
        let text = String::from_utf8(line.to_vec())
            .unwrap_or_else(|_| panic!("stdout has a line that is not UTF-8: {line:?}"));
        let json: Value = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("stdout has a line that is not JSON ({error}): {text}"));
        let at = self.lines;
        self.lines += 1;
        let (batch, all) = match json {
            Value::Array(all) => (true, all),
            one => (false, vec![one]),
        };
        assert!(!all.is_empty(), "stdout has an empty batch");
        all.into_iter()
            .map(|json| {
                let line = if batch {
                    json.to_string()
                } else {
                    text.clone()
                };
                let message = Message { at, line, json };
                self.check(&message);
                message
            })
            .collect()
    }

    fn check(&mut self, message: &Message) {
        let (json, line) = (&message.json, &message.line);
        assert_eq!(json["jsonrpc"], "2.0", "not JSON-RPC 2.0: {line}");
        let has = |key| json.get(key).is_some();
        if has("method") {
            assert!(
                json["method"].is_string(),
                "the method is not a string: {line}"
            );
            assert!(
                !has("result") && !has("error"),
                "neither request nor response: {line}"
            );
            assert!(
                !has("id") || !json["id"].is_null(),
                "a request with id null: {line}"
            );
            if self.json_rpc_only {
                return;
            }
            if has("id") {
                let early = !self.ready && json["method"] != "ping";
                assert!(!early, "a request before the client is ready: {line}");
                eras::check_request(self.legacy.as_ref(), message);
            } else {
                let client = LegacyClient {
                    initialized: self.legacy.is_some(),
                    ready: self.ready,
                };
                streams::check(&mut self.requests, client, message);
            }
            return;
        }
        assert!(
            has("result") != has("error"),
            "not exactly one of result and error: {line}"
        );
        assert!(has("id"), "a response without id: {line}");
        if has("error") {
            let error = &json["error"];
            assert!(error["code"].is_i64(), "an error without a code: {line}");
            assert!(
                error["message"].is_string(),
                "an error without a message: {line}"
            );
        }
        let entry = self.requests.entry(json["id"].to_string()).or_default();
        if entry.answered < entry.sent {
            assert!(
                !entry.cancellation_read,
                "answered after it was cancelled: {line}"
            );
            entry.answered += 1;
            if !self.json_rpc_only {
                eras::check_response(&entry.request, message);
            }
            let place = entry.oldest;
            self.has_read(place);
        } else {
            let excused = has("error") && self.malformed > 0;
            assert!(
                excused,
                "a second response, or a response without a request: {line}"
            );
            self.malformed -= 1;
        }
    }

    /// Whether this is the id of a subscription.
    pub fn is_listen(&self, id: &Value) -> bool {
        let entry = self.requests.get(&id.to_string());
        entry.is_some_and(|entry| entry.request.is_listen())
    }

    /// The ids of requests without a response. Subscriptions need none.
    pub fn unanswered(&self) -> Vec<&str> {
        let all = self.requests.iter();
        all.filter(|(_, entry)| !entry.request.is_listen())
            .filter(|(_, entry)| entry.answered + entry.cancelled < entry.sent)
            .map(|(id, _)| id.as_str())
            .collect()
    }
}
