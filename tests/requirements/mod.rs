//! `.planning/` and SECURITY.md: everything that they call done or defended names tests that exist.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Suites in Python, by their folders. What they check is named in a call of `check`.
const SUITES: [&str; 3] = ["tests/real", "tests/clients", "tests/fleet"];
const PACKAGE: &str = "packaging/try: ";

fn read(path: impl AsRef<Path>) -> Option<String> {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).ok()
}

/// The cells of every table row of a page, without the header and the rule.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let lines = page.lines().filter(|line| line.starts_with("| "));
    lines
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .skip(1)
        .collect()
}

/// The test names in a cell.
fn names(cell: &str) -> Vec<&str> {
    let parts = cell.split(" · ").map(|name| name.trim_matches(['`', ' ']));
    parts.filter(|name| !name.is_empty()).collect()
}

/// The files that may contain the tests of a name with this first part.
fn files(module: &str) -> Vec<PathBuf> {
    if module.starts_with("tests/") {
        return vec![module.into()];
    }
    let own = format!("src/{}", module.replace("::", "/"));
    let parent = own.trim_end_matches("/tests");
    [&own, parent]
        .iter()
        .flat_map(|path| [format!("{path}.rs"), format!("{path}/mod.rs")])
        .map(PathBuf::from)
        .collect()
}

fn exists(name: &str) -> bool {
    let suite = SUITES.iter().find_map(|folder| {
        let check = name.strip_prefix(folder)?.strip_prefix("/run: ")?;
        Some((folder, check))
    });
    if let Some((folder, check)) = suite {
        let called = [
            format!("check(\"{check}\")"),
            format!("check(f\"{check}\")"),
        ];
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let pages = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|page| read(page.unwrap().path()));
        return pages
            .into_iter()
            .any(|page| called.iter().any(|call| page.contains(call)));
    }
    if let Some(kind) = name.strip_prefix(PACKAGE) {
        let tries = read("packaging/lib/tries.py").unwrap();
        return tries.contains(&format!("\ndef {kind}(facts, binary, paths):\n"));
    }
    let (module, function) = name.rsplit_once("::").unwrap_or(("", name));
    let function = format!("fn {function}(");
    let sources = files(module).into_iter().filter_map(read);
    sources.into_iter().any(|source| source.contains(&function))
}

#[test]
fn a_name_without_a_test_is_detected() {
    assert!(exists(
        "tests/requirements/mod.rs::a_name_without_a_test_is_detected"
    ));
    for name in [
        "tests/requirements/mod.rs::no_such",
        "tests/no_such.rs::exists",
        "backend::retry::tests::no_such",
        "tests/real/run: no such check",
        "tests/clients/run: no such check",
        // Of the other suite.
        "tests/clients/run: sqlite: create_table, write_query, read_query",
        "packaging/try: no_such",
    ] {
        assert!(!exists(name), "{name}");
    }
}

#[test]
fn every_requirement_that_is_done_names_tests_that_exist() {
    let page = read(".planning/REQUIREMENTS.md").unwrap();
    let mut boxes = HashMap::new();
    for line in page.lines().filter(|line| line.starts_with("- [")) {
        let (mark, rest) = line.split_once("] **").expect(line);
        let (id, _) = rest.split_once("** ").expect(line);
        let twice = boxes.insert(id, mark == "- [x");
        assert!(twice.is_none(), "{id} has two checkboxes");
    }
    for row in rows(&page) {
        let [id, _, status, tests] = row[..] else {
            panic!("not four cells: {row:?}");
        };
        let done = boxes.remove(id);
        assert!(done.is_some(), "{id} has no checkbox, or two rows");
        let expected = match status {
            "done" => true,
            "later" => false,
            other => panic!("{id}: unknown status {other:?}"),
        };
        assert_eq!(done, Some(expected), "{id}: checkbox and table disagree");
        assert!(!expected || !names(tests).is_empty(), "{id} names no test");
        for name in names(tests) {
            assert!(exists(name), "{id}: there is no {name}");
        }
    }
    assert!(boxes.is_empty(), "without a row: {boxes:?}");
}

#[test]
fn every_verified_statement_names_tests_that_exist() {
    let page = read(".planning/VERIFICATION.md").unwrap();
    let rows = rows(&page);
    assert_eq!(rows.len(), 11);
    for row in rows {
        let [statement, tests] = row[..] else {
            panic!("not two cells: {row:?}");
        };
        assert!(!names(tests).is_empty(), "{statement}: no test");
        for name in names(tests) {
            assert!(exists(name), "{statement}: there is no {name}");
        }
    }
}

#[test]
fn every_complaint_about_signing_in_names_tests_that_exist() {
    let page = read(".planning/SIGNIN.md").unwrap();
    let rows = rows(&page);
    assert!(rows.len() >= 32, "only {} complaints", rows.len());
    for row in rows {
        let [complaint, here, tests] = row[..] else {
            panic!("not three cells: {row:?}");
        };
        assert!(
            !here.is_empty() && !names(tests).is_empty(),
            "{complaint}: no test"
        );
        for name in names(tests) {
            assert!(exists(name), "{complaint}: there is no {name}");
        }
    }
}

/// Whether a name of SECURITY.md is that of a test, or of a row of the fault table.
fn is_test_or_row(name: &str) -> bool {
    let Some(row) = name.strip_prefix("row ") else {
        return exists(name);
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults");
    let pages = std::fs::read_dir(folder).unwrap();
    let mut pages = pages.filter_map(|page| read(page.unwrap().path()));
    pages.any(|page| page.contains(&format!("\n    \"{row}\" ")))
}

#[test]
fn every_defence_names_code_and_tests_that_exist() {
    assert!(is_test_or_row("row 30") && !is_test_or_row("row 300"));
    let page = read("SECURITY.md").unwrap();
    let mut defences = 0;
    for row in rows(&page) {
        let [threat, _, code, tests] = row[..] else {
            continue;
        };
        if threat == "threat" {
            continue;
        }
        defences += 1;
        for path in code.split(", ").map(|path| path.trim_matches('`')) {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(path);
            assert!(path.exists(), "{threat}: there is no {}", path.display());
        }
        assert!(!names(tests).is_empty(), "{threat}: no test");
        for name in names(tests) {
            assert!(is_test_or_row(name), "{threat}: there is no {name}");
        }
    }
    assert!(defences > 20, "only {defences} defences were read");
}

/// The rows of the fault table, which are numbered from 1.
const FAULTS: u32 = 106;

/// Every fault number is in the fault table, with a check whose name begins with that number; and the
/// pages say how many there are.
#[test]
fn every_fault_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut source = String::new();
    for entry in std::fs::read_dir(root.join("tests/faults")).unwrap() {
        source += &std::fs::read_to_string(entry.unwrap().path()).unwrap();
    }
    let missing: Vec<u32> = (1..=FAULTS)
        .filter(|row| {
            let check = source.contains(&format!("fn fault_{row:02}_"));
            !check || source.matches(&format!("    \"{row}\" ")).count() != 1
        })
        .collect();
    assert!(missing.is_empty(), "faults without a test: {missing:?}");
    for (page, text) in [
        ("README.md", format!("with {FAULTS} faults")),
        ("docs/testing.md", format!("applies {FAULTS} faults")),
        ("docs/testing.md", format!("{FAULTS} of {FAULTS}")),
    ] {
        let page = root.join(page);
        let has = std::fs::read_to_string(&page).unwrap().contains(&text);
        assert!(has, "{} doesn't say {text:?}", page.display());
    }
}
