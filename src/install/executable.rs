//! The path of the executable that an entry names.
//!
//! Owns whether it can be named where it is. Clients with a window have another `PATH` than a shell, so the path
//! is absolute. It also has to stay, which it doesn't in a package cache, a build or a temporary folder: then it
//! is copied first.

use std::io;
use std::path::{Path, PathBuf};

use crate::files;

/// Where an executable is, and where it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Executable {
    /// What an entry names.
    pub(crate) path: PathBuf,
    /// Where it is copied from first.
    copied_from: Option<PathBuf>,
}

impl Executable {
    /// Of the executable at this path. `temporary` is the system's folder for temporary files, `data`
    /// the user's for data of programs.
    pub(crate) fn of(program: &Path, temporary: &Path, data: &Path) -> Self {
        if !is_transient(program, temporary) {
            return Self {
                path: program.to_owned(),
                copied_from: None,
            };
        }
        let name = program.file_name().unwrap_or(program.as_os_str());
        Self {
            path: data.join("sentinel").join("bin").join(name),
            copied_from: Some(program.to_owned()),
        }
    }

    /// Why and where it is copied; `None` where it stays.
    pub(crate) fn note(&self) -> Option<String> {
        let from = self.copied_from.as_ref()?;
        Some(format!(
            "{} is in a temporary, cache or build folder, so it is copied to {}",
            from.display(),
            self.path.display()
        ))
    }

    /// Copies it, if it has to be.
    ///
    /// # Errors
    /// If it can't be copied.
    pub(crate) fn settle(&self) -> Result<(), String> {
        let Some(from) = &self.copied_from else {
            return Ok(());
        };
        let copied = files::place_program(from, &self.path);
        copied.map_err(|error: io::Error| {
            format!(
                "{} can't be copied to {}: {error}",
                from.display(),
                self.path.display()
            )
        })
    }
}

/// Whether it lies in a cache of npx or uv, a build or a temporary folder.
fn is_transient(program: &Path, temporary: &Path) -> bool {
    if program.starts_with(temporary) {
        return true;
    }
    let folders: Vec<&str> = program
        .parent()
        .into_iter()
        .flat_map(Path::components)
        .filter_map(|part| part.as_os_str().to_str())
        .collect();
    let has = |names: &[&str]| folders.windows(names.len()).any(|parts| parts == names);
    // A build folder of cargo, with or without a target triple.
    let is_build = folders
        .iter()
        .position(|part| *part == "target")
        .is_some_and(|at| {
            let below = &folders[at + 1..];
            below
                .iter()
                .take(2)
                .any(|part| ["debug", "release"].contains(part))
        });
    is_build
        || has(&["_npx"])
        || has(&["_cacache"])
        || has(&[".cache", "uv"])
        || has(&["uv", "cache"])
        || has(&["uv", "archive-v0"])
        || has(&["pipx", ".cache"])
        || has(&[".pnpm-store"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_may_be_gone_tomorrow_is_copied() {
        for (program, stays) in [
            ("/usr/bin/s", true),
            ("/home/me/.cargo/bin/s", true),
            ("/opt/homebrew/bin/s", true),
            ("/usr/lib/node_modules/s/bin/s", true),
            ("/home/me/target/s", true),
            ("/home/me/.local/share/uv/tools/s/bin/s", true),
            ("/home/me/.npm/_npx/0a1b/node_modules/s/bin/s", false),
            ("/home/me/.cache/uv/archive-v0/x/bin/s", false),
            ("/Users/me/Library/Caches/uv/archive-v0/x/bin/s", false),
            ("/home/me/src/s/target/release/s", false),
            (
                "/home/me/src/s/target/x86_64-unknown-linux-musl/release/s",
                false,
            ),
            ("/t/x/s", false),
        ] {
            let found = Executable::of(Path::new(program), Path::new("/t"), Path::new("/d"));
            let expected = if stays { program } else { "/d/sentinel/bin/s" };
            assert_eq!(found.path, Path::new(expected), "{program}");
            assert_eq!(found.note().is_none(), stays);
        }
    }

    #[test]
    fn a_copy_is_whole_and_runs() {
        let folder = tempfile::tempdir().unwrap();
        let from = std::env::current_exe().unwrap();
        let found = Executable::of(&from, Path::new("/none"), folder.path());
        found.settle().unwrap();
        found.settle().unwrap();
        let copy = std::process::Command::new(&found.path)
            .arg("--list")
            .output();
        assert!(copy.unwrap().status.success());
        let entries = std::fs::read_dir(found.path.parent().unwrap()).unwrap();
        assert_eq!(entries.count(), 1);
    }
}
