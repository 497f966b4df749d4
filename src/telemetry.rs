//! OpenTelemetry: a span for each request and each attempt, how long they and sessions took, and numbers that are
//! kept anyway.
//!
//! Owns the names of the semantic convention for MCP ([`names`]), the trace context of requests
//! (W3C Trace Context, in `_meta` as MCP 2026-07-28 has it), and sending both to a collector
//! (OTLP over HTTP). It must not know how a request is served, nor where the headers for the
//! collector come from.

mod attempt;
mod context;
mod durations;
mod exporter;
mod levels;
mod names;
mod operation;
mod session;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider, UpDownCounter};
use opentelemetry::trace::TracerProvider;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, SpanLimits,
};

use crate::config::TelemetryConfig;
use crate::tasks;
pub(crate) use attempt::{AttemptEnd, AttemptTrace, Peer};
use durations::Durations;
use exporter::Exporter;
pub(crate) use exporter::{Connect, Connection};
pub(crate) use levels::{BackendLevels, Levels};
pub(crate) use names::TOOL_ERROR;
pub(crate) use operation::Ended;
pub use operation::RequestTrace;

/// Spans that wait to be sent; more are dropped.
const MAX_WAITING_SPANS: usize = 2_048;
/// Most spans of one request to the collector.
const MAX_BATCH: usize = 512;
/// Spans are gathered for this time.
const SPAN_DELAY: Duration = Duration::from_secs(5);

/// Begins spans and records durations. Clones share one exporter.
#[derive(Debug, Clone)]
pub(crate) struct Telemetry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tracer: SdkTracer,
    traces: SdkTracerProvider,
    metrics: SdkMeterProvider,
    instruments: Instruments,
    meter: Meter,
    sends_traces: bool,
}

/// What is measured.
#[derive(Debug)]
struct Instruments {
    /// Seconds of the client's requests.
    server: Durations,
    /// Seconds of attempts at a backend.
    client: Durations,
    /// Seconds of the session with the client.
    server_session: Histogram<f64>,
    /// Seconds of sessions with backends.
    client_session: Histogram<f64>,
    /// Attempts after the first.
    retries: Counter<u64>,
    /// Requests that have not ended.
    in_flight: UpDownCounter<i64>,
}

impl Telemetry {
    /// Starts sending to the collector of this config, which is connected to by `connect` when there is
    /// something to send. To be called in the runtime that requests to the collector run in.
    pub(crate) fn start(config: &TelemetryConfig, connect: &Connect) -> Self {
        let resource = resource(config);
        let export = |to: &Option<_>, what| {
            to.clone()
                .map(|to| Exporter::new(what, to, Arc::clone(connect)))
        };
        // Each setting is given: what is left out is read from variables that a client hands to
        // every child.
        let mut traces = SdkTracerProvider::builder()
            .with_resource(resource.clone())
            .with_sampler(sampler(config))
            .with_span_limits(SpanLimits::default());
        if let Some(exporter) = export(&config.traces, "traces") {
            let batches = BatchConfigBuilder::default()
                .with_max_queue_size(MAX_WAITING_SPANS)
                .with_max_export_batch_size(MAX_BATCH)
                .with_scheduled_delay(SPAN_DELAY.min(config.interval))
                .build();
            let processor = BatchSpanProcessor::builder(exporter)
                .with_batch_config(batches)
                .build();
            traces = traces.with_span_processor(processor);
        }
        let mut metrics = SdkMeterProvider::builder().with_resource(resource);
        if let Some(exporter) = export(&config.metrics, "metrics") {
            let reader = PeriodicReader::builder(exporter)
                .with_interval(config.interval)
                .build();
            metrics = metrics.with_reader(reader);
        }
        let (traces, metrics) = (traces.build(), metrics.build());
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        let tracer = traces.tracer_with_scope(scope.clone());
        let meter = metrics.meter_with_scope(scope);
        Self(Arc::new(Inner {
            tracer,
            instruments: Instruments::new(&meter),
            meter,
            traces,
            metrics,
            sends_traces: config.traces.is_some(),
        }))
    }

    /// Sends what is left, for at most this time.
    pub(crate) async fn finish(self, limit: Duration) {
        // Each waits for its own thread, which may wait for a collector that hangs.
        let (traces, metrics) = (Arc::clone(&self.0), self.0);
        let traces = move || traces.traces.shutdown_with_timeout(limit);
        let metrics = move || metrics.metrics.shutdown_with_timeout(limit);
        let (traces, metrics) = (tasks::blocking(traces), tasks::blocking(metrics));
        // What can't be sent has been logged by the exporter.
        let _ = tokio::time::timeout(limit, async { tokio::join!(traces, metrics) }).await;
    }
}

impl Instruments {
    fn new(meter: &Meter) -> Self {
        let seconds = |name: &'static str, what: &'static str| {
            meter
                .f64_histogram(name)
                .with_unit("s")
                .with_description(what)
                .with_boundaries(names::BOUNDS.to_vec())
                .build()
        };
        Self {
            server: Durations::new(seconds(
                names::SERVER_DURATION,
                "Duration of a request as the gateway serves it",
            )),
            client: Durations::new(seconds(
                names::CLIENT_DURATION,
                "Duration of an attempt at a request to a backend",
            )),
            server_session: seconds(
                names::SERVER_SESSION,
                "Duration of the session with the client",
            ),
            client_session: seconds(
                names::CLIENT_SESSION,
                "Duration of a session with a backend",
            ),
            retries: meter
                .u64_counter(names::RETRIES)
                .with_description("Attempts after the first")
                .build(),
            in_flight: meter
                .i64_up_down_counter(names::IN_FLIGHT)
                .with_description("Requests of the client that have not ended")
                .build(),
        }
    }
}

fn resource(config: &TelemetryConfig) -> Resource {
    let attributes = config.attributes.iter();
    let attributes = attributes.map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new(names::SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
            KeyValue::new(names::PROCESS_ID, i64::from(std::process::id())),
        ])
        .with_attributes(attributes)
        .with_service_name(config.service_name.clone())
        .build()
}

/// A request whose client has decided already is sampled as it says.
fn sampler(config: &TelemetryConfig) -> Sampler {
    let ratio = Sampler::TraceIdRatioBased(f64::from(config.sample_per_million) / 1e6);
    match config.follows_parent {
        _ if config.traces.is_none() => Sampler::AlwaysOff,
        true => Sampler::ParentBased(Box::new(ratio)),
        false => ratio,
    }
}
