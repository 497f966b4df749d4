//! Decides when the next snapshot is built, and where.
//!
//! Owns which backends have connected, failed and listed, and the admission of calls. A small listing
//! is read at once; a large one on another thread, while the last snapshot is served and further
//! events are gathered. It must not know how a listing was fetched, nor how a snapshot is used.

mod reconfigure;

use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::builder::{BuildOutput, Builder, Listed, Order, Publication, Reconfigured};
use crate::backend::{BackendEvent, HttpBackend};
use crate::call_report::BackendId;
use crate::config::Config;
use crate::governance::Admission;
use crate::protocol::{Kinds, Listing};
use crate::snapshot::{Backends, Introduction, KeptResults, Snapshot};
use crate::state::{CachedListings, StateStore};
use crate::sync::Mutex;
pub(crate) use reconfigure::Reconfiguration;

/// Lists of at most this many bytes, all backends together, are read and merged at once.
const SMALL: usize = 32 * 1024;

/// Gathers what the next snapshot is built from.
#[derive(Debug)]
pub(crate) struct Publisher {
    backends: Backends,
    admission: Arc<Admission>,
    /// One for each backend.
    parts: HashMap<BackendId, Part>,
    /// `None` while it works.
    builder: Option<Builder>,
    /// The work on another thread.
    building: Option<JoinHandle<Option<BuildOutput>>>,
    /// Listings for the next order.
    listed: Vec<Listed>,
    /// The config for the next order, where it has changed.
    reconfigured: Option<Reconfigured>,
    /// Events that wait in order until the listings of earlier runs are read, since they may need
    /// them; `None` from then on.
    waiting: Option<Vec<PublisherEvent>>,
    settled: bool,
    closing: bool,
    /// The next snapshot differs from the last one.
    changed: bool,
}

/// What changes the next snapshot.
#[derive(Debug)]
enum PublisherEvent {
    Backend(BackendEvent),
    Reconfigure(Box<Reconfiguration>),
    Settle,
    Close,
}

/// The lists of one event.
#[derive(Debug, Clone, Copy)]
struct ListedKinds {
    all: Kinds,
    /// The kinds that are not known to lack anything.
    whole: Kinds,
}

/// The state of one backend.
#[derive(Debug, Default)]
struct Part {
    /// The lists that have come or failed once; all of them after a failed connection attempt.
    reported: Kinds,
    /// The lists that have come, whole or not.
    listed: Kinds,
    /// Its last connection attempt failed.
    is_down: bool,
    /// The number of its last listing in this run.
    number: Option<u64>,
    /// The lists that were fetched whole in this run.
    fetched: Kinds,
    /// Bytes of its last listing.
    bytes: usize,
    /// Its last listing in this run, as long as it is the supervisor's too: while that one takes in a new
    /// one, no other copy is kept.
    listing: Weak<Listing>,
}

impl Publisher {
    /// `backends` in config order, none of which has connected yet.
    /// Returns the snapshot of this moment too.
    pub(crate) fn new(
        config: Arc<Config>,
        backends: Vec<Arc<HttpBackend>>,
        state: StateStore,
        kept_results: KeptResults,
    ) -> (Self, Arc<Snapshot>) {
        let admission = Admission::default();
        for backend in &backends {
            admission.add(backend.id, &backend.config);
        }
        let ids = backends.iter().map(|backend| backend.id);
        let parts: HashMap<BackendId, Part> = ids.map(|id| (id, Part::default())).collect();
        // Without backends there is nothing to wait for.
        let settled = backends.is_empty();
        let (backends, admission) = (Backends::new(backends), Arc::new(admission));
        let shared = Arc::clone(&admission);
        let mut builder = Builder::new(config, backends.clone(), shared, state, kept_results);
        let first = builder.first(parts.keys().map(|id| (*id, Kinds::ALL)).collect(), settled);
        let publisher = Self {
            parts,
            builder: Some(builder),
            building: None,
            listed: Vec::new(),
            reconfigured: None,
            waiting: Some(Vec::new()),
            settled,
            closing: false,
            changed: false,
            admission,
            backends,
        };
        (publisher, first)
    }

    /// The listings of earlier runs are read; they are needed once.
    pub(crate) fn cache_read(&mut self, cached: CachedListings) {
        for (id, part) in &mut self.parts {
            part.bytes = cached.bytes(*id);
        }
        if let Some(builder) = &mut self.builder {
            builder.set_cached(cached);
        }
        for event in self.waiting.take().into_iter().flatten() {
            self.apply(event);
        }
    }

    /// What clients are told of the backends; `None` while a snapshot is being built, which has it.
    pub(crate) fn introduction(&self) -> Option<Introduction> {
        self.builder.as_ref().map(Builder::introduction)
    }

    /// Applies a backend event.
    pub(crate) fn absorb(&mut self, event: BackendEvent) {
        self.apply(PublisherEvent::Backend(event));
    }

    /// The config has changed: what is served from now on follows the new one.
    pub(crate) fn reconfigure(&mut self, new: Reconfiguration) {
        self.apply(PublisherEvent::Reconfigure(Box::new(new)));
    }

    /// Whether each of these backends has reported all of its lists, or its outage, or is gone.
    pub(crate) fn have_reported(&self, backends: &[BackendId]) -> bool {
        let parts = backends.iter().filter_map(|id| self.parts.get(id));
        parts.into_iter().all(|part| part.reported.is_all())
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
        if let Some(waiting) = &mut self.waiting {
            return waiting.push(event);
        }
        self.changed = true;
        match event {
            PublisherEvent::Backend(event) => self.backend(event),
            PublisherEvent::Reconfigure(new) => self.take_config(*new),
            PublisherEvent::Settle => self.settled = true,
            PublisherEvent::Close => self.closing = true,
        }
        if self.settled_kinds().is_all() {
            self.settled = true;
        }
    }

    fn backend(&mut self, event: BackendEvent) {
        match event {
            BackendEvent::Listed {
                backend,
                number,
                listing,
                came,
                coming,
                incomplete,
                taken,
            } => {
                let failed = |kind| incomplete.iter().any(|list| list.kind == kind);
                let came = ListedKinds {
                    all: came.or(coming),
                    whole: Kinds::that(|kind| !failed(kind) && !coming.has(kind)),
                };
                self.listed(backend, number, listing, came, taken);
            }
            BackendEvent::Down { backend } => {
                if let Some(part) = self.parts.get_mut(&backend) {
                    part.reported = Kinds::ALL;
                    part.is_down = true;
                }
            }
            // They don't change a snapshot.
            BackendEvent::Notice { .. } | BackendEvent::ServerRequest { .. } => {}
        }
    }

    fn listed(
        &mut self,
        backend: BackendId,
        number: u64,
        listing: Arc<Listing>,
        came: ListedKinds,
        taken: oneshot::Sender<()>,
    ) {
        let Some(part) = self.parts.get_mut(&backend) else {
            return;
        };
        let whole = Kinds::that(|kind| came.all.has(kind) && came.whole.has(kind));
        part.fetched = part.fetched.or(whole);
        part.reported = part.reported.or(came.all);
        part.listed = part.listed.or(came.all);
        part.number = Some(number);
        part.listing = Arc::downgrade(&listing);
        // What is missing in it may be taken from an earlier run.
        let is_whole = part.fetched.is_all();
        part.bytes = listing.bytes() + if is_whole { 0 } else { part.bytes };
        if std::mem::take(&mut part.is_down) {
            self.admission.reached(backend);
        }
        // Only the newest of a backend matters.
        self.listed.retain(|listed| listed.backend != backend);
        self.listed.push(Listed {
            backend,
            listing,
            taken,
        });
    }

    /// The kinds that need not wait for a backend any more.
    fn settled_kinds(&self) -> Kinds {
        let reported = |kind| self.parts.values().all(|part| part.reported.has(kind));
        Kinds::that(|kind| self.settled || reported(kind))
    }

    /// Whether every backend has listed or failed once, or `startup_wait` is over.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Builds what is to be built: at once if that is little, else on another thread, which
    /// [`built`](Self::built) waits for.
    pub(crate) fn start(&mut self) -> Option<BuildOutput> {
        let publishes = self.changed && (self.closing || !self.settled_kinds().is_empty());
        if !publishes && self.listed.is_empty() {
            return None;
        }
        let builder = self.builder.take()?;
        self.changed &= !publishes;
        let order = self.order();
        let bytes: usize = self.parts.values().map(|part| part.bytes).sum();
        if bytes <= SMALL {
            return Some(builder.build(order));
        }
        // Shared, so that it is not lost if there can be no other thread.
        let work = Arc::new(Mutex::new(Some((builder, order))));
        let build = {
            let work = Arc::clone(&work);
            move || {
                let (builder, order) = work.lock().take()?;
                Some(builder.build(order))
            }
        };
        let spawn = AssertUnwindSafe(|| tokio::task::spawn_blocking(build.clone()));
        match catch_unwind(spawn) {
            Ok(building) => {
                self.building = Some(building);
                None
            }
            Err(_) => build(),
        }
    }

    fn order(&mut self) -> Order {
        let parts = || self.parts.iter();
        Order {
            fetched: parts().map(|(id, part)| (*id, part.fetched)).collect(),
            numbers: parts()
                .filter_map(|(id, part)| Some((*id, part.number?)))
                .collect(),
            unlisted: self.unlisted(),
            settled: self.settled_kinds(),
            closing: self.closing,
            listed: std::mem::take(&mut self.listed),
            reconfigured: self.reconfigured.take(),
        }
    }

    fn unlisted(&self) -> BTreeMap<BackendId, Kinds> {
        let unlisted = |part: &Part| Kinds::ALL.without(part.listed);
        let all = self.parts.iter().map(|(id, part)| (*id, unlisted(part)));
        all.filter(|(_, kinds)| !kinds.is_empty()).collect()
    }

    /// Waits for what is being built on another thread.
    pub(crate) async fn built(&mut self) -> BuildOutput {
        let Some(building) = &mut self.building else {
            return pending().await;
        };
        let built = building.await.ok().flatten();
        self.building = None;
        match built {
            Some(built) => built,
            // The runtime is shutting down.
            None => pending().await,
        }
    }

    /// Takes back what was built. A backend whose listing can't be read is down. The senders are to be
    /// dropped when the snapshot is published: their backends may be listed again then.
    pub(crate) fn finish(
        &mut self,
        built: BuildOutput,
    ) -> (Option<Publication>, Vec<oneshot::Sender<()>>) {
        let BuildOutput {
            builder,
            published,
            failed,
            taken,
        } = built;
        self.builder = Some(builder);
        for (id, why) in failed {
            if let Some(backend) = self.backends.get(id) {
                backend.fail(&why);
            }
        }
        (published, taken)
    }
}

/// Frees a snapshot, on another thread if its lists are large and nothing else holds it.
pub(crate) fn retire(snapshot: Arc<Snapshot>) {
    if snapshot.catalog.bytes() > SMALL {
        let free = AssertUnwindSafe(|| tokio::task::spawn_blocking(|| drop(snapshot)));
        // Where there can be no other thread, it is freed here.
        let _ = catch_unwind(free);
    }
}

#[cfg(test)]
mod tests;
