//! Reading the files that a config names: secrets and certificates.
//!
//! Owns that no file can hold up or fill up the gateway. It must not know what is in them.

use std::io::ErrorKind;
use std::path::Path;

use crate::files::read_up_to;

/// More than any bundle of certificates has.
const MAX_BYTES: u64 = 16 << 20;

/// The whole of a file. Symbolic links are followed: mounted secrets are such.
///
/// Only a regular one is opened: a pipe may never be written to, and a device may never end. The
/// path may stand in a config that was merely found.
///
/// # Errors
/// In plain words, with the path.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let unreadable = |error| format!("{shown} can't be read: {error}");
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(format!("{shown} is no regular file"));
    }
    read_up_to(path, MAX_BYTES).map_err(|error| match error.kind() {
        ErrorKind::FileTooLarge => format!("{shown} has more than {MAX_BYTES} bytes"),
        _ => unreadable(error),
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_regular_file_of_sane_size_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "text").unwrap();
        assert_eq!(read(&path).unwrap(), b"text");
        assert!(
            read(folder.path())
                .unwrap_err()
                .ends_with("is no regular file")
        );

        let huge = File::create(&path).unwrap();
        huge.set_len(MAX_BYTES + 1).unwrap();
        assert!(
            read(&path)
                .unwrap_err()
                .ends_with("has more than 16777216 bytes")
        );
        std::fs::remove_file(&path).unwrap();
        assert!(read(&path).unwrap_err().contains("can't be read"));
    }
}
