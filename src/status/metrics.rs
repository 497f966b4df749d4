//! The status as metrics for Prometheus, in the OpenMetrics text format.
//!
//! Owns their names and help texts. A scrape reads the numbers that are kept anyway: calls pay nothing.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::document::{BackendStatus, GatewayStatus, State};
use crate::observe::call_stats::{BOUNDS, DurationTotals};

/// The media type of the text.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of a gateway.
pub(super) fn text(status: GatewayStatus) -> String {
    let mut registry = Registry::with_prefix("sentinel");
    registry.register_collector(Box::new(Gateway(status)));
    let mut text = String::new();
    // Writing to a string doesn't fail.
    let _ = encode(&mut text, &registry);
    text
}

#[derive(Debug)]
struct Gateway(GatewayStatus);

impl Collector for Gateway {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(status) = self;
        let build = [("version", &status.version), ("commit", &status.commit)];
        let help = "Version and commit of the gateway";
        encoder
            .encode_descriptor("build", help, None, MetricType::Info)?
            .encode_info(&build.map(|(key, value)| (key, value.as_str())))?;
        let gauges = [
            (
                "start_time",
                "When the gateway was started, in Unix time",
                Unit::Seconds,
                status.started_at,
            ),
            (
                "buffered",
                "Bytes of all buffered messages",
                Unit::Bytes,
                status.buffered_bytes,
            ),
            (
                "buffered_limit",
                "Most bytes of all buffered messages: max_buffered_bytes",
                Unit::Bytes,
                status.max_buffered_bytes,
            ),
        ];
        for (name, help, unit, value) in gauges {
            let metric = gauge(value);
            let kind = MetricType::Gauge;
            metric.encode(encoder.encode_descriptor(name, help, Some(&unit), kind)?)?;
        }
        records(&mut encoder, status)?;
        let backends = &status.backends;
        counters(&mut encoder, backends)?;
        levels(&mut encoder, backends)?;
        let help = "How long calls took, queueing and retries included";
        let kind = MetricType::Histogram;
        let unit = Some(&Unit::Seconds);
        let mut durations = encoder.encode_descriptor("call_duration", help, unit, kind)?;
        each(&mut durations, backends, |metric, backend| {
            histogram(metric, &backend.durations)
        })?;
        let help = "How long sessions lasted that have ended";
        let mut sessions = encoder.encode_descriptor("session_duration", help, unit, kind)?;
        each(&mut sessions, backends, |metric, backend| {
            histogram(metric, &backend.sessions)
        })
    }
}

/// Writes the numbers of the audit file, and of reloads.
fn records(encoder: &mut DescriptorEncoder<'_>, status: &GatewayStatus) -> fmt::Result {
    let records = [
        (
            "audit_records",
            "Records in the audit file",
            status.records_written,
        ),
        (
            "audit_records_dropped",
            "Records that are missing in the audit file",
            status.records_missing,
        ),
    ];
    for (name, help, count) in records {
        let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(count).encode(metric)?;
    }
    let help = "Changes of the config that are in use, at least in part, and those that are not";
    let mut metric = encoder.encode_descriptor("reloads", help, None, MetricType::Counter)?;
    let reloads = [
        ("applied", status.reloads_applied),
        ("refused", status.reloads_refused),
    ];
    for (result, count) in reloads {
        ConstCounter::new(count).encode(metric.encode_family(&[("result", result)])?)?;
    }
    Ok(())
}

/// What only grows.
fn counters(encoder: &mut DescriptorEncoder<'_>, backends: &[BackendStatus]) -> fmt::Result {
    type Count = fn(&BackendStatus) -> u64;
    let counters: [(&str, &str, Count); 3] = [
        (
            "calls",
            "Calls that are over, without those that the client cancelled",
            |backend| backend.calls,
        ),
        (
            "call_errors",
            "Calls that the backend has not answered",
            |backend| backend.errors,
        ),
        (
            "calls_rate_limited",
            "Calls of clients that limits have refused",
            |backend| backend.rate_limited,
        ),
    ];
    for (name, help, count) in counters {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        each(&mut metric, backends, |metric, backend| {
            ConstCounter::new(count(backend)).encode(metric)
        })?;
    }
    Ok(())
}

/// What goes up and down.
fn levels(encoder: &mut DescriptorEncoder<'_>, backends: &[BackendStatus]) -> fmt::Result {
    type Level = fn(&BackendStatus) -> u64;
    let levels: [(&str, &str, Level); 8] = [
        (
            "backend_up",
            "1 while the backend is connected",
            |backend| u64::from(backend.state == State::Up),
        ),
        (
            "backend_enabled",
            "0 if the config switches the backend off",
            |backend| u64::from(backend.state != State::Disabled),
        ),
        (
            "backend_awaits_sign_in",
            "1 while a person has to sign in",
            |backend| u64::from(backend.awaits_sign_in),
        ),
        (
            "backend_refuses_calls",
            "1 while calls are refused after failures in a row",
            |backend| u64::from(backend.refuses_calls),
        ),
        (
            "backend_tools",
            "Tools of the backend that clients can call",
            |backend| backend.tools as u64,
        ),
        (
            "backend_changed_definitions",
            "Definitions that differ from what was accepted",
            |backend| backend.pins_changed as u64,
        ),
        (
            "calls_in_flight",
            "Calls that are sent, or wait to be sent again",
            |backend| backend.in_flight.into(),
        ),
        (
            "calls_queued",
            "Calls that wait for one of max_in_flight",
            |backend| backend.queued.into(),
        ),
    ];
    for (name, help, level) in levels {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        each(&mut metric, backends, |metric, backend| {
            gauge(level(backend)).encode(metric)
        })?;
    }
    Ok(())
}

/// Writes a metric of each backend.
fn each(
    metric: &mut MetricEncoder<'_>,
    backends: &[BackendStatus],
    write: impl Fn(MetricEncoder<'_>, &BackendStatus) -> fmt::Result,
) -> fmt::Result {
    for backend in backends {
        let labels = [("backend", backend.name.as_str())];
        write(metric.encode_family(&labels)?, backend)?;
    }
    Ok(())
}

fn histogram(mut metric: MetricEncoder<'_>, totals: &DurationTotals) -> fmt::Result {
    let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(totals.buckets).collect();
    let count = totals.buckets.iter().sum();
    metric.encode_histogram::<NoLabelSet>(totals.sum.as_secs_f64(), count, &buckets, None)
}

fn gauge(value: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}
