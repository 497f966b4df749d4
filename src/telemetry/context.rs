//! The trace context of a request: W3C Trace Context as members of `_meta` (MCP 2026-07-28, basic, "Trace context").
//!
//! Owns the reading of it from a client's params, and its place in those that a backend gets.

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;

use crate::protocol::RawJson;
use crate::protocol::raw::quoted;

/// The names of the members, which are those of the HTTP headers too.
const NAMES: [&str; 2] = ["traceparent", "tracestate"];

/// What is sent on: a name of [`NAMES`], and its value.
pub(super) type Carried = Vec<(&'static str, String)>;

struct Meta([Option<String>; 2]);

impl Extractor for Meta {
    fn get(&self, key: &str) -> Option<&str> {
        let at = NAMES.iter().position(|name| *name == key)?;
        self.0[at].as_deref()
    }

    fn keys(&self) -> Vec<&str> {
        NAMES.to_vec()
    }
}

struct Values(Carried);

impl Injector for Values {
    fn set(&mut self, key: &str, value: String) {
        let name = NAMES.iter().find(|name| **name == key);
        self.0.extend(
            name.filter(|_| !value.is_empty())
                .map(|name| (*name, value)),
        );
    }
}

/// The context that a client's params carry; an empty one where they carry none that is valid.
pub(super) fn of_params(params: Option<&RawJson>) -> Context {
    let member = |name| params?.at(&["_meta", name])?.text();
    let meta = Meta(NAMES.map(member));
    TraceContextPropagator::new().extract_with_context(&Context::new(), &meta)
}

/// What a context is sent on as.
pub(super) fn carried(context: &Context) -> Carried {
    let mut values = Values(Vec::new());
    TraceContextPropagator::new().inject_context(context, &mut values);
    values.0
}

/// Params with these members of `_meta` in place of those that are there.
pub(super) fn with_carried(params: Option<&RawJson>, carried: &Carried) -> RawJson {
    let params = params.cloned().unwrap_or_else(|| RawJson::trusted("{}"));
    let meta = params.get("_meta").filter(RawJson::is_object);
    let meta = meta.unwrap_or_else(|| RawJson::trusted("{}"));
    let members: Vec<_> = (carried.iter())
        .map(|(name, value)| (*name, quoted(value)))
        .collect();
    let is_sent = |name: &&str| carried.iter().any(|(sent, _)| sent == name);
    let removed: Vec<&str> = NAMES.into_iter().filter(|name| !is_sent(name)).collect();
    let meta = meta.with_members(&members, &removed);
    params.with_members(&[("_meta", meta.into_bytes())], &[])
}
