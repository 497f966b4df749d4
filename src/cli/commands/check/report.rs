//! The report on all backends.
//!
//! Owns the document of `check --json`, the lines around the rows, and the commands that are suggested
//! next.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::row::{Row, table};
use crate::cli::survey::BackendSurvey;
use crate::cli::terminal::{CAUTION, DIM, one_line, wrap};
use crate::config::{Config, RotatingFile, ToolMode};
use crate::shell;

/// Tokens of all definitions from which on a note names them.
const MANY_TOKENS: usize = 5_000;
/// Most commands of one kind that are suggested.
const MAX_NEXT: usize = 5;

/// What `check --json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// `null` where there are only flags.
    config: Option<PathBuf>,
    /// What holds beside it, if there is such a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    administrator: Option<Administrators>,
    /// `null` where none is chosen.
    profile: Option<String>,
    /// The audit file, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    audit: Option<PathBuf>,
    /// The log file, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<PathBuf>,
    warnings: Vec<String>,
    timeout_secs: u64,
    /// In config order.
    backends: Vec<Row>,
    /// What the definitions of all tools cost a model.
    tokens: Tokens,
    /// What there is to know of all backends together.
    notes: Vec<String>,
    /// What to type next.
    next: Vec<String>,
}

/// The administrator's file.
#[derive(Debug, Serialize)]
struct Administrators {
    file: PathBuf,
    /// The names of its backends.
    backends: Vec<String>,
}

/// Tokens of the listed tools, about.
#[derive(Debug, Serialize)]
struct Tokens {
    /// Their number with `tool_mode = "all"`.
    all: usize,
    /// Their number with `tool_mode = "search"`.
    search: usize,
}

impl Report {
    pub(super) fn of(survey: &BackendSurvey, timeout: Duration) -> Self {
        let rows = survey.members.iter();
        let backends: Vec<Row> = rows.map(|surveyed| Row::of(surveyed, survey)).collect();
        let catalog = &survey.built.catalog;
        let advice_on_count = catalog.advice_on_count();
        let names = survey
            .members
            .iter()
            .map(|surveyed| surveyed.backend.name());
        let cost = catalog.cost(names);
        let is_searched = survey.config.gateway.tool_listing.mode != ToolMode::All;
        let advice_on_cost = (cost.all > MANY_TOKENS && !is_searched).then(|| {
            let (all, searching) = (cost.all, cost.searching);
            format!("the definitions of the tools take about {all} tokens; with tool_mode = \"search\" about {searching}")
        });
        let advice_on_names = catalog.advice_on_names(&survey.config.gateway);
        Self {
            config: survey.config.source.clone(),
            administrator: survey.config.administered.as_ref().map(|administered| {
                let names = administered.backends.iter().map(|(name, _)| name);
                Administrators {
                    file: administered.file.clone(),
                    backends: names.map(|name| name.to_string()).collect(),
                }
            }),
            profile: survey.config.profile.as_deref().map(str::to_owned),
            audit: path_of(survey.config.audit.file.as_ref()),
            log: path_of(survey.config.log.file.as_ref()),
            warnings: survey.config.warnings.clone(),
            timeout_secs: timeout.as_secs(),
            next: next(&survey.config, &backends),
            backends,
            tokens: Tokens {
                all: cost.all,
                search: cost.searching,
            },
            notes: (advice_on_count.into_iter())
                .chain(advice_on_cost)
                .chain(advice_on_names)
                .collect(),
        }
    }

    pub(super) fn is_all_up(&self) -> bool {
        self.backends.iter().all(|backend| backend.up)
    }

    pub(super) fn print_json(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        writeln!(out)
    }

    pub(super) fn print_rows(&self, out: &mut impl Write) -> io::Result<()> {
        let mut table = table();
        for backend in &self.backends {
            table.row(backend.cells());
        }
        table.print(out, None)
    }

    /// What follows the rows: notes, and what to type next.
    pub(super) fn print_rest(&self, out: &mut impl Write, room: Option<usize>) -> io::Result<()> {
        let notes = self.backends.iter().flat_map(|backend| {
            let notes = backend.notes.iter();
            notes.map(move |note| format!("{}: {note}", backend.name))
        });
        for (at, note) in notes.chain(self.notes.iter().cloned()).enumerate() {
            let gap = if at == 0 { "\n" } else { "" };
            write!(out, "{gap}{CAUTION}note:{CAUTION:#} ")?;
            print_indented(out, &one_line(&note), "note: ".len(), room)?;
        }
        for (at, next) in self.next.iter().enumerate() {
            let gap = if at == 0 { "\n" } else { "" };
            // Not wrapped: it is to be copied.
            writeln!(out, "{gap}{DIM}next:{DIM:#} {}", one_line(next))?;
        }
        Ok(())
    }
}

fn path_of(file: Option<&RotatingFile>) -> Option<PathBuf> {
    file.map(|file| file.path.clone())
}

/// What precedes the rows.
pub(super) fn print_head(config: &Config, out: &mut impl Write) -> io::Result<()> {
    match &config.source {
        Some(path) => writeln!(out, "config: {}", path.display())?,
        None if config.administered.is_some() => {
            writeln!(out, "config: none of the user's")?;
        }
        None => writeln!(out, "config: none, flags only")?,
    }
    if let Some(administered) = &config.administered {
        let file = administered.file.display();
        let names = administered.backends.iter().map(|(name, _)| &**name);
        match names.collect::<Vec<&str>>().join(", ").as_str() {
            "" => writeln!(out, "administrator: {file}, without backends")?,
            names => writeln!(out, "administrator: {file}, which has {names}")?,
        }
    }
    if let Some(profile) = &config.profile {
        writeln!(out, "profile: {profile}")?;
    }
    let files = [("audit", &config.audit.file), ("log", &config.log.file)];
    for (what, file) in files {
        if let Some(path) = path_of(file.as_ref()) {
            writeln!(out, "{what}: {}", path.display())?;
        }
    }
    if let Some(telemetry) = &config.telemetry {
        let to = [
            ("traces", &telemetry.traces),
            ("metrics", &telemetry.metrics),
        ];
        for (what, to) in to {
            if let Some(to) = to {
                writeln!(out, "{what}: sent to {}", to.url)?;
            }
        }
    }
    if let Some(listen) = config.listen {
        writeln!(out, "metrics: served at http://{listen}/metrics")?;
    }
    for warning in &config.warnings {
        writeln!(out, "{CAUTION}warning:{CAUTION:#} {warning}")?;
    }
    writeln!(out)
}

/// The rest of a line, wrapped with an indent if there is a width.
fn print_indented(
    out: &mut impl Write,
    text: &str,
    indent: usize,
    room: Option<usize>,
) -> io::Result<()> {
    let lines = match room {
        Some(room) => wrap(text, room.saturating_sub(indent).max(2)),
        None => vec![text.to_owned()],
    };
    writeln!(out, "{}", lines.join(&format!("\n{}", " ".repeat(indent))))
}

/// Commands that accept what has changed; if all is well, what to try.
fn next(config: &Config, backends: &[Row]) -> Vec<String> {
    let accept = backends.iter().flat_map(|backend| {
        let changed = backend.changed.iter().map(|tool| &tool.accept);
        changed.chain(backend.taken_names.iter().map(|name| &name.accept))
    });
    let accept: Vec<String> = accept.filter_map(Clone::clone).collect();
    let is_well = backends.iter().all(Row::is_well);
    if !accept.is_empty() || !is_well || backends.iter().all(|row| row.tools == 0) {
        return accept.into_iter().take(MAX_NEXT).collect();
    }
    // With flags alone they would have to be repeated.
    let file = config.source.iter().map(|path| path.display().to_string());
    let profile = config.profile.as_deref().map(shell::word);
    let profile = profile.map(|profile| format!(" --profile {profile}"));
    let profile = profile.unwrap_or_default();
    file.map(|file| {
        let file = shell::word(&file);
        format!("sentinel-gateway --config {file}{profile} tools")
    })
    .collect()
}
