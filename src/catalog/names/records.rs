//! The names that the lock has for tools, so that a tool keeps its name from run to run.
//!
//! Owns whom a name is written down for, and until when. It must not know how a name is formed.

use std::collections::HashMap;
use std::sync::Arc;

use super::claim::Owner;
use crate::config::{Config, ConfiguredName, Lock, Subject};
use crate::protocol::Kind;

/// The names in the lock, and the backends of the config.
#[derive(Debug, Default)]
pub(super) struct Records {
    lock: Arc<Lock>,
    /// Place in the config, by the backend's name.
    places: HashMap<Arc<str>, usize>,
    /// Backends that `--only` leaves out, and whose names are no concern of this run.
    left_out: Vec<Arc<str>>,
    /// Backends that this run doesn't use, though they are configured.
    disabled: Vec<Arc<str>>,
    /// For whom each name is written down; the first in config order where a lock has it twice.
    holders: HashMap<Arc<str>, Owner>,
    /// Who had a name before another backend's tool took it.
    losers: HashMap<Arc<str>, Owner>,
}

/// An item has a name, or a URI, that another backend's item had.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Takeover {
    /// The kind of item.
    pub(crate) kind: Kind,
    /// The name or URI.
    pub(crate) name: Arc<str>,
    /// The backend that has it now.
    pub(crate) backend: Arc<str>,
    /// That backend's own name or URI for the item.
    pub(crate) own: Arc<str>,
    /// The backend that had it.
    pub(crate) before: Arc<str>,
}

impl Records {
    pub(super) fn of(config: &Config) -> Self {
        let configured = &config.configured;
        let names = |wanted: &dyn Fn(&ConfiguredName) -> bool| {
            let wanted = configured.iter().filter(|known| wanted(known));
            wanted
                .map(|known| Arc::clone(&known.name))
                .collect::<Vec<_>>()
        };
        let is_used = |name: &str| config.backends.iter().any(|backend| *backend.name == *name);
        let mut records = Self {
            lock: Arc::clone(&config.lock.lock),
            places: configured
                .iter()
                .map(|known| Arc::clone(&known.name))
                .zip(0..)
                .collect(),
            left_out: names(&|known| known.left_out),
            disabled: names(&|known| !known.left_out && !is_used(&known.name)),
            holders: HashMap::new(),
            losers: HashMap::new(),
        };
        let lock = Arc::clone(&records.lock);
        let mut pins: Vec<_> = lock.pins().collect();
        pins.sort_by_key(|pin| records.place(&pin.backend));
        for pin in pins {
            let Subject::Tool(own) = &pin.subject else {
                continue;
            };
            let owner = || Owner {
                backend: Arc::clone(&pin.backend),
                own: Arc::clone(own),
            };
            if let Some(name) = &pin.name {
                records
                    .holders
                    .entry(Arc::clone(name))
                    .or_insert_with(owner);
            }
            if let Some(name) = &pin.lost {
                records.losers.entry(Arc::clone(name)).or_insert_with(owner);
            }
        }
        records
    }

    /// The backend's place in the config; after all others if it is not in it.
    pub(super) fn place(&self, backend: &str) -> usize {
        self.places.get(backend).copied().unwrap_or(usize::MAX)
    }

    /// The names of all configured backends.
    pub(super) fn configured(&self) -> impl Iterator<Item = &Arc<str>> {
        self.places.keys()
    }

    /// Whether the lock knows the tool.
    pub(super) fn has(&self, owner: &Owner) -> bool {
        self.lock.get(&owner.backend, &owner.subject()).is_some()
    }

    /// The own names of the tools of a backend that the lock has.
    pub(super) fn tools_of(&self, backend: &str) -> impl Iterator<Item = Arc<str>> {
        let pins = self.lock.of(backend);
        pins.filter_map(|pin| pin.subject.tool().cloned())
    }

    /// Whether there is a lock that anything is written in.
    pub(super) fn is_empty(&self) -> bool {
        self.lock.pins().next().is_none()
    }

    /// The name that is written down for the tool.
    pub(super) fn name_of(&self, owner: &Owner) -> Option<&Arc<str>> {
        let name = self
            .lock
            .get(&owner.backend, &owner.subject())?
            .name
            .as_ref()?;
        (self.holders.get(name) == Some(owner)).then_some(name)
    }

    /// The tool that a name is written down for.
    pub(super) fn holder(&self, name: &str) -> Option<&Owner> {
        self.holders.get(name)
    }

    /// Whether a name is kept for a backend that this run doesn't use.
    pub(super) fn is_reserved(&self, name: &str) -> bool {
        let holder = self.holders.get(name);
        holder.is_some_and(|holder| self.disabled.contains(&holder.backend))
    }

    /// Whom a name was taken from, if it was; `owner` has it now.
    pub(super) fn taken_from(&self, name: &str, owner: &Owner) -> Option<&Owner> {
        let holder = self.holders.get(name).filter(|holder| *holder != owner);
        let before = holder.or_else(|| self.losers.get(name))?;
        let is_other = before != owner && !self.left_out.contains(&before.backend);
        is_other.then_some(before)
    }
}
