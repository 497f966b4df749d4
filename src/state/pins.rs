//! Writes `sentinel.lock`, which several gateways may share.
//!
//! Owns that each change is made to the current file, with its folder locked, so that two gateways
//! with one config don't overwrite each other's changes. A file that can't be read is not written.
//! It must not know when a definition is accepted.

use std::io;
use std::path::Path;

use crate::config::{Lock, Pin};
use crate::files::{self, Readers};

/// Adds pins of tools that have none yet. Existing pins are kept.
///
/// # Errors
/// If the file can't be read or written.
pub(crate) fn add(path: &Path, pins: Vec<Pin>) -> io::Result<()> {
    change(path, |lock| {
        pins.into_iter()
            .fold(false, |changed, pin| lock.add(pin) | changed)
    })
}

/// Accepts these definitions in place of existing ones.
///
/// # Errors
/// If the file can't be read or written.
pub(crate) fn accept(path: &Path, pins: Vec<Pin>) -> io::Result<()> {
    change(path, |lock| {
        let any = !pins.is_empty();
        pins.into_iter().for_each(|pin| lock.accept(pin));
        any
    })
}

/// `change` returns whether it has changed anything.
fn change(path: &Path, change: impl FnOnce(&mut Lock) -> bool) -> io::Result<()> {
    let _guard = files::guard(files::folder_of(path));
    let mut lock = Lock::read(path).map_err(io::Error::other)?;
    if !change(&mut lock) {
        return Ok(());
    }
    let text = lock.text();
    if text.len() as u64 > Lock::MAX_BYTES {
        let why = format!("it would have more than {} bytes", Lock::MAX_BYTES);
        return Err(io::Error::other(why));
    }
    files::replace(path, text.as_bytes(), Readers::Anyone)
}
