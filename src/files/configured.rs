//! Reads files that a config names: secrets and certificates.
//!
//! Owns that no file can block the gateway or exhaust its memory. It must not know what a file
//! contains.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::read_regular;
use crate::tasks;

/// Most bytes of a file with certificates: more than any bundle.
pub(crate) const MAX_CERTIFICATES: u64 = 16 << 20;
/// Most bytes of a file that begins with a secret.
pub(crate) const MAX_SECRET: u64 = 64 << 10;

/// Reads a whole file of at most `max_bytes` bytes on a blocking thread. Follows symbolic links, which mounted secrets are.
/// Opens only a regular file: reading a pipe or a device may never end, and the path may come from
/// an untrusted config in the working folder.
///
/// # Errors
/// A message for the user, with the path.
pub(crate) async fn read_configured(path: &Path, max_bytes: u64) -> Result<Vec<u8>, String> {
    let path = PathBuf::from(path);
    let shown = path.display().to_string();
    tasks::blocking(move || read(&path, max_bytes))
        .await
        .unwrap_or_else(|_| Err(format!("{shown} can't be read")))
}

fn read(path: &Path, max_bytes: u64) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let unreadable = |error| format!("{shown} can't be read: {error}");
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(format!("{shown} is not a regular file"));
    }
    read_regular(path, max_bytes).map_err(|error| match error.kind() {
        ErrorKind::FileTooLarge => format!("{shown} has more than {max_bytes} bytes"),
        _ => unreadable(error),
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn only_a_regular_file_within_the_limit_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "text").unwrap();
        assert_eq!(read(&path, MAX_SECRET).unwrap(), b"text");
        assert!(
            read(folder.path(), MAX_SECRET)
                .unwrap_err()
                .ends_with("is not a regular file")
        );

        let huge = File::create(&path).unwrap();
        huge.set_len(MAX_SECRET + 1).unwrap();
        assert!(
            read(&path, MAX_SECRET)
                .unwrap_err()
                .ends_with("has more than 65536 bytes")
        );
        std::fs::remove_file(&path).unwrap();
        assert!(
            read(&path, MAX_SECRET)
                .unwrap_err()
                .contains("can't be read")
        );
    }
}
