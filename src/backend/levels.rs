//! How much a legacy backend is told to log (S25 `server/utilities/logging`).
//!
//! A session has one level, but modern requests want theirs each (X-ML-09): it is the lowest of
//! what anybody wants. Owns who wants what, and telling the server. It must not know what becomes
//! of log messages.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;

use super::session::{BEST_EFFORT_TIMEOUT, Connection};
use super::{HttpBackend, State};
use crate::protocol::{Era, LogLevel, RawJson};

/// What is wanted of one backend.
#[derive(Debug, Default)]
pub(super) struct Levels {
    demand: Mutex<LogLevelDemand>,
    /// Who has it is the one that tells the server.
    lock_order: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct LogLevelDemand {
    /// Of the client of the handshake.
    standing: Option<LogLevel>,
    /// How many requests in flight want each.
    per_request: [usize; LogLevel::ALL.len()],
}

impl Levels {
    /// For another session: what only requests in flight want, they want in theirs.
    pub(super) fn standing_only(&self) -> Self {
        let levels = Self::default();
        levels.lock().standing = self.lock().standing;
        levels
    }

    fn lowest(&self) -> Option<LogLevel> {
        let demand = self.lock();
        let counted = LogLevel::ALL.into_iter().zip(demand.per_request);
        let per_request = counted.filter(|(_, count)| *count > 0);
        per_request
            .map(|(level, _)| level)
            .chain(demand.standing)
            .min()
    }

    fn lock(&self) -> MutexGuard<'_, LogLevelDemand> {
        self.demand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wish of one request; dropped, it counts no more.
#[derive(Debug)]
pub struct LevelGuard {
    backend: Arc<HttpBackend>,
    level: LogLevel,
}

impl Drop for LevelGuard {
    fn drop(&mut self) {
        self.backend.levels.lock().per_request[self.level as usize] -= 1;
        self.backend.sync_level_in_background();
    }
}

impl HttpBackend {
    /// What the client of the handshake wants to hear, now and after every reconnect.
    pub fn set_log_level(self: &Arc<Self>, level: LogLevel) {
        for session in self.sessions() {
            session.levels.lock().standing = Some(level);
            session.sync_level_in_background();
        }
    }

    /// What one modern request wants to hear, for as long as the guard is held. A legacy backend
    /// has been told when this resolves, or has had two seconds.
    pub async fn want_log_level(self: &Arc<Self>, level: LogLevel) -> LevelGuard {
        let session = self.of_modern_clients();
        session.levels.lock().per_request[level as usize] += 1;
        let guard = LevelGuard {
            backend: Arc::clone(session),
            level,
        };
        let tell = async {
            // A backend that is down is told when it comes.
            let coming = session.is_second || matches!(session.state(), State::Ready(_));
            if coming && let Ok(connection) = session.connection().await {
                session.sync_level(&connection).await;
            }
        };
        let _ = tokio::time::timeout(BEST_EFFORT_TIMEOUT, tell).await;
        guard
    }

    /// Tells a link its level, if that is not what it is. One at a time, so that the last word is
    /// the right one.
    pub(super) async fn sync_level(&self, connection: &Arc<Connection>) {
        if connection.era != Era::Legacy || !connection.server.offers("logging") {
            return;
        }
        let _ordered = self.levels.lock_order.lock().await;
        // Where nobody wants anything any more, nobody knows what it was before: it stays.
        if let Some(level) = self.levels.lowest()
            && connection
                .level
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .replace(level)
                != Some(level)
        {
            let params = RawJson::of(&json!({ "level": level.name() }));
            connection
                .request_best_effort("logging/setLevel", &params)
                .await;
        }
    }

    pub(super) fn sync_level_in_background(self: &Arc<Self>) {
        if let State::Ready(connection) = self.state()
            && tokio::runtime::Handle::try_current().is_ok()
        {
            let backend = Arc::clone(self);
            self.background
                .spawn(async move { backend.sync_level(&connection).await });
        }
    }
}
