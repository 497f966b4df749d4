//! What every gateway owes every client, whatever a test is about.
//!
//! Watches both directions: each line on stdout is one JSON-RPC message (or a batch of
//! responses); a request gets one response, a cancelled one at most one; nobody is answered who
//! didn't ask. Each era is told only what it knows, and a modern client is never sent a request.

mod eras;
mod request;
mod streams;

use std::collections::HashMap;

use serde_json::Value;

use request::Asked;
use streams::Client;

/// A message of the gateway.
#[derive(Clone, Debug)]
pub struct Message {
    /// The number of its line on stdout, from 0: what came first.
    pub at: usize,
    /// The line as it came.
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

/// What is owed and what was given, by the text of the id.
#[derive(Default)]
pub struct ProtocolChecker {
    lines: usize,
    /// Only JSON-RPC is held up, and one response for each request: what any program owes that
    /// passes on what it is told.
    pub bare: bool,
    requests: HashMap<String, Account>,
    /// Lines that were no valid message: each may be answered with `id: null` or its id.
    malformed: usize,
    /// What the legacy client can do, once it has said so.
    legacy: Option<Value>,
    /// The legacy client has said that it is ready, or has asked for more than `initialize`.
    ready: bool,
    sent: usize,
    /// What was cancelled, and how many requests had been sent by then.
    cancelled: Vec<(String, usize)>,
}

/// All requests under one id.
#[derive(Default)]
struct Account {
    asked: usize,
    cancelled: usize,
    answered: usize,
    /// The latest of them.
    request: Asked,
    /// The place of the first that may still be unanswered: with an id in use twice, nobody can
    /// tell which of the two is answered.
    oldest: usize,
    progress: Option<f64>,
    acknowledged: bool,
    /// The latest was cancelled.
    withdrawn: bool,
    /// The gateway is known to have read that it was cancelled.
    silenced: bool,
}

impl Account {
    fn is_open(&self) -> bool {
        self.answered < self.asked && !self.silenced
    }
}

impl ProtocolChecker {
    /// Takes note of a line that the client sends.
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
            self.asked(id, message);
        } else if method == Some("notifications/initialized") {
            self.ready |= self.legacy.is_some();
        } else if method == Some("notifications/cancelled") {
            let id = message["params"]["requestId"].to_string();
            if let Some(account) = self.requests.get_mut(&id) {
                account.cancelled += 1;
                account.withdrawn = true;
                self.cancelled.push((id, self.sent));
            }
        }
    }

    fn asked(&mut self, id: &Value, message: &Value) {
        self.sent += 1;
        let account = self.requests.entry(id.to_string()).or_default();
        // A subscription's id is taken: this one will be refused.
        if account.is_open() && account.request.is_listen() && !account.withdrawn {
            account.asked += 1;
            return;
        }
        let oldest = if account.is_open() {
            account.oldest
        } else {
            self.sent
        };
        *account = Account {
            oldest,
            asked: account.asked + 1,
            cancelled: account.cancelled,
            answered: account.answered,
            request: Asked::read(message, self.sent),
            ..Account::default()
        };
        if account.request.modern {
            return;
        }
        if account.request.method == "initialize" {
            self.legacy = Some(message["params"]["capabilities"].clone());
        } else {
            self.ready |= self.legacy.is_some();
        }
    }

    /// Lines are read in order: who answers a request has read what came before it.
    fn has_read(&mut self, place: usize) {
        let cancelled = self.cancelled.extract_if(.., |(_, at)| *at < place);
        for (id, at) in cancelled.collect::<Vec<_>>() {
            let account = self.requests.get_mut(&id);
            if let Some(account) = account.filter(|account| account.request.place <= at) {
                account.silenced = account.request.method != "initialize";
            }
        }
    }

    /// Judges a line of the gateway, and takes it apart.
    ///
    /// # Panics
    /// If it breaks the law.
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
                self.judge(&message);
                message
            })
            .collect()
    }

    fn judge(&mut self, message: &Message) {
        let (json, line) = (&message.json, &message.line);
        assert_eq!(json["jsonrpc"], "2.0", "not JSON-RPC 2.0: {line}");
        let has = |key| json.get(key).is_some();
        if has("method") {
            assert!(
                json["method"].is_string(),
                "a method that is no string: {line}"
            );
            assert!(
                !has("result") && !has("error"),
                "neither request nor response: {line}"
            );
            assert!(
                !has("id") || !json["id"].is_null(),
                "a request with id null: {line}"
            );
            if self.bare {
                return;
            }
            if has("id") {
                let early = !self.ready && json["method"] != "ping";
                assert!(!early, "asked before the client is ready: {line}");
                eras::judge_request(self.legacy.as_ref(), message);
            } else {
                let client = Client {
                    met: self.legacy.is_some(),
                    ready: self.ready,
                };
                streams::judge(&mut self.requests, client, message);
            }
            return;
        }
        assert!(
            has("result") != has("error"),
            "not one of result and error: {line}"
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
        let account = self.requests.entry(json["id"].to_string()).or_default();
        if account.answered < account.asked {
            assert!(!account.silenced, "answered after it was cancelled: {line}");
            account.answered += 1;
            if !self.bare {
                eras::judge_response(&account.request, message);
            }
            let place = account.oldest;
            self.has_read(place);
        } else {
            let excused = has("error") && self.malformed > 0;
            assert!(
                excused,
                "answered twice, or without having been asked: {line}"
            );
            self.malformed -= 1;
        }
    }

    /// Whether it is the id of a subscription.
    pub fn is_listen(&self, id: &Value) -> bool {
        let account = self.requests.get(&id.to_string());
        account.is_some_and(|account| account.request.is_listen())
    }

    /// The ids of requests that still wait for a response. Subscriptions may wait for ever.
    pub fn unanswered(&self) -> Vec<&str> {
        let all = self.requests.iter();
        all.filter(|(_, account)| !account.request.is_listen())
            .filter(|(_, account)| account.answered + account.cancelled < account.asked)
            .map(|(id, _)| id.as_str())
            .collect()
    }
}
