//! `tools`, `prompts`, `resources`: the merged catalog as listed to clients.
//!
//! Owns the table and the JSON of entries, and the warnings about what is missing in them.

mod search;
mod tokens;

use std::io::{self, Write};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::catalog::Entry;
use crate::cli::args::Output;
use crate::cli::exit::{FAILED, OK};
use crate::cli::survey::BackendSurvey;
use crate::cli::terminal::{
    CAUTION, Cell, DIM, Fit, HEAD, Side, Table, one_line, print_report, print_result, stdout_width,
    warn,
};
use crate::config::Config;
use crate::protocol::Kind;
use crate::state::age;
pub(super) use search::search;
pub(super) use tokens::tokens;

/// Prints the entries of these kinds. Backends that are down or lists that failed are warned about on
/// stderr.
pub(super) async fn list(config: Config, kinds: &[Kind], output: &Output) -> u8 {
    for warning in &config.warnings {
        warn(warning);
    }
    let survey = BackendSurvey::connect_all(config, output.timeout.duration(), |_, _| ()).await;
    let result = if output.json {
        print_report(&mut io::stdout().lock(), |out| {
            print_json(&survey, kinds, out)
        })
    } else {
        print_report(&mut anstream::stdout().lock(), |out| {
            print(&survey, kinds, out, stdout_width())
        })
    };
    print_result(result, warn_of_missing(&survey, kinds))
}

/// Warns of backends that are down, and of lists of these kinds that failed. Returns the exit status.
pub(super) fn warn_of_missing(survey: &BackendSurvey, kinds: &[Kind]) -> u8 {
    let mut code = OK;
    for (surveyed, why) in survey.down() {
        let stale = surveyed.last_contact.map(|at| {
            let age = age(at);
            format!("; it is shown as at last contact, {age}")
        });
        warn(&one_line(&format!(
            "{} is down: {why}{}",
            surveyed.backend.name(),
            stale.unwrap_or_default()
        )));
        code = FAILED;
    }
    for surveyed in &survey.members {
        for (_, why) in surveyed
            .failed_lists()
            .filter(|(kind, _)| kinds.contains(kind))
        {
            warn(&one_line(&format!("{}: {why}", surveyed.backend.name())));
            code = FAILED;
        }
    }
    code
}

/// One element of the JSON output.
#[derive(Serialize)]
pub(super) struct Listed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<&'a str>,
    #[serde(rename = "uriTemplate", skip_serializing_if = "Option::is_none")]
    uri_template: Option<&'a str>,
    backend: &'a str,
    own_name: &'a str,
    /// The backend is down, and the entry is from the cache.
    stale: bool,
    /// As sent to clients.
    definition: &'a RawValue,
}

impl<'a> Listed<'a> {
    /// # Errors
    /// If the definition isn't JSON, which it is.
    pub(super) fn of(survey: &'a BackendSurvey, entry: &'a Entry) -> io::Result<Self> {
        let shown = |applies: bool| applies.then_some(&*entry.exposed);
        Ok(Self {
            name: shown(!entry.kind.is_uri()),
            uri: shown(entry.kind == Kind::Resource),
            uri_template: shown(entry.kind == Kind::Template),
            backend: backend_of(survey, entry),
            own_name: &entry.own_name,
            stale: is_stale(survey, entry),
            definition: entry.definition.read()?,
        })
    }
}

fn print_json(survey: &BackendSurvey, kinds: &[Kind], out: &mut impl Write) -> io::Result<()> {
    let list = entries(survey, kinds).map(|entry| Listed::of(survey, entry));
    let list: Vec<Listed<'_>> = list.collect::<io::Result<_>>()?;
    serde_json::to_writer_pretty(&mut *out, &list)?;
    writeln!(out)
}

fn print(
    survey: &BackendSurvey,
    kinds: &[Kind],
    out: &mut impl Write,
    width: Option<usize>,
) -> io::Result<()> {
    let entries: Vec<&Entry> = entries(survey, kinds).collect();
    let is_renamed = |entry: &Entry| entry.own_name != entry.exposed;
    let has_renamed = entries.iter().any(|entry| is_renamed(entry));
    let title = if kinds.iter().any(|kind| kind.is_uri()) {
        "URI"
    } else {
        "NAME"
    };
    let mut columns = vec![(title, Side::Left), ("BACKEND", Side::Left)];
    if has_renamed {
        columns.push(("OWN NAME", Side::Left));
    }
    columns.push(("DESCRIPTION", Side::Left));
    let mut table = Table::new(&columns, Fit::Cut);
    for entry in entries {
        let mut cells = vec![
            Cell::new(&*entry.exposed, HEAD),
            backend_cell(survey, entry),
        ];
        if has_renamed {
            let own = if is_renamed(entry) {
                &*entry.own_name
            } else {
                ""
            };
            cells.push(Cell::from(one_line(own)));
        }
        cells.push(Cell::rest(summary(entry), DIM, "description"));
        table.row(cells);
    }
    table.print(out, width)
}

fn entries<'a>(survey: &'a BackendSurvey, kinds: &'a [Kind]) -> impl Iterator<Item = &'a Entry> {
    let catalog = &survey.built.catalog;
    kinds.iter().flat_map(|kind| catalog.entries(*kind))
}

/// The name of an entry's backend.
pub(super) fn backend_of<'a>(survey: &'a BackendSurvey, entry: &Entry) -> &'a str {
    let surveyed = survey.member(entry.backend);
    surveyed.map_or("", |surveyed| surveyed.backend.name())
}

fn is_stale(survey: &BackendSurvey, entry: &Entry) -> bool {
    let surveyed = survey.member(entry.backend);
    surveyed.is_some_and(|surveyed| surveyed.last_contact.is_some())
}

fn backend_cell(survey: &BackendSurvey, entry: &Entry) -> Cell {
    let name = backend_of(survey, entry);
    match is_stale(survey, entry) {
        true => Cell::new(format!("{name} (stale)"), CAUTION),
        false => Cell::from(name.to_owned()),
    }
}

/// The first line of the description.
fn summary(entry: &Entry) -> String {
    let described = entry.definition.get("description");
    let text: Option<String> = described.and_then(|text| text.read().ok());
    let text = text.unwrap_or_default();
    one_line(text.trim().lines().next().unwrap_or_default())
}
