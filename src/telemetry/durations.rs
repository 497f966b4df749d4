//! Durations as a histogram.
//!
//! Owns the series in use. The attributes of a series are made, sorted and hashed when it begins, not
//! for each call. It must not know what is measured.

use std::collections::HashMap;
use std::fmt;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundHistogram, Histogram};
use tokio::time::Duration;

use crate::sync::Mutex;

/// Most series that are found by their key; any other is found by its attributes.
const MAX_BOUND: usize = 1_000;

/// A histogram of seconds.
pub(super) struct Durations {
    histogram: Histogram<f64>,
    bound: Mutex<HashMap<Box<str>, BoundHistogram<f64>>>,
}

impl Durations {
    pub(super) fn new(histogram: Histogram<f64>) -> Self {
        Self {
            histogram,
            bound: Mutex::default(),
        }
    }

    /// Adds a duration to the series with these attributes. Equal keys have equal attributes; an empty
    /// one says nothing of them.
    pub(super) fn record(
        &self,
        duration: Duration,
        key: &str,
        attributes: &dyn Fn() -> Vec<KeyValue>,
    ) {
        let seconds = duration.as_secs_f64();
        if key.is_empty() {
            return self.histogram.record(seconds, &attributes());
        }
        let mut bound = self.bound.lock();
        if let Some(series) = bound.get(key) {
            return series.record(seconds);
        }
        let attributes = attributes();
        if bound.len() < MAX_BOUND {
            let series = self.histogram.bind(&attributes);
            series.record(seconds);
            bound.insert(key.into(), series);
        } else {
            self.histogram.record(seconds, &attributes);
        }
    }
}

impl fmt::Debug for Durations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Durations")
    }
}
