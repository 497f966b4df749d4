//! What the record of a call says, as a line of JSON and as a line of the log.
//!
//! Owns the names of its members. It must not know where the lines go.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::account;
use super::redact::rendered;
use crate::clock;
use crate::config::AuditArguments;
use crate::hex::hex;
use crate::protocol::error::{code_of, is_tool_error};
use crate::protocol::raw::put_quoted;
use crate::protocol::{Class, Era, Executed, Kind, Outcome};
use crate::telemetry::Ended;
use crate::text::{beginning, for_output};

/// Log lines about calls have this target.
pub(in crate::observe) const TARGET: &str = "sentinel_gateway::calls";

/// The gateway that writes: several may share a file.
#[derive(Debug, Clone)]
pub(super) struct Gateway {
    pid: u32,
    /// Another one for each run, since process ids are used again.
    instance: Arc<str>,
    /// The account that it runs as.
    user: Arc<str>,
}

impl Gateway {
    pub(super) fn of_process() -> Self {
        Self {
            pid: std::process::id(),
            instance: hex(&rand::random::<[u8; 4]>()).into(),
            user: account::of_process().into(),
        }
    }
}

/// Most bytes of a name or URI in a record.
const MAX_TEXT: usize = 2_048;

/// How a request ended.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// `ok`, `tool_error`, `error`, `input_required` or `cancelled`.
    pub(super) outcome: &'static str,
    /// The code of the JSON-RPC error.
    pub(super) code: Option<i64>,
    /// The class of an error of the gateway's own.
    pub(super) class: Option<Class>,
    /// Whether it ran, where it is known better than from its calls.
    pub(super) executed: Option<Executed>,
    /// How many attempts were made, where it is known better than from its calls.
    pub(super) attempts: Option<u32>,
}

impl Ending {
    pub(super) fn of(outcome: &'static str) -> Self {
        Self {
            outcome,
            ..Self::default()
        }
    }

    /// An ending with this answer.
    pub(super) fn with(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Error(error) => Self::failed(code_of(error)),
            Outcome::Result(result) if is_tool_error(result) => Self::of("tool_error"),
            Outcome::Result(_) => Self::of("ok"),
        }
    }

    /// An ending with a JSON-RPC error.
    pub(super) fn failed(code: Option<i64>) -> Self {
        Self {
            code,
            ..Self::of("error")
        }
    }
}

/// The record of one request.
#[derive(Debug)]
pub(super) struct Record {
    /// The number among the records of this gateway, from 1 on: a gap shows that one is missing.
    pub(super) number: u64,
    /// When it came in.
    pub(super) at: SystemTime,
    pub(super) client: Option<String>,
    pub(super) client_version: Option<String>,
    pub(super) client_era: Option<Era>,
    /// The version of MCP that the client speaks.
    pub(super) protocol_version: Option<&'static str>,
    pub(super) method: String,
    pub(super) backend: Option<Arc<str>>,
    pub(super) backend_era: Option<Era>,
    /// The name or URI that the client uses.
    pub(super) target: Option<String>,
    /// The name or URI that the backend uses.
    pub(super) own_target: Option<Arc<str>>,
    pub(super) ending: Ending,
    pub(super) executed: Executed,
    pub(super) attempts: u32,
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
    pub(super) queued: Duration,
    /// The time from when it came in until then.
    pub(super) first_byte: Option<Duration>,
    pub(super) total: Duration,
    pub(super) trace_id: Option<String>,
    /// JSON, as the client wrote it.
    pub(super) arguments: Option<Bytes>,
    /// JSON, as the backend wrote it.
    pub(super) result: Option<Bytes>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            number: 0,
            at: SystemTime::UNIX_EPOCH,
            client: None,
            client_version: None,
            client_era: None,
            protocol_version: None,
            method: String::new(),
            backend: None,
            backend_era: None,
            target: None,
            own_target: None,
            ending: Ending::default(),
            executed: Executed::No,
            attempts: 0,
            bytes_sent: 0,
            bytes_received: 0,
            queued: Duration::ZERO,
            first_byte: None,
            total: Duration::ZERO,
            trace_id: None,
            arguments: None,
            result: None,
        }
    }
}

impl Record {
    /// Bytes of arguments and result.
    pub(super) fn value_bytes(&self) -> usize {
        let values = [&self.arguments, &self.result];
        values
            .iter()
            .map(|value| value.as_ref().map_or(0, Bytes::len))
            .sum()
    }

    /// The record as a line of JSON, with its end and without secrets of the config.
    pub(super) fn line(&self, gateway: &Gateway, arguments: AuditArguments) -> Vec<u8> {
        let mut object = Object::of(gateway, &clock::rfc3339(self.at));
        object.number("seq", self.number);
        object.text("client", self.client.as_deref());
        object.text("client_version", self.client_version.as_deref());
        object.text("client_era", self.client_era.map(era));
        object.text("method", Some(&self.method));
        object.text("backend", self.backend.as_deref());
        object.text("backend_era", self.backend_era.map(era));
        let (shown, own) = self.target_keys();
        object.text(shown, self.target.as_deref());
        object.text(own, self.own_target.as_deref().or(self.routed_target()));
        object.text("outcome", Some(self.ending.outcome));
        if let Some(code) = self.ending.code {
            object.member("code", &code.to_string());
        }
        object.text("class", self.ending.class.map(Class::name));
        object.text("executed", Some(self.executed.name()));
        object.number("attempts", self.attempts.into());
        object.number("bytes_sent", self.bytes_sent);
        object.number("bytes_received", self.bytes_received);
        object.millis("queued_ms", self.queued);
        if let Some(first_byte) = self.first_byte {
            object.millis("first_byte_ms", first_byte);
        }
        object.millis("total_ms", self.total);
        object.text("trace_id", self.trace_id.as_deref());
        for (key, value) in [("arguments", &self.arguments), ("result", &self.result)] {
            let of_arguments = key == "arguments";
            let value = value
                .as_ref()
                .and_then(|value| rendered(value, arguments, of_arguments));
            if let Some(value) = value {
                object.member(key, &value);
            }
        }
        object.end()
    }

    /// The record as the end of a span.
    pub(super) fn for_span(&self) -> Ended<'_> {
        let kind = match self.method.as_str() {
            "tools/call" => Some(Kind::Tool),
            "prompts/get" => Some(Kind::Prompt),
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => {
                Some(Kind::Resource)
            }
            _ => None,
        };
        let failure = match self.ending.outcome {
            outcome @ ("tool_error" | "cancelled") => Some(outcome),
            _ => self.ending.class.map(Class::name),
        };
        Ended {
            target: kind.zip(self.target.as_deref()),
            backend: self.backend.as_deref(),
            protocol_version: self.protocol_version,
            code: self.ending.code,
            failure,
            attempts: self.attempts,
            executed: self.executed.name(),
            queued: self.queued,
        }
    }

    /// Writes the record as a line of the log.
    pub(super) fn log(&self) {
        tracing::info!(
            target: TARGET,
            method = self.method,
            backend = self.backend.as_deref(),
            tool = self.target.as_deref(),
            client = self.client.as_deref(),
            code = self.ending.code,
            class = self.ending.class.map(Class::name),
            executed = self.executed.name(),
            attempts = self.attempts,
            bytes_sent = self.bytes_sent,
            bytes_received = self.bytes_received,
            queued_ms = millis(self.queued),
            first_byte_ms = self.first_byte.map(millis),
            total_ms = millis(self.total),
            trace_id = self.trace_id,
            "{}",
            self.ending.outcome
        );
    }

    fn target_keys(&self) -> (&'static str, &'static str) {
        match self.method.as_str() {
            "tools/call" => ("tool", "own_tool"),
            "prompts/get" => ("prompt", "own_prompt"),
            _ => ("target", "own_target"),
        }
    }

    /// The client's name, where a backend has the target and uses it too.
    fn routed_target(&self) -> Option<&str> {
        self.target.as_deref().filter(|_| self.backend.is_some())
    }
}

/// A line that says how many records are missing before it.
pub(super) fn missing(count: u64) -> Vec<u8> {
    let mut object = Object::of(&Gateway::of_process(), &clock::rfc3339(clock::wall()));
    object.number("missing", count);
    object.end()
}

/// The text of a JSON object while it grows.
struct Object(Vec<u8>);

impl Object {
    fn of(gateway: &Gateway, time: &str) -> Self {
        let mut object = Self(Vec::with_capacity(512));
        object.0.push(b'{');
        object.text("time", Some(time));
        object.number("pid", gateway.pid.into());
        object.text("instance", Some(&gateway.instance));
        object.text("user", Some(&*gateway.user).filter(|user| !user.is_empty()));
        object
    }

    fn key(&mut self, key: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn member(&mut self, key: &str, json: &str) {
        self.key(key);
        self.0.extend_from_slice(json.as_bytes());
    }

    fn number(&mut self, key: &str, number: u64) {
        self.key(key);
        put_digits(&mut self.0, number, 1);
    }

    /// Adds a time in milliseconds, with those of microseconds after the point.
    fn millis(&mut self, key: &str, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.key(key);
        put_digits(&mut self.0, micros / 1000, 1);
        self.0.push(b'.');
        put_digits(&mut self.0, micros % 1000, 3);
    }

    /// At most [`MAX_TEXT`] bytes of it: names and URIs are as long as a client makes them.
    fn text(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.key(key);
            match text.len() > MAX_TEXT {
                // A secret that is cut in two can't be recognised.
                true => {
                    let cut = format!("{}…", beginning(&for_output(text), MAX_TEXT));
                    put_quoted(&mut self.0, &cut);
                }
                false => put_quoted(&mut self.0, text),
            }
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.0.push(b'}');
        // All of it is UTF-8.
        let text = String::from_utf8(self.0).unwrap_or_default();
        let cleaned = match for_output(&text) {
            Cow::Owned(cleaned) => Some(cleaned),
            Cow::Borrowed(_) => None,
        };
        let mut line = cleaned.unwrap_or(text).into_bytes();
        line.push(b'\n');
        line
    }
}

/// Appends a number in at least so many digits.
fn put_digits(out: &mut Vec<u8>, number: u64, least: usize) {
    let (mut digits, mut at, mut left) = ([b'0'; 20], 20, number);
    while left > 0 {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    out.extend_from_slice(&digits[at.min(20 - least)..]);
}

fn era(era: Era) -> &'static str {
    match era {
        Era::Legacy => "legacy",
        Era::Modern => "modern",
    }
}

/// A time in milliseconds, with those of microseconds after the point.
fn millis(time: Duration) -> String {
    let micros = time.as_micros();
    format!("{}.{:03}", micros / 1000, micros % 1000)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(line: &[u8]) -> Value {
        assert_eq!(line.last(), Some(&b'\n'));
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        serde_json::from_slice(line).unwrap()
    }

    #[test]
    fn a_record_is_one_line_of_json_whatever_it_holds() {
        let odd = "a\"b\\\n\u{1}\u{2028}é";
        let record = Record {
            number: 7,
            client: Some(odd.into()),
            method: "tools/call".into(),
            backend: Some("db".into()),
            target: Some(odd.into()),
            arguments: Some(Bytes::from("{\n \"a\" : 1\n}")),
            queued: Duration::from_micros(12),
            total: Duration::from_micros(1_234_567),
            ..Record::default()
        };
        let read = read(&record.line(&Gateway::of_process(), AuditArguments::All));
        assert_eq!(read["client"], odd);
        assert_eq!(
            (&read["tool"], &read["own_tool"]),
            (&json!(odd), &json!(odd))
        );
        assert_eq!(read["arguments"], json!({ "a": 1 }));
        assert_eq!(
            (&read["queued_ms"], &read["total_ms"]),
            (&json!(0.012), &json!(1234.567))
        );
        assert_eq!(read["seq"], 7);
    }

    #[test]
    fn names_are_cut_to_a_bound() {
        let long = "é".repeat(MAX_TEXT);
        let record = Record {
            client: Some(long.clone()),
            method: "tools/call".into(),
            target: Some(long),
            ..Record::default()
        };
        let line = record.line(&Gateway::of_process(), AuditArguments::None);
        assert!(line.len() < 3 * MAX_TEXT, "{} bytes", line.len());
        let tool = read(&line)["tool"].as_str().unwrap().to_owned();
        assert_eq!(tool.len(), MAX_TEXT + "…".len());
        assert!(tool.ends_with("é…"));
    }

    #[test]
    fn what_is_missing_is_a_line_too() {
        let read = read(&missing(3));
        assert_eq!(read["missing"], 3);
        assert!(read["pid"].is_number() && read["time"].is_string());
    }
}
