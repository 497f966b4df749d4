//! State that persists between runs: the last listing of each backend, and the accepted definitions
//! of tools.
//!
//! Owns where it is stored and when it is written: in a task of its own, at most every few seconds,
//! the newest only, and only if it has changed. A file that can't be written is logged; the gateway goes on. It must not know how a
//! listing is used, nor what counts as a change of a definition.

mod contacts;
mod listing_cache;
pub(crate) mod pins;

use std::collections::{HashMap, HashSet};
use std::future::ready;
use std::io;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use contacts::Contacts;
use contacts::Remembered;
use listing_cache::CacheFile;
pub(crate) use listing_cache::{CachedListing, ListingCache, age};

use crate::call_report::BackendId;
use crate::config::{BackendConfig, Config, LockFile, NamedTool, Origin, Pin};
use crate::protocol::Listing;
use crate::sync::Mutex;
use crate::tasks;

/// How long the first batch is collected: backends connect at about the same time.
const FIRST_BATCH: Duration = Duration::from_millis(100);
/// How long every later batch is collected, which limits writes for a backend that changes often.
const LATER_BATCH: Duration = Duration::from_secs(5);

/// How long the start may wait for the last listings, on a slow disk.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads state of earlier runs, and requests writes.
#[derive(Debug, Clone)]
pub(crate) struct StateStore {
    listing_cache: Option<ListingCache>,
    unwritten: Arc<Mutex<Unwritten>>,
    /// How backends were connected in an earlier run, once that is read.
    remembered: Remembered,
    /// Holds at most one wake-up of the writer.
    wake: mpsc::Sender<()>,
}

/// What waits to be written: of each backend only the newest listing, so that a slow disk and a
/// backend that always changes don't fill memory.
#[derive(Debug, Default)]
struct Unwritten {
    /// The newest listings, by the names of the backends.
    listings: HashMap<Arc<str>, (Arc<BackendConfig>, Arc<Listing>)>,
    pins: Vec<Pin>,
    /// The names that tools have with these pins.
    names: Vec<NamedTool>,
    /// Where the pins are written.
    lock: Option<pins::Place>,
}

/// The task that writes, until every [`StateStore`] is dropped.
#[derive(Debug)]
pub(crate) struct StateWriter(JoinHandle<()>);

/// Opens the state of a config. Reads nothing yet.
pub(crate) fn open(config: &Config) -> (StateStore, StateWriter) {
    let (wake, woken) = mpsc::channel(1);
    let (listing_cache, unwritten) = (ListingCache::of(config), Arc::default());
    let task = WriterTask {
        listing_cache: listing_cache.clone(),
        unwritten: Arc::clone(&unwritten),
        origin: config.origin.clone(),
        failed: HashSet::new(),
    };
    let writer = StateWriter(tasks::spawn(task.run(woken)));
    (
        StateStore {
            listing_cache,
            unwritten,
            remembered: Remembered::default(),
            wake,
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
    introductions: HashMap<BackendId, Listing>,
}

impl CachedListings {
    /// What a backend said of itself at last contact: a listing without items.
    pub(crate) fn introduction(&self, id: BackendId) -> Option<&Listing> {
        self.introductions.get(&id)
    }

    /// The last listing of a backend, if there is one; `backend` is its name.
    pub(crate) fn get(&mut self, id: BackendId, backend: &str) -> Option<&CachedListing> {
        if let Some(file) = self.files.remove(&id)
            && let Some(listing) = file.parse(backend)
        {
            self.listings.insert(id, listing);
        }
        self.listings.get(&id)
    }

    /// Bytes of the last listing of a backend.
    pub(crate) fn bytes(&self, id: BackendId) -> usize {
        self.files.get(&id).map_or(0, CacheFile::bytes)
    }

    /// The listing of a backend is no longer needed.
    pub(crate) fn forget(&mut self, id: BackendId) {
        self.files.remove(&id);
        self.listings.remove(&id);
    }
}

impl StateStore {
    /// A store that is empty and writes nothing.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self {
            listing_cache: None,
            unwritten: Arc::default(),
            remembered: Remembered::default(),
            wake: mpsc::channel(1).0,
        }
    }

    /// Reads the last listings of these backends in a thread of its own. The result comes after
    /// [`READ_TIMEOUT`] at the latest, and is empty then.
    pub(crate) fn cached_listings(
        &self,
        backends: Vec<(BackendId, Arc<BackendConfig>)>,
    ) -> BoxFuture<'static, CachedListings> {
        let remembered = self.remembered.clone();
        let Some(listing_cache) = self.listing_cache.clone() else {
            remembered.set([]);
            return ready(CachedListings::default()).boxed();
        };
        let reading = tasks::blocking(move || {
            let (mut files, mut contacts) = (HashMap::new(), Vec::new());
            let mut introductions = HashMap::new();
            for (id, config) in backends {
                if let Some(file) = listing_cache.read(&config) {
                    contacts.extend(file.contact().map(|contact| (config.name.clone(), contact)));
                    introductions.extend(file.introduction().map(|listing| (id, listing)));
                    files.insert(id, file);
                }
            }
            remembered.set(contacts);
            CachedListings {
                files,
                listings: HashMap::new(),
                introductions,
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

    /// How backends were connected in an earlier run, as [`cached_listings`](Self::cached_listings)
    /// reads it.
    pub(crate) fn contacts(&self) -> Contacts {
        self.remembered.contacts()
    }

    /// Requests that a listing is written, in place of an earlier one that is not written yet.
    pub(crate) fn keep(&self, backend: &Arc<BackendConfig>, listing: &Arc<Listing>) {
        if self.listing_cache.is_some() {
            let entry = (Arc::clone(backend), Arc::clone(listing));
            let earlier = self
                .unwritten
                .lock()
                .listings
                .insert(Arc::clone(&backend.name), entry);
            drop(earlier);
            self.wake();
        }
    }

    /// Requests that definitions first seen in this run are written to this lock as accepted, with the names
    /// that all tools have now.
    pub(crate) fn pin(&self, lock: &LockFile, pins: Vec<Pin>, names: Vec<NamedTool>) {
        if !pins.is_empty() {
            let mut unwritten = self.unwritten.lock();
            unwritten.pins.extend(pins);
            // Of all tools, so the last ones count.
            unwritten.names = names;
            let place = pins::Place::of(lock).ok();
            unwritten.lock = place.filter(|_| lock.records_new);
            drop(unwritten);
            self.wake();
        }
    }

    fn wake(&self) {
        // It is awake where there is no room.
        let _ = self.wake.try_send(());
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
    unwritten: Arc<Mutex<Unwritten>>,
    /// Told of what is written to the lock.
    origin: Option<Arc<Origin>>,
    /// Files whose failure was logged.
    failed: HashSet<PathBuf>,
}

impl WriterTask {
    async fn run(mut self, mut woken: mpsc::Receiver<()>) {
        let mut timeout = FIRST_BATCH;
        while woken.recv().await.is_some() {
            let until = Instant::now() + timeout;
            timeout = LATER_BATCH;
            // Until the time is over, or nothing more can come.
            while let Ok(Some(())) = tokio::time::timeout_at(until, woken.recv()).await {}
            let batch = mem::take(&mut *self.unwritten.lock());
            let (listing_cache, origin) = (self.listing_cache.clone(), self.origin.clone());
            let writing = move || write(batch, listing_cache.as_ref(), origin.as_deref());
            for (path, error) in tasks::blocking(writing).await.unwrap_or_default() {
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
    Unwritten {
        listings,
        pins,
        names,
        lock,
    }: Unwritten,
    listing_cache: Option<&ListingCache>,
    origin: Option<&Origin>,
) -> Vec<(PathBuf, io::Error)> {
    let mut failed = Vec::new();
    for (backend, listing) in listings.into_values() {
        if let Some(listing_cache) = listing_cache {
            failed.extend(listing_cache.keep(&backend, &listing).err());
        }
    }
    if let Some(place) = lock.filter(|_| !pins.is_empty()) {
        match pins::add(&place, pins, &names) {
            Ok(Some(written)) => {
                if let Some(origin) = origin {
                    origin.wrote_lock(written);
                }
            }
            Ok(None) => {}
            Err(error) => failed.push((place.path, error)),
        }
    }
    failed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Overrides, load};
    use crate::protocol::{Kind, RawJson};

    /// A store whose writer is run by the test, and its folder.
    fn store(folder: &std::path::Path) -> (StateStore, WriterTask, mpsc::Receiver<()>) {
        let flags = Overrides {
            backends: vec![("a".to_owned(), "http://127.0.0.1:9/".to_owned())],
            ..Overrides::default()
        };
        let environment = Environment::new(folder).with_state(folder);
        let config = load(&flags, &environment).unwrap();
        let (wake, woken) = mpsc::channel(1);
        let unwritten: Arc<Mutex<Unwritten>> = Arc::default();
        let listing_cache = ListingCache::of(&config);
        assert!(listing_cache.is_some());
        let task = WriterTask {
            listing_cache: listing_cache.clone(),
            unwritten: Arc::clone(&unwritten),
            origin: None,
            failed: HashSet::new(),
        };
        let store = StateStore {
            listing_cache,
            unwritten,
            remembered: Remembered::default(),
            wake,
        };
        (store, task, woken)
    }

    fn listing(number: usize) -> Arc<Listing> {
        let mut listing = Listing::default();
        let tool = RawJson::trusted(format!(r#"{{"name":"t{number}"}}"#));
        listing.items_mut(Kind::Tool).push(tool);
        Arc::new(listing)
    }

    fn backend() -> Arc<BackendConfig> {
        let flags = Overrides {
            backends: vec![("a".to_owned(), "http://127.0.0.1:9/".to_owned())],
            ..Overrides::default()
        };
        let config = load(&flags, &Environment::new("no-such-folder")).unwrap();
        Arc::clone(&config.backends[0])
    }

    #[tokio::test(start_paused = true)]
    async fn fault_96_of_a_listing_that_always_changes_the_newest_alone_waits_to_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let (store, task, woken) = store(folder.path());
        let backend = backend();
        // The disk is slow: nothing is written yet.
        let listings: Vec<Arc<Listing>> = (0..1_000).map(listing).collect();
        for listing in &listings {
            store.keep(&backend, listing);
        }
        let kept = |listing: &Arc<Listing>| Arc::strong_count(listing) > 1;
        assert_eq!(listings.iter().filter(|listing| kept(listing)).count(), 1);
        assert!(kept(&listings[999]));

        // With nobody left to write for, it is written at once.
        let cache = store.listing_cache.clone().unwrap();
        drop(store);
        let begun = Instant::now();
        task.run(woken).await;
        assert!(begun.elapsed() < LATER_BATCH);
        let written = cache.cached_listing(&backend).unwrap().listing;
        assert_eq!(&written, &*listings[999]);
    }

    #[tokio::test(start_paused = true)]
    async fn fault_96_a_listing_is_written_at_most_every_few_seconds() {
        let folder = tempfile::tempdir().unwrap();
        let (store, task, woken) = store(folder.path());
        let (backend, cache) = (backend(), store.listing_cache.clone().unwrap());
        let writing = tokio::spawn(task.run(woken));
        let (mut seen, mut writes) = (None, 0);
        for number in 0..600 {
            store.keep(&backend, &listing(number));
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = cache.cached_listing(&backend).map(|cached| cached.listing);
            if now != seen {
                (seen, writes) = (now, writes + 1);
            }
        }
        assert!((5..=8).contains(&writes), "{writes} in 30 s");
        drop(store);
        writing.await.unwrap();
        let last = cache.cached_listing(&backend).unwrap().listing;
        assert_eq!(last, *listing(599));
    }
}
