//! Every feature between every era of client and every era of backend: one table, each cell a real
//! exchange. `cargo test --test era_matrix_test -- --nocapture` prints it; `BLESS=1` before that
//! writes it into `.planning/ERA_MATRIX.md`.
//!
//! The questions that backends ask are shown in depth beside the table, and so is what is wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod common;

#[path = "era_matrix/asks.rs"]
mod asks;
#[path = "era_matrix/bad_backends.rs"]
mod bad_backends;
#[path = "era_matrix/bad_clients.rs"]
mod bad_clients;
#[path = "era_matrix/catalogue.rs"]
mod catalogue;
#[path = "era_matrix/detection.rs"]
mod detection;
#[path = "era_matrix/exact.rs"]
mod exact;
#[path = "era_matrix/input/mod.rs"]
mod input;
#[path = "era_matrix/life.rs"]
mod life;
#[path = "era_matrix/subscriptions.rs"]
mod subscriptions;
#[path = "era_matrix/table.rs"]
mod table;
#[path = "era_matrix/tasks.rs"]
mod tasks;
#[path = "era_matrix/versions.rs"]
mod versions;

use std::sync::LazyLock;

use table::{Feature, Table};

/// In the order of the page.
const FEATURES: &[Feature] = &[
    ("handshake", life::handshake),
    ("ping", life::ping),
    ("methods of the other era", life::foreign_methods),
    ("tools: list and call", catalogue::tools),
    ("tool that fails", catalogue::tool_error),
    ("unknown tool", catalogue::unknown_tool),
    ("resources: list, read, templates", catalogue::resources),
    ("unknown resource", catalogue::unknown_resource),
    ("prompts: list and get", catalogue::prompts),
    ("completion of prompts and templates", catalogue::completion),
    ("pages of a list", catalogue::pages),
    ("structured content", exact::structured),
    ("bytes of arguments and results", exact::bytes),
    ("`_meta` and trace context", exact::metadata),
    ("ids", exact::ids),
    ("parameters in headers", exact::headers),
    ("log messages", life::logging),
    ("progress", life::progress),
    ("cancelling", life::cancelling),
    ("changed lists", life::changed_lists),
    ("updated resources", life::updated_resources),
    ("answers that break off", life::broken_answers),
    ("sampling", asks::sampling),
    ("elicitation by form", asks::elicitation_form),
    ("elicitation by URL", asks::elicitation_url),
    ("roots", asks::roots),
    ("changed roots", life::changed_roots),
    ("what the client did not offer", asks::undeclared),
    ("tasks of 2025-11-25", tasks::of_2025),
    ("tasks of the extension", tasks::of_2026),
    ("the end of the client", life::farewell),
];

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::fill(FEATURES));

#[test]
fn every_feature_works_between_every_two_eras() {
    println!("{}", TABLE.markdown());
    let failures = TABLE.failures();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn the_page_in_planning_shows_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/.planning/ERA_MATRIX.md");
    let page = TABLE.page();
    if std::env::var_os("BLESS").is_some() && TABLE.failures().is_empty() {
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == page,
        "{path} is not what the test shows: run it with BLESS=1"
    );
}
