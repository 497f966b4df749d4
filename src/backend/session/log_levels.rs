//! The log level that a legacy server is set to (MCP 2025-11-25, server/utilities/logging).
//!
//! A session has one level, but modern requests have one each (X-ML-09): the server is set to the
//! lowest of all. Owns the demands. It must not know what becomes of log messages.

use tokio::sync::MutexGuard;

use crate::protocol::LogLevel;
use crate::sync::Mutex;

/// All demands on one session.
#[derive(Debug, Default)]
pub(in crate::backend) struct LogLevels {
    demand: Mutex<LogLevelDemand>,
    /// Held while the server is told.
    order: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct LogLevelDemand {
    /// The level that the client of the handshake wants.
    standing: Option<LogLevel>,
    /// How many requests in flight want each level.
    per_request: [usize; LogLevel::ALL.len()],
}

impl LogLevels {
    /// A copy for another session, without the demands of requests in flight.
    pub(in crate::backend) fn standing_only(&self) -> Self {
        let levels = Self::default();
        levels.demand.lock().standing = self.demand.lock().standing;
        levels
    }

    pub(super) fn set_standing(&self, level: LogLevel) {
        self.demand.lock().standing = Some(level);
    }

    pub(super) fn add(&self, level: LogLevel) {
        self.demand.lock().per_request[level as usize] += 1;
    }

    pub(super) fn remove(&self, level: LogLevel) {
        self.demand.lock().per_request[level as usize] -= 1;
    }

    /// The lowest level that anyone wants.
    pub(super) fn lowest(&self) -> Option<LogLevel> {
        let demand = self.demand.lock();
        let counted = LogLevel::ALL.into_iter().zip(demand.per_request);
        let per_request = counted.filter(|(_, count)| *count > 0);
        per_request
            .map(|(level, _)| level)
            .chain(demand.standing)
            .min()
    }

    /// Waits for the turn to tell the server.
    pub(super) async fn order(&self) -> MutexGuard<'_, ()> {
        self.order.lock().await
    }
}
