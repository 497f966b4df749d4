//! One record of each call: a line of the log and, where the config names a file, a line in it. For a
//! collector it is a span.
//!
//! Owns when there are records at all, where they go, and whether calls are refused while they can't
//! be written. A record is made when a client's request has ended and its task is gone. It must not
//! know what is called, nor how.

mod account;
mod open;
mod record;
mod redact;
mod sink;

use std::sync::Arc;
use std::time::Duration;

use crate::config::{AuditConfig, OnFailure, RotatingFile};
use crate::observe::line_writer::{Ended, LineCounts, LineWriter, Purpose};
use crate::protocol::Request;
use crate::telemetry::Telemetry;
pub(crate) use open::{OpenRecord, RecordHalf};
use record::Gateway;
pub(super) use record::TARGET;
use sink::Sink;

const PURPOSE: Purpose = Purpose {
    file: "audit file",
    lines: "records",
    missing: record::missing,
};

/// Time for sending the last spans and durations.
const TELEMETRY_TIMEOUT: Duration = Duration::from_secs(2);

/// Begins the records of requests.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    config: AuditConfig,
    sink: Option<Arc<Sink>>,
    /// Gets what records say as spans and durations.
    telemetry: Option<Telemetry>,
    counts: Arc<LineCounts>,
    /// One for each file that was written in this run.
    ended: Vec<Ended>,
}

impl Audit {
    /// Opens the file, if there is one. Blocks for a moment.
    pub(crate) fn start(config: &AuditConfig, telemetry: Option<Telemetry>) -> Self {
        let mut audit = Self {
            telemetry,
            ..Self::default()
        };
        audit.reconfigure(config);
        audit
    }

    /// The config has changed. Requests that have begun keep what they began with, but for the file,
    /// which the writer's thread opens.
    pub(crate) fn reconfigure(&mut self, config: &AuditConfig) {
        if self.sink.is_some() && self.config == *config {
            return;
        }
        let writer = self.sink.as_ref().and_then(|sink| sink.writer.clone());
        let writer = match (&config.file, writer) {
            (None, _) => None,
            (Some(file), Some(writer)) => {
                if self.config.file.as_ref() != Some(file) {
                    writer.reopen(file);
                }
                Some(writer)
            }
            (Some(file), None) => self.writer(file),
        };
        let (gateway, waiting_bytes, number) = match &self.sink {
            Some(sink) => (
                sink.gateway.clone(),
                Arc::clone(&sink.waiting_bytes),
                Arc::clone(&sink.number),
            ),
            None => (Gateway::of_process(), Arc::default(), Arc::default()),
        };
        self.sink = Some(Arc::new(Sink {
            gateway,
            arguments: config.arguments,
            writer,
            waiting_bytes,
            number,
            telemetry: self.telemetry.clone(),
        }));
        self.config = config.clone();
    }

    fn writer(&mut self, file: &RotatingFile) -> Option<LineWriter> {
        let counts = Arc::clone(&self.counts);
        match LineWriter::start(file, PURPOSE, counts, self.sink.is_none()) {
            Ok((writer, ended)) => {
                self.ended.push(ended);
                Some(writer)
            }
            Err(error) => {
                tracing::error!(%error, "the audit file is not written");
                None
            }
        }
    }

    /// How many records there were, in files.
    pub(crate) fn counts(&self) -> Arc<LineCounts> {
        Arc::clone(&self.counts)
    }

    /// Begins the record of a request; `None` where nobody reads it. `is_call`: there is a record
    /// wherever it goes; of other requests only if they go to a backend.
    pub(crate) fn begin(&self, request: &Request, is_call: bool) -> Option<RecordHalf> {
        let sink = self.sink.as_ref()?;
        if sink.telemetry.is_none() && !sink.is_read() {
            return None;
        }
        Some(OpenRecord::begin(Arc::clone(sink), request, is_call))
    }

    /// Whether calls are refused now, since there would be no record of them.
    pub(crate) fn refuses(&self, record: Option<&RecordHalf>) -> bool {
        if self.config.on_failure == OnFailure::Drop || self.config.file.is_none() {
            return false;
        }
        let writer = self.sink.as_ref().and_then(|sink| sink.writer.as_ref());
        match (writer, record) {
            (Some(writer), Some(record)) => writer.is_failing() || !record.has_place(),
            _ => true,
        }
    }

    /// The process ends at once. Telemetry is not dropped: that waits for its threads, whose requests run on
    /// the loop that ends.
    pub(crate) fn abandon(mut self) {
        self.sink = None;
        std::mem::forget(self.telemetry.take());
    }

    /// Waits until all records are written, for at most `timeout`. Requests must have ended.
    pub(crate) async fn finish(mut self, timeout: Duration) {
        self.sink = None;
        if let Some(telemetry) = self.telemetry.take() {
            telemetry.finish(TELEMETRY_TIMEOUT).await;
        }
        let ended = futures_util::future::join_all(self.ended);
        if tokio::time::timeout(timeout, ended).await.is_err() {
            tracing::error!("the last records of the audit file can't be written in time");
        }
    }
}
