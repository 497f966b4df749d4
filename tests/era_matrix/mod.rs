//! Every feature with every era of client and every era of backend: one table, each cell a real
//! exchange. `cargo test --test gateway_integration_test era_matrix:: -- --nocapture` prints it;
//! with `BLESS=1` the test writes it to `.planning/ERA_MATRIX.md`.
//!
//! The other modules test input requests, subscriptions, era detection and invalid messages in
//! depth.

mod bad_backends;
mod bad_clients;
mod catalogue;
mod detection;
mod edge_cases;
mod extensions;
mod input;
mod lifecycle;
mod own_keys;
mod passthrough;
mod reconnects;
mod server_requests;
mod subscriptions;
mod table;
mod tasks;
mod uris;
mod versions;

use std::sync::LazyLock;

use table::{Feature, OLDER, PAIRS, Table};

/// The rows, in the order of the page.
const FEATURES: &[Feature] = &[
    ("handshake", lifecycle::handshake),
    ("ping", lifecycle::ping),
    ("methods of the other era", lifecycle::foreign_methods),
    ("tools: list and call", catalogue::tools),
    ("tool that fails", catalogue::tool_error),
    ("unknown tool", catalogue::unknown_tool),
    ("resources: list, read, templates", catalogue::resources),
    ("unknown resource", catalogue::unknown_resource),
    ("resources under aliases", uris::under_alias),
    ("resources that only results name", uris::unlisted),
    ("user interfaces of tools", uris::apps),
    ("prompts: list and get", catalogue::prompts),
    ("completion of prompts and templates", catalogue::completion),
    ("pages of a list", catalogue::pages),
    ("structured content", passthrough::structured),
    ("bytes of arguments and results", passthrough::bytes),
    ("`_meta` and trace context", passthrough::metadata),
    ("keys of the gateway's own in `_meta`", own_keys::own_keys),
    ("ids", passthrough::ids),
    ("parameters in headers", passthrough::headers),
    ("log messages", lifecycle::logging),
    ("progress", lifecycle::progress),
    ("cancellation", lifecycle::cancellation),
    ("changed lists", lifecycle::changed_lists),
    ("updated resources", lifecycle::updated_resources),
    ("updated resources under aliases", uris::subscribed),
    ("interrupted responses", lifecycle::interrupted_responses),
    ("sampling", server_requests::sampling),
    ("elicitation by form", server_requests::elicitation_form),
    ("elicitation by URL", server_requests::elicitation_url),
    ("roots", server_requests::roots),
    ("changed roots", lifecycle::changed_roots),
    ("undeclared capabilities", server_requests::undeclared),
    ("tasks of 2025-11-25", tasks::of_2025),
    ("tools that run only as tasks", tasks::required),
    ("tasks of the extension", tasks::of_2026),
    ("states of tasks, subscribed to", tasks::subscribed),
    (
        "instructions and extensions of backends",
        extensions::introduction,
    ),
    ("extensions of clients", extensions::of_clients),
    ("methods of other extensions", extensions::methods),
    (
        "notifications of other extensions",
        extensions::notifications,
    ),
    ("skills", extensions::skills),
    ("end of the client's input", lifecycle::shutdown),
];

/// The rows that clients of the older versions have too.
const OF_OLDER_CLIENTS: [&str; 9] = [
    "handshake",
    "tools: list and call",
    "resources: list, read, templates",
    "prompts: list and get",
    "log messages",
    "progress",
    "cancellation",
    "sampling",
    "roots",
];

const HEAD: &str = "\
# Both eras on both sides

Written by `BLESS=1 cargo test --test gateway_integration_test era_matrix::`, and checked by that
test. Each cell is a real exchange between a client, the gateway and a backend, in which every
message is checked; it says what the gateway did. Where an era has no counterpart, the exact refusal is
checked, and the cell has its code.
A column is *version of the client → version of the backend*. A *request* is one from the server to
the client; *input_required* is its counterpart of 2026-07-28.
";

const BETWEEN: &str = "\
Other differences of the older versions are tested in `tests/era_matrix/versions.rs`, and server
requests and input requests in depth in `tests/era_matrix/input/`.

## Clients of the older versions
";

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::fill(FEATURES, &PAIRS));
static OLDER_CLIENTS: LazyLock<Table> = LazyLock::new(|| {
    let features = FEATURES.iter().copied();
    let theirs = features.filter(|feature| OF_OLDER_CLIENTS.contains(&feature.0));
    Table::fill(&theirs.collect::<Vec<_>>(), &OLDER)
});

fn page() -> String {
    let (all, older) = (TABLE.markdown(), OLDER_CLIENTS.markdown());
    format!("{HEAD}\n{all}\n{BETWEEN}\n{older}")
}

fn failures() -> Vec<String> {
    [TABLE.failures(), OLDER_CLIENTS.failures()].concat()
}

#[test]
fn every_feature_works_between_every_two_eras() {
    println!("{}", page());
    let failures = failures();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn the_matrix_page_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/.planning/ERA_MATRIX.md");
    let page = page();
    if std::env::var_os("BLESS").is_some() && failures().is_empty() {
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == page,
        "{path} is out of date: run the test with BLESS=1"
    );
}
