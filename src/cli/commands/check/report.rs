//! The report on all backends.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::row::{Row, table};
use crate::cli::survey::BackendSurvey;
use crate::cli::terminal::{CAUTION, DIM, one_line, wrap};
use crate::config::{Config, RotatingFile, ToolMode};
use crate::shell;

/// Tokens of all definitions from which on it is worth a word.
const DEAR: usize = 5_000;
/// Most commands of one kind that are suggested.
const MAX_NEXT: usize = 5;

/// What `check --json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// `null` where there are only flags.
    config: Option<PathBuf>,
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
        let to = [("traces", &telemetry.traces), ("metrics", &telemetry.metrics)];
        for (what, url) in to {
            if let Some(url) = url {
                writeln!(out, "{what}: sent to {url}")?;
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
