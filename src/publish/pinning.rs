//! Compares the tools that backends list with the pinned ones, and logs the changes.
//!
//! Owns which changes are logged, within bounds, since a backend may change its tools as often as it
//! likes; and that tools seen for the first time are pinned. It must not know what counts as a change:
//! [`crate::catalog`] decides that.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::catalog::{BackendListing, Change, Findings, Pins};
use crate::config::{BackendConfig, Config, PinMode};
use crate::state::StateStore;

/// Changes of one listing that are logged one by one.
const MOST_SHOWN: usize = 20;
/// Changes of one tool that are logged in one run.
const MOST_OF_ONE: u8 = 3;
/// Lines of a diff that are logged.
const MOST_LINES: usize = 20;
/// Time that the loop spends on the diffs of one listing.
const MOST_TIME: Duration = Duration::from_millis(20);

/// The check that every listing passes.
#[derive(Debug)]
pub(super) struct Gate {
    pins: Pins,
    state: StateStore,
    /// By names of backend and tool.
    logged: HashMap<(Arc<str>, Arc<str>), LogHistory>,
    /// Backends that were logged as having too many tools.
    too_many: HashSet<Arc<str>>,
}

/// What was logged about a tool.
#[derive(Debug, Default)]
struct LogHistory {
    /// The hash of the last change.
    last: Arc<str>,
    changes: u8,
}

impl Gate {
    pub(super) fn new(config: &Config, state: StateStore) -> Self {
        Self {
            pins: Pins::new(Arc::clone(&config.lock.lock)),
            state,
            logged: HashMap::new(),
            too_many: HashSet::new(),
        }
    }

    /// The listing with changed tools blocked, where the config says so.
    pub(super) fn pass(
        &mut self,
        config: &BackendConfig,
        mut backend_listing: BackendListing,
    ) -> BackendListing {
        let Findings {
            new,
            changed,
            unpinned,
        } = self.pins.compare(config, &mut backend_listing);
        let backend = &*config.name;
        if !new.is_empty() {
            let tools = new.len();
            tracing::info!(
                backend,
                tools,
                "tools seen for the first time are accepted as they are"
            );
        }
        self.state.pin(new);
        self.log_changes(config, changed);
        if unpinned > 0 && self.too_many.insert(Arc::clone(&config.name)) {
            tracing::warn!(
                backend,
                tools = unpinned,
                "it has had too many tools: changes of further ones can't be noticed"
            );
        }
        backend_listing
    }

    fn log_changes(&mut self, config: &BackendConfig, mut changed: Vec<Change>) {
        changed.retain(|change| self.is_news(change));
        let (backend, begun) = (&*config.name, Instant::now());
        let fate = match config.tools.pin {
            PinMode::Block => "it is withheld until `sentinel-gateway pin` accepts it",
            PinMode::Warn | PinMode::Off => {
                "it is served; `sentinel-gateway pin` accepts it, tools.pin = \"block\" withholds such tools"
            }
        };
        for change in changed.iter().take(MOST_SHOWN) {
            let tool = &*change.now.tool;
            let diff = (begun.elapsed() < MOST_TIME).then(|| change.diff(MOST_LINES));
            // Escaped, so that a backend writes no lines of its own into the log.
            tracing::warn!(
                backend,
                tool,
                diff = diff.map(tracing::field::debug),
                "{change}: {fate}"
            );
        }
        if changed.len() > MOST_SHOWN {
            let tools = changed.len() - MOST_SHOWN;
            tracing::warn!(backend, tools, "and more tools have changed: {fate}");
        }
    }

    fn is_news(&mut self, change: &Change) -> bool {
        let now = &change.now;
        let tool = (Arc::clone(&now.backend), Arc::clone(&now.tool));
        let logged = self.logged.entry(tool).or_default();
        if logged.last == now.sha256 || logged.changes == MOST_OF_ONE {
            return false;
        }
        logged.last = Arc::clone(&now.sha256);
        logged.changes += 1;
        true
    }
}
