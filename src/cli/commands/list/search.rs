//! `search WORDS`: the tools that fit, ranked as for a model.
//!
//! Owns how results and their scores are printed. The ranking is `catalog::search`'s.

use std::io::{self, Write};

use serde::Serialize;

use super::{Listed, backend_cell, summary, warn_of_missing};
use crate::catalog::Entry;
use crate::catalog::search::{Search, ToolIndex};
use crate::cli::args;
use crate::cli::exit::FAILED;
use crate::cli::survey::BackendSurvey;
use crate::cli::terminal::{
    Cell, DIM, Fit, HEAD, Side, Table, print_message, print_report, print_result, stdout_width,
    warn,
};
use crate::config::Config;
use crate::protocol::Kind;

/// One element of the JSON output.
#[derive(Serialize)]
struct Found<'a> {
    score: f32,
    #[serde(flatten)]
    listed: Listed<'a>,
}

/// Prints the tools that fit best, best first. Returns the exit status.
pub(in crate::cli::commands) async fn search(config: Config, args: &args::Search) -> u8 {
    for warning in &config.warnings {
        warn(warning);
    }
    let timeout = args.output.timeout.duration();
    let survey = BackendSurvey::connect_all(config, timeout, |_, _| ()).await;
    let catalog = &survey.built.catalog;
    let name = |id| {
        let surveyed = survey.member(id);
        surveyed.map_or("", |surveyed| surveyed.backend.name())
    };
    let query = args.words.join(" ");
    let search = Search {
        query: &query,
        backend: None,
        limit: args.limit.into(),
        name: &name,
    };
    let found = ToolIndex::build(catalog, name).search(catalog, &search);
    let result = if args.output.json {
        print_report(&mut io::stdout().lock(), |out| {
            print_json(&survey, &found, out)
        })
    } else {
        print_report(&mut anstream::stdout().lock(), |out| {
            print(&survey, &found, out)
        })
    };
    let mut code = warn_of_missing(&survey, &[Kind::Tool]);
    if found.is_empty() && !args.output.json {
        print_message(&format!(
            "no tool has any of these words: {query:?}; `tools` lists all of them"
        ));
    }
    if found.is_empty() {
        code = FAILED;
    }
    print_result(result, code)
}

fn print_json(
    survey: &BackendSurvey,
    found: &[(&Entry, f32)],
    out: &mut impl Write,
) -> io::Result<()> {
    let found = found.iter().map(|(entry, score)| {
        let listed = Listed::of(survey, entry)?;
        Ok(Found {
            score: *score,
            listed,
        })
    });
    let found: Vec<Found<'_>> = found.collect::<io::Result<_>>()?;
    serde_json::to_writer_pretty(&mut *out, &found)?;
    writeln!(out)
}

fn print(survey: &BackendSurvey, found: &[(&Entry, f32)], out: &mut impl Write) -> io::Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let columns = [
        ("SCORE", Side::Right),
        ("NAME", Side::Left),
        ("BACKEND", Side::Left),
        ("DESCRIPTION", Side::Left),
    ];
    let mut table = Table::new(&columns, Fit::Cut);
    for (entry, score) in found {
        table.row(vec![
            Cell::from(format!("{score:.1}")),
            Cell::new(&*entry.exposed, HEAD),
            backend_cell(survey, entry),
            Cell::rest(summary(entry), DIM, "description"),
        ]);
    }
    table.print(out, stdout_width())
}
