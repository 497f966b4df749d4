//! `[audit]`, `[log]` and `[telemetry]` as written: what tells others what the gateway does.
//!
//! Owns their keys, with meaning and default, from which the schema is made.

use schemars::JsonSchema;
use serde::Deserialize as Derive;

use super::secret_form::HeaderForm;
use super::written::{Entries, Located};
use crate::config::{AuditArguments, FileLevel, OnFailure};

const DEFAULT_BYTES: u64 = 64 * 1024 * 1024;
const DEFAULT_KEEP: u32 = 5;

/// The record of each call.
#[derive(Derive, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Audit {
    /// The file that a record of each call is appended to, as a line of JSON. Several gateways may share it. `~` is the home; a relative path starts at the folder of this file.
    #[schemars(example = &"~/.local/state/sentinel/audit.jsonl")]
    pub(in crate::config) file: Option<Located<String>>,
    /// Bytes from which on the file starts anew, as the former one gets `.1` at the end of its name.
    #[schemars(range(min = 4096, max = 1_099_511_627_776u64))]
    pub(in crate::config) max_bytes: u64,
    /// How many former files are kept.
    #[schemars(range(min = 1, max = 1000))]
    pub(in crate::config) keep: u32,
    /// What a record says of arguments and results. Secrets of the config are in none.
    pub(in crate::config) arguments: AuditArguments,
    /// What happens with calls while the file can't be written.
    pub(in crate::config) on_failure: OnFailure,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            file: None,
            max_bytes: DEFAULT_BYTES,
            keep: DEFAULT_KEEP,
            arguments: AuditArguments::default(),
            on_failure: OnFailure::default(),
        }
    }
}

/// The log file.
#[derive(Derive, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Log {
    /// The file that the log is appended to, beside stderr. Several gateways may share it. `~` is the home; a relative path starts at the folder of this file.
    #[schemars(example = &"~/.local/state/sentinel/gateway.log")]
    pub(in crate::config) file: Option<Located<String>>,
    /// The least urgent lines in the file. That of stderr is `--log-level`.
    pub(in crate::config) level: FileLevel,
    /// Bytes from which on the file starts anew, as the former one gets `.1` at the end of its name.
    #[schemars(range(min = 4096, max = 1_099_511_627_776u64))]
    pub(in crate::config) max_bytes: u64,
    /// How many former files are kept.
    #[schemars(range(min = 1, max = 1000))]
    pub(in crate::config) keep: u32,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            file: None,
            level: FileLevel::default(),
            max_bytes: DEFAULT_BYTES,
            keep: DEFAULT_KEEP,
        }
    }
}

/// Traces and metrics for OpenTelemetry. Nothing is sent unless `otlp_endpoint` is set. All keys but `listen` count from the next start of a gateway on.
#[derive(Derive, JsonSchema)]
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
    /// The address at which metrics are served for Prometheus, at `/metrics`, with `/health` and `/ready` for probes. A program that reaches it can read the names of backends and how they are used. Of several gateways that are given the same address the first one has it.
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
