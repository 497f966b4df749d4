//! Which lock belongs to a configuration, and where it is.
//!
//! Owns the paths of locks, and how that of the administrator's backends and that of the user's are read as one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Lock;
use crate::config::BackendConfig;

/// The lock that belongs to a configuration.
#[derive(Debug, Clone)]
pub(crate) struct LockFile {
    /// The file's path, or a message saying why there is none to write to.
    pub(crate) path: Result<PathBuf, String>,
    /// Whether tools that are seen for the first time are recorded in it as accepted.
    pub(crate) records_new: bool,
    /// It keeps what the administrator's backends have, and nothing of others.
    pub(crate) is_administrators: bool,
    /// What was accepted elsewhere of the administrator's backends is known: where it isn't, nothing that they
    /// have counts as new.
    pub(crate) is_whole: bool,
    /// Its content; empty if there is no file.
    pub(crate) lock: Arc<Lock>,
}

impl LockFile {
    /// No file: definitions are only kept while the gateway runs. `why` is a message for people.
    pub(in crate::config) fn none(why: impl Into<String>) -> Self {
        Self {
            path: Err(why.into()),
            records_new: false,
            is_administrators: false,
            is_whole: false,
            lock: Arc::default(),
        }
    }

    /// Where the lock of the config file at `config` is.
    pub(in crate::config) fn path_beside(config: &Path) -> PathBuf {
        config.with_extension("lock")
    }

    /// Reads the lock of the config file at `config`.
    ///
    /// # Errors
    /// File, line and problem, in one line, if there is a lock that can't be read.
    pub(in crate::config) fn beside(config: &Path) -> Result<Self, String> {
        let path = Self::path_beside(config);
        Ok(Self {
            lock: Arc::new(Lock::read(&path)?),
            path: Ok(path),
            records_new: true,
            is_administrators: false,
            is_whole: true,
        })
    }

    /// Where the lock for the administrator's backends is, in the gateway's folder of state, for a user who has no
    /// file to keep one beside.
    pub(in crate::config) fn administrators_path(state: &Path) -> PathBuf {
        state.join("administrator.lock")
    }

    /// Reads that lock, of these backends alone.
    ///
    /// # Errors
    /// As [`beside`](Self::beside).
    pub(in crate::config) fn of_administrator(
        path: PathBuf,
        backends: &[&str],
    ) -> Result<Self, String> {
        let mut lock = Lock::read(&path)?;
        lock.0.retain(|backend, _| backends.contains(&&**backend));
        Ok(Self {
            lock: Arc::new(lock),
            path: Ok(path),
            records_new: true,
            is_administrators: true,
            is_whole: true,
        })
    }

    /// The same with what only the other one has of these backends, which is not written here.
    pub(in crate::config) fn with_those_of(
        mut self,
        other: &Self,
        backends: &[&Arc<BackendConfig>],
    ) -> Self {
        let lock = Arc::make_mut(&mut self.lock);
        for pin in other.lock.pins() {
            if backends.iter().any(|backend| backend.name == pin.backend) {
                lock.add(pin.clone());
            }
        }
        self
    }
}
