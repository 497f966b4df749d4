//! The state that requests are served from.
//!
//! Owns [`Snapshot`], which is replaced whole on every change, [`Backends`], the backends in config
//! order, the results of the four lists, each built once, the URIs that results have named
//! ([`NamedUris`]), results that were too large ([`KeptResults`]), what clients are told of the backends ([`Introduction`]), and which tools they see
//! ([`tools`]). It must not know requests, nor how a snapshot is made.

mod activated;
mod introduction;
mod kept_results;
mod named_uris;
mod tools;
mod uris;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use serde_json::json;
use tokio::sync::watch;

use crate::backend::HttpBackend;
use crate::call_report::BackendId;
use crate::catalog::Catalog;
use crate::config::{Config, GatewayConfig};
use crate::governance::Admission;
use crate::protocol::era::modern::{self, ResultStamp};
use crate::protocol::{Era, Kind, Kinds, RawJson, task};
pub(crate) use introduction::{BackendIntroduction, IntroducedBackend, Introduction};
pub(crate) use kept_results::{KeptResults, LargeText, Page, Piece};
pub(crate) use named_uris::NamedUris;
pub(crate) use tools::{ToolViews, Tools, searches_itself};

/// The state that a request is served from. A task keeps the snapshot that it began with.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// The config in use.
    pub(crate) config: Arc<Config>,
    /// All backends.
    pub(crate) backends: Backends,
    /// Admits calls to backends. Shared by all snapshots.
    pub(crate) admission: Arc<Admission>,
    /// All items that clients see, and their backends.
    pub(crate) catalog: Catalog,
    /// The URIs that results have named. Shared by all snapshots.
    pub(crate) named_uris: Arc<NamedUris>,
    /// Results that were too large. Shared by all snapshots.
    pub(crate) kept_results: Arc<KeptResults>,
    /// What backends have said of themselves.
    pub(crate) introduction: Arc<Introduction>,
    /// The results of the four lists.
    pub(crate) lists: Lists,
    /// What is known of the tools, for those who search.
    pub(crate) tools: Tools,
    /// Which tools each client sees. Shared by all snapshots.
    pub(crate) views: Arc<ToolViews>,
    /// The number of the last listing of each backend that has listed in this run.
    pub(crate) listing_numbers: HashMap<BackendId, u64>,
    /// How many definitions of a backend differ from what was accepted, for each that has such.
    pub(crate) pins_changed: HashMap<BackendId, usize>,
    /// The kinds that a backend has not listed yet in this run, for each that has such.
    pub(crate) unlisted: BTreeMap<BackendId, Kinds>,
    /// The gateway's `serverInfo` (MCP 2026-07-28, basic, "Per-response protocol fields").
    pub(crate) identity: RawJson,
    /// The kinds that every backend has listed, or failed to list, once; all when `startup_wait` is
    /// over.
    pub(crate) settled: Kinds,
    /// The gateway is shutting down: a list that still waits is served from the listings so far.
    pub(crate) closing: bool,
}

/// Largest list that the loop builds the result of, in bytes.
const SMALL_LIST: usize = 256 * 1024;

/// Receives the current snapshot.
pub(crate) type Snapshots = watch::Receiver<Arc<Snapshot>>;

/// Waits for a snapshot in which these kinds are settled; `None` if the gateway ends before there is one.
pub(crate) async fn settled(mut snapshots: Snapshots, kinds: Kinds) -> Option<Arc<Snapshot>> {
    let is_settled = |snapshot: &Arc<Snapshot>| kinds.without(snapshot.settled).is_empty();
    let settled = snapshots.wait_for(is_settled).await;
    settled.ok().map(|snapshot| Arc::clone(&snapshot))
}

impl Snapshot {
    /// Whether the backend has not listed this kind yet in this run.
    pub(crate) fn awaits(&self, backend: BackendId, kind: Kind) -> bool {
        let unlisted = self.unlisted.get(&backend);
        unlisted.is_some_and(|kinds| kinds.has(kind))
    }

    /// Whether these kinds can be listed: every backend has listed them, or failed to, or the gateway ends.
    pub(crate) fn can_list(&self, kinds: Kinds) -> bool {
        self.closing || kinds.without(self.settled).is_empty()
    }

    /// The result of a list request for a client of this era.
    fn list(&self, kind: Kind, era: Era) -> RawJson {
        let has_more = self.config.gateway.tool_listing.has_more_tools();
        let list = || match kind == Kind::Tool && has_more {
            true => self.tools_and_own(era),
            false => RawJson::trusted(self.catalog.list_result(kind, era).clone()),
        };
        if era == Era::Legacy {
            return list();
        }
        let modern = self.lists.0[kind as usize].get_or_init(|| {
            let hints = modern::caching_hints(self.catalog.freshness(kind));
            let result = list().with_members(&hints, &[]);
            modern::stamp_result(&result, ResultStamp::CompleteAndCacheable, &self.identity)
        });
        modern.clone()
    }

    /// Whether [`list_for`](Self::list_for) takes so little that it may be done by the loop.
    pub(crate) fn lists_at_once(&self, kind: Kind, era: Era) -> bool {
        let is_small = || self.catalog.list_result(kind, era).len() <= SMALL_LIST;
        let is_tools = kind == Kind::Tool;
        let is_built = era == Era::Legacy && (!is_tools || self.is_summarized());
        is_built || is_small()
    }
}

/// The results of the four lists in the modern era, each built when it is first requested.
#[derive(Debug, Default)]
pub(crate) struct Lists([OnceLock<RawJson>; Kind::ALL.len()]);

/// The gateway's `serverInfo`.
pub(crate) fn identity(config: &GatewayConfig) -> RawJson {
    RawJson::of(&json!({ "name": config.name, "version": env!("CARGO_PKG_VERSION") }))
}

/// Backends in config order, each found by its id. Clones share one list.
#[derive(Debug, Clone)]
pub(crate) struct Backends(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    in_order: Vec<Arc<HttpBackend>>,
    places: BTreeMap<BackendId, usize>,
}

impl Backends {
    /// `in_order` is in config order, which need not be the order of ids.
    pub(crate) fn new(in_order: Vec<Arc<HttpBackend>>) -> Self {
        let places = in_order.iter().enumerate();
        let places = places.map(|(place, backend)| (backend.id, place)).collect();
        Self(Arc::new(Inner { in_order, places }))
    }

    /// The backend with this id, if it exists.
    pub(crate) fn get(&self, id: BackendId) -> Option<&Arc<HttpBackend>> {
        self.0.places.get(&id).map(|&at| &self.0.in_order[at])
    }

    /// The backend that an id of clients names, and its own id; `None` in its place where the id is not of
    /// the server at the URL of now.
    pub(crate) fn of_id<'a>(&self, id: &'a str) -> Option<(&Arc<HttpBackend>, Option<&'a str>)> {
        let (prefix, own) = task::split_id(id)?;
        let (name, _) = prefix.split_once('.')?;
        let backend = self.iter().find(|backend| backend.name() == name)?;
        Some((backend, Some(own).filter(|_| *backend.id_prefix == *prefix)))
    }

    /// All of them, in config order.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Arc<HttpBackend>> {
        self.0.in_order.iter()
    }
}

impl<'a> IntoIterator for &'a Backends {
    type Item = &'a Arc<HttpBackend>;
    type IntoIter = std::slice::Iter<'a, Arc<HttpBackend>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Overrides, load};

    #[test]
    fn backends_are_found_by_id_and_listed_in_config_order() {
        let url = |name: &str| (name.to_owned(), "http://127.0.0.1:9/".to_owned());
        let flags = Overrides {
            backends: vec![url("one"), url("two")],
            ..Overrides::default()
        };
        let config = load(&flags, &Environment::new("no-such-folder")).unwrap();
        let ids = [BackendId::new(7), BackendId::new(3)];
        let backends = config.backends.iter().zip(ids);
        let backends = backends
            .map(|(config, id)| Arc::new(HttpBackend::unsupervised(Arc::clone(config), id)));
        let backends = Backends::new(backends.collect());
        let listed: Vec<BackendId> = backends.iter().map(|backend| backend.id).collect();
        assert_eq!(listed, ids);
        assert_eq!(backends.get(ids[1]).unwrap().name(), "two");
        assert!(backends.get(BackendId::new(0)).is_none());
    }
}
