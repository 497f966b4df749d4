//! Copies an executable to a place of its own.
//!
//! Owns that the copy is whole or not there, also where the one in its place is running.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::folder_of;

/// Puts a copy of an executable at this path, whole, and makes it executable. A running one there is
/// replaced where the system allows it.
///
/// # Errors
/// If it can't be copied.
pub(crate) fn place_program(from: &Path, to: &Path) -> io::Result<()> {
    let folder = folder_of(to);
    fs::create_dir_all(folder)?;
    let mut copy = tempfile::Builder::new()
        .prefix(".sentinel-")
        .tempfile_in(folder)?;
    io::copy(&mut File::open(from)?, copy.as_file_mut())?;
    copy.as_file().sync_all()?;
    // Closed first: a file that is open for writing can't be executed.
    let copy = copy.into_temp_path();
    fs::set_permissions(&copy, fs::metadata(from)?.permissions())?;
    copy.persist(to).map_err(|error| error.error)
}
