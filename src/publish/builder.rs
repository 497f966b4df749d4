//! Reads the listings of backends and builds snapshots of them.
//!
//! Owns the last listing of each backend, if need be from an earlier run, and the names that were
//! assigned. All of this takes time that backends decide, so it may be done on another thread: a
//! [`Builder`] is moved there with its [`Order`], and comes back in the [`BuildOutput`]. It must not know
//! when a snapshot is wanted, nor how it is used.

mod report;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::list_changed;
use super::pinning::PinCheck;
use super::reported::Reported;
use super::rule_check::RuleCheck;
use crate::call_report::BackendId;
use crate::catalog::{BackendListing, Catalog, Names, Pages, Source};
use crate::config::{BackendConfig, Config};
use crate::governance::Admission;
use crate::observe::logs::panic_text;
use crate::protocol::{Kind, Kinds, Listing, Notification, RawJson};
use crate::snapshot::{
    Backends, Introduction, KeptResults, Lists, NamedUris, Said, Snapshot, Speaker, ToolViews,
    Tools, identity,
};
use crate::state::{CachedListings, StateStore, age};

/// What a snapshot is built from, and what was built last.
#[derive(Debug)]
pub(super) struct Builder {
    config: Arc<Config>,
    backends: Backends,
    admission: Arc<Admission>,
    named_uris: Arc<NamedUris>,
    kept_results: Arc<KeptResults>,
    /// What each backend says of itself, in this run or at last contact.
    said: HashMap<BackendId, Said>,
    pin_check: PinCheck,
    state: StateStore,
    /// The listings of earlier runs.
    cached: CachedListings,
    /// The last of each backend.
    listings: HashMap<BackendId, BackendListing>,
    /// Kept from the first settled snapshot on.
    names: Names,
    identity: RawJson,
    views: Arc<ToolViews>,
    /// Rejected items that the log has named.
    reported: Reported,
    /// Mended items that the log has named.
    mended: Reported,
    /// The log has said that there are too many tools.
    has_advised: bool,
    rule_check: RuleCheck,
    last: Option<Arc<Snapshot>>,
}

/// What is to be built.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The listings that came since the last order.
    pub(super) listed: Vec<Listed>,
    /// The kinds that each backend has listed whole in this run.
    pub(super) fetched: HashMap<BackendId, Kinds>,
    /// The number of the last listing of each backend that has listed in this run.
    pub(super) numbers: HashMap<BackendId, u64>,
    /// The kinds that backends have not listed in this run.
    pub(super) unlisted: BTreeMap<BackendId, Kinds>,
    /// The kinds that wait for no backend any more.
    pub(super) settled: Kinds,
    pub(super) closing: bool,
    pub(super) reconfigured: Option<Reconfigured>,
}

/// The config and the backends from now on, where they have changed.
#[derive(Debug)]
pub(super) struct Reconfigured {
    pub(super) config: Arc<Config>,
    pub(super) backends: Backends,
    /// The backends whose listing is read again.
    pub(super) reread: HashSet<BackendId>,
    /// The backends that take the place of others.
    pub(super) successors: HashMap<BackendId, BackendId>,
}

/// A listing that came.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) backend: BackendId,
    pub(super) listing: Arc<Listing>,
    /// Dropped when it is in a snapshot, or never will be: then the backend is listed again.
    pub(super) taken: oneshot::Sender<()>,
}

/// What was built.
#[derive(Debug)]
pub(crate) struct BuildOutput {
    pub(super) builder: Builder,
    /// `None` while lists wait for backends, and after a panic.
    pub(super) published: Option<Publication>,
    /// Backends whose listing made the gateway panic, with its text.
    pub(super) failed: Vec<(BackendId, String)>,
    /// To be dropped when the snapshot is published.
    pub(super) taken: Vec<oneshot::Sender<()>>,
}

/// A snapshot, and what its clients are to be told of it.
#[derive(Debug)]
pub(crate) struct Publication {
    /// The next snapshot.
    pub(crate) snapshot: Arc<Snapshot>,
    /// `list_changed` notifications, compared to the snapshot before.
    pub(crate) notifications: Vec<Notification>,
}

impl Builder {
    /// `backends` in config order.
    pub(super) fn new(
        config: Arc<Config>,
        backends: Backends,
        admission: Arc<Admission>,
        state: StateStore,
        kept_results: KeptResults,
    ) -> Self {
        Self {
            pin_check: PinCheck::new(Arc::clone(&config), state.clone()),
            identity: identity(&config.gateway),
            views: Arc::default(),
            names: Names::recorded(&config),
            config,
            backends,
            admission,
            named_uris: Arc::default(),
            kept_results: Arc::new(kept_results),
            said: HashMap::new(),
            state,
            cached: CachedListings::default(),
            listings: HashMap::new(),
            reported: Reported::default(),
            mended: Reported::default(),
            has_advised: false,
            rule_check: RuleCheck::default(),
            last: None,
        }
    }

    /// The listings of earlier runs are read.
    pub(super) fn set_cached(&mut self, cached: CachedListings) {
        for backend in &self.backends {
            if let Some(listing) = cached.said(backend.id) {
                let read = BackendListing::read(&backend.config, listing);
                let checked = self.pin_check.check(&backend.config, read);
                self.said.insert(backend.id, said_in(&checked));
            }
        }
        self.cached = cached;
    }

    /// What clients are told of the backends now.
    pub(super) fn introduction(&self) -> Introduction {
        let speakers: Vec<Speaker<'_>> = (self.backends.iter())
            .map(|backend| Speaker {
                id: backend.id,
                name: backend.name(),
                said: self.said.get(&backend.id),
                is_experimental: backend.config.experimental,
            })
            .collect();
        let gateway = &self.config.gateway;
        let own = gateway.instructions.as_deref();
        Introduction::of(own, gateway.backend_instructions, &speakers)
    }

    /// Reads the listings that came, and builds a snapshot if requests wait for one. A panic costs the
    /// listing that it happened in.
    pub(super) fn build(mut self, order: Order) -> BuildOutput {
        let (mut failed, mut taken) = (Vec::new(), Vec::new());
        let Order {
            listed,
            fetched,
            numbers,
            unlisted,
            settled,
            closing,
            reconfigured,
        } = order;
        if let Some(reconfigured) = reconfigured {
            self.reconfigure(reconfigured);
        }
        for listed in listed {
            let id = listed.backend;
            let kinds = fetched.get(&id).copied().unwrap_or_default();
            let read = || self.read(id, listed.listing, kinds);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(read)) {
                failed.push((id, panic_text(&*panic).to_owned()));
            }
            taken.push(listed.taken);
        }
        let snapshot = || {
            self.read_cached(closing);
            let snapshot = self.snapshot(&fetched, numbers, unlisted, settled, closing);
            let snapshot = Arc::new(snapshot);
            let before = self.last.replace(Arc::clone(&snapshot));
            let notifications =
                before.map_or_else(Vec::new, |before| list_changed(&before, &snapshot));
            Publication {
                snapshot,
                notifications,
            }
        };
        let published = match closing || !settled.is_empty() {
            true => catch_unwind(AssertUnwindSafe(snapshot)).ok(),
            false => None,
        };
        BuildOutput {
            builder: self,
            published,
            failed,
            taken,
        }
    }

    /// A tool names the page of its user interface when it is known whose the page's URI is.
    fn pages(&self, settled: Kinds) -> Pages {
        let awaited = Kinds::that(Kind::is_uri).without(settled);
        match !awaited.is_empty() && self.backends.iter().len() > 1 {
            true => Pages::Hidden,
            false => Pages::Shown,
        }
    }

    /// An empty snapshot, before anything is known.
    pub(super) fn first(
        &mut self,
        unlisted: BTreeMap<BackendId, Kinds>,
        settled: bool,
    ) -> Arc<Snapshot> {
        let none = HashMap::new();
        let settled = Kinds::that(|_| settled);
        let snapshot = self.snapshot(&none, HashMap::new(), unlisted, settled, false);
        let snapshot = Arc::new(snapshot);
        self.last = Some(Arc::clone(&snapshot));
        snapshot
    }

    fn reconfigure(&mut self, new: Reconfigured) {
        let config = new.config;
        let is_limited = |config: &Config| config.gateway.tool_listing.reads_more;
        if is_limited(&self.config) != is_limited(&config) {
            self.kept_results.set_limited(is_limited(&config));
        }
        self.identity = identity(&config.gateway);
        self.names.reconfigure(&config);
        self.pin_check.reconfigure(&config);
        // One that comes not with this order is of an earlier run, and read from there.
        let is_kept = |id: &BackendId| new.backends.get(*id).is_some() && !new.reread.contains(id);
        self.listings.retain(|id, _| is_kept(id));
        let is_there = |id| new.backends.get(id).is_some();
        self.named_uris.reconfigure(&new.successors, is_there);
        for (new, old) in &new.successors {
            if let Some(said) = self.said.remove(old) {
                self.said.insert(*new, said);
            }
        }
        self.said.retain(|id, _| is_there(*id));
        self.config = config;
        self.backends = new.backends;
    }

    fn read(&mut self, id: BackendId, mut listing: Arc<Listing>, fetched: Kinds) {
        let Some(config) = self.config_of(id) else {
            return;
        };
        if fetched.is_all() {
            self.cached.forget(id);
        } else if let Some(cached) = self.cached.get(id, &config.name) {
            let whole = Arc::make_mut(&mut listing);
            for kind in Kinds::ALL.without(fetched).iter() {
                whole.complete(kind, cached.listing.items(kind));
            }
        }
        let mut read = BackendListing::read(&config, &listing);
        drop(listing);
        self.state.keep(&config, &Arc::new(read.take_cleaned()));
        if fetched.has(Kind::Tool) {
            self.rule_check.check(&config.name, &read);
        }
        let checked = self.pin_check.check(&config, read);
        self.said.insert(id, said_in(&checked));
        self.listings.insert(id, checked);
    }

    /// For a backend that has not listed, the listing of an earlier run is served.
    fn read_cached(&mut self, closing: bool) {
        for backend in &self.backends {
            if self.listings.contains_key(&backend.id) {
                continue;
            }
            let Some(cached) = self.cached.get(backend.id, backend.name()) else {
                continue;
            };
            // At the end the wait is cut short, and that says nothing about the backend.
            if !closing {
                tracing::warn!(
                    backend = backend.name(),
                    tools = cached.listing.items(Kind::Tool).len(),
                    last_contact = age(cached.at),
                    "it is not connected yet: what it listed at last contact is served, and a call connects first"
                );
            }
            let read = BackendListing::read(&backend.config, &cached.listing);
            let checked = self.pin_check.check(&backend.config, read);
            self.listings.insert(backend.id, checked);
        }
    }

    fn config_of(&self, id: BackendId) -> Option<Arc<BackendConfig>> {
        let backend = self.backends.get(id)?;
        Some(Arc::clone(&backend.config))
    }

    /// Until a kind is settled, its names are assigned anew each time, so that they follow config order and not the
    /// order of connecting; from then on an owner keeps its name.
    fn snapshot(
        &mut self,
        fetched: &HashMap<BackendId, Kinds>,
        numbers: HashMap<BackendId, u64>,
        unlisted: BTreeMap<BackendId, Kinds>,
        settled: Kinds,
        closing: bool,
    ) -> Snapshot {
        let has_fetched_tools = |id| {
            let kinds = fetched.get(&id);
            kinds.is_some_and(|kinds| kinds.has(Kind::Tool))
        };
        let sources: Vec<Source<'_>> = self
            .backends
            .iter()
            .map(|backend| Source {
                id: backend.id,
                config: &backend.config,
                backend_listing: self.listings.get(&backend.id),
                confirmed: has_fetched_tools(backend.id),
            })
            .collect();
        for (id, uri) in self.named_uris.own() {
            if let Some(backend) = self.backends.get(id) {
                self.names.reserve_uri(&backend.config.name, &uri);
            }
        }
        let (gateway, pages) = (&self.config.gateway, self.pages(settled));
        let built = Catalog::build_with(gateway, &sources, &self.names, pages);
        self.names.keep(built.catalog.names(), settled);
        let has_tools = settled.has(Kind::Tool);
        self.report(&built);
        if has_tools {
            self.pin_check.write(&self.names);
            self.advise(&built.catalog);
        }
        let takeovers = built.takeovers.into_iter();
        self.report_takeovers(takeovers.filter(|takeover| settled.has(takeover.kind)));
        Snapshot {
            config: Arc::clone(&self.config),
            backends: self.backends.clone(),
            admission: Arc::clone(&self.admission),
            named_uris: Arc::clone(&self.named_uris),
            kept_results: Arc::clone(&self.kept_results),
            introduction: Arc::new(self.introduction()),
            lists: Lists::default(),
            tools: Tools::default(),
            views: Arc::clone(&self.views),
            listing_numbers: numbers,
            pins_changed: self.pin_check.changed(&self.backends),
            unlisted,
            identity: self.identity.clone(),
            catalog: built.catalog,
            settled,
            closing,
        }
    }
}

fn said_in(listing: &BackendListing) -> Said {
    Said {
        instructions: listing.instructions().cloned(),
        declared: listing.declared().cloned(),
    }
}
