//! The lists of one server that are being fetched.
//!
//! Owns which of them run, which are to be fetched once more, and that what comes together is
//! reported together. It must not know what becomes of them.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout_at};

use crate::backend::session::Connection;
use crate::backend::supervisor::listing::{self, Extent, Fetched};
use crate::protocol::{ClientProfile, Kind, Kinds};

/// Lists that come within this time after the first are reported with it.
const TOGETHER: Duration = Duration::from_millis(20);

/// Fetches of lists over one connection.
pub(super) struct Fetching<'a> {
    connection: &'a Arc<Connection>,
    client: &'a ClientProfile,
    retries: u32,
    requests: FuturesUnordered<BoxFuture<'a, Fetched>>,
    /// The first pages of lists whose next one is slow.
    first_pages: (UnboundedSender<Fetched>, UnboundedReceiver<Fetched>),
    pub(super) running: Kinds,
    /// The lists that are fetched once more after that.
    again: Kinds,
    came: Vec<Fetched>,
    /// Until when other lists are waited for.
    until: Instant,
    /// The generation of the credentials that they carry, of the oldest of them.
    pub(super) credentials: u64,
}

/// What has come.
pub(super) struct FetchedLists {
    pub(super) lists: Vec<Fetched>,
    /// The lists that have come or failed.
    pub(super) over: Kinds,
    /// The lists of which there are the first pages, while others are still to come.
    pub(super) coming: Kinds,
    /// The lists that are to be fetched once more.
    pub(super) again: Kinds,
}

impl<'a> Fetching<'a> {
    pub(super) fn new(
        connection: &'a Arc<Connection>,
        client: &'a ClientProfile,
        retries: u32,
    ) -> Self {
        Self {
            connection,
            client,
            retries,
            requests: FuturesUnordered::new(),
            first_pages: unbounded_channel(),
            running: Kinds::default(),
            again: Kinds::default(),
            came: Vec::new(),
            until: Instant::now(),
            credentials: 0,
        }
    }

    /// Fetches these; those that are being fetched now once more.
    pub(super) fn start(&mut self, kinds: Kinds) {
        if self.is_idle() {
            self.credentials = self.connection.credentials().generation();
        }
        for kind in kinds.iter() {
            if self.running.has(kind) {
                self.again.add(kind);
                continue;
            }
            self.running.add(kind);
            let first_pages = self.first_pages.0.clone();
            let fetch = listing::fetch(
                self.connection,
                self.client,
                self.retries,
                kind,
                first_pages,
            );
            self.requests.push(fetch.boxed());
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.requests.is_empty() && self.came.is_empty()
    }

    /// Resolves when some have come, and those that come with them. May be dropped and called again.
    pub(super) async fn came(&mut self) {
        if self.came.is_empty() {
            let first = tokio::select! {
                biased;
                // The sender is this one's, so it doesn't close.
                first = self.first_pages.1.recv() => first,
                list = self.requests.next() => list,
            };
            self.until = Instant::now() + TOGETHER;
            self.came.extend(first);
        }
        while !self.requests.is_empty()
            && let Ok(Some(list)) = timeout_at(self.until, self.requests.next()).await
        {
            self.came.push(list);
        }
    }

    /// Takes those that have come.
    pub(super) fn take(&mut self) -> FetchedLists {
        let mut lists = mem::take(&mut self.came);
        while let Ok(first) = self.first_pages.1.try_recv() {
            lists.push(first);
        }
        let is_coming = |list: &Fetched| matches!(list.extent, Extent::Coming);
        let kinds = |wanted: &dyn Fn(&Fetched) -> bool| {
            let has = |kind| lists.iter().any(|list| list.kind == kind && wanted(list));
            Kinds::that(has)
        };
        let over = kinds(&|list| !is_coming(list));
        let coming = kinds(&is_coming).without(over);
        lists.retain(|list| !is_coming(list) || coming.has(list.kind));
        self.running = self.running.without(over);
        let again = Kinds::that(|kind: Kind| over.has(kind) && self.again.has(kind));
        self.again = self.again.without(again);
        FetchedLists {
            lists,
            over,
            coming,
            again,
        }
    }
}
