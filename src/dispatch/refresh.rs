//! What backends list becomes what the client sees.
//!
//! Owns the breaker of each backend, its listing of last contact, if need be of an earlier run, the
//! names that were given out, and the decision when the client hears that a list has changed. It
//! must not know how a listing was had.

use std::collections::HashSet;
use std::sync::Arc;

use super::lifecycle::identity;
use super::pinning::Gate;
use super::reported::Reported;
use super::{Snapshot, list::Lists};
use crate::backend::{BackendError, BackendEvent, HttpBackend};
use crate::catalog::{BackendListing, Catalog, Names, RejectReason, Rejected, Source};
use crate::config::Config;
use crate::governance::breaker::Breaker;
use crate::protocol::{Kind, Listing, Notification, RawJson};
use crate::state::{StateStore, age};

/// Makes snapshots out of what backends list.
#[derive(Debug)]
pub struct Refresh {
    config: Arc<Config>,
    backends: Vec<Arc<HttpBackend>>,
    breakers: Vec<Arc<Breaker>>,
    parts: Vec<Part>,
    gate: Gate,
    state: StateStore,
    /// Sticky from the first settled snapshot on.
    names: Names,
    settled: bool,
    closing: bool,
    /// Something was heard that the last snapshot doesn't show.
    news: bool,
    identity: RawJson,
    /// Withheld items that the log has named.
    reported: Reported,
}

/// One backend's part in the catalogue.
#[derive(Debug, Default)]
struct Part {
    /// As of last contact.
    backend_listing: Option<BackendListing>,
    /// It has connected or failed once.
    heard: bool,
    /// It could not be reached last.
    is_down: bool,
    /// It has told in this run what it has.
    has_listed: bool,
    /// The lists that were had in this run.
    had: HashSet<Kind>,
}

impl Refresh {
    /// Nobody has connected yet.
    pub fn new(config: Arc<Config>, backends: Vec<Arc<HttpBackend>>, state: StateStore) -> Self {
        Self {
            parts: backends.iter().map(|_| Part::default()).collect(),
            gate: Gate::new(&config, state.clone()),
            state,
            // Without backends there is nothing to wait for.
            settled: backends.is_empty(),
            breakers: backends
                .iter()
                .map(|backend| Arc::new(Breaker::new(backend.name())))
                .collect(),
            names: Names::default(),
            closing: false,
            news: false,
            reported: Reported::default(),
            identity: identity(&config.gateway),
            config,
            backends,
        }
    }

    /// Takes in what a keeper says.
    pub fn absorb(&mut self, event: BackendEvent) {
        match event {
            BackendEvent::Listed {
                backend,
                listing,
                stale,
            } => self.listed(backend, listing, &stale),
            BackendEvent::Down { backend } => {
                self.parts[backend].heard = true;
                self.parts[backend].is_down = true;
            }
            BackendEvent::Notice { .. } | BackendEvent::Asked { .. } => return,
        }
        self.news = true;
        if !self.settled && self.parts.iter().all(|part| part.heard) {
            self.settle();
        }
    }

    fn listed(&mut self, at: usize, listing: Arc<Listing>, stale: &[(Kind, BackendError)]) {
        let config = &self.backends[at].config;
        let part = &mut self.parts[at];
        let had = |kind: &Kind| stale.iter().all(|(stale, _)| stale != kind);
        part.had.extend(Kind::ALL.into_iter().filter(had));
        part.heard = true;
        part.has_listed = true;
        if std::mem::take(&mut part.is_down) {
            self.breakers[at].reached();
        }
        let mut listing = listing;
        if part.had.len() < Kind::ALL.len()
            && let Some(cached) = self.state.cached_listing(config)
        {
            let whole = Arc::make_mut(&mut listing);
            for kind in Kind::ALL
                .into_iter()
                .filter(|kind| !part.had.contains(kind))
            {
                *whole.items_mut(kind) = cached.listing.items(kind).to_vec();
            }
        }
        part.backend_listing = Some(
            self.gate
                .pass(config, BackendListing::read(config, &listing)),
        );
        self.state.keep(config, &listing);
    }

    /// Backends have had their time: what is there now is served, and where nothing is, what was
    /// there in an earlier run.
    pub fn settle(&mut self) {
        self.settled = true;
        self.cached_listing();
    }

    /// No more requests come: lists wait no longer.
    pub fn close(&mut self) {
        self.closing = true;
        self.cached_listing();
    }

    fn cached_listing(&mut self) {
        for (backend, part) in self.backends.iter().zip(&mut self.parts) {
            if part.backend_listing.is_some() {
                continue;
            }
            let Some(cached) = self.state.cached_listing(&backend.config) else {
                continue;
            };
            tracing::warn!(
                backend = backend.name(),
                tools = cached.listing.items(Kind::Tool).len(),
                last_contact = age(cached.at),
                "it is not connected yet: what it listed at last contact is served, and a call connects first"
            );
            let backend_listing = BackendListing::read(&backend.config, &cached.listing);
            part.backend_listing = Some(self.gate.pass(&backend.config, backend_listing));
        }
    }

    /// Whether something was heard that the last snapshot doesn't show.
    pub fn has_news(&self) -> bool {
        self.news
    }

    /// Whether backends have had their chance.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// The snapshot of what is known now. Until settled it is built from no names at all, so that
    /// config order owns them whoever connected first; from then on an owner keeps its name.
    pub fn snapshot(&mut self) -> Arc<Snapshot> {
        self.news = false;
        let parts = self.backends.iter().zip(&self.parts);
        let sources: Vec<Source<'_>> = parts
            .map(|(backend, part)| Source {
                config: &backend.config,
                backend_listing: part.backend_listing.as_ref(),
                confirmed: part.had.contains(&Kind::Tool),
            })
            .collect();
        let built = Catalog::build(&self.config.gateway, &sources, &self.names);
        if self.settled {
            self.names = built.catalog.names().clone();
        }
        self.report(&built.rejected);
        Arc::new(Snapshot {
            config: Arc::clone(&self.config),
            backends: self.backends.clone(),
            breakers: self.breakers.clone(),
            lists: Lists::default(),
            unlisted: (0..self.parts.len())
                .filter(|at| !self.parts[*at].has_listed)
                .collect(),
            identity: self.identity.clone(),
            catalog: built.catalog,
            settled: self.settled,
            closing: self.closing,
        })
    }

    fn report(&mut self, rejected: &[Rejected]) {
        for item in rejected {
            // The log has been told, with what it is that has changed.
            let is_logged = matches!(item.reason, RejectReason::Changed(_));
            if !is_logged && self.reported.is_news(item) {
                let (list, reason) = (item.kind.list_method(), &item.reason);
                tracing::warn!(backend = &*item.backend, list, item = item.name, %reason, "an item is withheld");
            }
        }
    }
}

/// The notifications for clients that may have seen `before` and would now see `after`.
pub fn list_changed(before: &Snapshot, after: &Snapshot) -> Vec<Notification> {
    let mut methods = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|_| before.settled) {
        let changed = before.catalog.list(kind) != after.catalog.list(kind);
        // Resources and templates share one.
        if changed && !methods.contains(&kind.list_changed()) {
            methods.push(kind.list_changed());
        }
    }
    let notification = |method: &str| Notification {
        method: method.to_owned(),
        params: None,
    };
    methods.into_iter().map(notification).collect()
}

#[cfg(test)]
mod tests;
