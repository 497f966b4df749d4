//! `[telemetry]`: where traces and metrics go.
//!
//! Owns its types. `[telemetry]` and the variables `OTEL_*` come to the same values.

use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderName;

use crate::config::SecretSource;

/// Traces and metrics, sent to a collector that takes OTLP over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// Where traces go; `None` where none are sent.
    pub traces: Option<Destination>,
    /// Where metrics go, likewise.
    pub metrics: Option<Destination>,
    /// How many of a million traces are sent.
    pub sample_per_million: u32,
    /// A trace that the client has begun is sent if the client says so.
    pub follows_parent: bool,
    /// `service.name`
    pub service_name: String,
    /// Further attributes of the resource.
    pub attributes: Vec<(String, String)>,
    /// Metrics are sent so often, and traces at least.
    pub interval: Duration,
}

/// Where one kind of data goes, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The whole address.
    pub url: Url,
    /// The headers of every request.
    pub headers: Vec<(HeaderName, SecretSource)>,
    /// Time limit of one batch, its repetitions included.
    pub timeout: Duration,
}
