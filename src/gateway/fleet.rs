//! The config that runs, and its backends.
//!
//! Owns which backends are started, kept and ended when another config takes its place. It must not
//! know the loop, nor how a change is noticed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::backend::{HttpBackend, Launcher};
use crate::call_report::BackendId;
use crate::config::{Change, Changes, Config};
use crate::observe::call_stats::SessionBook;
use crate::protocol::Notification;
use crate::publish::Reconfiguration;
use crate::reload::ReloadCounts;

/// The config that runs, and its backends.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(super) config: Arc<Config>,
    /// The backends in config order.
    pub(super) backends: Vec<Arc<HttpBackend>>,
    launcher: Launcher,
    pub(super) reloads: Arc<ReloadCounts>,
    /// What clients are told later, gathered since the last reload.
    pub(super) gathered: Option<Gathered>,
}

/// What clients are told later.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) notifications: Vec<Notification>,
    /// The backends that were started.
    pub(super) awaited: Vec<BackendId>,
}

impl Fleet {
    /// `backends` are those of the config, in its order.
    pub(crate) fn new(
        config: Arc<Config>,
        backends: Vec<Arc<HttpBackend>>,
        launcher: Launcher,
    ) -> Self {
        Self {
            config,
            backends,
            launcher,
            reloads: Arc::default(),
            gathered: None,
        }
    }

    /// How long the sessions lasted that have ended.
    pub(crate) fn sessions(&self) -> SessionBook {
        self.launcher.sessions()
    }

    /// What has become of changes of the config.
    pub(crate) fn reload_counts(&self) -> Arc<ReloadCounts> {
        Arc::clone(&self.reloads)
    }

    /// Ends all sessions.
    pub(crate) async fn shutdown(&self) {
        let current = crate::backend::shutdown_all(&self.backends);
        tokio::join!(current, self.launcher.finish());
    }

    /// What the files and commands of secrets say may have changed though the config has not.
    pub(super) fn read_secrets_again(&self) {
        for backend in &self.backends {
            backend.read_secrets_again();
        }
    }

    /// Starts, keeps and ends backends.
    pub(super) fn take(&mut self, changes: Changes) -> Reconfiguration {
        let config = Arc::new(changes.config);
        let before = std::mem::take(&mut self.backends).into_iter();
        let mut before: HashMap<Arc<str>, Arc<HttpBackend>> = before
            .map(|backend| (Arc::clone(&backend.config.name), backend))
            .collect();
        let (mut successors, mut reread) = (HashMap::new(), HashSet::new());
        let mut awaited = Vec::new();
        for (entry, change) in config.backends.iter().zip(&changes.backends) {
            let backend = match (before.remove(&entry.name), change) {
                (Some(backend), Change::None) => backend,
                (Some(backend), Change::Rules) => {
                    reread.insert(backend.id);
                    entry.closed.enforce();
                    Arc::new(backend.with_rules(Arc::clone(entry)))
                }
                (before, change) => {
                    let backend = self.launcher.start(entry);
                    awaited.push(backend.id);
                    if let (Some(before), Change::Connection { same_url: true }) = (&before, change)
                    {
                        successors.insert(backend.id, before.id);
                    }
                    before
                        .into_iter()
                        .for_each(|before| self.launcher.retire(before));
                    backend
                }
            };
            if changes.lock {
                reread.insert(backend.id);
            }
            if !awaited.contains(&backend.id) {
                backend.read_secrets_again();
            }
            self.backends.push(backend);
        }
        before
            .into_values()
            .for_each(|gone| self.launcher.retire(gone));
        self.config = Arc::clone(&config);
        self.gathered = Some(Gathered {
            notifications: Vec::new(),
            awaited,
        });
        Reconfiguration {
            backends: self.backends.clone(),
            config,
            successors,
            reread,
        }
    }
}
