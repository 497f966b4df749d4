//! Sends traces and metrics to a collector: OTLP over HTTP, as protobuf
//! (opentelemetry.io/docs/specs/otlp, "OTLP/HTTP").
//!
//! Owns when a request is sent again, and what is logged of a collector that doesn't take it. The
//! collector slows nothing: what can't be sent in time is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::BoxFuture;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use prost::Message;
use reqwest::Client;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout_at};

use crate::config::Destination;
use crate::sync::Mutex;
use crate::transport::http::cause;

/// How the collector is reached.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    /// The headers of every request. Their values are secrets.
    pub(crate) headers: HeaderMap,
}

/// Makes a [`Connection`] to this destination; an error says what to do.
pub(crate) type Connect =
    Arc<dyn Fn(&Destination) -> BoxFuture<'static, Result<Connection, String>> + Send + Sync>;

/// The pause before the second attempt, doubled before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 64 * 1024;

/// Sends one kind of data.
#[derive(Clone)]
pub(super) struct Exporter(Arc<Inner>);

struct Inner {
    what: &'static str,
    to: Destination,
    connect: Connect,
    /// Made anew where the collector takes its credentials no more.
    connection: Mutex<Option<Connection>>,
    resource: std::sync::OnceLock<ResourceAttributesWithSchema>,
    /// The last batch was not taken: it is logged once.
    is_failing: AtomicBool,
    runtime: Handle,
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Exporter").field(&self.0.what).finish()
    }
}

impl Exporter {
    pub(super) fn new(what: &'static str, to: Destination, connect: Connect) -> Self {
        Self(Arc::new(Inner {
            what,
            to,
            connect,
            connection: Mutex::default(),
            resource: std::sync::OnceLock::new(),
            is_failing: AtomicBool::new(false),
            runtime: Handle::current(),
        }))
    }

    /// Sends a body, from a thread of the SDK; the request runs on the gateway's own loop. `rejected`
    /// reads of an answer what the collector has not taken, and why.
    async fn send(
        &self,
        body: Vec<u8>,
        rejected: fn(&[u8]) -> Option<(i64, String)>,
    ) -> OTelSdkResult {
        let inner = Arc::clone(&self.0);
        let sending = self.0.runtime.spawn(async move {
            let deadline = Instant::now() + inner.to.timeout;
            let sent = timeout_at(deadline, inner.deliver(body.into())).await;
            let sent = sent.unwrap_or_else(|_| {
                Err(format!(
                    "no answer within {} s",
                    inner.to.timeout.as_secs_f64()
                ))
            });
            let outcome = sent.and_then(|answer| match rejected(&answer) {
                Some((count, why)) => Err(format!("{count} were not taken: {why}")),
                None => Ok(()),
            });
            inner.report(outcome)
        });
        match sending.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => Err(OTelSdkError::InternalFailure(why)),
            Err(_) => Err(OTelSdkError::AlreadyShutdown),
        }
    }
}

/// Why one attempt failed.
struct Failure {
    why: String,
    /// The pause that is asked for, where it may be sent again.
    again: Option<Duration>,
}

impl Inner {
    /// The answer, after as many attempts as there is time for.
    async fn deliver(&self, body: bytes::Bytes) -> Result<Vec<u8>, String> {
        let mut pause = FIRST_PAUSE;
        loop {
            let failure = match self.attempt(body.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let Some(wanted) = failure.again else {
                return Err(failure.why);
            };
            if wanted.max(pause) > self.to.timeout / 2 {
                return Err(failure.why);
            }
            sleep(wanted.max(pause)).await;
            pause *= 2;
        }
    }

    async fn connection(&self) -> Result<Connection, String> {
        if let Some(made) = &*self.connection.lock() {
            return Ok(made.clone());
        }
        let made = (self.connect)(&self.to).await?;
        Ok(self.connection.lock().insert(made).clone())
    }

    async fn attempt(&self, body: bytes::Bytes) -> Result<Vec<u8>, Failure> {
        let connection = self.connection().await;
        let connection = connection.map_err(|why| Failure { why, again: None })?;
        let request = connection.client.post(self.to.url.clone());
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        let request = request.headers(connection.headers.clone());
        let response = request
            .header(CONTENT_TYPE, protobuf)
            .body(body)
            .send()
            .await;
        let mut response = response.map_err(|error| Failure {
            why: cause(&error),
            again: Some(Duration::ZERO),
        })?;
        let status = response.status();
        if !status.is_success() {
            let wanted = response.headers().get(RETRY_AFTER);
            let wanted = wanted.and_then(|value| value.to_str().ok()?.parse().ok());
            if matches!(status.as_u16(), 401 | 403) {
                *self.connection.lock() = None;
            }
            // OTLP/HTTP, "Retryable response codes".
            let may_repeat = matches!(status.as_u16(), 429 | 502..=504);
            return Err(Failure {
                why: format!("HTTP {status}"),
                again: may_repeat.then(|| Duration::from_secs(wanted.unwrap_or_default())),
            });
        }
        let mut answer = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            answer.extend_from_slice(&chunk);
            if answer.len() > MAX_ANSWER {
                break;
            }
        }
        Ok(answer)
    }

    /// Logs the first failure after a success, and the first success after a failure.
    fn report(&self, outcome: Result<(), String>) -> Result<(), String> {
        let what = self.what;
        let was_failing = self.is_failing.swap(outcome.is_err(), Relaxed);
        match &outcome {
            Err(error) if !was_failing => tracing::warn!(
                url = %self.to.url,
                %error,
                "the collector does not take {what}: they are dropped; see otlp_endpoint in [telemetry]"
            ),
            Ok(()) if was_failing => {
                tracing::info!(url = %self.to.url, "the collector takes {what} again")
            }
            _ => {}
        }
        outcome
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let Some(resource) = self.0.resource.get() else {
            return Ok(());
        };
        let request = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(batch, resource),
        };
        let rejected = |answer: &[u8]| {
            let answer = ExportTraceServiceResponse::decode(answer).ok()?;
            let partly = answer.partial_success?;
            (partly.rejected_spans > 0).then_some((partly.rejected_spans, partly.error_message))
        };
        self.send(request.encode_to_vec(), rejected).await
    }

    fn set_resource(&mut self, resource: &Resource) {
        let _ = self.0.resource.set(resource.into());
    }
}

impl PushMetricExporter for Exporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let request = ExportMetricsServiceRequest::from(metrics);
        let rejected = |answer: &[u8]| {
            let answer = ExportMetricsServiceResponse::decode(answer).ok()?;
            let partly = answer.partial_success?;
            let count = partly.rejected_data_points;
            (count > 0).then_some((count, partly.error_message))
        };
        self.send(request.encode_to_vec(), rejected).await
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}
