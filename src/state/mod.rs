//! What outlives a run: what backends listed at last contact, and which definitions of their tools
//! were accepted.
//!
//! Owns where that is kept and when it is written: off the loop, gathered, and only if it differs
//! from what is there. A file that can't be written is a line in the log, and the gateway serves
//! on. It must not know what is done with a listing, nor when a definition counts as changed.

mod last_good;
pub mod pins;

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use last_good::{LastGood, Recalled, age};

use crate::config::{BackendConfig, Config, Pin};
use crate::protocol::Listing;

/// Backends that connect together are written together,
const GATHER: Duration = Duration::from_millis(100);
/// and one that changes its mind all the time is written now and then.
const PAUSE: Duration = Duration::from_secs(1);

/// What is remembered of earlier runs, and the way to have something remembered.
#[derive(Debug, Clone)]
pub struct Memory {
    last_good: Option<LastGood>,
    notes: mpsc::UnboundedSender<Note>,
}

/// Writes what is to be remembered, until every [`Memory`] is gone.
#[derive(Debug)]
pub struct Scribe(JoinHandle<()>);

/// Opens what a config keeps between runs. Reads nothing yet.
pub fn open(config: &Config) -> (Memory, Scribe) {
    let (notes, taken) = mpsc::unbounded_channel();
    let last_good = LastGood::of(config);
    let desk = Desk {
        last_good: last_good.clone(),
        lock: config.lock.path.clone().ok(),
        failed: HashSet::new(),
    };
    let scribe = Scribe(tokio::spawn(desk.work(taken)));
    (Memory { last_good, notes }, scribe)
}

/// Something to be remembered.
#[derive(Debug)]
enum Note {
    Listed(Arc<BackendConfig>, Arc<Listing>),
    Pins(Vec<Pin>),
}

impl Memory {
    /// One that has nothing and keeps nothing.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self {
            last_good: None,
            notes: mpsc::unbounded_channel().0,
        }
    }

    /// What a backend listed at last contact, if that is known.
    pub fn recall(&self, backend: &BackendConfig) -> Option<Recalled> {
        self.last_good.as_ref()?.recall(backend)
    }

    /// Has a listing remembered.
    pub fn keep(&self, backend: &Arc<BackendConfig>, listing: &Arc<Listing>) {
        if self.last_good.is_some() {
            let note = Note::Listed(Arc::clone(backend), Arc::clone(listing));
            let _ = self.notes.send(note);
        }
    }

    /// Has definitions remembered as accepted that were seen for the first time.
    pub fn pin(&self, pins: Vec<Pin>) {
        if !pins.is_empty() {
            let _ = self.notes.send(Note::Pins(pins));
        }
    }
}

impl Scribe {
    /// Waits until all is written, as long as this at most.
    pub async fn finish(self, patience: Duration) {
        let _ = tokio::time::timeout(patience, self.0).await;
    }
}

/// Where the writing is done.
struct Desk {
    last_good: Option<LastGood>,
    lock: Option<PathBuf>,
    /// What the log has been told of.
    failed: HashSet<PathBuf>,
}

impl Desk {
    async fn work(mut self, mut notes: mpsc::UnboundedReceiver<Note>) {
        let mut patience = GATHER;
        while let Some(first) = notes.recv().await {
            let mut gathered = vec![first];
            let until = Instant::now() + patience;
            patience = PAUSE;
            while let Ok(Some(note)) = tokio::time::timeout_at(until, notes.recv()).await {
                gathered.push(note);
            }
            let (last_good, lock) = (self.last_good.clone(), self.lock.clone());
            let writing = move || write(gathered, last_good.as_ref(), lock);
            for (path, error) in tokio::task::spawn_blocking(writing)
                .await
                .unwrap_or_default()
            {
                self.tell(path, &error);
            }
        }
    }

    fn tell(&mut self, path: PathBuf, error: &io::Error) {
        let file = path.display().to_string();
        if self.failed.insert(path) {
            tracing::warn!(file, %error, "it can't be kept for the next run; serving goes on");
        }
    }
}

/// Writes what was gathered; what could not be written.
fn write(
    notes: Vec<Note>,
    last_good: Option<&LastGood>,
    lock: Option<PathBuf>,
) -> Vec<(PathBuf, io::Error)> {
    let (mut failed, mut first_seen) = (Vec::new(), Vec::new());
    for note in notes {
        match (note, last_good) {
            (Note::Pins(pins), _) => first_seen.extend(pins),
            (Note::Listed(backend, listing), Some(last_good)) => {
                failed.extend(last_good.keep(&backend, &listing).err());
            }
            (Note::Listed(..), None) => {}
        }
    }
    if let Some(path) = lock.filter(|_| !first_seen.is_empty())
        && let Err(error) = pins::add(&path, first_seen)
    {
        failed.push((path, error));
    }
    failed
}
