//! Numbers that are kept anyway, reported when metrics are sent.
//!
//! Owns [`Levels`], the numbers of one moment. They are read then, so calls pay nothing for them.

use std::sync::Arc;

use opentelemetry::KeyValue;

use super::{Telemetry, names};

/// The numbers of one moment.
#[derive(Debug, Default)]
pub(crate) struct Levels {
    /// Records in the audit file.
    pub(crate) records_written: u64,
    /// Records that are missing there.
    pub(crate) records_missing: u64,
    /// What has become of changes of the config, and how often.
    pub(crate) reloads: [(&'static str, u64); 2],
    pub(crate) backends: Vec<BackendLevels>,
}

/// The numbers of one backend.
#[derive(Debug)]
pub(crate) struct BackendLevels {
    pub(crate) name: String,
    /// Calls are refused after failures in a row.
    pub(crate) refuses_calls: bool,
    /// Calls of clients that limits have refused.
    pub(crate) rate_limited: u64,
}

impl BackendLevels {
    fn attributes(&self) -> [KeyValue; 1] {
        [KeyValue::new(names::BACKEND, self.name.clone())]
    }
}

impl Telemetry {
    /// `read` is asked each time that metrics are sent, on a thread of the SDK.
    pub(crate) fn observe(&self, read: impl Fn() -> Levels + Send + Sync + 'static) {
        let (read, meter) = (Arc::new(read), &self.0.meter);
        type Count = fn(&Levels) -> u64;
        let counts: [(_, _, Count); 2] = [
            (
                names::RECORDS_WRITTEN,
                "Records in the audit file",
                |levels| levels.records_written,
            ),
            (
                names::RECORDS_DROPPED,
                "Records that are missing in the audit file",
                |levels| levels.records_missing,
            ),
        ];
        for (name, what, count) in counts {
            let read = Arc::clone(&read);
            let counter = meter.u64_observable_counter(name).with_description(what);
            counter
                .with_callback(move |observer| observer.observe(count(&read()), &[]))
                .build();
        }
        let reloads = Arc::clone(&read);
        meter
            .u64_observable_counter(names::RELOADS)
            .with_description("Changes of the config, by whether they are in use")
            .with_callback(move |observer| {
                for (result, count) in reloads().reloads {
                    observer.observe(count, &[KeyValue::new(names::RESULT, result)]);
                }
            })
            .build();
        let of_backends = Arc::clone(&read);
        meter
            .u64_observable_counter(names::RATE_LIMITED)
            .with_description("Calls of clients that limits have refused")
            .with_callback(move |observer| {
                for backend in of_backends().backends {
                    observer.observe(backend.rate_limited, &backend.attributes());
                }
            })
            .build();
        meter
            .u64_observable_gauge(names::BREAKER_OPEN)
            .with_description("1 while calls are refused after failures in a row")
            .with_callback(move |observer| {
                for backend in read().backends {
                    observer.observe(u64::from(backend.refuses_calls), &backend.attributes());
                }
            })
            .build();
    }
}
