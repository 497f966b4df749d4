//! How long the sessions with one backend lasted.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use tokio::time::Instant;

use super::durations::{DurationTotals, Durations};
use crate::telemetry::Telemetry;

/// Those that have ended. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct SessionTimes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    durations: Durations,
    telemetry: Option<Telemetry>,
    url: Option<Url>,
}

/// A session that is under way. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct SessionTimer {
    times: SessionTimes,
    begun: Instant,
    version: &'static str,
    is_lost: bool,
}

impl SessionTimes {
    /// Of the backend at this address; told to a collector, if there is one.
    pub(crate) fn new(url: Option<Url>, telemetry: Option<Telemetry>) -> Self {
        Self(Arc::new(Inner {
            durations: Durations::new(),
            telemetry,
            url,
        }))
    }

    /// A session begins, of this version of MCP.
    pub(crate) fn begin(&self, version: &'static str) -> SessionTimer {
        SessionTimer {
            times: self.clone(),
            begun: Instant::now(),
            version,
            is_lost: false,
        }
    }

    /// Those that have ended.
    pub(crate) fn totals(&self) -> DurationTotals {
        self.0.durations.totals()
    }
}

impl SessionTimer {
    /// It ends though nobody wants it to.
    pub(crate) fn lose(&mut self) {
        self.is_lost = true;
    }
}

impl Drop for SessionTimer {
    fn drop(&mut self) {
        let lasted: Duration = self.begun.elapsed();
        let times = &self.times.0;
        times.durations.add(lasted);
        if let Some(telemetry) = &times.telemetry {
            telemetry.session_with_backend(times.url.as_ref(), self.version, lasted, self.is_lost);
        }
    }
}
