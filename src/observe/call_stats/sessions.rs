//! How long the sessions with backends lasted.
//!
//! Owns the totals by the names of backends: a backend that is connected anew, or switched off for a
//! while, keeps them. It must not know why a session ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use tokio::time::Instant;

use super::durations::{DurationTotals, Durations};
use crate::sync::Mutex;
use crate::telemetry::Telemetry;

/// Most names; beyond that those that no backend has now are forgotten.
const MAX_NAMES: usize = 1024;

/// The sessions that have ended, by the names of their backends. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct SessionBook(Arc<Mutex<HashMap<Arc<str>, Arc<Durations>>>>);

/// The times of the sessions with one backend at one address. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct SessionTimes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    durations: Arc<Durations>,
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

impl SessionBook {
    /// Of the backend of this name, at this address; told to a collector, if there is one.
    pub(crate) fn of(
        &self,
        name: &Arc<str>,
        url: Option<Url>,
        telemetry: Option<Telemetry>,
    ) -> SessionTimes {
        let mut book = self.0.lock();
        if book.len() >= MAX_NAMES {
            book.retain(|_, durations| Arc::strong_count(durations) > 1);
        }
        let durations = book.entry(Arc::clone(name)).or_default();
        SessionTimes(Arc::new(Inner {
            durations: Arc::clone(durations),
            telemetry,
            url,
        }))
    }

    /// How long the sessions with the backends of this name lasted that have ended.
    pub(crate) fn totals(&self, name: &str) -> DurationTotals {
        let book = self.0.lock();
        book.get(name)
            .map(|durations| durations.totals())
            .unwrap_or_default()
    }
}

impl SessionTimes {
    /// A session begins, of this version of MCP.
    pub(crate) fn begin(&self, version: &'static str) -> SessionTimer {
        SessionTimer {
            times: self.clone(),
            begun: Instant::now(),
            version,
            is_lost: false,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sessions_of_one_name_are_counted_together_and_names_are_bounded() {
        let book = SessionBook::default();
        let name: Arc<str> = "a".into();
        let before = book.of(&name, None, None);
        let first = before.begin("2025-11-25");
        let after = book.of(&name, None, None);
        drop((after.begin("2025-11-25"), after));
        drop((first, before));
        let count = |name: &str| book.totals(name).buckets.iter().sum::<u64>();
        assert_eq!((count("a"), count("b")), (2, 0));
        for other in 0..3 * MAX_NAMES {
            book.of(&other.to_string().into(), None, None);
        }
        assert!(book.0.lock().len() <= MAX_NAMES);
    }
}
