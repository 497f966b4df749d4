//! Replaces a file of another program, only if it still holds what was read.
//!
//! Owns the order of the steps: what stands in the file is read once more right before the rename, and
//! once after it. A crash in between leaves the old or the new content.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::{folder_of, read_regular, read_up_to};

/// A step of a swap, before it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The new content is written beside the file.
    Write,
    /// It is made durable.
    Sync,
    /// It is read back.
    Verify,
    /// The file is read for the last time.
    Compare,
    /// The new content takes its name.
    Rename,
    /// The file is read back.
    ReadBack,
}

/// Why a file was not swapped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SwapError {
    /// Another program has changed it since it was read; it holds what that program wrote.
    #[error("another program has changed it meanwhile; nothing was written, run the command again")]
    Changed,
    /// It was written, and another program has changed it since.
    #[error("it was written, but another program has changed it right after")]
    Overwritten,
    /// It can't be written; it holds what it held.
    #[error("it can't be written: {0}; nothing was changed")]
    Io(#[from] io::Error),
}

/// The file that a path leads to, over any symbolic links: one that is written keeps its links.
/// A file that isn't there keeps its path.
///
/// # Errors
/// If the links lead nowhere.
pub(crate) fn target(path: &Path) -> io::Result<PathBuf> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => fs::canonicalize(path),
        _ => Ok(path.to_owned()),
    }
}

/// Reads a whole regular file; `None` if it is not there. Follows symbolic links.
///
/// # Errors
/// If it is no regular file, can't be read or has more bytes.
pub(crate) fn read_if_there(path: &Path, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    match read_regular(path, max_bytes) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// Gives the file this content if it holds `old`; `None` is no file, before or after.
/// Permissions are kept; a new file is the user's alone. `before` is called before each step.
///
/// # Errors
/// If it holds something else, or can't be written.
pub(crate) fn swap(
    path: &Path,
    old: Option<&[u8]>,
    new: Option<&[u8]>,
    before: &mut dyn FnMut(Step) -> io::Result<()>,
) -> Result<(), SwapError> {
    let folder = folder_of(path);
    let Some(new) = new else {
        before(Step::Compare)?;
        holds(path, old)?;
        before(Step::Rename)?;
        super::remove(path)?;
        return before(Step::ReadBack).map_err(|_| SwapError::Overwritten);
    };
    if is_read_only(path) {
        let why = io::Error::new(ErrorKind::PermissionDenied, "it is read-only");
        return Err(SwapError::Io(why));
    }
    if old.is_none() {
        fs::create_dir_all(folder)?;
    }
    before(Step::Write)?;
    let readers = match old {
        Some(_) => super::Readers::Anyone,
        None => super::Readers::User,
    };
    let mut file = super::temporary(path, readers).tempfile_in(folder)?;
    file.as_file_mut().write_all(new)?;
    before(Step::Sync)?;
    file.as_file().sync_all()?;
    before(Step::Verify)?;
    if read_up_to(file.path(), new.len() as u64)? != new {
        return Err(SwapError::Io(io::Error::other("it reads back differently")));
    }
    before(Step::Compare)?;
    holds(path, old)?;
    before(Step::Rename)?;
    match old {
        Some(_) => file.persist(path).map_err(|error| error.error)?,
        // Of one that has come meanwhile nothing is lost.
        None => file
            .persist_noclobber(path)
            .map_err(|error| match error.error {
                error if error.kind() == ErrorKind::AlreadyExists => SwapError::Changed,
                error => SwapError::Io(error),
            })?,
    };
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    before(Step::ReadBack).map_err(|_| SwapError::Overwritten)?;
    match read_up_to(path, new.len() as u64) {
        Ok(found) if found == new => Ok(()),
        _ => Err(SwapError::Overwritten),
    }
}

/// Whether its permissions say that nobody is to write it: a rename would pass over that.
fn is_read_only(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.permissions().readonly())
}

/// Whether the file holds exactly this; `None` is no file.
fn holds(path: &Path, old: Option<&[u8]>) -> Result<(), SwapError> {
    let limit = old.map_or(0, <[u8]>::len) as u64;
    match read_if_there(path, limit) {
        Ok(found) if found.as_deref() == old => Ok(()),
        Err(error) if error.kind() != ErrorKind::FileTooLarge => Err(error.into()),
        _ => Err(SwapError::Changed),
    }
}
