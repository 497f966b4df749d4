//! README and `docs/`: links lead somewhere, configs load, commands run, and keys, messages and
//! outputs are the real ones.
//!
//! `BLESS=1 cargo test --test gateway_integration_test docs::` writes the key tables of
//! `docs/configuration.md`. Command lines are checked where the command line is defined: see
//! `src/cli/args/documented.rs`.

mod configs;
mod keys;
mod links;
mod markdown;
#[cfg(unix)]
mod messages;
#[cfg(unix)]
mod outputs;
#[cfg(unix)]
mod pictures;
#[cfg(unix)]
mod rules;
#[cfg(unix)]
mod screen;
#[cfg(unix)]
mod world;

use std::path::{Path, PathBuf};

use markdown::Page;

/// Most lines of README.md: what more there is to say has a page of its own.
const README_LINES: usize = 250;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pages for users: README.md and all of `docs/`.
fn user_pages() -> Vec<Page> {
    let mut paths = vec![PathBuf::from("README.md")];
    paths.extend(markdown_below("docs"));
    paths.iter().map(|path| Page::read(path)).collect()
}

/// Every page of a folder and its subfolders, by its path below the root, in order.
fn markdown_below(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_readme_is_short() {
    let lines = Page::read(Path::new("README.md")).text.lines().count();
    assert!(lines <= README_LINES, "README.md has {lines} lines");
}
