//! Sentinel Gateway: one stdio MCP server in front of many HTTP MCP servers.
//!
//! The floors, from the ground up. A module imports only from floors above its own in this list:
//!
//! - `clock`, `hex`, `nearest`, `shell`, `sync`, `tasks`: the wall clock, hexadecimal text, misspelt
//!   names, words of a command line, locks, work beside a task.
//! - [`budget`], `files`: the limit on buffered bytes; files read within a limit and replaced
//!   atomically.
//! - [`protocol`]: JSON-RPC and MCP as data.
//! - [`call_report`], `client_config`, `text`: the record of one call; entries in files of clients; text of
//!   servers made safe to show.
//! - [`config`], [`transport`]: the checked config; lines over stdio, HTTP clients.
//! - [`telemetry`]: traces and metrics.
//! - [`governance`], `install`, [`observe`], `state`: whether a call may be made now; writing our entry into
//!   files of clients; the log, signals; what persists between runs.
//! - [`auth`], `reload`: signing in to servers; noticing that the config has changed.
//! - [`backend`], [`catalog`], `collector`: one HTTP server and its calls; the lists of all servers, merged;
//!   how telemetry is sent.
//! - `snapshot`: what requests are served from.
//! - `client`, `status`: what is known of the client; what a running gateway says of itself.
//! - `dispatch`, `publish`: serving requests; building the next snapshot from listings.
//! - `gateway`: the loop that owns the requests in flight.
//! - `lib`, this file: [`run`] connects all of them.
//! - [`cli`]: the commands.
//!
//! A `tools/call` goes through `transport::stdio`, `gateway::intake`, `dispatch::route`,
//! `dispatch::call`, [`backend::call`], [`backend::session`] and [`backend::stream`]. Its response
//! returns to the loop as a `TaskEvent` and is written by `transport::stdio`. ARCHITECTURE.md
//! describes each step.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests may block and read files"
    )
)]

pub mod auth;
pub mod backend;
pub mod budget;
pub mod call_report;
pub mod catalog;
pub mod cli;
mod client;
mod client_config;
mod clock;
mod collector;
pub mod config;
mod dispatch;
mod files;
mod gateway;
pub mod governance;
mod hex;
mod install;
mod nearest;
pub mod observe;
pub mod protocol;
mod publish;
mod reload;
mod shell;
mod snapshot;
mod state;
mod status;
mod sync;
mod tasks;
pub mod telemetry;
mod text;
pub mod transport;

use std::sync::Arc;
use std::time::Duration;

use backend::Launcher;
use budget::Budget;
use client::Lifecycle;
use config::Config;
pub use gateway::ExitReason;
use gateway::{Fleet, Gateway, Inputs};
use observe::audit::Audit;
use observe::log_file;
pub use observe::signals::Shutdown;
use publish::Publisher;
use reload::Reloads;
use snapshot::KeptResults;
use state::StateWriter;
use status::{Counts, Facts, HttpServer, StatusServer};
use telemetry::Telemetry;
use text::keep_from_output;
use tokio::runtime::Handle;
pub use transport::stdio::Io;
use transport::stdio::{read_lines, write_lines};

/// The last lines are written for as long as the client takes something of them in this time.
const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for writing the state that the next run reads.
const STATE_WRITE_TIMEOUT: Duration = Duration::from_secs(3);

/// Time for writing the last records of calls.
const AUDIT_WRITE_TIMEOUT: Duration = Duration::from_secs(3);

/// Serves MCP over `io` until the input ends, the output breaks or `shutdown` requests it.
pub async fn run(config: Config, io: Io, mut shutdown: Shutdown) -> ExitReason {
    let config = Arc::new(config);
    let lifecycle = Lifecycle::new(&config.gateway);
    let budget = Budget::new(config.gateway.max_buffered_bytes);
    let introductions = lifecycle.introductions();
    let (state, state_writer) = state::open(&config);
    let contacts = state.contacts();
    let telemetry = collector::telemetry(config.telemetry.as_ref());
    let (launcher, from_backends) = Launcher::new(&config, &introductions, &budget, &contacts);
    let mut launcher = launcher.with_telemetry(telemetry.clone());
    let backends = config.backends.iter().map(|entry| launcher.start(entry));
    let backends: Vec<_> = backends.collect();
    let ids = backends
        .iter()
        .map(|backend| (backend.id, Arc::clone(&backend.config)));
    let cached = state.cached_listings(ids.collect());
    let publisher = Publisher::new(
        Arc::clone(&config),
        backends.clone(),
        state,
        KeptResults::new(&budget),
    );
    let socket_folders = config.socket_folders.clone();
    let max_message = config.gateway.max_message_bytes;
    let reloads = Reloads::watch(&config, shutdown.hangups());
    let audit = open_files(&config, telemetry.clone());
    let fleet = Fleet::new(config, backends, launcher);

    let (outbox, writer) = write_lines(io.writer, budget.clone());
    let lines = read_lines(io.reader, max_message, budget.clone());
    let mut inputs = Inputs::new(lines, from_backends, shutdown, writer, reloads, cached);
    let log_counts = tasks::spawn(observe::log_gate::report_counts());
    let clients = lifecycle.clients();
    let counts = counts(&audit, &fleet);
    let gateway = Gateway::new(lifecycle, publisher, outbox.clone())
        .with_fleet(fleet)
        .with_audit(audit);
    let facts = Facts::new(gateway.snapshots(), clients, budget, counts);
    facts.tell(telemetry.as_ref());
    let metrics = HttpServer::start(facts.clone());
    let status = StatusServer::start(facts.clone(), socket_folders);
    let (mut ending, fleet, audit) = gateway.run(&mut inputs).await;

    let tasks = Handle::current().metrics().num_alive_tasks();
    tracing::debug!(target: "sentinel_gateway::run", ?ending, tasks, "the gateway ends");
    log_counts.abort();
    drop(metrics);
    status.finish().await;
    outbox.close();
    if let Some(fleet) = fleet.filter(|_| ending != ExitReason::SecondSignal) {
        fleet.shutdown().await;
    }
    if !matches!(ending, ExitReason::SecondSignal | ExitReason::ClientStuck) {
        ending = write_last_lines(&mut inputs).await.unwrap_or(ending);
    }
    facts.tell_end(telemetry.as_ref(), ending.failure());
    finish_files(ending, state_writer, audit).await;
    ending
}

/// Waits until what is written is in the files, and what is told has been sent.
async fn finish_files(ending: ExitReason, state: StateWriter, audit: Audit) {
    if ending == ExitReason::SecondSignal {
        return audit.abandon();
    }
    let state = state.finish(STATE_WRITE_TIMEOUT);
    tokio::join!(state, audit.finish(AUDIT_WRITE_TIMEOUT));
}

/// What is counted over the whole run.
fn counts(audit: &Audit, fleet: &Fleet) -> Counts {
    Counts {
        records: audit.counts(),
        sessions: fleet.sessions(),
        reloads: fleet.reload_counts(),
    }
}

/// Opens the files that are written while the gateway runs. No secret of the config is written to them.
fn open_files(config: &Config, telemetry: Option<Telemetry>) -> Audit {
    keep_from_output(config.backends.iter().map(|entry| &entry.scrubber));
    log_file::reconfigure(&config.log, true);
    Audit::start(&config.audit, telemetry)
}

/// Waits until the client has read the last lines. Returns why it has not.
async fn write_last_lines(inputs: &mut Inputs) -> Option<ExitReason> {
    let (why, ending) = tokio::select! {
        written = inputs.writer.join(LAST_LINES_TIMEOUT) => match written {
            Ok(()) => return None,
            Err(_) => ("the client reads nothing of them", ExitReason::ClientStuck),
        },
        () = inputs.shutdown.requested() => ("a signal", ExitReason::SecondSignal),
    };
    let bytes = inputs.writer.left();
    tracing::error!(bytes, why, "the last answers can't be written");
    Some(ending)
}
