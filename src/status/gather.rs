//! Makes the status document from what the gateway has.
//!
//! Owns [`Facts`], the sources that it is read from, and the bounds on what is told of a backend's tools. It
//! changes nothing, and calls pay nothing for it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::document::{BackendStatus, ClientStatus, ErrorStatus, GatewayStatus};
use super::document::{SignInStatus, State};
use crate::auth::status::status as sign_in_status;
use crate::backend::{HttpBackend, State as Connected};
use crate::budget::Budget;
use crate::call_report::BackendId;
use crate::clock;
use crate::config::{BackendConfig, Config, ConfiguredName};
use crate::observe::LineCounts;
use crate::observe::call_stats::{DurationTotals, SessionBook};
use crate::protocol::{ClientProfile, Kind};
use crate::reload::ReloadCounts;
use crate::snapshot::{Snapshot, Snapshots};
use crate::tasks;
use crate::telemetry::{BackendLevels, Levels, Telemetry};

/// Most names of tools of a backend, and bytes of all names from which on no more are told.
const MAX_TOOL_NAMES: usize = 500;
const MAX_NAME_BYTES: usize = 1 << 20;

/// The tools of one backend that clients can call.
#[derive(Debug, Default)]
struct Tools {
    count: usize,
    names: Vec<String>,
}

/// What the document of a gateway is made from.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    snapshots: Snapshots,
    client: watch::Receiver<Option<Arc<ClientProfile>>>,
    budget: Budget,
    counts: Counts,
    started: Instant,
    started_at: SystemTime,
}

/// What is counted over the whole run, whatever becomes of backends.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    /// The counts of the audit file.
    pub(crate) records: Arc<LineCounts>,
    pub(crate) sessions: SessionBook,
    pub(crate) reloads: Arc<ReloadCounts>,
}

impl Facts {
    /// The facts of a gateway that starts now.
    pub(crate) fn new(
        snapshots: Snapshots,
        client: watch::Receiver<Option<Arc<ClientProfile>>>,
        budget: Budget,
        counts: Counts,
    ) -> Self {
        Self {
            snapshots,
            client,
            budget,
            counts,
            started: Instant::now(),
            started_at: clock::wall(),
        }
    }

    /// Resolves when the config allows that the gateway is seen, or no longer does; `false` when the
    /// gateway ends.
    pub(super) async fn wait_until_shown(&mut self, shown: bool) -> bool {
        let is_so = |snapshot: &Arc<Snapshot>| snapshot.config.gateway.status == shown;
        self.snapshots.wait_for(is_so).await.is_ok()
    }

    /// Where metrics are served, as the config says now.
    pub(super) fn listen_address(&self) -> Option<SocketAddr> {
        self.snapshots.borrow().config.listen
    }

    /// Resolves when that is no longer this address; `false` when the gateway ends.
    pub(super) async fn listens_elsewhere(&mut self, address: Option<SocketAddr>) -> bool {
        let is_other = |snapshot: &Arc<Snapshot>| snapshot.config.listen != address;
        self.snapshots.wait_for(is_other).await.is_ok()
    }

    /// Whether every backend has listed, or failed to list, once.
    pub(super) fn are_lists_settled(&self) -> bool {
        self.snapshots.borrow().settled.is_all()
    }

    /// The document of now.
    pub(super) async fn document(&self) -> GatewayStatus {
        let config = Arc::clone(&self.snapshots.borrow().config);
        let mut document = self.numbers().await;
        for status in &mut document.backends {
            let mut entries = config.backends.iter();
            if let Some(entry) = entries.find(|entry| *entry.name == *status.name) {
                status.sign_in = sign_in(entry, status.awaits_sign_in).await;
            }
        }
        document
    }

    fn levels(&self) -> Levels {
        let snapshot = Arc::clone(&self.snapshots.borrow());
        let backends = snapshot.backends.iter().map(|backend| BackendLevels {
            name: backend.name().to_owned(),
            refuses_calls: snapshot.admission.would_refuse(backend.id),
            rate_limited: snapshot.admission.refused_by_limits(backend.name()),
        });
        Levels {
            records_written: self.counts.records.written(),
            records_missing: self.counts.records.missing(),
            reloads: self.counts.reloads.all(),
            backends: backends.collect(),
        }
    }

    /// Has a collector, if there is one, told of numbers with each batch of metrics.
    pub(crate) fn tell(&self, telemetry: Option<&Telemetry>) {
        if let Some(telemetry) = telemetry {
            let facts = self.clone();
            telemetry.observe(move || facts.levels());
        }
    }

    /// The session with the client has ended, for this reason if it is a failure.
    pub(crate) fn tell_end(&self, telemetry: Option<&Telemetry>, failure: Option<&'static str>) {
        if let Some(telemetry) = telemetry {
            let version = self.client.borrow().as_ref().map(|client| client.version);
            telemetry.session_with_client(version, self.started.elapsed(), failure);
        }
    }

    /// The document without who is signed in, which is in files. How long it takes depends on the
    /// config and on what backends list, so another thread does it.
    pub(super) async fn numbers(&self) -> GatewayStatus {
        let snapshot = Arc::clone(&self.snapshots.borrow());
        let config = Arc::clone(&snapshot.config);
        let gathering = tasks::blocking(move || backends(&snapshot));
        let mut backends = gathering.await.unwrap_or_default();
        for backend in &mut backends {
            backend.sessions = self.counts.sessions.totals(&backend.name);
        }
        GatewayStatus {
            pid: process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: env!("SENTINEL_COMMIT").to_owned(),
            config: (config.source.as_ref()).map(|path| path.display().to_string()),
            administrators_file: (config.administered.as_ref())
                .map(|administered| administered.file.display().to_string()),
            unused_config: config.unused.clone(),
            follows_config: config.may_change(),
            started_at: unix_time(self.started_at),
            uptime_secs: self.started.elapsed().as_secs(),
            client: self.client.borrow().as_deref().map(client),
            buffered_bytes: self.budget.used() as u64,
            max_buffered_bytes: self.budget.limit() as u64,
            records_written: self.counts.records.written(),
            records_missing: self.counts.records.missing(),
            reloads_applied: self.counts.reloads.applied(),
            reloads_refused: self.counts.reloads.refused(),
            backends,
        }
    }
}

/// All backends in config order, without who is signed in to them, which is in files.
pub(crate) fn backends(snapshot: &Snapshot) -> Vec<BackendStatus> {
    let mut tools: HashMap<BackendId, Tools> = HashMap::new();
    let mut bytes = 0;
    for entry in snapshot.catalog.entries(Kind::Tool) {
        let tools = tools.entry(entry.backend).or_default();
        tools.count += 1;
        if tools.names.len() < MAX_TOOL_NAMES && bytes < MAX_NAME_BYTES {
            bytes += entry.own_name.len();
            tools.names.push(entry.own_name.to_string());
        }
    }
    let used: HashMap<&str, &Arc<HttpBackend>> = (snapshot.backends.iter())
        .map(|backend| (backend.name(), backend))
        .collect();
    let configured = snapshot.config.configured.iter().map(|known| &*known.name);
    let flags = snapshot.backends.iter().map(|backend| backend.name());
    let flags = flags.filter(|name| {
        let mut configured = snapshot.config.configured.iter();
        configured.all(|known| *known.name != **name)
    });
    let administered = snapshot.config.administered.iter();
    let administrators: HashMap<&str, &str> = administered
        .flat_map(|administered| &administered.backends)
        .map(|(name, url)| (&**name, &**url))
        .collect();
    let all = configured.chain(flags).map(|name| match used.get(name) {
        Some(backend) => of_backend(
            backend,
            snapshot,
            tools.remove(&backend.id).unwrap_or_default(),
        ),
        None => BackendStatus {
            name: name.to_owned(),
            url: administrators
                .get(name)
                .copied()
                .unwrap_or_default()
                .to_owned(),
            of_administrator: administrators.contains_key(name),
            state: State::Disabled,
            why: Some(why_off(name, &snapshot.config)),
            rate_limited: snapshot.admission.refused_by_limits(name),
            ..BackendStatus::default()
        },
    });
    all.collect()
}

fn of_backend(backend: &HttpBackend, snapshot: &Snapshot, tools: Tools) -> BackendStatus {
    let numbers = backend.call_numbers();
    let (state, connection, awaits_sign_in) = match backend.state() {
        Connected::Ready(connection) => (State::Up, Some(connection), false),
        Connected::Connecting { .. } => (State::Connecting, None, false),
        Connected::Down { error, .. } => (State::Down, None, error.awaits_sign_in()),
    };
    BackendStatus {
        name: backend.name().to_owned(),
        url: backend.config.shown_url.clone(),
        of_administrator: backend.config.of_administrator,
        state,
        why: (state != State::Up).then(|| backend.why_down()).flatten(),
        awaits_sign_in,
        refuses_calls: state == State::Up && snapshot.admission.would_refuse(backend.id),
        era: connection.as_ref().map(|made| made.era.name().to_owned()),
        protocol: connection.as_ref().map(|made| made.version.to_owned()),
        sign_in: None,
        tools: tools.count,
        tool_names: tools.names,
        pins_changed: (snapshot.pins_changed.get(&backend.id).copied()).unwrap_or_default(),
        in_flight: numbers.in_flight,
        queued: numbers.queued,
        max_in_flight: backend.config.max_in_flight,
        calls: numbers.calls,
        errors: numbers.errors,
        rate_limited: snapshot.admission.refused_by_limits(backend.name()),
        // Counted by name: see `numbers`.
        sessions: DurationTotals::default(),
        durations: numbers.durations,
        calls_per_minute: rounded(numbers.per_minute),
        p50_ms: numbers.p50.map(milliseconds),
        p99_ms: numbers.p99.map(milliseconds),
        last_error: numbers.last_error.map(|error| ErrorStatus {
            at: unix_time(error.at),
            class: name_of(&error.class),
            message: error.text,
        }),
    }
}

/// Why a backend of the config is not used, and what to do.
fn why_off(name: &str, config: &Config) -> String {
    if let Some(why) = config.all_off_by_administrator() {
        return why.to_owned();
    }
    let known = config.configured.iter().find(|known| *known.name == *name);
    match known {
        _ if !config.gateway.enabled => {
            "everything is switched off: sentinel-gateway enable --all".to_owned()
        }
        Some(ConfiguredName {
            held: Some(why), ..
        }) => why.to_string(),
        Some(known) if known.left_out => "left out by --only or --profile".to_owned(),
        _ => format!("switched off: sentinel-gateway enable {name}"),
    }
}

async fn sign_in(entry: &BackendConfig, awaits: bool) -> Option<SignInStatus> {
    let status = sign_in_status(entry).await?;
    Some(SignInStatus {
        state: match awaits {
            true => "sign_in".to_owned(),
            false => name_of(&status.state),
        },
        expires_at: status.expires_at,
        why: status.why,
    })
}

fn client(profile: &ClientProfile) -> ClientStatus {
    let said = |key: &str| {
        let info = profile.info.as_ref();
        let text = info.and_then(|info| info.get(key)?.text());
        text.unwrap_or_default().chars().take(MAX_NAME).collect()
    };
    ClientStatus {
        name: said("name"),
        version: said("version"),
        era: profile.era.name().to_owned(),
        protocol: profile.version.to_owned(),
    }
}

/// Most characters of a client's name, and of its version.
const MAX_NAME: usize = 100;

/// The name that a value has in JSON.
fn name_of(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn unix_time(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn milliseconds(time: Duration) -> f64 {
    rounded(time.as_secs_f64() * 1e3)
}

/// A number with two digits after the point.
fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
