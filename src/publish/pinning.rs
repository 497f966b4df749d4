//! Compares the tools that backends list with the pinned ones, and logs the changes.
//!
//! Owns which changes are logged, within bounds, since a backend may change its tools at any rate,
//! and that tools seen for the first time are pinned. It must not know what counts as a change:
//! [`crate::catalog`] decides that.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::call_report::BackendId;
use crate::catalog::{BackendListing, Change, Findings, Names, Pins};
use crate::config::{BackendConfig, Config, Pin, PinMode, Subject};
use crate::snapshot::Backends;
use crate::state::StateStore;

/// Most changes of one listing that are logged one by one: to compare more than the log takes in a
/// minute would have no use.
const MAX_LOGGED: usize = 10;
/// Most changes of one tool that are logged in one run.
const MAX_LOGGED_OF_TOOL: u8 = 3;
/// Most lines of a diff that are logged.
const MAX_DIFF_LINES: usize = 20;
/// Time that the gateway loop spends on the diffs of one listing.
const DIFF_TIME: Duration = Duration::from_millis(20);

/// Checks every listing against the pins.
#[derive(Debug)]
pub(super) struct PinCheck {
    config: Arc<Config>,
    pins: Pins,
    state: StateStore,
    /// Tools seen for the first time that are not written, or not with their names.
    unwritten: Vec<Pin>,
    /// By the name of the backend.
    logged: HashMap<(Arc<str>, Subject), LogHistory>,
    /// How many definitions of each backend's last listing differ from what was accepted, by its name.
    changed: HashMap<Arc<str>, usize>,
    /// Backends that were logged as having too many tools.
    too_many: HashSet<Arc<str>>,
}

/// The changes of one tool that were logged.
#[derive(Debug, Default)]
struct LogHistory {
    /// The hash of the last change.
    last: Arc<str>,
    changes: u8,
}

impl PinCheck {
    pub(super) fn new(config: Arc<Config>, state: StateStore) -> Self {
        Self {
            pins: Pins::new(Arc::clone(&config.lock.lock)),
            config,
            state,
            unwritten: Vec::new(),
            logged: HashMap::new(),
            changed: HashMap::new(),
            too_many: HashSet::new(),
        }
    }

    /// The config or its lock has changed.
    pub(super) fn reconfigure(&mut self, config: &Arc<Config>) {
        self.config = Arc::clone(config);
        self.pins.reload(Arc::clone(&config.lock.lock));
    }

    /// Returns the listing, with changed tools blocked if `tools.pin` is `block`.
    pub(super) fn check(
        &mut self,
        config: &BackendConfig,
        mut backend_listing: BackendListing,
    ) -> BackendListing {
        // Of most changes only the number is needed.
        let (mut changed, mut more, mut all) = (Vec::new(), 0, 0);
        let logged = &mut self.logged;
        let findings = (self.pins).compare_each(config, &mut backend_listing, |change| {
            all += 1;
            match log_once(logged, &change) {
                true if changed.len() < MAX_LOGGED => changed.push(change),
                true => more += 1,
                false => {}
            }
        });
        self.changed.insert(Arc::clone(&config.name), all);
        let Findings { new, unpinned, .. } = findings;
        let backend = &*config.name;
        let tools = new.iter().filter(|pin| pin.subject.tool().is_some());
        let tools = tools.count();
        if tools > 0 {
            tracing::info!(
                backend,
                tools,
                "tools seen for the first time are accepted as they are"
            );
        }
        let lock = &self.config.lock;
        let is_recorded = match config.of_administrator {
            true => lock.is_whole,
            false => !lock.is_administrators,
        };
        if is_recorded {
            self.unwritten.extend(new);
        }
        self.log_changes(config, &changed, more);
        if unpinned > 0 && self.too_many.insert(Arc::clone(&config.name)) {
            tracing::warn!(
                backend,
                tools = unpinned,
                "it has had too many tools: changes of further ones can't be noticed"
            );
        }
        backend_listing
    }

    /// How many definitions of these backends differ from what was accepted, where some do.
    pub(super) fn changed(&self, backends: &Backends) -> HashMap<BackendId, usize> {
        let changed = backends.iter().filter_map(|backend| {
            let changed = self.changed.get(backend.name()).copied()?;
            (changed > 0).then_some((backend.id, changed))
        });
        changed.collect()
    }

    /// Has the tools that were seen for the first time written down, with the names that tools have: to be
    /// called once these are final. A tool without a name in the lock would get one before the tools of
    /// backends that have not listed yet.
    pub(super) fn write(&mut self, names: &Names) {
        if !self.unwritten.is_empty() {
            let new = std::mem::take(&mut self.unwritten);
            let names = names.tools().collect();
            self.state.pin(&self.config.lock, new, names);
        }
    }

    /// Logs these changes, and that there are `more`.
    fn log_changes(&self, config: &BackendConfig, changed: &[Change], more: usize) {
        let (backend, begun) = (&*config.name, Instant::now());
        let effect = match config.tools.pin {
            PinMode::Block => "it is withheld",
            PinMode::Warn | PinMode::Off => {
                "it is served; tools.pin = \"block\" withholds such tools"
            }
        };
        for change in changed {
            let subject = &change.current.subject;
            let effect = match subject {
                Subject::Tool(_) => effect,
                Subject::Instructions if config.tools.pin == PinMode::Block => "they are withheld",
                Subject::Instructions => "tools.pin = \"block\" withholds such instructions",
            };
            let diff = (begun.elapsed() < DIFF_TIME).then(|| change.diff(MAX_DIFF_LINES));
            // `debug` escapes line ends: a backend can't write lines of its own into the log.
            tracing::warn!(
                backend,
                tool = subject.tool().map(|own| &**own),
                accept = self.config.pin_command(backend, Some(subject)),
                diff = diff.map(tracing::field::debug),
                "{change}: {effect}"
            );
        }
        if more > 0 {
            let show = self.config.pin_command(backend, None);
            tracing::warn!(
                backend,
                tools = more,
                show,
                "and more tools have changed: {effect}"
            );
        }
    }
}

/// Whether this change is to be logged now. Counts it as logged.
fn log_once(logged: &mut HashMap<(Arc<str>, Subject), LogHistory>, change: &Change) -> bool {
    let now = &change.current;
    let place = (Arc::clone(&now.backend), now.subject.clone());
    let logged = logged.entry(place).or_default();
    if logged.last == now.sha256 || logged.changes == MAX_LOGGED_OF_TOOL {
        return false;
    }
    logged.last = Arc::clone(&now.sha256);
    logged.changes += 1;
    true
}
