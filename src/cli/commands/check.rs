//! `check`: reports the state of every backend, and what to do about those that are down.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use serde::Serialize;

use crate::cli::exit::{FAILED, OK};
use crate::cli::survey::{BackendSurvey, SurveyedBackend};
use crate::cli::terminal::{
    BAD, CAUTION, Cell, DIM, GOOD, PLAIN, Side, Table, one_line, print_report, print_result,
};
use crate::config::{Config, PinMode};
use crate::protocol::Kind;
use crate::state::age;

/// Prints a row for each backend.
pub(super) async fn check(config: Config, json: bool) -> u8 {
    let (source, mut warnings) = (config.source.clone(), config.warnings.clone());
    let gateway = config.gateway.clone();
    let survey = BackendSurvey::connect_all(config).await;
    let catalog = &survey.built.catalog;
    warnings.extend(catalog.advice_on_count());
    warnings.extend(catalog.advice_on_names(&gateway));
    let report = Report::of(source, warnings, &survey);
    let all_up = report.backends.iter().all(|backend| backend.up);
    let result = if json {
        print_report(&mut io::stdout().lock(), |out| report.print_json(out))
    } else {
        print_report(&mut anstream::stdout().lock(), |out| report.print(out))
    };
    print_result(result, if all_up { OK } else { FAILED })
}

/// What `check --json` prints.
#[derive(Debug, Serialize)]
struct Report {
    /// `null` where there are only flags.
    config: Option<PathBuf>,
    warnings: Vec<String>,
    backends: Vec<Row>,
}

/// The state of one backend. Members that need a connection are `null` for backends that are down.
#[derive(Debug, Default, Serialize)]
struct Row {
    name: String,
    url: String,
    up: bool,
    /// Why the backend is down, and what to do.
    error: Option<String>,
    /// `legacy` or `modern`.
    era: Option<&'static str>,
    protocol: Option<&'static str>,
    server: Option<Server>,
    /// Number of tools as listed to clients; likewise the following members.
    tools: usize,
    resources: usize,
    resource_templates: usize,
    prompts: usize,
    latency_ms: Option<f64>,
    /// If it is down but listed from the cache: time of the last contact, in seconds of Unix time.
    last_contact: Option<u64>,
    /// Further messages about the backend.
    notes: Vec<String>,
}

/// `serverInfo` of the backend.
#[derive(Debug, Serialize)]
struct Server {
    name: String,
    version: String,
}

impl Report {
    fn of(config: Option<PathBuf>, warnings: Vec<String>, survey: &BackendSurvey) -> Self {
        let backends = survey
            .members
            .iter()
            .map(|surveyed| Row::of(surveyed, survey));
        Self {
            config,
            warnings,
            backends: backends.collect(),
        }
    }

    fn print_json(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        writeln!(out)
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        match &self.config {
            Some(path) => writeln!(out, "config: {}", path.display())?,
            None => writeln!(out, "config: none, flags only")?,
        }
        for warning in &self.warnings {
            writeln!(out, "{CAUTION}warning:{CAUTION:#} {warning}")?;
        }
        writeln!(out)?;
        let mut table = Table::new(&[
            ("BACKEND", Side::Left),
            ("", Side::Left),
            ("URL", Side::Left),
            ("PROTOCOL", Side::Left),
            ("SERVER", Side::Left),
            ("TOOLS", Side::Right),
            ("RESOURCES", Side::Right),
            ("PROMPTS", Side::Right),
            ("LATENCY", Side::Right),
        ]);
        for backend in &self.backends {
            table.row(backend.cells());
        }
        table.print(out, None)?;
        let notes = self.backends.iter().flat_map(|backend| {
            let notes = backend.notes.iter();
            notes.map(move |note| (&backend.name, note))
        });
        for (at, (name, note)) in notes.enumerate() {
            let gap = if at == 0 { "\n" } else { "" };
            writeln!(out, "{gap}{CAUTION}note:{CAUTION:#} {name}: {note}")?;
        }
        Ok(())
    }
}

impl Row {
    fn of(surveyed: &SurveyedBackend, survey: &BackendSurvey) -> Self {
        let backend = &surveyed.backend;
        let count = |kind| {
            let entries = survey.built.catalog.entries(kind);
            entries.filter(|e| e.backend == backend.id).count()
        };
        let row = Self {
            name: backend.name().to_owned(),
            url: backend.config.shown_url.clone(),
            notes: notes(surveyed, survey),
            tools: count(Kind::Tool),
            resources: count(Kind::Resource),
            resource_templates: count(Kind::Template),
            prompts: count(Kind::Prompt),
            last_contact: surveyed.last_contact.and_then(|at| {
                let since = at.duration_since(UNIX_EPOCH).ok()?;
                Some(since.as_secs())
            }),
            ..Self::default()
        };
        match &surveyed.connection {
            Err(why) => Self {
                error: Some(why.clone()),
                ..row
            },
            Ok(connection) => Self {
                up: true,
                era: Some(connection.era.name()),
                protocol: Some(connection.version),
                server: Some(Server {
                    name: connection.server.name.clone(),
                    version: connection.server.version.clone(),
                }),
                // To a tenth of a millisecond.
                latency_ms: Some((connection.latency.as_secs_f64() * 1e4).round() / 10.0),
                ..row
            },
        }
    }

    fn cells(&self) -> Vec<Cell> {
        let name = Cell::from(self.name.clone());
        let url = Cell::new(self.url.clone(), DIM);
        if let Some(why) = &self.error {
            let down = Cell::new("down", BAD);
            return vec![name, down, url, Cell::rest(one_line(why), PLAIN)];
        }
        let server = self.server.as_ref().map(|server| {
            let shown = format!("{} {}", server.name, server.version);
            one_line(&shown)
        });
        vec![
            name,
            Cell::new("up", GOOD),
            url,
            Cell::from(format!(
                "{} {}",
                self.era.unwrap_or_default(),
                self.protocol.unwrap_or_default()
            )),
            Cell::from(server.unwrap_or_default()),
            Cell::from(self.tools.to_string()),
            Cell::from((self.resources + self.resource_templates).to_string()),
            Cell::from(self.prompts.to_string()),
            Cell::from(format!("{:.0} ms", self.latency_ms.unwrap_or_default())),
        ]
    }
}

/// Failed lists, use of the cache, changed definitions, rejected and mended items of one backend.
fn notes(surveyed: &SurveyedBackend, survey: &BackendSurvey) -> Vec<String> {
    let config = &surveyed.backend.config;
    let failed = surveyed.failed_lists().map(|(_, why)| one_line(&why));
    let stale = surveyed.last_contact.map(|at| {
        let age = age(at);
        format!("what it listed at last contact, {age}, is served meanwhile; a call connects first")
    });
    let changed = surveyed.findings.changed.iter();
    let changed = changed
        .filter(|_| config.tools.pin == PinMode::Warn)
        .map(|change| {
            let tool = &change.now.tool;
            format!("tools/list: {tool}: {change}; `sentinel-gateway pin --dry-run` shows it")
        });
    let rejected = survey
        .built
        .rejected
        .iter()
        .filter(|item| *item.backend == *config.name)
        .map(|item| {
            let list = item.kind.list_method();
            format!("{list}: {} is withheld: {}", item.name, item.reason)
        });
    let mended = survey.built.mended.iter();
    let mended = mended
        .filter(|item| *item.backend == *config.name)
        .map(|item| {
            let list = item.kind.list_method();
            format!("{list}: {} is mended for clients: {}", item.name, item.what)
        });
    let notes = failed.chain(stale).chain(changed);
    notes.chain(rejected).chain(mended).collect()
}
