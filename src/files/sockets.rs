//! Folders of sockets.
//!
//! Owns the check that only their user may put something into one, and the listing of the sockets in it. No
//! symbolic link is followed.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Checks that this is a folder of this user into which no other user can put anything.
///
/// # Errors
/// If it is not (a symbolic link is not followed); [`ErrorKind::NotFound`] if nothing is there.
pub(crate) fn owned_folder(path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    let why = if !found.is_dir() {
        "it is not a folder"
    } else if found.uid() != rustix::process::geteuid().as_raw() {
        "it belongs to another user"
    } else if found.mode() & 0o022 != 0 {
        "other users may write to it"
    } else {
        return Ok(());
    };
    Err(io::Error::new(ErrorKind::PermissionDenied, why))
}

/// The sockets in a folder whose names have this extension, at most `most` of them. Symbolic links and
/// other files are left out.
///
/// # Errors
/// If the folder can't be read.
pub(crate) fn sockets(folder: &Path, extension: &str, most: usize) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let Ok(entry) = entry else { continue };
        let path = entry.path();
        let is_named = path.extension().is_some_and(|found| found == extension);
        if is_named && entry.file_type().is_ok_and(|kind| kind.is_socket()) {
            found.push(path);
        }
        if found.len() == most {
            break;
        }
    }
    found.sort();
    Ok(found)
}

/// Gives a file of the same folder another name.
///
/// # Errors
/// If that is not possible.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}
