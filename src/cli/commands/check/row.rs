//! One backend in the report: owns its members in `check --json`, the cells of its row, and its notes.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
use url::Url;

use super::aliases::{Alias, aliases, note};
use super::limits::{self, Limits, limits};
use crate::auth::status::{SignInState, Status};
use crate::catalog::{Catalog, Names, Takeover};
use crate::cli::survey::{BackendSurvey, SurveyedBackend};
use crate::cli::terminal::{BAD, CAUTION, Cell, DIM, Fit, GOOD, PLAIN, Side, Table, one_line};
use crate::config::{Config, PinMode, Subject};
use crate::protocol::{Kind, LATEST_LEGACY};
use crate::state::age;

/// The state of one backend. Members that need a connection are `null` for backends that are down.
#[derive(Debug, Default, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    url: String,
    pub(super) up: bool,
    /// Why the backend is down, and what to do.
    pub(super) error: Option<String>,
    /// A person has to sign in first.
    #[serde(skip)]
    awaits_sign_in: bool,
    /// Who is signed in; `null` where nobody can.
    auth: Option<Status>,
    /// `legacy` or `modern`.
    era: Option<&'static str>,
    protocol: Option<&'static str>,
    server: Option<Server>,
    /// Number of tools as listed to clients; likewise the following members.
    pub(super) tools: usize,
    resources: usize,
    resource_templates: usize,
    prompts: usize,
    latency_ms: Option<f64>,
    /// If it is down but listed from the cache: time of the last contact, in seconds of Unix time.
    last_contact: Option<u64>,
    /// Lists that could not be fetched.
    failed_lists: Vec<FailedList>,
    /// Tools that differ from what was accepted.
    pub(super) changed: Vec<ChangedTool>,
    /// Items that are not listed to clients.
    withheld: Vec<Withheld>,
    /// Items that clients see in another form than the backend lists them.
    mended: Vec<Mended>,
    /// Names that another backend had before.
    pub(super) taken_names: Vec<TakenName>,
    /// URIs that clients see under an alias, since another backend has them too.
    aliases: Vec<Alias>,
    /// The limits that the config sets on its calls.
    limits: Option<Limits>,
    /// Rules of the config that match no tool.
    unmatched_rules: Vec<UnmatchedRule>,
    /// What there is to know of it in words, the rules that match no tool included.
    pub(super) notes: Vec<String>,
}

/// `serverInfo` of the backend.
#[derive(Debug, Serialize)]
struct Server {
    name: String,
    version: String,
}

#[derive(Debug, Serialize)]
struct FailedList {
    list: &'static str,
    error: String,
}

/// A tool or the instructions, changed since they were accepted.
#[derive(Debug, Serialize)]
pub(super) struct ChangedTool {
    /// Its own name; `null` for the instructions.
    tool: Option<String>,
    change: String,
    /// Whether it is withheld until it is accepted.
    blocked: bool,
    /// What to type to accept it; `null` where accepted definitions aren't kept.
    pub(super) accept: Option<String>,
}

#[derive(Debug, Serialize)]
struct Withheld {
    list: &'static str,
    name: String,
    reason: String,
}

#[derive(Debug, Serialize)]
struct Mended {
    list: &'static str,
    name: String,
    what: String,
}

/// A name that another backend's item had before.
#[derive(Debug, Serialize)]
pub(super) struct TakenName {
    list: &'static str,
    name: String,
    /// The backend that had it.
    before: String,
    /// What to type to accept it; `null` where accepted names aren't kept.
    pub(super) accept: Option<String>,
}

#[derive(Debug, Serialize)]
struct UnmatchedRule {
    key: &'static str,
    pattern: String,
    did_you_mean: Option<String>,
}

const COLUMNS: [(&str, Side); 9] = [
    ("BACKEND", Side::Left),
    ("", Side::Left),
    ("URL", Side::Left),
    ("PROTOCOL", Side::Left),
    ("TOOLS", Side::Right),
    ("RESOURCES", Side::Right),
    ("PROMPTS", Side::Right),
    ("LATENCY", Side::Right),
    ("SERVER", Side::Left),
];

/// A table without rows.
pub(super) fn table() -> Table {
    Table::new(&COLUMNS, Fit::Wrap)
}

/// Rows as wide as those of these backends may become, before anything is known of them. How wide a
/// server's name is doesn't matter, since it comes last.
pub(super) fn expected_rows(config: &Config) -> Table {
    let mut table = table();
    for backend in &config.backends {
        let row = Row {
            name: backend.name.to_string(),
            url: backend.shown_url.clone(),
            up: true,
            era: Some("legacy"),
            protocol: Some(LATEST_LEGACY),
            server: Some(Server {
                name: "server".to_owned(),
                version: "1.2.3 of 2026".to_owned(),
            }),
            tools: 10_000,
            latency_ms: Some(99_999.0),
            ..Row::default()
        };
        let down = Row {
            error: Some(String::new()),
            ..Row::default()
        };
        table.row(row.cells());
        table.row(down.cells());
    }
    table
}

impl Row {
    /// The row with what the catalog of all backends lists.
    pub(super) fn of(surveyed: &SurveyedBackend, survey: &BackendSurvey) -> Self {
        let mut row = Self::listed(surveyed, &survey.built.catalog);
        row.failed_lists = (surveyed.failed_lists())
            .map(|(kind, error)| FailedList {
                list: kind.list_method(),
                error: one_line(&error),
            })
            .collect();
        row.changed = changed(surveyed, &survey.config);
        let rejected = survey.built.rejected.iter();
        row.withheld = rejected
            .filter(|item| *item.backend == *surveyed.backend.config.name)
            .map(|item| Withheld {
                list: item.kind.list_method(),
                name: item.name.clone(),
                reason: item.reason.to_string(),
            })
            .collect();
        let mended = survey.built.mended.iter();
        row.mended = mended
            .filter(|item| *item.backend == *surveyed.backend.config.name)
            .map(|item| Mended {
                list: item.kind.list_method(),
                name: item.name.clone(),
                what: item.what.clone(),
            })
            .collect();
        let taken = survey.built.takeovers.iter();
        row.taken_names = taken
            .filter(|taken| *taken.backend == *surveyed.backend.config.name)
            .map(|taken| TakenName {
                list: taken.kind.list_method(),
                name: taken.name.to_string(),
                before: taken.before.to_string(),
                accept: accept_name(taken, &survey.config),
            })
            .collect();
        row.unmatched_rules = (surveyed.unmatched_rules().iter())
            .map(|rule| UnmatchedRule {
                key: rule.key,
                pattern: rule.pattern.clone(),
                did_you_mean: rule.meant.clone(),
            })
            .collect();
        row.limits = Some(limits(&surveyed.backend.config));
        row.aliases = aliases(&survey.built.catalog, surveyed.backend.id);
        row.auth = surveyed.sign_in.clone();
        if let Some(auth) = row.auth.as_mut().filter(|_| row.awaits_sign_in) {
            auth.state = SignInState::SignIn;
        }
        row.notes = row.notes(surveyed);
        row
    }

    /// The row with what it alone lists, before all backends are known.
    pub(super) fn of_alone(config: &Config, surveyed: &SurveyedBackend) -> Self {
        let sources = [surveyed.source()];
        let built = Catalog::build(&config.gateway, &sources, &Names::default());
        Self::listed(surveyed, &built.catalog)
    }

    fn listed(surveyed: &SurveyedBackend, catalog: &Catalog) -> Self {
        let backend = &surveyed.backend;
        let count = |kind| {
            let entries = catalog.entries(kind);
            entries.filter(|e| e.backend == backend.id).count()
        };
        let row = Self {
            name: backend.name().to_owned(),
            url: backend.config.shown_url.clone(),
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
                awaits_sign_in: surveyed.awaits_sign_in,
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

    pub(super) fn cells(&self) -> Vec<Cell> {
        let name = Cell::from(self.name.clone());
        let url = Cell::new(self.url.clone(), DIM);
        if let Some(why) = &self.error {
            let down = match self.awaits_sign_in {
                true => Cell::new("login", CAUTION),
                false => Cell::new("down", BAD),
            };
            let why = Cell::rest(one_line(why), PLAIN, "why");
            return vec![name, down, url, why];
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
            Cell::from(self.tools.to_string()),
            Cell::from((self.resources + self.resource_templates).to_string()),
            Cell::from(self.prompts.to_string()),
            Cell::from(format!("{:.0} ms", self.latency_ms.unwrap_or_default())),
            Cell::from(server.unwrap_or_default()),
        ]
    }

    /// Whether it is up, and there is nothing to do about it.
    pub(super) fn is_well(&self) -> bool {
        let facts = [self.signed_in(), note(&self.aliases), self.limited()];
        self.up && (self.notes.iter()).all(|note| facts.iter().flatten().any(|fact| fact == note))
    }

    /// Who is signed in, in words.
    fn signed_in(&self) -> Option<String> {
        let auth = self.auth.as_ref().filter(|_| self.up)?;
        signed_in(auth)
    }

    /// Its limits, in words.
    fn limited(&self) -> Option<String> {
        self.limits.as_ref().and_then(limits::note)
    }

    fn notes(&self, surveyed: &SurveyedBackend) -> Vec<String> {
        let failed = self.failed_lists.iter().map(|failed| failed.error.clone());
        let stale = surveyed.last_contact.map(|at| {
            let age = age(at);
            format!(
                "what it listed at last contact, {age}, is served meanwhile; a call connects first"
            )
        });
        let changed = self.changed.iter().filter(|changed| !changed.blocked);
        let changed = changed.map(|changed| match &changed.tool {
            Some(tool) => format!("tools/list: {}: {}", one_line(tool), changed.change),
            None => changed.change.clone(),
        });
        let withheld = self.withheld.iter().map(|item| {
            let Withheld { list, name, reason } = item;
            format!("{list}: {name} is withheld: {reason}")
        });
        let mended = self.mended.iter().map(|item| {
            let Mended { list, name, what } = item;
            format!("{list}: {name} is mended for clients: {what}")
        });
        let taken = self.taken_names.iter().map(|taken| {
            let TakenName {
                list, name, before, ..
            } = taken;
            format!("{list}: {name} is a name that {before} had before")
        });
        let rules = surveyed.unmatched_rules().iter().map(ToString::to_string);
        let sign_in = self.signed_in();
        (failed.chain(stale).chain(changed))
            .chain(sign_in)
            .chain(withheld)
            .chain(mended)
            .chain(taken)
            .chain(note(&self.aliases))
            .chain(self.limited())
            .chain(rules)
            .collect()
    }
}

/// Who is signed in, and how long that holds.
fn signed_in(auth: &Status) -> Option<String> {
    if auth.state != SignInState::Ok {
        return None;
    }
    let issuer = auth.issuer.as_deref()?;
    let host = Url::parse(issuer).ok();
    let host = host.as_ref().and_then(Url::host_str).unwrap_or(issuer);
    let until = auth.expires_at.map(|at| {
        let at = UNIX_EPOCH + Duration::from_secs(at);
        format!(" until {}", httpdate::fmt_http_date(at))
    });
    let renewal = match auth.renewable {
        true => "renewed by itself",
        false => "no refresh token: it has to be repeated then",
    };
    let until = until.unwrap_or_default();
    let sealed = match auth.store {
        "sealed" => ", sealed",
        _ => "",
    };
    let host = one_line(host);
    Some(format!("signed in at {host}{until}, {renewal}{sealed}"))
}

fn accept_name(taken: &Takeover, config: &Config) -> Option<String> {
    let tool = (taken.kind == Kind::Tool).then(|| Subject::Tool(Arc::clone(&taken.own)))?;
    config.pin_command(&taken.backend, Some(&tool))
}

fn changed(surveyed: &SurveyedBackend, config: &Config) -> Vec<ChangedTool> {
    let pin = surveyed.backend.config.tools.pin;
    let changed = surveyed.findings.changed.iter();
    let changed = changed.map(|change| ChangedTool {
        tool: change.current.subject.tool().map(ToString::to_string),
        change: change.to_string(),
        blocked: pin == PinMode::Block,
        accept: config.pin_command(&change.current.backend, Some(&change.current.subject)),
    });
    changed.collect()
}
