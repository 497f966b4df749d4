//! Files that the gateway keeps of its own: read with bounds, replaced whole.
//!
//! Owns that a reader never finds half a file, that nothing is written through a symbolic link,
//! and who else may read it. It must not know what stands in them.

mod configured;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

pub use configured::read_configured;

/// Who may read a file that is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// The user alone.
    User,
    /// Whoever the user's umask allows.
    Anyone,
}

/// The bytes of a regular file of at most `most` bytes; `None` if there is none.
///
/// # Errors
/// When it is something else, a symbolic link among others, or can't be read.
pub fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    if !is_regular(path)? {
        return Ok(None);
    }
    read_up_to(path, most).map(Some)
}

/// The bytes of what stands at this path, of which there may be `most`.
///
/// # Errors
/// When it can't be read; [`ErrorKind::FileTooLarge`] when there are more.
pub fn read_up_to(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let why = format!("it has more than {most} bytes");
        return Err(io::Error::new(ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}

/// Puts a file in the place of what stands there, at once and for good: whoever reads it, and
/// whenever the machine stops, finds the old one or the new one.
///
/// # Errors
/// When it can't be written, or something else than a regular file stands there.
pub fn replace(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    is_regular(path)?;
    let folder = folder_of(path);
    let mut file = temporary(path, readers).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // The rename itself; where a folder can't be opened, the system sees to it.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Keeps other gateways from changing files of a folder while the result is held. Where a folder
/// can't be locked (Windows, some network file systems) nobody is kept out.
pub fn guard(folder: &Path) -> Option<File> {
    let folder = File::open(folder).ok()?;
    folder.lock().ok()?;
    Some(folder)
}

/// Makes a folder that is the user's alone, if it isn't there.
///
/// # Errors
/// When it can't be made, or something else stands there, a symbolic link among others.
pub fn private_folder(path: &Path) -> io::Result<()> {
    if let Ok(found) = fs::symlink_metadata(path) {
        if !found.is_dir() {
            return Err(io::Error::new(ErrorKind::NotADirectory, "it is no folder"));
        }
    } else {
        make_folder(path)?;
    }
    close_to_others(path)
}

/// The folder that a file stands in.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn is_regular(path: &Path) -> io::Result<bool> {
    let what = match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => return Ok(true),
        Ok(found) if found.is_symlink() => "it is a symbolic link, which is not followed",
        Ok(_) => "it is no regular file",
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    Err(io::Error::new(ErrorKind::InvalidInput, what))
}

#[cfg(unix)]
fn temporary(path: &Path, readers: Readers) -> tempfile::Builder<'static, 'static> {
    use std::os::unix::fs::PermissionsExt;

    // What a user has closed to others stays closed.
    let so_far = fs::metadata(path).map(|found| found.permissions());
    let permissions = match (readers, so_far) {
        (Readers::User, _) => fs::Permissions::from_mode(0o600),
        (Readers::Anyone, Ok(permissions)) => permissions,
        (Readers::Anyone, Err(_)) => fs::Permissions::from_mode(0o666),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".sentinel-").permissions(permissions);
    builder
}

#[cfg(not(unix))]
fn temporary(_: &Path, _: Readers) -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".sentinel-");
    builder
}

#[cfg(unix)]
fn make_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

#[cfg(not(unix))]
fn make_folder(path: &Path) -> io::Result<()> {
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
    Ok(()) // A user's folder is closed to other users there.
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
    fn a_file_is_replaced_whole_and_leaves_nothing_beside_it() {
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
    fn what_is_closed_to_others_stays_so() {
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
    fn a_private_folder_is_the_users_alone_even_if_it_was_there() {
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
