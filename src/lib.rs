//! Sentinel Gateway: one stdio MCP server in front of many HTTP MCP servers.
//!
//! The house, from the ground up; each floor imports only from floors below it:
//!
//! - [`files`], [`hex`]: the ground. Files read within bounds and replaced whole; digits.
//! - [`protocol`], [`config`], [`budget`]: data. JSON-RPC and MCP as values; the config that runs;
//!   room for bytes.
//! - [`transport`]: lines in, lines out. [`observe`]: what is told to the user's log. [`state`]:
//!   what outlives a run.
//! - [`backend`]: one HTTP server, its link and its calls. [`catalog`]: listings merged.
//! - [`governance`]: which calls may be made now.
//! - `snapshot`: what requests are served from. `client`: what is known of the client.
//! - `dispatch`: what a request becomes. `publish`: listings become the next snapshot.
//! - `gateway`: the loop that owns what is in flight.
//! - [`cli`]: the commands. [`run`] below is the wiring of them all.
//!
//! A `tools/call` travels: `transport::stdio` → `gateway::intake` → `dispatch::route` →
//! `dispatch::call` → `backend::call` → `backend::session` → `backend::stream`, and its answer
//! comes back as a `TaskEvent` to the loop that still has its id.

pub mod backend;
pub mod budget;
pub mod call_report;
pub mod catalog;
pub mod cli;
mod client;
mod clock;
pub mod config;
mod dispatch;
mod files;
mod gateway;
pub mod governance;
mod hex;
pub mod observe;
pub mod protocol;
mod publish;
mod snapshot;
mod state;
mod sync;
pub mod transport;

use std::sync::Arc;
use std::time::Duration;

use budget::Budget;
use client::Lifecycle;
use config::Config;
pub use gateway::ExitReason;
use gateway::{Gateway, Inputs};
pub use observe::signals::Shutdown;
use publish::Publisher;
use tokio::runtime::Handle;
pub use transport::stdio::Io;
use transport::stdio::{read_lines, write_lines};

/// Time for the client to read the last lines.
const WRITER_TIMEOUT: Duration = Duration::from_secs(1);

/// Time for writing the state that the next run reads.
const STATE_WRITE_TIMEOUT: Duration = Duration::from_secs(3);

/// Serves MCP over `io` until the input ends, the output breaks or `shutdown` requests it.
pub async fn run(config: Config, io: Io, shutdown: Shutdown) -> ExitReason {
    let config = Arc::new(config);
    let lifecycle = Lifecycle::new(&config.gateway);
    let budget = Budget::new(config.gateway.max_buffered_bytes);
    let introductions = lifecycle.introductions();
    let (backends, from_backends) = backend::start_all(&config, &introductions, &budget);
    let (state, state_writer) = state::open(&config);
    let publisher = Publisher::new(Arc::clone(&config), backends.clone(), state);
    let max_message = config.gateway.max_message_bytes;

    let (outbox, writer) = write_lines(io.writer, budget.clone());
    let lines = read_lines(io.reader, max_message, budget);
    let mut inputs = Inputs::new(lines, from_backends, shutdown, writer);
    let ending = Gateway::new(lifecycle, publisher, outbox.clone())
        .run(&mut inputs)
        .await;

    let tasks = Handle::current().metrics().num_alive_tasks();
    tracing::debug!(target: "sentinel_gateway::run", ?ending, tasks, "the gateway ends");
    outbox.close();
    if ending != ExitReason::SecondSignal {
        backend::shutdown_all(&backends).await;
    }
    if !matches!(ending, ExitReason::SecondSignal | ExitReason::ClientStuck) {
        inputs.writer.join(WRITER_TIMEOUT).await;
    }
    if ending != ExitReason::SecondSignal {
        state_writer.finish(STATE_WRITE_TIMEOUT).await;
    }
    ending
}
