//! Writing `sentinel.lock`, beside other gateways that do so too.
//!
//! Each change is made to the file as it is then, with its folder locked in between, so that two
//! gateways with one config lose nothing of each other's. A file that can't be read is left alone.

use std::io;
use std::path::Path;

use crate::config::{Lock, Pin};
use crate::files::{self, Readers};

/// Adds pins of tools that have none yet; what is accepted already stays as it is.
///
/// # Errors
/// When the file can't be read or written.
pub fn add(path: &Path, pins: Vec<Pin>) -> io::Result<()> {
    change(path, |lock| {
        pins.into_iter()
            .fold(false, |changed, pin| lock.add(pin) | changed)
    })
}

/// Accepts these definitions, whatever was accepted before.
///
/// # Errors
/// When the file can't be read or written.
pub fn accept(path: &Path, pins: Vec<Pin>) -> io::Result<()> {
    change(path, |lock| {
        let any = !pins.is_empty();
        pins.into_iter().for_each(|pin| lock.accept(pin));
        any
    })
}

/// `change` says whether it has changed anything.
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
