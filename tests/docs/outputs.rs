//! Commands in the pages, and what they show of the program's output, are real.
//!
//! What stands behind the fence of a block says what it is:
//!
//! - `console`: commands behind `$ `, each with its output. They are run, on a terminal.
//! - `sh`: commands alone. They are run too, and must succeed; a question is answered with yes.
//! - `text` and `json`: what the program writes elsewhere, such as a message. It is provoked.
//! - `sh elsewhere`, `text elsewhere`: not run here. Each is in [`ELSEWHERE`], with the reason.

use super::markdown::Block;
use super::user_pages;
use super::world::World;

mod commands;
mod messages;

/// A block that shows output: its page, how it begins, and the test of it.
type Case = (&'static str, &'static str, fn(&Block) -> Result<(), String>);

/// The blocks that are not run here: page, beginning, and why.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    (
        "README.md",
        "cargo run --locked --example quickstart",
        "CI runs it: .ci/run",
    ),
    (
        "README.md",
        "sentinel.toml names two backends",
        "CI compares it: .ci/quickstart",
    ),
    ("README.md", "cargo test --locked", "this is a part of it"),
    (
        "README.md",
        "cargo install --locked --path .",
        "it builds a release",
    ),
    (
        "README.md",
        "cargo install --locked cargo-cyclonedx",
        "another program",
    ),
    ("docs/clients.md", "claude mcp add", "another program"),
    ("docs/fleet.md", "# collector", "tests/fleet/run runs it"),
    (
        "docs/getting-started.md",
        "cargo install --locked --path .",
        "it builds a release",
    ),
    (
        "docs/testing.md",
        "cargo test --test faults_test",
        "this is a part of it",
    ),
];

/// All of them.
fn blocks() -> Vec<Block> {
    user_pages().iter().flat_map(|page| page.blocks()).collect()
}

fn is_at(block: &Block, page: &str, begins: &str) -> bool {
    let is_on_page = block
        .place
        .strip_prefix(page)
        .is_some_and(|rest| rest.starts_with(':'));
    is_on_page && block.text.starts_with(begins)
}

/// Tests each block that shows output by the case that it has.
fn each_has_a_case(kinds: &[&str], cases: &[Case]) {
    let blocks = blocks();
    let blocks: Vec<&Block> = blocks
        .iter()
        .filter(|block| kinds.contains(&&*block.info))
        .collect();
    let mut wrong = Vec::new();
    for block in &blocks {
        let found = cases
            .iter()
            .find(|(page, begins, _)| is_at(block, page, begins));
        let outcome = found.map_or_else(
            || Err("no test shows that this is real".to_owned()),
            |(_, _, test)| test(block),
        );
        wrong.extend(outcome.err().map(|why| format!("{}: {why}", block.place)));
    }
    for (page, begins, _) in cases {
        let blocks = blocks.iter().filter(|block| is_at(block, page, begins));
        assert_eq!(blocks.count(), 1, "{page} has one block {begins:?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_block_says_what_it_is_and_what_is_not_run_is_counted() {
    let known = [
        "console",
        "sh",
        "text",
        "json",
        "toml",
        "toml fragment",
        "yaml",
        "sh elsewhere",
        "text elsewhere",
    ];
    let blocks = blocks();
    for block in &blocks {
        assert!(
            known.contains(&&*block.info),
            "{}: {:?}",
            block.place,
            block.info
        );
    }
    let elsewhere: Vec<&Block> = blocks
        .iter()
        .filter(|block| block.info.ends_with("elsewhere"))
        .collect();
    for block in &elsewhere {
        let is_listed = ELSEWHERE
            .iter()
            .any(|(page, begins, _)| is_at(block, page, begins));
        assert!(
            is_listed,
            "{} is not run, and no reason is given",
            block.place
        );
        assert!(
            !block.text.starts_with("sentinel-gateway"),
            "{} can be run",
            block.place
        );
    }
    assert_eq!(elsewhere.len(), ELSEWHERE.len(), "a block is gone");
}

#[test]
fn every_command_in_a_block_does_what_it_is_there_for() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for block in blocks().iter().filter(|block| block.info == "sh") {
        let world = World::usual();
        for line in block.text.lines() {
            seen += 1;
            let mut terminal = world.start(line);
            // Typed ahead, for as many questions as there may be.
            (0..4).for_each(|_| terminal.type_line("y"));
            let (code, screen) = world.end(terminal);
            if code != 0 {
                wrong.push(format!("{}: {line}: status {code}\n{screen}", block.place));
            }
        }
    }
    assert!(seen > 10, "only {seen} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_output_of_a_command_is_real() {
    each_has_a_case(&["console"], commands::CASES);
}

#[test]
fn every_message_that_a_page_quotes_is_real() {
    each_has_a_case(&["text"], messages::CASES);
}
