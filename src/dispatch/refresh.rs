//! What backends list becomes what the client sees.
//!
//! Owns each backend's listing of last contact, the names that were given out, and the decision
//! when the client hears that a list has changed. It must not know how a listing was had.

use std::collections::HashSet;
use std::sync::Arc;

use super::lifecycle::identity;
use super::reported::Reported;
use super::{Snapshot, list::Lists};
use crate::backend::{Backend, BackendEvent};
use crate::catalog::{Catalog, Names, Offer, Source, Withheld};
use crate::config::Config;
use crate::protocol::{Kind, Notification, RawJson};

/// Makes snapshots out of what backends list.
#[derive(Debug)]
pub struct Refresh {
    config: Arc<Config>,
    backends: Vec<Arc<Backend>>,
    /// As of last contact.
    offers: Vec<Option<Offer>>,
    /// Backends that have connected or failed once.
    heard: HashSet<usize>,
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

impl Refresh {
    /// Nobody has connected yet.
    pub fn new(config: Arc<Config>, backends: Vec<Arc<Backend>>) -> Self {
        Self {
            offers: backends.iter().map(|_| None).collect(),
            // Without backends there is nothing to wait for.
            settled: backends.is_empty(),
            heard: HashSet::new(),
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
                backend, listing, ..
            } => {
                self.heard.insert(backend);
                let config = &self.backends[backend].config;
                self.offers[backend] = Some(Offer::read(config, &listing));
            }
            BackendEvent::Down { backend } => {
                self.heard.insert(backend);
            }
            BackendEvent::Notice { .. } | BackendEvent::Asked { .. } => return,
        }
        self.news = true;
        self.settled |= self.heard.len() == self.backends.len();
    }

    /// Backends have had their time: what is there now is served.
    pub fn settle(&mut self) {
        self.settled = true;
    }

    /// No more requests come: lists wait no longer.
    pub fn close(&mut self) {
        self.closing = true;
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
        let parts = self.backends.iter().zip(&self.offers);
        let sources: Vec<Source<'_>> = parts
            .map(|(backend, offer)| Source {
                config: &backend.config,
                offer: offer.as_ref(),
            })
            .collect();
        let built = Catalog::build(&self.config.gateway, &sources, &self.names);
        if self.settled {
            self.names = built.catalog.names().clone();
        }
        self.report(&built.withheld);
        Arc::new(Snapshot {
            config: Arc::clone(&self.config),
            backends: self.backends.clone(),
            lists: Lists::default(),
            unlisted: (0..self.offers.len())
                .filter(|at| self.offers[*at].is_none())
                .collect(),
            identity: self.identity.clone(),
            catalog: built.catalog,
            settled: self.settled,
            closing: self.closing,
        })
    }

    fn report(&mut self, withheld: &[Withheld]) {
        for item in withheld {
            if self.reported.is_news(item) {
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
