//! `pin`: shows how tools have changed since they were accepted, and accepts their current definitions.
//!
//! Owns the selection of tools and the output. What counts as a change is decided in
//! [`crate::catalog`], how the lock is written in [`crate::state`].

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::catalog::Change;
use crate::cli::args::Pin as Args;
use crate::cli::exit::{BAD_CONFIG, FAILED, OK};
use crate::cli::survey::{BackendSurvey, SurveyedBackend};
use crate::cli::terminal::{
    BAD, CAUTION, DIM, GOOD, HEAD, lines, one_line, print_message, print_report, print_result, warn,
};
use crate::config::{Config, Lock, NamedTool, Pin, PinMode};
use crate::protocol::{ClientProfile, Kind};
use crate::state::pins::{self, Accepted, Place};

/// Most lines of one tool's diff.
const MAX_DIFF_LINES: usize = 200;

/// Prints new, changed and removed tools and, without `--dry-run`, accepts the new and changed ones.
pub(super) async fn pin(config: Config, args: &Args) -> u8 {
    let place = match Place::of(&config.lock) {
        Ok(place) => place,
        Err(why) => return refuse(&format!("nothing can be accepted: {why}")),
    };
    let selection = match Selection::parse(&config, &args.tools) {
        Ok(selection) => selection,
        Err(why) => return refuse(&why),
    };
    let lock = Arc::clone(&config.lock.lock);
    // Tools that are listed only for clients with a capability can be accepted too.
    let client = ClientProfile::ourselves_able();
    let timeout = args.timeout.duration();
    let survey = BackendSurvey::connect_all_as(client, config, timeout, |_, _| ()).await;
    let mut code = warn_of_missing(&survey, &selection);
    let mut report = Report::of(&survey, &lock, &selection);
    let changed =
        report.tools.iter().any(|tool| tool.state == State::Changed) || !report.names.is_empty();
    if !args.dry_run {
        let names: Vec<NamedTool> = survey.built.catalog.names().tools().collect();
        if let Err(error) = pins::accept(&place, report.accepted(&names)) {
            print_message(&format!(
                "{}: can't be written: {error}",
                place.path.display()
            ));
            return FAILED;
        }
        report.accepted = true;
    } else if changed {
        code = FAILED;
    }
    let result = if args.json {
        print_report(&mut io::stdout().lock(), |out| report.print_json(out))
    } else {
        print_report(&mut anstream::stdout().lock(), |out| {
            report.print(&survey.config, &place.path, out)
        })
    };
    print_result(result, code)
}

fn refuse(why: &str) -> u8 {
    print_message(&one_line(why));
    BAD_CONFIG
}

/// Warns about selected backends that are down and selected tools that don't exist.
fn warn_of_missing(survey: &BackendSurvey, selection: &Selection) -> u8 {
    let mut code = OK;
    let mut fail = |what: String| {
        warn(&one_line(&what));
        code = FAILED;
    };
    for (surveyed, why) in survey.down() {
        if selection.has_backend(surveyed.backend.name()) {
            fail(format!("{} is down: {why}", surveyed.backend.name()));
        }
    }
    for surveyed in survey
        .members
        .iter()
        .filter(|surveyed| surveyed.connection.is_ok())
    {
        let backend = surveyed.backend.name();
        for tool in selection.tools_of(backend) {
            if !surveyed.has_tool(tool) {
                fail(format!("{backend} has no tool {tool:?}"));
            }
        }
    }
    code
}

/// The selected backends and tools; empty is all.
struct Selection(Vec<(String, Option<String>)>);

impl Selection {
    fn parse(config: &Config, args: &[String]) -> Result<Self, String> {
        let parse = |text: &String| {
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
        args.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    fn has_backend(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|(backend, _)| backend == name)
    }

    fn has(&self, pin: &Pin) -> bool {
        let is_selected = |(backend, tool): &(String, Option<String>)| {
            let named = |tool: &String| pin.subject.tool().is_some_and(|own| **own == **tool);
            **backend == *pin.backend && tool.as_ref().is_none_or(named)
        };
        self.0.is_empty() || self.0.iter().any(is_selected)
    }

    fn has_tool(&self, backend: &str, own: &str) -> bool {
        let is_selected = |(name, tool): &(String, Option<String>)| {
            name == backend && tool.as_ref().is_none_or(|tool| tool == own)
        };
        self.0.is_empty() || self.0.iter().any(is_selected)
    }

    fn tools_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(backend, _)| backend == name);
        named.filter_map(|(_, tool)| tool.as_deref())
    }
}

/// How a tool compares to the lock.
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
    /// `null` for the backend's instructions.
    tool: Option<String>,
    state: State,
    /// A short description of the change, for a changed tool.
    change: Option<String>,
    diff: Option<String>,
    sha256: String,
    #[serde(skip)]
    current: Pin,
}

/// A name that another backend's tool had before.
#[derive(Debug, Serialize)]
struct TakenName {
    name: String,
    /// The tool that has it now.
    backend: String,
    tool: String,
    /// The backend that had it.
    before: String,
}

/// What `pin --json` prints.
#[derive(Debug, Serialize)]
struct Report {
    accepted: bool,
    tools: Vec<Row>,
    names: Vec<TakenName>,
    /// The selected backends that are down, of which nothing is compared.
    #[serde(skip)]
    down: Vec<String>,
    /// Whether a selected backend is up and its tools are compared.
    #[serde(skip)]
    is_any_compared: bool,
}

impl Report {
    fn of(survey: &BackendSurvey, lock: &Lock, selection: &Selection) -> Self {
        let connected = survey
            .members
            .iter()
            .filter(|surveyed| surveyed.connection.is_ok());
        let rows = connected.flat_map(|surveyed| rows(surveyed, lock));
        let (up, down): (Vec<_>, Vec<_>) = survey
            .members
            .iter()
            .filter(|surveyed| surveyed.backend.config.tools.pin != PinMode::Off)
            .filter(|surveyed| selection.has_backend(surveyed.backend.name()))
            .partition(|surveyed| surveyed.connection.is_ok());
        let taken = survey.built.takeovers.iter();
        let taken = taken.filter(|taken| taken.kind == Kind::Tool);
        let names = taken.filter(|taken| selection.has_tool(&taken.backend, &taken.own));
        Self {
            accepted: false,
            tools: rows.filter(|row| selection.has(&row.current)).collect(),
            names: names
                .map(|taken| TakenName {
                    name: taken.name.to_string(),
                    backend: taken.backend.to_string(),
                    tool: taken.own.to_string(),
                    before: taken.before.to_string(),
                })
                .collect(),
            down: down
                .iter()
                .map(|surveyed| surveyed.backend.name().to_owned())
                .collect(),
            is_any_compared: !up.is_empty(),
        }
    }

    /// What is to be accepted. A removed tool keeps its pin, since it may come back.
    fn accepted<'a>(&self, names: &'a [NamedTool]) -> Accepted<'a> {
        let present = self.tools.iter().filter(|row| row.state != State::Gone);
        Accepted {
            pins: present.map(|row| row.current.clone()).collect(),
            names,
            taken: self
                .names
                .iter()
                .map(|taken| taken.name.as_str().into())
                .collect(),
        }
    }

    fn print_json(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        writeln!(out)
    }

    fn print(&self, config: &Config, lock: &Path, out: &mut impl Write) -> io::Result<()> {
        for row in &self.tools {
            let (word, style) = match row.state {
                State::New => ("new", GOOD),
                State::Changed => ("changed", BAD),
                State::Gone => ("gone", DIM),
            };
            let subject = one_line(&row.current.subject.to_string());
            let name = match row.tool {
                Some(_) => format!("{}/{subject}", row.backend),
                None => format!("{}, its {subject}", row.backend),
            };
            write!(out, "{style}{word}{style:#} {HEAD}{name}{HEAD:#}")?;
            if let Some(change) = &row.change {
                write!(out, ": {change}")?;
            }
            writeln!(out)?;
            for line in row.diff.iter().flat_map(|diff| diff.lines()) {
                writeln!(out, "  {}", lines(line))?;
            }
            let accept = config.pin_command(&row.backend, Some(&row.current.subject));
            let accept = accept.filter(|_| row.state == State::Changed && !self.accepted);
            if let Some(accept) = accept {
                writeln!(out, "  {DIM}accept it:{DIM:#} {}", one_line(&accept))?;
            }
        }
        for TakenName {
            name,
            backend,
            tool,
            before,
        } in &self.names
        {
            let tool = one_line(tool);
            writeln!(
                out,
                "{CAUTION}name{CAUTION:#} {HEAD}{name}{HEAD:#}: {backend}/{tool} has it, {before} had it before"
            )?;
        }
        self.print_summary(lock, out)
    }

    /// What was not compared, and what was or can be accepted.
    fn print_summary(&self, lock: &Path, out: &mut impl Write) -> io::Result<()> {
        for backend in &self.down {
            writeln!(out, "nothing was compared for {backend}: it is down")?;
        }
        let count = |state| self.tools.iter().filter(|row| row.state == state).count();
        let (new, changed) = (count(State::New), count(State::Changed));
        let file = lock.display();
        match (new + changed + self.names.len(), self.accepted) {
            (0, _) if self.down.is_empty() => {
                writeln!(out, "nothing to accept: all tools are as in {file}")
            }
            (0, _) if self.is_any_compared => writeln!(
                out,
                "nothing to accept of the other backends: their tools are as in {file}"
            ),
            (0, _) => Ok(()),
            (_, true) => writeln!(
                out,
                "accepted: {new} new, {changed} changed; written to {file}. A running gateway takes it at once"
            ),
            (_, false) => writeln!(
                out,
                "{CAUTION}nothing is accepted yet:{CAUTION:#} {new} new, {changed} changed; without --dry-run and without a name, all of them are written to {file}"
            ),
        }
    }
}

/// The rows of a backend that is connected.
fn rows(surveyed: &SurveyedBackend, lock: &Lock) -> Vec<Row> {
    let backend = surveyed.backend.name();
    let (new, changed) = (&surveyed.findings.new, &surveyed.findings.changed);
    let new = new.iter().map(|pin| row(State::New, pin, None));
    let changed = changed
        .iter()
        .map(|change| row(State::Changed, &change.current, Some(change)));
    let is_pinned = surveyed.backend.config.tools.pin != PinMode::Off;
    let gone = lock
        .of(backend)
        .filter(|pin| is_pinned && !surveyed.has(&pin.subject))
        .map(|pin| row(State::Gone, pin, None));
    changed.chain(new).chain(gone).collect()
}

fn row(state: State, pin: &Pin, change: Option<&Change>) -> Row {
    Row {
        backend: pin.backend.to_string(),
        tool: pin.subject.tool().map(ToString::to_string),
        state,
        change: change.map(Change::to_string),
        diff: change.map(|change| change.diff(MAX_DIFF_LINES)),
        sha256: pin.sha256.to_string(),
        current: pin.clone(),
    }
}
