//! Holding what backends offer against what was accepted, and telling the log.
//!
//! Owns what the log says of it, once for each change, and that first sights are remembered. What
//! counts as a change is decided in [`crate::catalog`].

use std::collections::HashSet;
use std::sync::Arc;

use crate::catalog::{Change, Findings, Offer, Pins};
use crate::config::{BackendConfig, Config, PinMode};
use crate::state::Memory;

/// Changes of one listing that the log shows one by one.
const MOST_SHOWN: usize = 20;
/// Lines of a difference that the log shows.
const MOST_LINES: usize = 20;

/// The gate that every offer goes through.
#[derive(Debug)]
pub(super) struct Gate {
    pins: Pins,
    memory: Memory,
    /// Hashes of changed definitions that the log has been told of.
    told: HashSet<Arc<str>>,
}

impl Gate {
    pub(super) fn new(config: &Config, memory: Memory) -> Self {
        Self {
            pins: Pins::new(Arc::clone(&config.lock.lock)),
            memory,
            told: HashSet::new(),
        }
    }

    /// Lets an offer through, without what is blocked.
    pub(super) fn pass(&mut self, config: &BackendConfig, mut offer: Offer) -> Offer {
        let Findings {
            new,
            changed,
            unpinned,
        } = self.pins.judge(config, &mut offer);
        let backend = &*config.name;
        if !new.is_empty() {
            let tools = new.len();
            tracing::info!(
                backend,
                tools,
                "tools seen for the first time are accepted as they are"
            );
        }
        self.memory.pin(new);
        self.tell(config, changed);
        if unpinned > 0 {
            tracing::warn!(
                backend,
                tools = unpinned,
                "it has had too many tools: changes of these can't be noticed"
            );
        }
        offer
    }

    fn tell(&mut self, config: &BackendConfig, mut changed: Vec<Change>) {
        changed.retain(|change| self.told.insert(Arc::clone(&change.now.sha256)));
        let backend = &*config.name;
        let fate = match config.tools.pin {
            PinMode::Block => "it is withheld until `sentinel-gateway pin` accepts it",
            PinMode::Warn | PinMode::Off => {
                "it is served; `sentinel-gateway pin` accepts it, tools.pin = \"block\" withholds such tools"
            }
        };
        for change in changed.iter().take(MOST_SHOWN) {
            // Escaped, so that a backend writes no lines of its own into the log.
            let (tool, diff) = (&*change.now.tool, change.diff(MOST_LINES));
            tracing::warn!(backend, tool, ?diff, "{change}: {fate}");
        }
        if changed.len() > MOST_SHOWN {
            let tools = changed.len() - MOST_SHOWN;
            tracing::warn!(backend, tools, "and more tools have changed: {fate}");
        }
    }
}
