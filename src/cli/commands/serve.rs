//! No command: serve MCP on stdin and stdout.
//!
//! Owns how a run ends as an exit status, and what a client is told that starts the gateway with a bad
//! config: desktop clients show no stderr.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::cli::exit::{FAILED, OK};
use crate::cli::terminal::report_problems;
use crate::config::{Config, Problems};
use crate::protocol::error::INTERNAL_ERROR;
use crate::protocol::{Inbound, RpcError, message};
use crate::{ExitReason, Io, Shutdown};

/// With a bad config: time for the client to send its first request.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Most problems of a config that a client is told.
const MAX_PROBLEMS: usize = 10;

/// Serves until the client closes stdin or a signal arrives. Returns the exit status.
pub(super) async fn serve(config: Result<Config, Problems>) -> u8 {
    let config = match config {
        Ok(config) => config,
        Err(problems) => {
            if !io::stdin().is_terminal() {
                answer_with_problems(&problems).await;
            }
            return report_problems(&problems);
        }
    };
    if io::stdin().is_terminal() {
        anstream::eprintln!(
            "sentinel-gateway waits for JSON-RPC lines on stdin (end with Ctrl-D).\n\
             An MCP client starts it itself: put {{ \"command\": \"sentinel-gateway\" }} into the client's config,\n\
             or try: sentinel-gateway check"
        );
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if let Some(source) = &config.source {
        tracing::info!(config = %source.display(), backends = config.backends.len(), "serving");
    }
    let io = match Io::stdio() {
        Ok(io) => io,
        Err(error) => {
            tracing::error!(%error, "stdin and stdout must be open: the client uses them");
            return FAILED;
        }
    };
    match crate::run(config, io, Shutdown::on_signals_and_orphaning()).await {
        ExitReason::EndOfInput | ExitReason::Signal | ExitReason::StdoutClosed => OK,
        ExitReason::SecondSignal | ExitReason::ClientStuck => FAILED,
    }
}

/// Answers the client's first request with the problems, since desktop clients show no stderr.
async fn answer_with_problems(problems: &Problems) {
    let why = format!(
        "the gateway's config is bad: {}",
        problems.beginning(MAX_PROBLEMS)
    );
    let (answered, done) = oneshot::channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().split(b'\n').map_while(Result::ok) {
            let message = message::json(Bytes::from(line));
            if let Ok(Ok(Inbound::Request(request))) = message.map(|line| message::parse(&line)) {
                let error = RpcError::new(INTERNAL_ERROR, why);
                let mut response = message::response(Some(&request.id), &error.into()).to_vec();
                response.push(b'\n');
                let mut stdout = io::stdout().lock();
                let _ = stdout.write_all(&response).and_then(|()| stdout.flush());
                break;
            }
        }
        let _ = answered.send(());
    });
    let _ = tokio::time::timeout(FIRST_REQUEST_TIMEOUT, done).await;
}
