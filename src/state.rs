//! State that persists between runs: the last listing of each backend, and the accepted definitions
//! of tools.
//!
//! Owns where it is stored and when it is written: in a task of its own, batched, and only if it
//! has changed. A file that can't be written is logged; the gateway goes on. It must not know how a
//! listing is used, nor what counts as a change of a definition.

mod listing_cache;
pub(crate) mod pins;

use std::collections::{HashMap, HashSet};
use std::future::ready;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use listing_cache::CacheFile;
pub(crate) use listing_cache::{CachedListing, ListingCache, age};

use crate::call_report::BackendId;
use crate::config::{BackendConfig, Config, Pin};
use crate::protocol::Listing;

/// How long the first batch is collected: backends connect at about the same time.
const FIRST_BATCH: Duration = Duration::from_millis(100);
/// How long every later batch is collected, which limits writes for a backend that changes often.
const LATER_BATCH: Duration = Duration::from_secs(1);

/// How long the start may wait for the last listings, on a slow disk.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads state of earlier runs, and requests writes.
#[derive(Debug, Clone)]
pub(crate) struct StateStore {
    listing_cache: Option<ListingCache>,
    requests: mpsc::UnboundedSender<WriteRequest>,
}

/// The task that writes, until every [`StateStore`] is dropped.
#[derive(Debug)]
pub(crate) struct StateWriter(JoinHandle<()>);

/// Opens the state of a config. Reads nothing yet.
pub(crate) fn open(config: &Config) -> (StateStore, StateWriter) {
    let (requests, taken) = mpsc::unbounded_channel();
    let listing_cache = ListingCache::of(config);
    let task = WriterTask {
        listing_cache: listing_cache.clone(),
        lock: config.lock.path.clone().ok(),
        failed: HashSet::new(),
    };
    let writer = StateWriter(tokio::spawn(task.run(taken)));
    (
        StateStore {
            listing_cache,
            requests,
        },
        writer,
    )
}

/// The listings of earlier runs. Each is parsed when it is first needed: nearly all backends
/// connect, and then none is.
#[derive(Debug, Default)]
pub(crate) struct CachedListings {
    files: HashMap<BackendId, CacheFile>,
    listings: HashMap<BackendId, CachedListing>,
}

impl CachedListings {
    /// The last listing of a backend, if there is one; `backend` is its name.
    pub(crate) fn get(&mut self, id: BackendId, backend: &str) -> Option<&CachedListing> {
        if let Some(file) = self.files.remove(&id)
            && let Some(listing) = file.parse(backend)
        {
            self.listings.insert(id, listing);
        }
        self.listings.get(&id)
    }

    /// The listing of a backend is no longer needed.
    pub(crate) fn forget(&mut self, id: BackendId) {
        self.files.remove(&id);
        self.listings.remove(&id);
    }
}

/// State to be written.
#[derive(Debug)]
enum WriteRequest {
    Listed(Arc<BackendConfig>, Arc<Listing>),
    Pins(Vec<Pin>),
}

impl StateStore {
    /// A store that is empty and writes nothing.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self {
            listing_cache: None,
            requests: mpsc::unbounded_channel().0,
        }
    }

    /// Reads the last listings of these backends in a thread of its own. The result comes after
    /// [`READ_TIMEOUT`] at the latest, and is empty then.
    pub(crate) fn cached_listings(
        &self,
        backends: Vec<(BackendId, Arc<BackendConfig>)>,
    ) -> BoxFuture<'static, CachedListings> {
        let Some(listing_cache) = self.listing_cache.clone() else {
            return ready(CachedListings::default()).boxed();
        };
        let reading = tokio::task::spawn_blocking(move || {
            let read =
                |(id, config): (_, Arc<BackendConfig>)| Some((id, listing_cache.read(&config)?));
            CachedListings {
                files: backends.into_iter().filter_map(read).collect(),
                listings: HashMap::new(),
            }
        });
        async {
            match tokio::time::timeout(READ_TIMEOUT, reading).await {
                Ok(read) => read.unwrap_or_default(),
                Err(_) => {
                    tracing::warn!("the last listings can't be read in time and are not used");
                    CachedListings::default()
                }
            }
        }
        .boxed()
    }

    /// Requests that a listing is written.
    pub(crate) fn keep(&self, backend: &Arc<BackendConfig>, listing: &Arc<Listing>) {
        if self.listing_cache.is_some() {
            let request = WriteRequest::Listed(Arc::clone(backend), Arc::clone(listing));
            let _ = self.requests.send(request);
        }
    }

    /// Requests that definitions first seen in this run are written as accepted.
    pub(crate) fn pin(&self, pins: Vec<Pin>) {
        if !pins.is_empty() {
            let _ = self.requests.send(WriteRequest::Pins(pins));
        }
    }
}

impl StateWriter {
    /// Waits until everything is written, for at most `timeout`.
    pub(crate) async fn finish(self, timeout: Duration) {
        let _ = tokio::time::timeout(timeout, self.0).await;
    }
}

/// The state of the writer task.
struct WriterTask {
    listing_cache: Option<ListingCache>,
    lock: Option<PathBuf>,
    /// Files whose failure was logged.
    failed: HashSet<PathBuf>,
}

impl WriterTask {
    async fn run(mut self, mut requests: mpsc::UnboundedReceiver<WriteRequest>) {
        let mut timeout = FIRST_BATCH;
        while let Some(first) = requests.recv().await {
            let mut batch = vec![first];
            let until = Instant::now() + timeout;
            timeout = LATER_BATCH;
            while let Ok(Some(request)) = tokio::time::timeout_at(until, requests.recv()).await {
                batch.push(request);
            }
            let (listing_cache, lock) = (self.listing_cache.clone(), self.lock.clone());
            let writing = move || write(batch, listing_cache.as_ref(), lock);
            for (path, error) in tokio::task::spawn_blocking(writing)
                .await
                .unwrap_or_default()
            {
                self.log_failure(path, &error);
            }
        }
    }

    fn log_failure(&mut self, path: PathBuf, error: &io::Error) {
        let file = path.display().to_string();
        if self.failed.insert(path) {
            tracing::warn!(file, %error, "the file can't be written for the next run; the gateway goes on without it");
        }
    }
}

/// Writes a batch. Returns the files that could not be written, with the error.
fn write(
    requests: Vec<WriteRequest>,
    listing_cache: Option<&ListingCache>,
    lock: Option<PathBuf>,
) -> Vec<(PathBuf, io::Error)> {
    let (mut failed, mut first_seen) = (Vec::new(), Vec::new());
    for request in requests {
        match (request, listing_cache) {
            (WriteRequest::Pins(pins), _) => first_seen.extend(pins),
            (WriteRequest::Listed(backend, listing), Some(listing_cache)) => {
                failed.extend(listing_cache.keep(&backend, &listing).err());
            }
            (WriteRequest::Listed(..), None) => {}
        }
    }
    if let Some(path) = lock.filter(|_| !first_seen.is_empty())
        && let Err(error) = pins::add(&path, first_seen)
    {
        failed.push((path, error));
    }
    failed
}
