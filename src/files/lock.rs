//! Locks between processes, and whether a file has changed.
//!
//! Owns the lock files, which are empty and never removed: a removed one could be locked by two.

use std::fs::{File, OpenOptions, TryLockError, metadata};
use std::io;
use std::path::Path;
use std::time::SystemTime;

/// Locks the file at this path until the result is dropped, and creates it where it is missing.
/// `None` while another process, or another holder in this one, has it.
///
/// # Errors
/// If it can't be created or is no regular file, or the file system has no locks.
pub(crate) fn try_lock(path: &Path) -> io::Result<Option<File>> {
    super::is_regular(path)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// What changes whenever a file is replaced; `None` where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    /// A file that is replaced within one tick of the clock has another number.
    number: u64,
}

/// What a file was and is, where this process has written it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    /// The file before it was written.
    pub(crate) before: Option<Stamp>,
    /// The file after it was written.
    pub(crate) after: Option<Stamp>,
}

impl Stamp {
    /// The stamp of the file at this path now.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let found = metadata(path).ok()?;
        #[cfg(unix)]
        let number = std::os::unix::fs::MetadataExt::ino(&found);
        #[cfg(not(unix))]
        let number = 0;
        Some(Self {
            modified: found.modified().ok(),
            length: found.len(),
            number,
        })
    }
}

/// Removes a file; it is no error if there is none.
///
/// # Errors
/// If it can't be removed.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Readers, replace};

    #[test]
    fn a_lock_has_one_holder_and_is_free_when_that_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = try_lock(&path).unwrap();
        assert!(held.is_some());
        assert!(try_lock(&path).unwrap().is_none());
        drop(held);
        assert!(try_lock(&path).unwrap().is_some());
        assert!(try_lock(folder.path()).is_err());
        assert!(try_lock(&folder.path().join("missing/lock")).is_err());
    }

    #[test]
    fn a_replaced_file_has_another_stamp() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert_eq!(Stamp::of(&path), None);
        replace(&path, b"one", Readers::User).unwrap();
        let before = Stamp::of(&path);
        assert_eq!(Stamp::of(&path), before);
        replace(&path, b"two", Readers::User).unwrap();
        assert_ne!(Stamp::of(&path), before);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(Stamp::of(&path), None);
    }
}
