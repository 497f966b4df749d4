//! Holding what backends offer against what was accepted, and telling the log.
//!
//! Owns what the log says of it, within bounds, since a backend may change its mind as often as it
//! likes; and that first sights are remembered. What counts as a change is decided in
//! [`crate::catalog`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::catalog::{BackendListing, Change, Findings, Pins};
use crate::config::{BackendConfig, Config, PinMode};
use crate::state::StateStore;

/// Changes of one listing that the log shows one by one.
const MOST_SHOWN: usize = 20;
/// Changes of one tool that the log shows in the gateway's life.
const MOST_OF_ONE: u8 = 3;
/// Lines of a difference that the log shows.
const MOST_LINES: usize = 20;
/// Time that the loop takes to find out what to show of one listing.
const MOST_TIME: Duration = Duration::from_millis(20);

/// The gate that every offer goes through.
#[derive(Debug)]
pub(super) struct Gate {
    pins: Pins,
    state: StateStore,
    /// By backend and tool.
    logged: HashMap<(Arc<str>, Arc<str>), LogHistory>,
    /// Backends of which the log was told that they have too many tools.
    too_many: HashSet<Arc<str>>,
}

/// What the log was told of a tool.
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

    /// Lets an offer through, without what is blocked.
    pub(super) fn pass(
        &mut self,
        config: &BackendConfig,
        mut backend_listing: BackendListing,
    ) -> BackendListing {
        let Findings {
            new,
            changed,
            unpinned,
        } = self.pins.judge(config, &mut backend_listing);
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
