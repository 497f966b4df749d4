//! Where the sockets of running gateways are.
//!
//! Owns their paths: one file for each gateway, in a folder that only its user can open. The socket of a gateway
//! that has ended is removed by the next process that connects to it.

use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process;

use tokio::net::UnixStream;

use crate::files;
use crate::tasks;

/// Most bytes of a socket's path, without the zero behind it: what all Unix systems take.
const MAX_PATH: usize = 103;
const EXTENSION: &str = "sock";
/// Most sockets of a folder that are looked at.
const MAX_SOCKETS: usize = 256;

/// A socket that listens at its path.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) listener: UnixListener,
    pub(super) path: PathBuf,
}

/// Listens in the first of these folders that can be used.
///
/// # Errors
/// Why each of them can't.
pub(super) fn listen(folders: &[PathBuf]) -> Result<Bound, String> {
    let mut reasons = Vec::new();
    for folder in folders {
        match listen_in(folder) {
            Ok(bound) => return Ok(bound),
            Err(error) => reasons.push(format!("{}: {error}", folder.display())),
        }
    }
    Err(reasons.join("; "))
}

fn listen_in(folder: &Path) -> io::Result<Bound> {
    let name = format!("{}-{:08x}", process::id(), rand::random::<u32>());
    let path = folder.join(&name).with_extension(EXTENSION);
    let length = path.as_os_str().len();
    if length > MAX_PATH {
        let why = format!("the path of a socket in it has {length} bytes, more than {MAX_PATH}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    files::private_folder(folder)?;
    files::owned_folder(folder)?;
    // It gets the name that readers look for when it listens: one that does not is taken for a remnant.
    let unready = folder.join(name);
    let listener = UnixListener::bind(&unready)?;
    listener.set_nonblocking(true)?;
    if let Err(error) = files::rename(&unready, &path) {
        let _ = files::remove(&unready);
        return Err(error);
    }
    Ok(Bound { listener, path })
}

/// The sockets in a folder. None where the folder is missing.
///
/// # Errors
/// If it can't be read, or another user could have put something into it.
pub(super) fn sockets(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match files::owned_folder(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        checked => checked?,
    }
    files::sockets(folder, EXTENSION, MAX_SOCKETS)
}

/// Connects to a socket. `None` where its gateway is gone: then the file is removed.
///
/// # Errors
/// If it can't be connected to.
pub(super) async fn connect(path: &Path) -> io::Result<Option<UnixStream>> {
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            let path = path.to_owned();
            let _ = tasks::blocking(move || files::remove(&path)).await;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whether the process at the other end is of the same user.
pub(super) fn is_ours(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own)
}
