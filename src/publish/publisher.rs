//! Builds snapshots from the listings of backends.
//!
//! Owns the last listing of each backend, if need be from an earlier run, the names that were
//! assigned, and the admission of calls. It must not know how a listing was fetched, nor how a
//! snapshot is used.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::pinning::PinCheck;
use super::reported::Reported;
use crate::backend::{BackendError, BackendEvent, HttpBackend};
use crate::call_report::BackendId;
use crate::catalog::{BackendListing, Built, Catalog, Names, RejectReason, Source};
use crate::config::Config;
use crate::governance::Admission;
use crate::protocol::{Kind, Listing, RawJson};
use crate::snapshot::{Backends, Lists, Snapshot, identity};
use crate::state::{CachedListing, CachedListings, StateStore, age};

/// Builds the next snapshot.
#[derive(Debug)]
pub(crate) struct Publisher {
    config: Arc<Config>,
    backends: Backends,
    admission: Arc<Admission>,
    /// One for each backend.
    parts: HashMap<BackendId, Part>,
    pin_check: PinCheck,
    state: StateStore,
    /// Kept from the first settled snapshot on.
    names: Names,
    cache: Cache,
    settled: bool,
    closing: bool,
    /// The next snapshot differs from the last one.
    changed: bool,
    identity: RawJson,
    /// Rejected items that the log has named.
    reported: Reported,
    /// Mended items that the log has named.
    mended: Reported,
    /// The log has said that there are too many tools.
    has_advised: bool,
}

/// The listings of earlier runs.
#[derive(Debug)]
enum Cache {
    /// They are being read. Events wait in order, since they may need them.
    Reading(Vec<PublisherEvent>),
    Read(CachedListings),
}

/// What changes the next snapshot.
#[derive(Debug)]
enum PublisherEvent {
    Backend(BackendEvent),
    Settle,
    Close,
}

/// The state of one backend.
#[derive(Debug, Default)]
struct Part {
    /// Its last listing.
    backend_listing: Option<BackendListing>,
    /// It has connected or failed once.
    reported: bool,
    /// Its last connection attempt failed.
    is_down: bool,
    /// It has listed in this run.
    has_listed: bool,
    /// The lists that were fetched in this run.
    fetched: HashSet<Kind>,
}

impl Publisher {
    /// `backends` in config order, none of which has connected yet.
    pub(crate) fn new(
        config: Arc<Config>,
        backends: Vec<Arc<HttpBackend>>,
        state: StateStore,
    ) -> Self {
        let admission = Admission::default();
        for backend in &backends {
            admission.add(backend.id, backend.name());
        }
        let ids = backends.iter().map(|backend| backend.id);
        Self {
            parts: ids.map(|id| (id, Part::default())).collect(),
            pin_check: PinCheck::new(&config, state.clone()),
            state,
            // Without backends there is nothing to wait for.
            settled: backends.is_empty(),
            admission: Arc::new(admission),
            names: Names::default(),
            cache: Cache::Reading(Vec::new()),
            closing: false,
            changed: false,
            reported: Reported::default(),
            mended: Reported::default(),
            has_advised: false,
            identity: identity(&config.gateway),
            config,
            backends: Backends::new(backends),
        }
    }

    /// The listings of earlier runs are read; they are needed once.
    pub(crate) fn cache_read(&mut self, cached: CachedListings) {
        let before = std::mem::replace(&mut self.cache, Cache::Read(cached));
        if let Cache::Reading(waiting) = before {
            waiting.into_iter().for_each(|event| self.apply(event));
        }
    }

    /// Applies a backend event.
    pub(crate) fn absorb(&mut self, event: BackendEvent) {
        self.apply(PublisherEvent::Backend(event));
    }

    /// Lists no longer wait for backends. For a backend that has not listed, the listing of an
    /// earlier run is served.
    pub(crate) fn settle(&mut self) {
        self.apply(PublisherEvent::Settle);
    }

    /// The gateway is shutting down: lists no longer wait for backends.
    pub(crate) fn close(&mut self) {
        self.apply(PublisherEvent::Close);
    }

    fn apply(&mut self, event: PublisherEvent) {
        if let Cache::Reading(waiting) = &mut self.cache {
            return waiting.push(event);
        }
        self.changed = true;
        match event {
            PublisherEvent::Backend(event) => self.backend(event),
            PublisherEvent::Settle => self.settled = true,
            PublisherEvent::Close => self.closing = true,
        }
        if !self.settled && self.parts.values().all(|part| part.reported) {
            self.settled = true;
        }
        if self.settled || self.closing {
            self.serve_cached_listings();
        }
    }

    fn backend(&mut self, event: BackendEvent) {
        match event {
            BackendEvent::Listed {
                backend,
                listing,
                stale,
            } => self.listed(backend, listing, &stale),
            BackendEvent::Down { backend } => {
                if let Some(part) = self.parts.get_mut(&backend) {
                    part.reported = true;
                    part.is_down = true;
                }
            }
            // They don't change a snapshot.
            BackendEvent::Notice { .. } | BackendEvent::ServerRequest { .. } => {}
        }
    }

    fn listed(&mut self, id: BackendId, listing: Arc<Listing>, stale: &[(Kind, BackendError)]) {
        let backend = self.backends.get(id);
        let Some((backend, part)) = backend.zip(self.parts.get_mut(&id)) else {
            return;
        };
        let config = &backend.config;
        let fetched = |kind: &Kind| stale.iter().all(|(stale, _)| stale != kind);
        part.fetched.extend(Kind::ALL.into_iter().filter(fetched));
        part.reported = true;
        part.has_listed = true;
        if std::mem::take(&mut part.is_down) {
            self.admission.reached(id);
        }
        let mut listing = listing;
        if part.fetched.len() == Kind::ALL.len() {
            self.cache.forget(id);
        } else if let Some(cached) = self.cache.get(id, &config.name) {
            let whole = Arc::make_mut(&mut listing);
            for kind in Kind::ALL
                .into_iter()
                .filter(|kind| !part.fetched.contains(kind))
            {
                *whole.items_mut(kind) = cached.listing.items(kind).to_vec();
            }
        }
        let mut read = BackendListing::read(config, &listing);
        self.state.keep(config, &Arc::new(read.take_cleaned()));
        part.backend_listing = Some(self.pin_check.check(config, read));
    }

    fn serve_cached_listings(&mut self) {
        for backend in &self.backends {
            let part = self.parts.entry(backend.id).or_default();
            if part.backend_listing.is_some() {
                continue;
            }
            let Some(cached) = self.cache.get(backend.id, backend.name()) else {
                continue;
            };
            tracing::warn!(
                backend = backend.name(),
                tools = cached.listing.items(Kind::Tool).len(),
                last_contact = age(cached.at),
                "it is not connected yet: what it listed at last contact is served, and a call connects first"
            );
            let backend_listing = BackendListing::read(&backend.config, &cached.listing);
            part.backend_listing = Some(self.pin_check.check(&backend.config, backend_listing));
        }
    }

    /// Whether the next snapshot is one that requests wait for.
    pub(crate) fn should_publish(&self) -> bool {
        self.changed && (self.settled || self.closing)
    }

    /// Whether every backend has connected or failed once, or `startup_wait` is over.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Builds a snapshot of the current state. Until settled, names are assigned anew each time, so
    /// that they follow config order and not the order of connecting; from then on an owner keeps
    /// its name.
    pub(crate) fn snapshot(&mut self) -> Arc<Snapshot> {
        self.changed = false;
        let parts = self.backends.iter().filter_map(|backend| {
            let part = self.parts.get(&backend.id)?;
            Some((backend, part))
        });
        let sources: Vec<Source<'_>> = parts
            .map(|(backend, part)| Source {
                id: backend.id,
                config: &backend.config,
                backend_listing: part.backend_listing.as_ref(),
                confirmed: part.fetched.contains(&Kind::Tool),
            })
            .collect();
        let built = Catalog::build(&self.config.gateway, &sources, &self.names);
        if self.settled {
            self.names = built.catalog.names().clone();
        }
        self.report(&built);
        let unlisted = self.parts.iter().filter(|(_, part)| !part.has_listed);
        let unlisted = unlisted.map(|(id, _)| *id).collect();
        Arc::new(Snapshot {
            config: Arc::clone(&self.config),
            backends: self.backends.clone(),
            admission: Arc::clone(&self.admission),
            lists: Lists::default(),
            unlisted,
            identity: self.identity.clone(),
            catalog: built.catalog,
            settled: self.settled,
            closing: self.closing,
        })
    }

    fn report(&mut self, built: &Built) {
        if self.settled && !self.has_advised && built.catalog.has_too_many_tools() {
            self.has_advised = true;
            if let Some(advice) = built.catalog.advice_on_count() {
                // Once in a run, whatever backends list.
                tracing::warn!(backends = self.parts.len(), "{advice}");
            }
        }
        for item in &built.mended {
            let (list, what) = (item.kind.list_method(), &item.what);
            if self
                .mended
                .report_once(&item.backend, item.kind, &item.name)
            {
                tracing::warn!(
                    backend = &*item.backend,
                    list,
                    item = item.name,
                    "a malformed item is mended for clients: {what}"
                );
            }
        }
        for item in &built.rejected {
            // The pin check has logged it, with its diff.
            let is_logged = matches!(item.reason, RejectReason::Changed(_));
            if !is_logged
                && self
                    .reported
                    .report_once(&item.backend, item.kind, &item.name)
            {
                let (list, reason) = (item.kind.list_method(), &item.reason);
                tracing::warn!(backend = &*item.backend, list, item = item.name, %reason, "an item is withheld");
            }
        }
    }
}

impl Cache {
    fn get(&mut self, id: BackendId, backend: &str) -> Option<&CachedListing> {
        match self {
            Self::Reading(_) => None,
            Self::Read(cached) => cached.get(id, backend),
        }
    }

    fn forget(&mut self, id: BackendId) {
        if let Self::Read(cached) = self {
            cached.forget(id);
        }
    }
}

#[cfg(test)]
mod tests;
