//! Reads files with a size limit, and replaces files atomically.
//!
//! Owns that a reader never sees a partial file, that nothing is written through a symbolic link,
//! and the permissions of a file. It must not know what a file contains.

#![allow(
    clippy::disallowed_methods,
    reason = "the one place that blocks on files; callers are off the runtime's thread"
)]

mod append;
mod configured;
mod leftovers;
mod lock;
mod of_root;
mod program;
#[cfg(unix)]
mod sockets;
mod swap;

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

pub(crate) use append::AppendFile;
pub(crate) use configured::{MAX_CERTIFICATES, MAX_SECRET, read_configured};
pub(crate) use leftovers::remove_leftovers;
pub(crate) use lock::{Stamp, Written, remove, try_lock};
pub(crate) use of_root::read_of_root;
pub(crate) use program::place_program;
#[cfg(unix)]
pub(crate) use sockets::{owned_folder, rename, sockets};
pub(crate) use swap::{Step as SwapStep, SwapError, read_if_there, swap, target};

/// How the names of files begin that are to replace others.
const TEMPORARY: &str = ".sentinel-";

/// Who may read a file that is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Only the user.
    User,
    /// Everyone that the user's umask allows.
    Anyone,
}

/// The file that a path leads to, without symbolic links.
///
/// # Errors
/// If there is none.
pub(crate) fn resolve(path: &Path) -> io::Result<PathBuf> {
    path.canonicalize()
}

/// Whether anything is at this path. Follows symbolic links.
pub(crate) fn exists(path: &Path) -> bool {
    path.exists()
}

/// Whether a regular file is at this path. Follows symbolic links.
pub(crate) fn is_file(path: &Path) -> bool {
    path.is_file()
}

/// The folders in a folder whose names begin so, at most `most` of them; none where it can't be read.
/// Symbolic links are left out.
pub(crate) fn folders(folder: &Path, prefix: &str, most: usize) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| {
        let is_named = entry.file_name().to_string_lossy().starts_with(prefix);
        is_named && entry.file_type().is_ok_and(|kind| kind.is_dir())
    });
    folders.take(most).map(|entry| entry.path()).collect()
}

/// When a file was written last; `None` where that is not known.
pub(crate) fn modified(path: &Path) -> Option<std::time::SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

/// Reads a regular file of at most `max_bytes` bytes; `None` if it does not exist.
///
/// # Errors
/// If it is not a regular file (a symbolic link is not followed) or can't be read.
pub(crate) fn read(path: &Path, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    if !is_regular(path)? {
        return Ok(None);
    }
    read_up_to(path, max_bytes).map(Some)
}

/// Reads at most `max_bytes` bytes. Follows symbolic links. Blocks for ever on a pipe that nobody writes.
///
/// # Errors
/// If it can't be read; [`ErrorKind::FileTooLarge`] if there are more bytes.
pub(crate) fn read_up_to(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    read_whole(&File::open(path)?, max_bytes)
}

/// Reads at most `max_bytes` bytes of a regular file. Never waits for another process.
///
/// # Errors
/// As [`read_up_to`], and if it is no regular file.
pub(crate) fn read_regular(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let not_regular = || io::Error::new(ErrorKind::InvalidInput, "it is not a regular file");
    // Opening a device may have an effect.
    if !fs::metadata(path)?.is_file() {
        return Err(not_regular());
    }
    let mut options = File::options();
    options.read(true);
    // A pipe may have taken its place since.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        rustix::fs::OFlags::NONBLOCK.bits().cast_signed(),
    );
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(not_regular());
    }
    read_whole(&file, max_bytes)
}

fn read_whole(file: &File, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        let why = format!("it has more than {max_bytes} bytes");
        return Err(io::Error::new(ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}

/// Opens a regular file for reading; `None` if it does not exist.
///
/// # Errors
/// If it is not a regular file (a symbolic link is not followed) or can't be read.
pub(crate) fn open(path: &Path) -> io::Result<Option<BufReader<File>>> {
    if !is_regular(path)? {
        return Ok(None);
    }
    File::open(path).map(BufReader::new).map(Some)
}

/// Replaces or creates a file atomically and durably: a reader sees the old or the new content,
/// also after a crash.
///
/// # Errors
/// If it can't be written, or the path is not a regular file.
pub(crate) fn replace(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    replace_with(path, readers, |file| file.write_all(bytes))
}

/// Replaces or creates a file atomically and durably, with content that `write` writes piece by
/// piece.
///
/// # Errors
/// If it can't be written, or the path is not a regular file.
pub(crate) fn replace_with(
    path: &Path,
    readers: Readers,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    is_regular(path)?;
    let folder = folder_of(path);
    let mut file = temporary(path, readers).tempfile_in(folder)?;
    let mut buffered = BufWriter::new(file.as_file_mut());
    write(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // Makes the rename durable, on systems that can open a folder.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Whether both paths lead to one file, whether or not it is there yet: by links of folders on the way, or as two names
/// of one file.
pub(crate) fn lead_to_one(one: &Path, other: &Path) -> bool {
    resolved(one) == resolved(other) || are_one(one, other)
}

/// The path without links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let mut missing = Vec::new();
    for above in path.ancestors() {
        if let Ok(found) = fs::canonicalize(above) {
            return missing
                .iter()
                .rev()
                .fold(found, |path, name| path.join(name));
        }
        missing.extend(above.file_name());
    }
    path.to_owned()
}

#[cfg(unix)]
fn are_one(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let id = |path: &Path| {
        fs::metadata(path)
            .ok()
            .map(|found| (found.dev(), found.ino()))
    };
    id(one).is_some_and(|one| Some(one) == id(other))
}

#[cfg(not(unix))]
fn are_one(_: &Path, _: &Path) -> bool {
    false
}

/// Locks a folder until the result is dropped, so that no other gateway changes its files. `None`
/// if it can't be locked (Windows, some network file systems).
pub(crate) fn guard(folder: &Path) -> Option<File> {
    let folder = File::open(folder).ok()?;
    folder.lock().ok()?;
    Some(folder)
}

/// Creates a folder that only the user can access, or makes an existing one so.
///
/// # Errors
/// If it can't be created, or the path is not a folder (a symbolic link is not followed).
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    if let Ok(found) = fs::symlink_metadata(path) {
        if !found.is_dir() {
            return Err(io::Error::new(
                ErrorKind::NotADirectory,
                "it is not a folder",
            ));
        }
    } else {
        make_folder(path)?;
    }
    close_to_others(path)
}

/// The folder of a file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn is_regular(path: &Path) -> io::Result<bool> {
    let what = match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => return Ok(true),
        Ok(found) if found.is_symlink() => "it is a symbolic link, which is not followed",
        Ok(_) => "it is not a regular file",
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    Err(io::Error::new(ErrorKind::InvalidInput, what))
}

#[cfg(unix)]
fn temporary(path: &Path, readers: Readers) -> tempfile::Builder<'static, 'static> {
    use std::os::unix::fs::PermissionsExt;

    // Permissions that the user has restricted are kept.
    let current = fs::metadata(path).map(|found| found.permissions());
    let permissions = match (readers, current) {
        (Readers::User, _) => fs::Permissions::from_mode(0o600),
        (Readers::Anyone, Ok(permissions)) => permissions,
        (Readers::Anyone, Err(_)) => fs::Permissions::from_mode(0o666),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY).permissions(permissions);
    builder
}

#[cfg(not(unix))]
fn temporary(_: &Path, _: Readers) -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    builder
}

/// Creates a folder, and those above it, for the user alone; one that is there stays as it is.
#[cfg(unix)]
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

#[cfg(not(unix))]
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

#[cfg(unix)]
fn close_to_others(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let permissions = fs::metadata(folder)?.permissions();
    if permissions.mode() & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn close_to_others(_: &Path) -> io::Result<()> {
    Ok(()) // Other users can't access a user's folder there.
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_replaced_and_no_temporary_file_remains() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        assert_eq!(read(&file, 9).unwrap(), None);
        for text in ["one", "another"] {
            replace(&file, text.as_bytes(), Readers::User).unwrap();
            assert_eq!(read(&file, 9).unwrap().unwrap(), text.as_bytes());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(mode(&file), 0o600);
        assert!(read(&file, 6).is_err(), "seven bytes");
    }

    #[test]
    fn restricted_permissions_of_a_file_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        fs::write(&file, "one").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        replace(&file, b"two", Readers::Anyone).unwrap();
        assert_eq!(mode(&file), 0o600);
    }

    #[test]
    fn a_symbolic_link_is_neither_read_nor_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "kept").unwrap();
        symlink(&target, &link).unwrap();
        let refused = replace(&link, b"new", Readers::Anyone).unwrap_err();
        assert!(refused.to_string().contains("symbolic link"), "{refused}");
        assert!(read(&link, 9).is_err());
        assert_eq!(fs::read_to_string(&target).unwrap(), "kept");

        let folder_link = folder.path().join("folder");
        symlink(folder.path(), &folder_link).unwrap();
        assert!(private_folder(&folder_link).is_err());
    }

    #[test]
    fn fault_82_a_pipe_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        for refused in [read_regular(&pipe, 9).map(Some), read_if_there(&pipe, 9)] {
            let why = refused.unwrap_err().to_string();
            assert_eq!(why, "it is not a regular file");
        }
    }

    #[test]
    fn a_private_folder_is_restricted_to_the_user_also_if_it_exists() {
        let folder = tempfile::tempdir().unwrap();
        let (made, found) = (folder.path().join("a/b"), folder.path().join("c"));
        fs::create_dir(&found).unwrap();
        fs::set_permissions(&found, fs::Permissions::from_mode(0o755)).unwrap();
        for path in [&made, &found] {
            private_folder(path).unwrap();
            assert_eq!(mode(path), 0o700);
        }
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(private_folder(&folder.path().join("file")).is_err());
    }
}
