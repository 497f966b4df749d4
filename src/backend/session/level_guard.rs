//! Demands of clients for log messages of a server.
//!
//! Owns the guard of one request's level, which ends the demand when it is dropped, and the standing level
//! of the client of the handshake.

use std::sync::Arc;
use std::time::Duration;

use super::connection::BEST_EFFORT_TIMEOUT;
use super::state::{Session, State};
use crate::protocol::LogLevel;

/// One request's demand for a log level. It ends when this is dropped.
#[derive(Debug)]
pub struct LevelGuard {
    session: Arc<Session>,
    level: LogLevel,
}

impl Drop for LevelGuard {
    fn drop(&mut self) {
        self.session.log_levels.remove(self.level);
        self.session.sync_level_in_background();
    }
}

impl Session {
    /// The level of the client of the handshake, now and after every reconnect.
    pub(in crate::backend) fn set_log_level(self: &Arc<Self>, level: LogLevel) {
        self.log_levels.set_standing(level);
        self.sync_level_in_background();
    }

    /// The level of one modern request, while the guard is held. When this resolves, a legacy
    /// server has been told, or two seconds or `limit` have passed.
    pub(in crate::backend) async fn want_log_level(
        self: &Arc<Self>,
        level: LogLevel,
        limit: Duration,
    ) -> LevelGuard {
        self.log_levels.add(level);
        let guard = LevelGuard {
            session: Arc::clone(self),
            level,
        };
        let sync = async {
            // A server that is down is told when it is connected.
            if !matches!(self.state(), State::Down { .. })
                && let Ok(connection) = self.connection().await
            {
                self.sync_level(&connection).await;
            }
        };
        let _ = tokio::time::timeout(limit.min(BEST_EFFORT_TIMEOUT), sync).await;
        guard
    }
}
