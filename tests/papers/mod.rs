//! The papers say what is so: rules and decisions that are cited exist, and so do the files that
//! are named.

mod citations;
mod dependencies;
mod paths;

use std::path::{Path, PathBuf};

/// Papers beside `.planning/` that people read.
pub const PAPERS: [&str; 10] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "benches/README.md",
    "fuzz/README.md",
    "packaging/README.md",
    "tests/conformance/README.md",
    "tests/peers/README.md",
];

/// The repository's root.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file's path below the root, and its text.
struct Text {
    path: String,
    text: String,
}

/// Every paper: those beside `.planning/`, all in it, and the pages for users in `docs/`.
fn papers() -> Vec<Text> {
    let mut papers: Vec<Text> = PAPERS
        .iter()
        .map(|path| text_of(&root().join(path)))
        .collect();
    papers.extend(texts_below(".planning"));
    papers.extend(texts_below("docs"));
    papers
}

/// Every text file of a folder and its subfolders that people write: no lock files, no inputs.
fn texts_below(folder: &str) -> Vec<Text> {
    let mut texts = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if !["corpus", "target", "artifacts", "node_modules"].contains(&&*name) {
                    folders.push(path);
                }
            } else if is_written_by_hand(&path) {
                texts.push(text_of(&path));
            }
        }
    }
    texts
}

fn is_written_by_hand(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    ["rs", "md", "toml", "py", "mjs", "cjs"].contains(&&*extension)
}

fn text_of(path: &Path) -> Text {
    let text = std::fs::read_to_string(path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let path = path.strip_prefix(root()).map_or(path.into(), PathBuf::from);
    let path = path.display().to_string().replace('\\', "/");
    Text { path, text }
}
