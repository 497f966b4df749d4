//! Where finished records go: to the log, and to the writer of the file.
//!
//! Owns the bounds of arguments and results, which are copied. It must not know requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;

use super::record::{Gateway, Record, TARGET};
use crate::config::AuditArguments;
use crate::observe::line_writer::{LineWriter, Place};
use crate::protocol::RawJson;
use crate::telemetry::Telemetry;

/// How many bytes of arguments and results may wait.
const MAX_WAITING_BYTES: usize = 16 << 20;
/// Longest arguments, and longest result, that a record has.
const MAX_VALUE: usize = 64 << 10;

/// Where records go.
#[derive(Debug)]
pub(super) struct Sink {
    pub(super) gateway: Gateway,
    pub(super) arguments: AuditArguments,
    /// `None` where they go to the log alone.
    pub(super) writer: Option<LineWriter>,
    /// Bytes of arguments and results that wait for the writer.
    pub(super) waiting_bytes: Arc<AtomicU64>,
    /// The number of the last record.
    pub(super) number: Arc<AtomicU64>,
    pub(super) telemetry: Option<Telemetry>,
}

impl Sink {
    /// Whether anybody reads records: in the file or in the log.
    pub(super) fn is_read(&self) -> bool {
        self.writer.is_some() || tracing::enabled!(target: TARGET, tracing::Level::INFO)
    }

    /// A place for one record in the file; `None` where there is no file or no place.
    pub(super) fn place(&self) -> Option<Place> {
        self.writer.as_ref()?.place()
    }

    /// Whether arguments and results of so many bytes may wait; they count from now on.
    fn has_room(&self, bytes: usize) -> bool {
        let before = self.waiting_bytes.fetch_add(bytes as u64, Relaxed);
        let fits = before.saturating_add(bytes as u64) <= MAX_WAITING_BYTES as u64;
        if !fits {
            self.waiting_bytes.fetch_sub(bytes as u64, Relaxed);
        }
        fits
    }

    /// Writes a record: to the log, and to the file if it has a place there.
    pub(super) fn write(&self, mut record: Record, place: Option<Place>) {
        record.number = self.number.fetch_add(1, Relaxed) + 1;
        record.log();
        let Some(writer) = &self.writer else { return };
        let Some(place) = place else {
            self.free(record.arguments.as_ref());
            self.free(record.result.as_ref());
            return writer.note_missing();
        };
        let (gateway, arguments) = (self.gateway.clone(), self.arguments);
        let (waiting, bytes) = (Arc::clone(&self.waiting_bytes), record.value_bytes());
        place.write(Box::new(move || {
            let line = record.line(&gateway, arguments);
            waiting.fetch_sub(bytes as u64, Relaxed);
            line
        }));
    }

    /// A copy of one member of `params`, if records have it: the message itself counts for its backend
    /// and must not wait for a disk.
    pub(super) fn copy(&self, params: &RawJson, key: &str) -> Option<Bytes> {
        match self.keeps_values() {
            true => self.copy_whole(&params.get(key)?),
            false => None,
        }
    }

    /// A copy of a whole value, if records have it.
    pub(super) fn copy_whole(&self, value: &RawJson) -> Option<Bytes> {
        if !self.keeps_values() {
            return None;
        }
        let bytes = value.as_bytes();
        if bytes.len() <= MAX_VALUE && self.has_room(bytes.len()) {
            return Some(Bytes::copy_from_slice(bytes));
        }
        let left_out = format!("\"{} bytes are left out\"", bytes.len());
        self.has_room(left_out.len()).then(|| left_out.into())
    }

    fn keeps_values(&self) -> bool {
        self.writer.is_some() && self.arguments != AuditArguments::None
    }

    /// A copy is not needed.
    pub(super) fn free(&self, value: Option<&Bytes>) {
        let bytes = value.map_or(0, Bytes::len) as u64;
        self.waiting_bytes.fetch_sub(bytes, Relaxed);
    }
}
