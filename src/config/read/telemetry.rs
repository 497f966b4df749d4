//! `[telemetry]` as written: its keys with meaning and default.

use schemars::JsonSchema;
use serde::Deserialize;

use super::located::{Entries, Located};
use super::secret_form::HeaderForm;

/// Traces and metrics for OpenTelemetry. Nothing is sent unless `otlp_endpoint` is set.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Telemetry {
    /// The address of a collector that takes OTLP over HTTP; `/v1/traces` and `/v1/metrics` are appended. With `"env"` the standard variables `OTEL_*` decide all of this; else none of them counts, since clients hand theirs to every program that they start.
    #[schemars(length(min = 1), example = &"http://127.0.0.1:4318")]
    pub(in crate::config) otlp_endpoint: Option<Located<String>>,
    /// Headers of every request to the collector: text or secrets. In text `${VAR}` and `${VAR:-default}` are expanded.
    pub(in crate::config) headers: Entries<HeaderForm>,
    /// How many of a hundred traces are sent. For a trace that the client has begun the client decides.
    #[schemars(range(max = 100))]
    pub(in crate::config) sample_percent: u32,
    /// `service.name` of what is sent.
    #[schemars(length(min = 1))]
    pub(in crate::config) service_name: String,
    /// Seconds between two exports of metrics.
    #[schemars(range(min = 1, max = 3_600))]
    pub(in crate::config) interval_secs: u64,
    /// The address at which metrics are served for Prometheus, at `/metrics`, with `/health` and `/ready` for probes. Whoever reaches it can read the names of backends and how they are used. Of several gateways that are given the same address the first one has it.
    #[schemars(example = &"127.0.0.1:9464")]
    pub(in crate::config) listen: Option<Located<String>>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            headers: Entries::default(),
            sample_percent: 100,
            service_name: env!("CARGO_PKG_NAME").to_owned(),
            interval_secs: 60,
            listen: None,
        }
    }
}
