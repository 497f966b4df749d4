//! One attempt at a request to a backend.
//!
//! Owns its span, the trace context that the backend gets, and its duration in seconds. An attempt that is dropped
//! counts as cancelled.

use std::sync::OnceLock;

use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry_sdk::trace::Span;
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use tokio::time::Instant;

use super::context::{self, Carried};
use super::operation::{RequestTrace, error_type, failed, known, named, plain, shown};
use super::session::address;
use super::{Telemetry, names};
use crate::protocol::{Id, Kind, RawJson};

/// Where an attempt goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer<'a> {
    pub(crate) backend: &'a str,
    pub(crate) url: Option<&'a Url>,
    pub(crate) method: &'a str,
    /// The backend's own name of the tool or prompt.
    pub(crate) target: Option<(Kind, &'a str)>,
    /// The first is 1.
    pub(crate) attempt: u32,
}

/// The span of an attempt that is under way. Dropped without an end, it counts as cancelled.
#[derive(Debug)]
pub(crate) struct AttemptTrace<'a> {
    telemetry: Telemetry,
    span: Option<Span>,
    carried: Carried,
    peer: Peer<'a>,
    /// The version of MCP towards the backend, once there is a connection.
    protocol_version: OnceLock<&'static str>,
    begun: Instant,
}

/// How an attempt ended.
#[derive(Debug, Default)]
pub(crate) struct AttemptEnd<'a> {
    /// The code of the JSON-RPC error.
    pub(crate) code: Option<i64>,
    /// The failure, as in [`Ended`](super::Ended).
    pub(crate) failure: Option<&'a str>,
}

impl RequestTrace {
    /// Begins an attempt.
    pub(crate) fn attempt<'a>(&self, id: &Id, peer: Peer<'a>) -> AttemptTrace<'a> {
        let builder = SpanBuilder::from_name(peer.method.to_owned()).with_kind(SpanKind::Client);
        let tracer = &self.telemetry.0.tracer;
        let mut span = tracer.build_with_context(builder, &self.context);
        let remote = span.span_context().clone();
        let carried = match self.telemetry.0.sends_traces {
            true => context::carried(&self.context.with_remote_span_context(remote)),
            false => Vec::new(),
        };
        if span.is_recording() {
            if let Some((Kind::Tool | Kind::Prompt, target)) = peer.target {
                span.update_name(format!("{} {}", peer.method, shown(target)));
            }
            span.set_attributes([
                KeyValue::new(names::BACKEND, peer.backend.to_owned()),
                KeyValue::new(names::ATTEMPT, i64::from(peer.attempt)),
                KeyValue::new(names::REQUEST_ID, plain(id)),
            ]);
        }
        AttemptTrace {
            telemetry: self.telemetry.clone(),
            span: Some(span),
            carried,
            peer,
            protocol_version: OnceLock::new(),
            begun: Instant::now(),
        }
    }
}

impl AttemptTrace<'_> {
    /// It goes over a connection with this version of MCP.
    pub(crate) fn connected(&self, version: &'static str) {
        // An attempt goes over one connection.
        let _ = self.protocol_version.set(version);
    }

    /// The params as the backend gets them: in the trace of this attempt. `None` where no traces are sent:
    /// the client's own context stays.
    pub(crate) fn params(&self, params: Option<&RawJson>) -> Option<RawJson> {
        (!self.carried.is_empty()).then(|| context::with_carried(params, &self.carried))
    }

    /// The trace context of this attempt as headers, which many servers read alone.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        self.carried.iter().filter_map(|(name, value)| {
            let value = HeaderValue::from_str(value).ok()?;
            Some((HeaderName::from_static(name), value))
        })
    }

    /// The attempt has ended so.
    pub(crate) fn end(&mut self, end: &AttemptEnd<'_>) {
        let Some(mut span) = self.span.take() else {
            return;
        };
        let error = error_type(end.failure, end.code);
        let (peer, version) = (self.peer, self.protocol_version.get());
        let shared = || {
            let mut shared = vec![
                KeyValue::new(names::METHOD, known(peer.method)),
                KeyValue::new(names::TRANSPORT, "tcp"),
                KeyValue::new(names::NETWORK_PROTOCOL, "http"),
            ];
            shared.extend(named(peer.target, true));
            shared.extend(peer.url.into_iter().flat_map(address));
            shared.extend(failed(error.as_deref(), end.code));
            shared.extend(version.map(|version| KeyValue::new(names::PROTOCOL_VERSION, *version)));
            shared
        };
        let key = match error {
            None => [
                known(peer.method),
                peer.target.map_or("", |(_, target)| target),
                peer.url.map_or("", Url::as_str),
                version.copied().unwrap_or_default(),
            ]
            .join("\0"),
            Some(_) => String::new(),
        };
        let durations = &self.telemetry.0.instruments.client;
        durations.record(self.begun.elapsed(), &key, &shared);
        if span.is_recording() {
            span.set_attributes(shared());
            if error.is_some() {
                span.set_status(Status::error(""));
            }
        }
        span.end();
    }
}

/// An attempt whose call is dropped was cancelled.
impl Drop for AttemptTrace<'_> {
    fn drop(&mut self) {
        self.end(&AttemptEnd {
            failure: Some("cancelled"),
            ..AttemptEnd::default()
        });
    }
}
