//! Takes another config.
//!
//! Owns what becomes of the state of each backend: one that stays keeps it, and one that takes the
//! place of another at the same URL inherits what that has listed. It must not know why a backend is
//! another one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Part, Publisher};
use crate::backend::HttpBackend;
use crate::call_report::BackendId;
use crate::config::Config;
use crate::publish::builder::{Listed, Reconfigured};
use crate::snapshot::Backends;

/// A config that takes the place of another.
#[derive(Debug)]
pub(crate) struct Reconfiguration {
    /// The new one.
    pub(crate) config: Arc<Config>,
    /// Its backends, in its order.
    pub(crate) backends: Vec<Arc<HttpBackend>>,
    /// Backends that take the place of others at the same URL: until they have listed, what those
    /// listed holds.
    pub(crate) successors: HashMap<BackendId, BackendId>,
    /// Backends that are shown differently: what they listed is read again.
    pub(crate) reread: HashSet<BackendId>,
}

impl Publisher {
    pub(super) fn take_config(&mut self, new: Reconfiguration) {
        let mut before = std::mem::take(&mut self.parts);
        for backend in &new.backends {
            let id = backend.id;
            let successor_of = new.successors.get(&id);
            let part = match (before.remove(&id), successor_of.map(|id| before.remove(id))) {
                (Some(part), _) => part,
                (None, Some(Some(part))) => Part {
                    bytes: part.bytes,
                    listing: part.listing,
                    ..Part::default()
                },
                (None, _) => Part::default(),
            };
            self.admission.add(id, &backend.config);
            self.parts.insert(id, part);
        }
        let before = std::mem::replace(&mut self.backends, Backends::new(new.backends));
        let is_gone = |id: &BackendId| !self.parts.contains_key(id);
        for id in before.iter().map(|backend| backend.id).filter(is_gone) {
            self.admission.remove(id);
        }
        for id in new.reread.iter().chain(new.successors.keys()) {
            let listing = self.parts.get(id).and_then(|part| part.listing.upgrade());
            if self.listed.iter().all(|listed| listed.backend != *id) {
                self.listed.extend(listing.map(|listing| Listed {
                    backend: *id,
                    listing,
                    taken: oneshot::channel().0,
                }));
            }
        }
        let (mut reread, mut successors) = (new.reread, new.successors);
        // One that waits for its turn is replaced.
        if let Some(before) = self.reconfigured.take() {
            reread.extend(before.reread);
            for between in successors.values_mut() {
                *between = *before.successors.get(between).unwrap_or(between);
            }
            for (id, of) in before.successors {
                if self.parts.contains_key(&id) {
                    successors.insert(id, of);
                }
            }
        }
        self.reconfigured = Some(Reconfigured {
            config: new.config,
            backends: self.backends.clone(),
            reread,
            successors,
        });
    }
}
