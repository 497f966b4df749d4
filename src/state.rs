//! What outlives a run: what backends listed at last contact, and which definitions of their tools
//! were accepted.
//!
//! Owns where that is kept and when it is written: off the loop, gathered, and only if it differs
//! from what is there. A file that can't be written is a line in the log, and the gateway serves
//! on. It must not know what is done with a listing, nor when a definition counts as changed.

mod listing_cache;
pub mod pins;

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use listing_cache::{CachedListing, ListingCache, age};

use crate::config::{BackendConfig, Config, Pin};
use crate::protocol::Listing;

/// Backends that connect together are written together,
const GATHER: Duration = Duration::from_millis(100);
/// and one that changes its mind all the time is written now and then.
const PAUSE: Duration = Duration::from_secs(1);

/// What is remembered of earlier runs, and the way to have something remembered.
#[derive(Debug, Clone)]
pub struct StateStore {
    listing_cache: Option<ListingCache>,
    requests: mpsc::UnboundedSender<WriteRequest>,
}

/// Writes what is to be remembered, until every [`StateStore`] is gone.
#[derive(Debug)]
pub struct StateWriter(JoinHandle<()>);

/// Opens what a config keeps between runs. Reads nothing yet.
pub fn open(config: &Config) -> (StateStore, StateWriter) {
    let (requests, taken) = mpsc::unbounded_channel();
    let listing_cache = ListingCache::of(config);
    let task = WriterTask {
        listing_cache: listing_cache.clone(),
        lock: config.lock.path.clone().ok(),
        failed: HashSet::new(),
    };
    let writer = StateWriter(tokio::spawn(task.work(taken)));
    (
        StateStore {
            listing_cache,
            requests,
        },
        writer,
    )
}

/// Something to be remembered.
#[derive(Debug)]
enum WriteRequest {
    Listed(Arc<BackendConfig>, Arc<Listing>),
    Pins(Vec<Pin>),
}

impl StateStore {
    /// One that has nothing and keeps nothing.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self {
            listing_cache: None,
            requests: mpsc::unbounded_channel().0,
        }
    }

    /// What a backend listed at last contact, if that is known.
    pub fn cached_listing(&self, backend: &BackendConfig) -> Option<CachedListing> {
        self.listing_cache.as_ref()?.cached_listing(backend)
    }

    /// Has a listing remembered.
    pub fn keep(&self, backend: &Arc<BackendConfig>, listing: &Arc<Listing>) {
        if self.listing_cache.is_some() {
            let request = WriteRequest::Listed(Arc::clone(backend), Arc::clone(listing));
            let _ = self.requests.send(request);
        }
    }

    /// Has definitions remembered as accepted that were seen for the first time.
    pub fn pin(&self, pins: Vec<Pin>) {
        if !pins.is_empty() {
            let _ = self.requests.send(WriteRequest::Pins(pins));
        }
    }
}

impl StateWriter {
    /// Waits until all is written, as long as this at most.
    pub async fn finish(self, timeout: Duration) {
        let _ = tokio::time::timeout(timeout, self.0).await;
    }
}

/// Where the writing is done.
struct WriterTask {
    listing_cache: Option<ListingCache>,
    lock: Option<PathBuf>,
    /// What the log has been told of.
    failed: HashSet<PathBuf>,
}

impl WriterTask {
    async fn work(mut self, mut requests: mpsc::UnboundedReceiver<WriteRequest>) {
        let mut timeout = GATHER;
        while let Some(first) = requests.recv().await {
            let mut gathered = vec![first];
            let until = Instant::now() + timeout;
            timeout = PAUSE;
            while let Ok(Some(request)) = tokio::time::timeout_at(until, requests.recv()).await {
                gathered.push(request);
            }
            let (listing_cache, lock) = (self.listing_cache.clone(), self.lock.clone());
            let writing = move || write(gathered, listing_cache.as_ref(), lock);
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
            tracing::warn!(file, %error, "it can't be kept for the next run; serving goes on");
        }
    }
}

/// Writes what was gathered; what could not be written.
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
