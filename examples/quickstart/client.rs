//! The smallest MCP client there can be: a child process, one line of JSON out, one line in.

use std::error::Error;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// No step of the quickstart takes longer, on any machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running gateway, seen from a client's end of its pipes.
pub(crate) struct Client {
    gateway: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    last_id: u64,
}

impl Client {
    /// Starts the gateway as every client does: a command, its arguments, and pipes. The log, which
    /// is all that it ever writes to stderr, would clutter the transcript: only errors show.
    ///
    /// # Errors
    /// The process can't be started.
    pub(crate) fn start(config: &Path) -> Result<Self, Box<dyn Error>> {
        let mut gateway = Command::new(std::env::current_exe()?)
            .arg(super::GATEWAY)
            .args(["--log-level", "error", "--config"])
            .arg(config)
            // What it remembers between runs stays in the quickstart's folder.
            .env("XDG_STATE_HOME", config.with_extension("state"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdin = gateway.stdin.take().ok_or("the gateway has no stdin")?;
        let stdout = gateway.stdout.take().ok_or("the gateway has no stdout")?;
        Ok(Self {
            gateway,
            stdin,
            stdout: BufReader::new(stdout).lines(),
            last_id: 0,
        })
    }

    /// Sends a request and waits for the response with its id. Notifications may come in between;
    /// this client has no use for them.
    ///
    /// # Errors
    /// The gateway left, wrote something that is not JSON, or did not answer in time. A JSON-RPC
    /// error is an answer: it stands in the returned message.
    pub(crate) async fn request(
        &mut self,
        method: &str,
        params: Value,
    ) -> Result<Value, Box<dyn Error>> {
        self.last_id += 1;
        let id = self.last_id;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
            .await?;
        loop {
            let line = timeout(PATIENCE, self.stdout.next_line())
                .await
                .map_err(|_| format!("{method}: no answer within {PATIENCE:?}"))??
                .ok_or("the gateway closed its stdout")?;
            let message: Value = serde_json::from_str(&line)?;
            if message["id"] == id {
                return Ok(message);
            }
        }
    }

    /// Sends a notification, which is never answered.
    ///
    /// # Errors
    /// The gateway left.
    pub(crate) async fn notify(&mut self, method: &str) -> Result<(), Box<dyn Error>> {
        self.send(&json!({"jsonrpc": "2.0", "method": method}))
            .await
    }

    /// Ends the session the way stdio sessions end: stdin closes, and the server leaves by itself.
    ///
    /// # Errors
    /// The gateway is still there after [`PATIENCE`].
    pub(crate) async fn close(self) -> Result<ExitStatus, Box<dyn Error>> {
        let mut gateway = self.gateway;
        drop(self.stdin);
        Ok(timeout(PATIENCE, gateway.wait()).await??)
    }

    async fn send(&mut self, message: &Value) -> Result<(), Box<dyn Error>> {
        self.stdin
            .write_all(format!("{message}\n").as_bytes())
            .await?;
        Ok(self.stdin.flush().await?)
    }
}
