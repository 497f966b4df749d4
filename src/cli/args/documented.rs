//! README.md and `docs/` against the command line.
//!
//! Owns two checks: every command line there is one that the program takes, and every command and flag has
//! its place there.

use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};

use super::Cli;

const PROGRAM: &str = "sentinel-gateway";

/// README.md and the pages below `docs/`, each with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md")];
    let docs = std::fs::read_dir(root.join("docs")).unwrap();
    pages.extend(docs.map(|entry| entry.unwrap().path()));
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    pages
        .into_iter()
        .map(|page| {
            let text = std::fs::read_to_string(&page).unwrap();
            (page, text)
        })
        .collect()
}

/// The command lines of a page: lines of blocks of code, and inline code, that begin with the name of
/// the program. Those in which something is left out or chosen, as in `call TOOL [JSON]`, are none.
fn command_lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            let line = line.trim_start().trim_start_matches("$ ");
            lines.extend(line.find(PROGRAM).and_then(|at| whole_line(line, at)));
        } else {
            let spans = line.split('`').skip(1).step_by(2);
            lines.extend(spans.filter(|span| span.starts_with(PROGRAM)));
        }
    }
    lines.retain(|line| !line.contains(['…', '[', '|']) && is_program(line));
    lines
}

/// What follows where the program's name is the command, or the command behind ` -- `.
fn whole_line(line: &str, at: usize) -> Option<&str> {
    let before = &line[..at];
    let is_command = before.is_empty() || before.ends_with('/') && before.contains(" -- ");
    is_command.then(|| &line[at..])
}

fn is_program(line: &str) -> bool {
    line.split_whitespace().next() == Some(PROGRAM)
}

/// The words of a command line as a shell takes them, up to a comment or a redirection.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, '>') if word.is_none() => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn every_command_line_in_the_docs_is_taken() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (page, text) in pages() {
        for line in command_lines(&text) {
            seen += 1;
            let parsed = Cli::try_parse_from(words(line));
            let error = parsed.map(drop).err().filter(clap::Error::use_stderr);
            wrong.extend(error.map(|error| format!("{}: {line}\n{error}", page.display())));
        }
    }
    assert!(seen > 20, "only {seen} command lines were found");
    assert!(wrong.is_empty(), "not taken:\n{}", wrong.join("\n"));
}

#[test]
fn every_command_and_flag_has_its_place_in_the_docs() {
    let pages = pages();
    let has = |file: &str, what: &str| {
        let page = pages.iter().find(|(page, _)| page.ends_with(file));
        page.is_some_and(|(_, text)| text.contains(what))
    };
    let anywhere = |what: &str| pages.iter().any(|(_, text)| text.contains(what));
    let mut missing = Vec::new();
    let program = Cli::command();
    for command in program.get_subcommands() {
        let name = command.get_name();
        if !has("docs/commands.md", &format!("`{PROGRAM} {name}"))
            && !has("docs/commands.md", &format!("`{name}`"))
        {
            missing.push(format!("docs/commands.md: {name}"));
        }
        let flags = command.get_arguments().filter_map(clap::Arg::get_long);
        missing.extend(
            flags
                .filter(|flag| !anywhere(&format!("--{flag}")))
                .map(|flag| format!("{name} --{flag}")),
        );
    }
    let flags = program.get_arguments().filter_map(clap::Arg::get_long);
    missing.extend(
        flags
            .filter(|flag| !has("docs/commands.md", &format!("`--{flag}")))
            .map(|flag| format!("docs/commands.md: --{flag}")),
    );
    assert!(missing.is_empty(), "not documented: {missing:#?}");
}

#[test]
fn command_lines_are_found_and_split_as_a_shell_does() {
    let text = "see `sentinel-gateway check`, `sentinel-gateway call TOOL [JSON]`\n```\n\
                $ sentinel-gateway call a 'b=c d' # no\n\
                claude mcp add x -- /bin/sentinel-gateway --config y\n\
                cargo install sentinel-gateway\n```\n";
    let lines = command_lines(text);
    assert_eq!(
        lines,
        [
            "sentinel-gateway check",
            "sentinel-gateway call a 'b=c d' # no",
            "sentinel-gateway --config y"
        ]
    );
    assert_eq!(words(lines[1]), ["sentinel-gateway", "call", "a", "b=c d"]);
}
