//! A minimal MCP client: a child process, and one line of JSON per message in each direction.

use std::error::Error;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// Upper bound of one step of the quickstart on any machine.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// A running gateway and the client's ends of its pipes.
pub(crate) struct Client {
    gateway: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    last_id: u64,
}

impl Client {
    /// Starts the gateway as any client does: a command, its arguments, and pipes. Only errors are
    /// logged, to keep the transcript readable.
    ///
    /// # Errors
    /// The process can't be started.
    pub(crate) fn start(config: &Path) -> Result<Self, Box<dyn Error>> {
        let mut gateway = Command::new(std::env::current_exe()?)
            .arg(super::GATEWAY)
            .args(["--log-level", "error", "--config"])
            .arg(config)
            // Keeps the state of the gateway in the quickstart's folder.
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

    /// Sends a request and waits for the response with its id. Notifications that arrive before are
    /// ignored.
    ///
    /// # Errors
    /// The gateway exited, wrote something that is not JSON, or did not answer in time. A JSON-RPC
    /// error is a response and is returned like any other.
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
            let line = timeout(STEP_TIMEOUT, self.stdout.next_line())
                .await
                .map_err(|_| format!("{method}: no answer within {STEP_TIMEOUT:?}"))??
                .ok_or("the gateway closed its stdout")?;
            let message: Value = serde_json::from_str(&line)?;
            if message["id"] == id {
                return Ok(message);
            }
        }
    }

    /// Sends a notification, which has no response.
    ///
    /// # Errors
    /// The gateway exited.
    pub(crate) async fn notify(&mut self, method: &str) -> Result<(), Box<dyn Error>> {
        self.send(&json!({"jsonrpc": "2.0", "method": method}))
            .await
    }

    /// Ends the session as stdio sessions end (MCP 2025-11-25, basic/lifecycle): stdin is closed, and the
    /// server exits.
    ///
    /// # Errors
    /// The gateway still runs after [`STEP_TIMEOUT`].
    pub(crate) async fn close(self) -> Result<ExitStatus, Box<dyn Error>> {
        let mut gateway = self.gateway;
        drop(self.stdin);
        Ok(timeout(STEP_TIMEOUT, gateway.wait()).await??)
    }

    async fn send(&mut self, message: &Value) -> Result<(), Box<dyn Error>> {
        self.stdin
            .write_all(format!("{message}\n").as_bytes())
            .await?;
        Ok(self.stdin.flush().await?)
    }
}
