//! What servers and clients of the world say, and what comes of it: one row for each kind.
//!
//! The kinds are those of `.planning/FIELD.md`, which says why. `cargo test --test
//! gateway_integration_test field:: -- --nocapture` prints the table; `FIELD=1.03` checks that row
//! alone.

mod answers;
mod definitions;
mod generated;
mod handshake;
mod introduction;
mod lists;
mod network;
mod sessions;
mod table;
mod words;

use crate::fuzz::checks::schema;

/// The tables with the source of their files, in the order of the page.
const TABLES: [(&[table::Row], &str); 8] = [
    (definitions::ROWS, include_str!("definitions.rs")),
    (handshake::ROWS, include_str!("handshake.rs")),
    (answers::ROWS, include_str!("answers.rs")),
    (lists::ROWS, include_str!("lists.rs")),
    (sessions::ROWS, include_str!("sessions.rs")),
    (introduction::ROWS, include_str!("introduction.rs")),
    (network::ROWS, include_str!("network.rs")),
    (words::ROWS, include_str!("words.rs")),
];

#[test]
fn every_kind_of_the_page_has_a_row_that_runs_and_every_row_is_in_the_page() {
    let rows = TABLES.iter().flat_map(|(rows, _)| *rows);
    let ids: Vec<String> = rows.map(|row| row.id.to_owned()).collect();
    assert_eq!(table::explained(), ids);
    let number = |rows: &[table::Row]| rows[0].id.split('.').next().unwrap().to_owned();
    let sections = TABLES.map(|(rows, _)| number(rows));
    assert_eq!(table::sections(), sections);
    for ((_, source), section) in TABLES.iter().zip(sections) {
        let test = source.split_once(&format!("#[test]\nfn section_{section}_"));
        let body = test.and_then(|(_, after)| after.split_once("() {\n"));
        let runs = body.is_some_and(|(_, body)| body.starts_with("    check(ROWS);\n}\n"));
        assert!(runs, "section {section}");
    }
}
