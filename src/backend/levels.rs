//! How much a legacy backend is told to log (S25 `server/utilities/logging`).
//!
//! A session has one level, but modern requests want theirs each (X-ML-09): it is the lowest of
//! what anybody wants. Owns who wants what, and telling the server. It must not know what becomes
//! of log messages.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;

use super::session::{COURTESY, Link};
use super::{Backend, State};
use crate::protocol::{Era, LogLevel, RawJson};

/// What is wanted of one backend.
#[derive(Debug, Default)]
pub(super) struct Levels {
    wishes: Mutex<Wishes>,
    /// Who has it is the one that tells the server.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Wishes {
    /// Of the client of the handshake.
    standing: Option<LogLevel>,
    /// How many requests in flight want each.
    passing: [usize; LogLevel::ALL.len()],
}

impl Levels {
    /// For another session: what only requests in flight want, they want in theirs.
    pub(super) fn standing_alone(&self) -> Self {
        let levels = Self::default();
        levels.lock().standing = self.lock().standing;
        levels
    }

    fn lowest(&self) -> Option<LogLevel> {
        let wishes = self.lock();
        let counted = LogLevel::ALL.into_iter().zip(wishes.passing);
        let passing = counted.filter(|(_, count)| *count > 0);
        passing.map(|(level, _)| level).chain(wishes.standing).min()
    }

    fn lock(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wish of one request; dropped, it counts no more.
#[derive(Debug)]
pub struct LevelGuard {
    backend: Arc<Backend>,
    level: LogLevel,
}

impl Drop for LevelGuard {
    fn drop(&mut self) {
        self.backend.levels.lock().passing[self.level as usize] -= 1;
        self.backend.level_in_passing();
    }
}

impl Backend {
    /// What the client of the handshake wants to hear, now and after every reconnect.
    pub fn set_log_level(self: &Arc<Self>, level: LogLevel) {
        for session in self.sessions() {
            session.levels.lock().standing = Some(level);
            session.level_in_passing();
        }
    }

    /// What one modern request wants to hear, for as long as the guard is held. A legacy backend
    /// has been told when this resolves, or has had two seconds.
    pub async fn want_log_level(self: &Arc<Self>, level: LogLevel) -> LevelGuard {
        let session = self.of_modern_clients();
        session.levels.lock().passing[level as usize] += 1;
        let guard = LevelGuard {
            backend: Arc::clone(session),
            level,
        };
        let tell = async {
            // A backend that is down is told when it comes.
            let coming = session.is_second || matches!(session.state(), State::Ready(_));
            if coming && let Ok(link) = session.link().await {
                session.tell_level(&link).await;
            }
        };
        let _ = tokio::time::timeout(COURTESY, tell).await;
        guard
    }

    /// Tells a link its level, if that is not what it is. One at a time, so that the last word is
    /// the right one.
    pub(super) async fn tell_level(&self, link: &Arc<Link>) {
        if link.era != Era::Legacy || !link.server.offers("logging") {
            return;
        }
        let _turn = self.levels.turn.lock().await;
        // Where nobody wants anything any more, nobody knows what it was before: it stays.
        if let Some(level) = self.levels.lowest()
            && link
                .level
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .replace(level)
                != Some(level)
        {
            let params = RawJson::of(&json!({ "level": level.name() }));
            link.request_shortly("logging/setLevel", &params).await;
        }
    }

    pub(super) fn level_in_passing(self: &Arc<Self>) {
        if let State::Ready(link) = self.state()
            && tokio::runtime::Handle::try_current().is_ok()
        {
            let backend = Arc::clone(self);
            self.errands
                .spawn(async move { backend.tell_level(&link).await });
        }
    }
}
