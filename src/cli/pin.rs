//! `pin`: what has become of tools since they were accepted, and accepting them as they are.
//!
//! Owns which tools are meant and what a person is told. What counts as a change is decided in
//! [`crate::catalog`], how the lock is written in [`crate::state`].

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::args::Pin as Asked;
use super::style::{BAD, CAUTION, DIM, GOOD, HEAD};
use super::survey::{BackendSurvey, SurveyedBackend};
use super::{BAD_CONFIG, FAILED, OK, printed, style};
use crate::catalog::Change;
use crate::config::{Config, Lock, Pin, PinMode};
use crate::state::pins;

/// Lines of one tool's difference.
const MOST_LINES: usize = 200;

/// Shows what is new, changed and gone, and accepts it.
pub(super) async fn pin(config: Config, asked: &Asked) -> u8 {
    let path = match &config.lock.path {
        Ok(path) => path.clone(),
        Err(why) => return refuse(&format!("nothing can be accepted: {why}")),
    };
    let selection = match Selection::read(&config, &asked.tools) {
        Ok(selection) => selection,
        Err(why) => return refuse(&why),
    };
    let lock = Arc::clone(&config.lock.lock);
    let survey = BackendSurvey::connect_all(config).await;
    let mut code = complain(&survey, &selection);
    let mut report = Report::of(&survey, &lock, &selection);
    let changed = report.tools.iter().any(|tool| tool.state == State::Changed);
    if !asked.dry_run {
        if let Err(error) = pins::accept(&path, report.acceptable()) {
            anstream::eprintln!("{}: can't be written: {error}", path.display());
            return FAILED;
        }
        report.accepted = true;
    } else if changed {
        code = FAILED;
    }
    let result = if asked.json {
        report.print_json(&mut io::stdout().lock())
    } else {
        report.print(&path, &mut anstream::stdout().lock())
    };
    printed(result, code)
}

fn refuse(why: &str) -> u8 {
    anstream::eprintln!("{}", style::one_line(why));
    BAD_CONFIG
}

/// Backends and tools that were asked for and can't be had.
fn complain(survey: &BackendSurvey, selection: &Selection) -> u8 {
    let mut code = OK;
    let mut warn = |what: String| {
        style::warn(&style::one_line(&what));
        code = FAILED;
    };
    for (surveyed, why) in survey.down() {
        if selection.has_backend(surveyed.backend.name()) {
            warn(format!("{} is down: {why}", surveyed.backend.name()));
        }
    }
    for surveyed in survey
        .members
        .iter()
        .filter(|surveyed| surveyed.link.is_ok())
    {
        let backend = surveyed.backend.name();
        for tool in selection.tools_of(backend) {
            if !surveyed.has_tool(tool) {
                warn(format!("{backend} has no tool {tool:?}"));
            }
        }
    }
    code
}

/// What was asked for: everything, or some backends, or some tools of theirs.
struct Selection(Vec<(String, Option<String>)>);

impl Selection {
    fn read(config: &Config, asked: &[String]) -> Result<Self, String> {
        let read = |text: &String| {
            let (backend, tool) = match text.split_once('/') {
                Some((backend, tool)) => (backend, Some(tool.to_owned())),
                None => (text.as_str(), None),
            };
            let found = config.backends.iter().find(|known| *known.name == *backend);
            match found {
                None => Err(format!(
                    "there is no backend {backend:?}; write BACKEND or BACKEND/TOOL"
                )),
                Some(found) if found.tools.pin == PinMode::Off => {
                    Err(format!("{backend}: tools.pin is \"off\""))
                }
                Some(_) => Ok((backend.to_owned(), tool)),
            }
        };
        asked.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    fn has_backend(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|(backend, _)| backend == name)
    }

    fn has(&self, pin: &Pin) -> bool {
        let is_meant = |(backend, tool): &(String, Option<String>)| {
            **backend == *pin.backend && tool.as_ref().is_none_or(|tool| **tool == *pin.tool)
        };
        self.0.is_empty() || self.0.iter().any(is_meant)
    }

    fn tools_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(backend, _)| backend == name);
        named.filter_map(|(_, tool)| tool.as_deref())
    }
}

/// What has become of one tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    New,
    Changed,
    Gone,
}

/// One element of the JSON output.
#[derive(Debug, Serialize)]
struct Row {
    backend: String,
    tool: String,
    state: State,
    /// In a few words, for one that has changed.
    change: Option<String>,
    diff: Option<String>,
    sha256: String,
    #[serde(skip)]
    now: Pin,
}

/// What `pin --json` prints.
#[derive(Debug, Serialize)]
struct Report {
    accepted: bool,
    tools: Vec<Row>,
}

impl Report {
    fn of(survey: &BackendSurvey, lock: &Lock, selection: &Selection) -> Self {
        let reached = survey
            .members
            .iter()
            .filter(|surveyed| surveyed.link.is_ok());
        let rows = reached.flat_map(|surveyed| rows(surveyed, lock));
        Self {
            accepted: false,
            tools: rows.filter(|row| selection.has(&row.now)).collect(),
        }
    }

    /// What there is to accept. What is gone stays as it was: it may come back.
    fn acceptable(&self) -> Vec<Pin> {
        let there = self.tools.iter().filter(|row| row.state != State::Gone);
        there.map(|row| row.now.clone()).collect()
    }

    fn print_json(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        writeln!(out)
    }

    fn print(&self, lock: &Path, out: &mut impl Write) -> io::Result<()> {
        for row in &self.tools {
            let (word, look) = match row.state {
                State::New => ("new", GOOD),
                State::Changed => ("changed", BAD),
                State::Gone => ("gone", DIM),
            };
            let name = format!("{}/{}", row.backend, style::one_line(&row.tool));
            write!(out, "{look}{word}{look:#} {HEAD}{name}{HEAD:#}")?;
            if let Some(change) = &row.change {
                write!(out, ": {change}")?;
            }
            writeln!(out)?;
            for line in row.diff.iter().flat_map(|diff| diff.lines()) {
                writeln!(out, "  {}", style::lines(line))?;
            }
        }
        let count = |state| self.tools.iter().filter(|row| row.state == state).count();
        let (new, changed) = (count(State::New), count(State::Changed));
        let file = lock.display();
        match (new + changed, self.accepted) {
            (0, _) => writeln!(out, "nothing to accept: all tools are as {file} has them"),
            (_, true) => writeln!(
                out,
                "accepted: {new} new, {changed} changed; written to {file}. A gateway that runs takes it up when it is started anew"
            ),
            (_, false) => writeln!(
                out,
                "{CAUTION}nothing is accepted yet:{CAUTION:#} {new} new, {changed} changed; without --dry-run they are written to {file}"
            ),
        }
    }
}

/// What has become of the tools of a backend that was reached.
fn rows(surveyed: &SurveyedBackend, lock: &Lock) -> Vec<Row> {
    let backend = surveyed.backend.name();
    let (new, changed) = (&surveyed.findings.new, &surveyed.findings.changed);
    let new = new.iter().map(|pin| row(State::New, pin, None));
    let changed = changed
        .iter()
        .map(|change| row(State::Changed, &change.now, Some(change)));
    let is_pinned = surveyed.backend.config.tools.pin != PinMode::Off;
    let gone = lock
        .of(backend)
        .filter(|pin| is_pinned && !surveyed.has_tool(&pin.tool))
        .map(|pin| row(State::Gone, pin, None));
    changed.chain(new).chain(gone).collect()
}

fn row(state: State, pin: &Pin, change: Option<&Change>) -> Row {
    Row {
        backend: pin.backend.to_string(),
        tool: pin.tool.to_string(),
        state,
        change: change.map(Change::to_string),
        diff: change.map(|change| change.diff(MOST_LINES)),
        sha256: pin.sha256.to_string(),
        now: pin.clone(),
    }
}
