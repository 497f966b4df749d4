//! Every file or folder of the source and the tests that a paper names exists.

use super::{Text, papers, root};

const FOLDERS: [&str; 2] = ["src/", "tests/"];

/// The paths below `src/` and `tests/` in a text, without the name of a test behind `::`. A path
/// with a place to be filled in, as `tests/{name}.rs`, is none.
fn paths(text: &str) -> Vec<&str> {
    let separator = |c: char| !c.is_alphanumeric() && !"._-/{}*<>".contains(c);
    text.split(separator)
        .filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)))
        .filter(|word| !word.contains(['{', '*', '<']))
        .map(|word| word.trim_end_matches('.'))
        .collect()
}

#[test]
fn paths_are_found_in_text() {
    let text = "`src/lib.rs`, tests/bounds_test.rs::name, (src/backend/). tests/real/run: a check";
    let found = [
        "src/lib.rs",
        "tests/bounds_test.rs",
        "src/backend/",
        "tests/real/run",
    ];
    assert_eq!(paths(text), found);
    assert!(paths("tests/{name}.rs target/src/x").is_empty());
}

#[test]
fn every_path_in_a_paper_exists() {
    let mut missing = Vec::new();
    for Text { path, text } in papers() {
        for (number, line) in text.lines().enumerate() {
            let named = paths(line);
            let gone = named
                .into_iter()
                .filter(|named| !root().join(named).exists());
            missing.extend(gone.map(|named| format!("{path}:{}: {named}", number + 1)));
        }
    }
    assert!(missing.is_empty(), "no such file:\n{}", missing.join("\n"));
}
