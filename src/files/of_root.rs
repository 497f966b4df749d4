//! Reads a file that only root can have written.
//!
//! Owns what that means on Unix: the file, every folder that leads to it, and those that lead to where
//! symbolic links point, belong to root, and nobody else may write them. Elsewhere the permissions of
//! the folder are the system's matter, and nothing is checked.

#[cfg(unix)]
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::{
    fs::{self, File, Metadata},
    io::{ErrorKind, Read},
    os::unix::fs::MetadataExt,
    path::Component,
};

/// Why such a file isn't read. Displays as what is wrong, and what to type.
#[derive(Debug)]
pub(crate) enum NotOfRoot {
    /// It is there, but can't be read.
    Unreadable(io::Error),
    /// This file or folder belongs to another user.
    Owner(PathBuf, u32),
    /// Others than its owner may write this file or folder.
    Writable(PathBuf),
}

impl fmt::Display for NotOfRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(
                f,
                "can't be read: {error}; every user must be able to read it, as with `sudo chmod a+r` for the file and `sudo chmod a+rx` for its folder"
            ),
            Self::Owner(path, owner) => {
                let path = path.display();
                write!(
                    f,
                    "is not used, since {path} belongs to user {owner} and not to root: `sudo chown root {path}` gives it to root"
                )
            }
            Self::Writable(path) => {
                let path = path.display();
                write!(
                    f,
                    "is not used, since others than root may write {path}: `sudo chmod go-w {path}` ends that"
                )
            }
        }
    }
}

impl From<io::Error> for NotOfRoot {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

/// Reads a regular file of at most `max_bytes` bytes that only root can have written; `None` if there is none.
///
/// # Errors
/// If it can't be read, or somebody else can have written it.
#[cfg(unix)]
pub(crate) fn read_of_root(path: &Path, max_bytes: u64) -> Result<Option<Vec<u8>>, NotOfRoot> {
    read(path, max_bytes, &is_of_root)
}

/// Reads a file of at most `max_bytes` bytes; `None` if there is none.
///
/// # Errors
/// If it can't be read.
#[cfg(not(unix))]
pub(crate) fn read_of_root(path: &Path, max_bytes: u64) -> Result<Option<Vec<u8>>, NotOfRoot> {
    Ok(super::read_if_there(path, max_bytes)?)
}

#[cfg(unix)]
/// Most symbolic links on the way, as in Linux.
const MAX_LINKS: usize = 40;
#[cfg(unix)]
/// Write permissions of group and others.
const OTHERS_WRITE: u32 = 0o022;

#[cfg(unix)]
fn is_of_root(path: &Path, found: &Metadata) -> Result<(), NotOfRoot> {
    match found {
        _ if found.uid() != 0 => Err(NotOfRoot::Owner(path.to_owned(), found.uid())),
        _ if found.mode() & OTHERS_WRITE != 0 => Err(NotOfRoot::Writable(path.to_owned())),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn read(
    path: &Path,
    max_bytes: u64,
    check: &dyn Fn(&Path, &Metadata) -> Result<(), NotOfRoot>,
) -> Result<Option<Vec<u8>>, NotOfRoot> {
    let Some(Found { path, of_root }) = walk(path, check)? else {
        return Ok(None);
    };
    of_root?;
    // Another kind of file could block the opening.
    if !fs::metadata(&path)?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file").into());
    }
    let file = File::open(&path)?;
    check(&path, &file.metadata()?)?;
    let mut bytes = Vec::new();
    file.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        let why = format!("it has more than {max_bytes} bytes");
        return Err(io::Error::new(ErrorKind::FileTooLarge, why).into());
    }
    Ok(Some(bytes))
}

#[cfg(unix)]
struct Found {
    /// Where the path leads.
    path: PathBuf,
    /// Whether each step is of root.
    of_root: Result<(), NotOfRoot>,
}

#[cfg(unix)]
/// Where the path leads, and whether each step is of root; `None` where nothing is there, whatever the owners
/// of its folders: in a user namespace root itself has another number.
fn walk(
    path: &Path,
    check: &dyn Fn(&Path, &Metadata) -> Result<(), NotOfRoot>,
) -> Result<Option<Found>, NotOfRoot> {
    let mut here = PathBuf::from("/");
    let mut of_root = check(&here, &fs::metadata(&here)?);
    let mut left = steps(path);
    let mut links = 0;
    while let Some(step) = left.pop() {
        if step == ".." {
            here.pop();
            continue;
        }
        let at = here.join(step);
        let found = match fs::symlink_metadata(&at) {
            Ok(found) => found,
            Err(error) => {
                return match error.kind() {
                    ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(None),
                    _ => Err(error.into()),
                };
            }
        };
        if !found.is_symlink() {
            of_root = of_root.and_then(|()| check(&at, &found));
            here = at;
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(io::Error::new(ErrorKind::InvalidInput, "too many links").into());
        }
        let target = fs::read_link(&at)?;
        if target.is_absolute() {
            here = PathBuf::from("/");
        }
        left.extend(steps(&target));
    }
    Ok(Some(Found {
        path: here,
        of_root,
    }))
}

#[cfg(unix)]
/// The steps of a path, the last one first.
fn steps(path: &Path) -> Vec<OsString> {
    let steps = path.components().rev();
    let steps = steps.filter(|step| matches!(step, Component::Normal(_) | Component::ParentDir));
    steps.map(|step| step.as_os_str().to_owned()).collect()
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// As if the folder and what is above it were root's, and only permissions mattered.
    fn read_below(folder: &Path, path: &Path) -> Result<Option<Vec<u8>>, NotOfRoot> {
        read(path, 99, &|at, found| {
            let is_writable = found.mode() & OTHERS_WRITE != 0 && at.starts_with(folder);
            match is_writable {
                true => Err(NotOfRoot::Writable(at.to_owned())),
                false => Ok(()),
            }
        })
    }

    fn blamed(found: Result<Option<Vec<u8>>, NotOfRoot>) -> PathBuf {
        match found {
            Err(NotOfRoot::Writable(path)) => path,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_folder_on_the_way_counts_that_of_a_link_too() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let path = |name: &str| folder.join(name);
        for name in ["etc/sentinel", "open/deep", "real"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        for name in ["etc/sentinel/a.toml", "open/deep/a.toml", "real/a.toml"] {
            fs::write(path(name), "x").unwrap();
            fs::set_permissions(path(name), fs::Permissions::from_mode(0o644)).unwrap();
        }
        fs::set_permissions(path("open"), fs::Permissions::from_mode(0o775)).unwrap();
        let read = |name: &str| read_below(&folder, &path(name));
        assert_eq!(read("etc/sentinel/a.toml").unwrap().unwrap(), b"x");
        assert!(read("etc/other/a.toml").unwrap().is_none());
        assert!(read("etc/sentinel/a.toml/b").unwrap().is_none());
        // Where there is no file, it doesn't matter who could write one.
        assert!(read("open/deep/b.toml").unwrap().is_none());
        assert_eq!(blamed(read("open/deep/a.toml")), path("open"));
        // The link's own folder is fine, and so is where it ends; what is between them is not.
        symlink(path("real/a.toml"), path("open/link")).unwrap();
        symlink("../open/link", path("etc/link")).unwrap();
        assert_eq!(blamed(read("etc/link")), path("open"));
        symlink("../real", path("etc/good")).unwrap();
        assert_eq!(read("etc/good/a.toml").unwrap().unwrap(), b"x");
        symlink("loop", path("etc/loop")).unwrap();
        assert!(matches!(read("etc/loop"), Err(NotOfRoot::Unreadable(_))));
        assert!(matches!(read("real"), Err(NotOfRoot::Unreadable(_))));
        let mode = fs::Permissions::from_mode(0o646);
        fs::set_permissions(path("real/a.toml"), mode).unwrap();
        assert_eq!(blamed(read("real/a.toml")), path("real/a.toml"));
    }

    #[test]
    fn a_file_below_a_folder_of_everybody_is_not_of_root() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        fs::write(&file, "x").unwrap();
        let refused = read(&file, 99, &is_of_root).unwrap_err().to_string();
        assert!(
            refused.contains("`sudo ch") && refused.contains("is not used, since"),
            "{refused}"
        );
    }
}
