//! Writes `sentinel.lock`, which several gateways may share.
//!
//! Owns that each change is made to the current file, with its folder locked, so that two gateways
//! with one config don't overwrite each other's changes. A file that can't be read is not written.
//! It must not know when a definition is accepted.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{Lock, LockFile, NamedTool, Pin};
use crate::files::{self, Readers, Stamp, Written};

/// Where a lock is written.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    /// Whether a missing folder is made: the gateway's own, but not one of the user's that is gone.
    makes_folder: bool,
}

impl Place {
    /// # Errors
    /// Why there is none to write, for a message.
    pub(crate) fn of(lock: &LockFile) -> Result<Self, String> {
        Ok(Self {
            path: lock.path.clone()?,
            makes_folder: lock.is_administrators,
        })
    }
}

/// Adds pins of tools that have none yet. Existing pins are kept. If one of these is new, or has no
/// name yet, the names of all tools are written down. Returns what the file was and is, where it was
/// written.
///
/// # Errors
/// If the file can't be read or written.
pub(crate) fn add(
    place: &Place,
    pins: Vec<Pin>,
    names: &[NamedTool],
) -> io::Result<Option<Written>> {
    change(place, |lock| {
        let mut any = false;
        for pin in pins {
            let known = lock.get(&pin.backend, &pin.subject);
            any |= known.is_none_or(|known| known.name.is_none() && !names.is_empty());
            lock.add(pin);
        }
        if any {
            lock.write_names(names);
        }
        any
    })
}

/// What the user accepts.
pub(crate) struct Accepted<'a> {
    /// Definitions in place of existing ones.
    pub(crate) pins: Vec<Pin>,
    /// The names that all tools have now.
    pub(crate) names: &'a [NamedTool],
    /// The names that another backend's tool had before.
    pub(crate) taken: Vec<Arc<str>>,
}

/// Writes down what the user accepts, if it is anything.
///
/// # Errors
/// If the file can't be read or written.
pub(crate) fn accept(place: &Place, accepted: Accepted<'_>) -> io::Result<()> {
    let Accepted { pins, names, taken } = accepted;
    if pins.is_empty() && taken.is_empty() {
        return Ok(());
    }
    change(place, |lock| {
        pins.into_iter().for_each(|pin| lock.accept(pin));
        lock.write_names(names);
        lock.accept_names(|name| taken.iter().any(|taken| **taken == *name));
        true
    })
    .map(|_| ())
}

/// `change` returns whether it has changed anything.
fn change(
    Place { path, makes_folder }: &Place,
    change: impl FnOnce(&mut Lock) -> bool,
) -> io::Result<Option<Written>> {
    if *makes_folder {
        files::make_folder(files::folder_of(path))?;
    }
    let _guard = files::guard(files::folder_of(path));
    let before = Stamp::of(path);
    let mut lock = Lock::read(path).map_err(io::Error::other)?;
    if !change(&mut lock) {
        return Ok(None);
    }
    let text = lock.text();
    if text.len() as u64 > Lock::MAX_BYTES {
        let why = format!("it would have more than {} bytes", Lock::MAX_BYTES);
        return Err(io::Error::other(why));
    }
    files::replace(path, text.as_bytes(), Readers::Anyone)?;
    let after = Stamp::of(path);
    Ok(Some(Written { before, after }))
}
