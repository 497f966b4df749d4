//! The table of dependencies in DECISIONS.md is that of Cargo.toml.

use std::collections::BTreeSet;

use super::{root, text_of};

const DECISIONS: &str = ".planning/DECISIONS.md";

/// The packages of the tables of Cargo.toml with this name, also of those for one system.
fn packages(manifest: &toml::Table, table: &str) -> BTreeSet<String> {
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let targets = targets.into_iter().flat_map(toml::Table::values);
    let tables = targets.filter_map(toml::Value::as_table).chain([manifest]);
    tables
        .filter_map(|of| of.get(table)?.as_table())
        .flat_map(toml::Table::keys)
        .cloned()
        .collect()
}

#[test]
fn each_dependency_has_its_reason_in_the_table() {
    let manifest = text_of(&root().join("Cargo.toml")).text;
    let manifest: toml::Table = manifest.parse().unwrap();
    let decisions = text_of(&root().join(DECISIONS)).text;
    let table = decisions.split("\n| package | for |\n|---|---|\n").nth(1);
    let rows = table
        .unwrap()
        .lines()
        .take_while(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let named: BTreeSet<String> = cells
        .flat_map(|names| names.split(','))
        .map(|name| name.trim().to_owned())
        .collect();
    let used = packages(&manifest, "dependencies");
    assert!(used.len() > 30, "{used:?}");
    let missing: Vec<&String> = used.difference(&named).collect();
    assert!(missing.is_empty(), "{DECISIONS} lacks {missing:?}");
    // Those of packaging are there, too.
    let known = &used | &packages(&manifest, "dev-dependencies");
    let gone: Vec<&String> = named.difference(&known).collect();
    assert!(gone.is_empty(), "Cargo.toml lacks {gone:?}");
}
