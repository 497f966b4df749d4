//! A request of the client.
//!
//! Owns its span and its duration in seconds, and what of a request a collector gets: no secret of the config, no
//! long text, and no name that may be anything.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use tokio::time::Instant;

use super::{Telemetry, context, names};
use crate::protocol::{Id, Kind, RawJson};
use crate::text::{beginning, for_output};

/// The span of a request that is in flight. Dropped without an end, it counts as cancelled.
#[derive(Debug)]
pub struct RequestTrace {
    pub(super) telemetry: Telemetry,
    pub(super) context: Context,
    method: &'static str,
    begun: Instant,
    has_ended: AtomicBool,
}

/// How a request ended.
#[derive(Debug, Default)]
pub(crate) struct Ended<'a> {
    /// What it was about: of which kind, and the client's name or URI for it.
    pub(crate) target: Option<(Kind, &'a str)>,
    /// The backend that has it.
    pub(crate) backend: Option<&'a str>,
    /// The version of MCP towards the client.
    pub(crate) protocol_version: Option<&'a str>,
    /// The code of the JSON-RPC error.
    pub(crate) code: Option<i64>,
    /// Why it failed, in a word: the class of the gateway's own errors. `tool_error` for a result that
    /// is one.
    pub(crate) failure: Option<&'a str>,
    /// Requests to the backend.
    pub(crate) attempts: u32,
    /// `no`, `unknown` or `yes`.
    pub(crate) executed: &'a str,
    /// Time in the queue of `max_in_flight`.
    pub(crate) queued: Duration,
}

impl Telemetry {
    /// Begins the span of a request.
    pub(crate) fn begin(&self, id: &Id, method: &str, params: Option<&RawJson>) -> RequestTrace {
        let parent = context::of_params(params);
        let method = known(method);
        let builder = SpanBuilder::from_name(method).with_kind(SpanKind::Server);
        let mut span = self.0.tracer.build_with_context(builder, &parent);
        if span.is_recording() {
            span.set_attribute(KeyValue::new(names::REQUEST_ID, plain(id)));
        }
        self.0.instruments.in_flight.add(1, &[]);
        RequestTrace {
            telemetry: self.clone(),
            context: parent.with_span(span),
            method,
            begun: Instant::now(),
            has_ended: AtomicBool::new(false),
        }
    }
}

impl RequestTrace {
    /// The id of the trace that it is part of, in hexadecimal.
    pub(crate) fn trace_id(&self) -> String {
        self.context.span().span_context().trace_id().to_string()
    }

    /// What the span and the duration say.
    fn shared(&self, ended: &Ended<'_>, error: Option<&str>) -> Vec<KeyValue> {
        let mut shared = vec![
            KeyValue::new(names::METHOD, self.method),
            KeyValue::new(names::TRANSPORT, "pipe"),
        ];
        shared.extend(named(ended.target, ended.backend.is_some()));
        shared.extend(failed(error, ended.code));
        let version = ended.protocol_version;
        shared.extend(
            version.map(|version| KeyValue::new(names::PROTOCOL_VERSION, version.to_owned())),
        );
        shared
    }

    /// What tells the series of a success apart.
    fn key(&self, ended: &Ended<'_>) -> String {
        let name = match ended.target {
            Some((Kind::Tool | Kind::Prompt, name)) => name,
            _ => "",
        };
        let version = ended.protocol_version.unwrap_or_default();
        [self.method, name, version].join("\0")
    }

    /// The request has ended so.
    pub(crate) fn end(&self, ended: &Ended<'_>) {
        if self.has_ended.swap(true, Relaxed) {
            return;
        }
        let instruments = &self.telemetry.0.instruments;
        instruments.in_flight.add(-1, &[]);
        let error = error_type(ended.failure, ended.code);
        let shared = || self.shared(ended, error.as_deref());
        let key = match (&error, ended.backend) {
            (None, Some(_)) => self.key(ended),
            _ => String::new(),
        };
        let lasted = self.begun.elapsed();
        instruments.server.record(lasted, &key, &shared);
        if ended.attempts > 1 {
            let retries = u64::from(ended.attempts - 1);
            let backend = ended.backend.unwrap_or_default().to_owned();
            let of = [KeyValue::new(names::BACKEND, backend)];
            instruments.retries.add(retries, &of);
        }
        let span = self.context.span();
        if !span.is_recording() {
            return;
        }
        span.set_attributes(shared());
        if let Some((kind, target)) = ended.target {
            match kind {
                Kind::Tool | Kind::Prompt => {
                    span.update_name(format!("{} {}", self.method, shown(target)))
                }
                _ => span.set_attribute(KeyValue::new(names::RESOURCE_URI, shown(target))),
            }
        }
        if let Some(backend) = ended.backend {
            span.set_attributes([
                KeyValue::new(names::BACKEND, backend.to_owned()),
                KeyValue::new(names::ATTEMPTS, i64::from(ended.attempts)),
                KeyValue::new(names::EXECUTED, ended.executed.to_owned()),
                KeyValue::new(names::QUEUE_MS, ended.queued.as_secs_f64() * 1e3),
            ]);
        }
        if error.is_some() {
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// A request whose task is dropped was cancelled.
impl Drop for RequestTrace {
    fn drop(&mut self) {
        self.end(&Ended {
            failure: Some("cancelled"),
            ..Ended::default()
        });
    }
}

/// Most bytes of a text that the collector gets.
const MAX_TEXT: usize = 256;

/// A text as the collector gets it: without secrets of the config, and not long.
pub(super) fn shown(text: &str) -> String {
    let mut text = for_output(text).into_owned();
    text.truncate(beginning(&text, MAX_TEXT).len());
    text
}

/// A method of the specification as it is; any other may be anything.
pub(super) fn known(method: &str) -> &'static str {
    let methods = names::METHODS.into_iter();
    let mut known = methods.filter(|known| *known == method);
    known.next().unwrap_or(names::OTHER)
}

/// An error code as it may be counted by: servers may send any.
fn counted(code: i64) -> String {
    match (-32_768..=-32_000).contains(&code) {
        true => code.to_string(),
        false => names::OTHER.to_owned(),
    }
}

/// An id as the convention has it: a string without quotes.
pub(super) fn plain(id: &Id) -> String {
    let raw = id.raw();
    shown(&raw.text().unwrap_or_else(|| raw.as_str().to_owned()))
}

/// `error.type`: few values, so that it can be counted by.
pub(super) fn error_type(failure: Option<&str>, code: Option<i64>) -> Option<Cow<'_, str>> {
    match (failure, code) {
        (Some(failure), _) => Some(failure.into()),
        (None, Some(code)) => Some(counted(code).into()),
        (None, None) => None,
    }
}

/// The attributes of an error.
pub(super) fn failed(error: Option<&str>, code: Option<i64>) -> impl Iterator<Item = KeyValue> {
    let error = error.map(|error| KeyValue::new(names::ERROR_TYPE, error.to_owned()));
    let code = code.map(|code| KeyValue::new(names::STATUS_CODE, counted(code)));
    error.into_iter().chain(code)
}

/// The attributes that name a tool or a prompt. A name that no backend has is left out: it may be
/// anything.
pub(super) fn named(
    target: Option<(Kind, &str)>,
    is_known: bool,
) -> impl Iterator<Item = KeyValue> {
    let name = |name: &str| match is_known {
        true => shown(name),
        false => names::OTHER.to_owned(),
    };
    let (key, operation) = match target {
        Some((Kind::Tool, _)) => (Some(names::TOOL), true),
        Some((Kind::Prompt, _)) => (Some(names::PROMPT), false),
        _ => (None, false),
    };
    let named = key
        .zip(target)
        .map(|(key, (_, target))| KeyValue::new(key, name(target)));
    let operation = operation.then(|| KeyValue::new(names::OPERATION, names::EXECUTE_TOOL));
    named.into_iter().chain(operation)
}
