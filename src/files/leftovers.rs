//! Files that a killed process has left beside the one that it was about to replace.
//!
//! Owns when one is removed: it has our prefix, and is older than ten minutes.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// Replacing a file takes far less.
const OLD: Duration = Duration::from_secs(600);

/// Removes what killed processes have left in this folder, as far as that can be: a file with secrets
/// must not outlive the one it was to replace.
pub(crate) fn remove_leftovers(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_ours = name
            .to_str()
            .is_some_and(|name| name.starts_with(super::TEMPORARY));
        if is_ours && is_old(&entry) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn is_old(entry: &fs::DirEntry) -> bool {
    let found = entry.metadata().ok().filter(fs::Metadata::is_file);
    let modified = found.and_then(|found| found.modified().ok());
    let age = modified.and_then(|modified| modified.elapsed().ok());
    age.is_some_and(|age| age > OLD)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn only_old_temporary_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let old = SystemTime::now() - OLD - Duration::from_secs(1);
        for name in [".sentinel-old", ".sentinel-new", "notes.json"] {
            let file = File::create(path(name)).unwrap();
            if name != ".sentinel-new" {
                file.set_modified(old).unwrap();
            }
        }
        fs::create_dir(path(".sentinel-folder")).unwrap();
        remove_leftovers(folder.path());
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, [".sentinel-folder", ".sentinel-new", "notes.json"]);
        remove_leftovers(&path("no-such-folder"));
    }
}
