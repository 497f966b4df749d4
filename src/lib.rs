//! Sentinel Gateway: one stdio MCP server in front of many HTTP MCP servers.
//!
//! The house, from the ground up; each floor imports only from floors below it:
//!
//! - [`protocol`], [`config`]: data. JSON-RPC and MCP as values; the config that runs.
//! - [`transport`]: lines in, lines out. [`observe`]: what is told to the user's log.
//! - [`backend`]: one HTTP server, its link and its calls. [`catalog`]: listings merged.
//! - [`dispatch`]: what a request becomes.
//! - [`gateway`]: the loop that owns what is in flight.
//! - [`cli`]: the commands. [`run`] below is the wiring of them all.
//!
//! A `tools/call` travels: `transport::stdio` → `gateway` → `dispatch::route` →
//! `dispatch::call` → `backend::call` → `backend::session` → `backend::stream`, and its answer
//! comes back as a `TaskEvent` to the loop that still has its id.

pub mod backend;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod dispatch;
pub mod gateway;
pub mod observe;
pub mod protocol;
pub mod transport;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use config::Config;
use dispatch::{Lifecycle, Refresh};
use gateway::{Gateway, Inputs};
pub use transport::stdio::Io;
use transport::stdio::{read_lines, write_lines};

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// The client closed our stdin.
    EndOfInput,
    /// The client closed our stdout.
    StdoutClosed,
    /// The client reads nothing of what we write.
    ClientStuck,
    /// SIGTERM, SIGINT or their like; calls in flight had their time.
    Signal,
    /// A second one: no time for anything.
    SecondSignal,
}

/// How long a client may take to take the last lines.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves MCP over `io` until the input ends, the output breaks or `shutdown` says so.
pub async fn run(config: Config, io: Io, shutdown: Shutdown) -> ExitReason {
    let config = Arc::new(config);
    let lifecycle = Lifecycle::new(&config.gateway);
    let (backends, from_backends) = backend::start_all(&config, &lifecycle.introductions());
    let refresh = Refresh::new(Arc::clone(&config), backends.clone());
    let max_message = config.gateway.max_message_bytes;

    let (outbox, writer) = write_lines(io.writer, config.gateway.max_buffered_bytes);
    let mut inputs = Inputs {
        lines: read_lines(io.reader, max_message),
        backends: from_backends,
        shutdown,
        writer,
    };
    let ending = Gateway::new(lifecycle, refresh, outbox.clone())
        .run(&mut inputs)
        .await;

    tracing::debug!(?ending, "the gateway ends");
    outbox.close();
    if ending != ExitReason::SecondSignal {
        backend::farewell_all(&backends).await;
    }
    if !matches!(ending, ExitReason::SecondSignal | ExitReason::ClientStuck) {
        inputs.writer.join(FAREWELL).await;
    }
    ending
}

/// The wish that the gateway ends; a second one is urgent.
#[derive(Debug)]
pub struct Shutdown(mpsc::UnboundedReceiver<()>);

impl Shutdown {
    /// One that somebody else in this process triggers.
    pub fn manual() -> (mpsc::UnboundedSender<()>, Self) {
        let (wish, wishes) = mpsc::unbounded_channel();
        (wish, Self(wishes))
    }

    /// SIGTERM, SIGINT and, on Windows, Ctrl-C, Ctrl-Break and the console's close. A SIGHUP only
    /// must not kill.
    pub fn on_signals() -> Self {
        let (wish, shutdown) = Self::manual();
        observe::signals::forward(wish);
        shutdown
    }

    pub(crate) async fn requested(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
