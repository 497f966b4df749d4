//! The command line as the client of a gateway in its own process.
//!
//! Owns a minimal MCP client over a pair of pipes, and what differs for a gateway that one command
//! starts. It must not know how the gateway serves a request: it reads and writes JSON-RPC lines,
//! like any client.

use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::content;
use super::terminal::{Status, warn};
use crate::config::{Config, ToolMode};
use crate::protocol::error::METHOD_NOT_FOUND;
use crate::protocol::{
    Id, Inbound, LATEST_LEGACY, Notification, Outcome, RawJson, Request, RpcError, message,
};
use crate::tasks;
use crate::{Io, Shutdown};

/// Longest wait for all backends before the catalog is used. Nobody calls the command a second time
/// because a backend was slow the first time: it waits for it.
const STARTUP_WAIT: Duration = Duration::from_secs(15);

/// Runs a gateway for what `work` requests of it; `waiting` is what the user waits for.
///
/// # Errors
/// If the gateway ends before `work` does.
pub(super) async fn with_gateway<T: Send + 'static>(
    mut config: Config,
    waiting: String,
    work: impl FnOnce(&mut Client) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    for warning in &config.warnings {
        warn(warning);
    }
    config.gateway.startup_wait = config.gateway.startup_wait.max(STARTUP_WAIT);
    // A command names its tool.
    config.gateway.tool_listing.mode = ToolMode::All;
    // A person reads a result whole.
    for backend in &mut config.backends {
        Arc::make_mut(backend).tools.max_result_tokens.clear();
    }
    // Accepting a tool is a decision of the user, which `pin` and a running gateway record.
    config.lock.records_new = false;
    // It ends before anybody could change it.
    config.origin = None;
    let (reader, input) = io::pipe()?;
    let (output, writer) = io::pipe()?;
    let io = Io {
        reader: Box::new(reader),
        writer: Box::new(writer),
    };
    let mut client = Client {
        input,
        output: BufReader::new(output),
        status: Status::new(waiting),
        requests: 0,
    };
    // Its pipes block, so it needs a thread. When it returns, the gateway's input ends.
    let work = tasks::blocking(move || {
        client.initialize()?;
        work(&mut client)
    });
    let (_, result) = tokio::join!(crate::run(config, io, Shutdown::on_signals()), work);
    result.map_err(io::Error::other)?
}

/// The gateway's client.
pub(super) struct Client {
    input: PipeWriter,
    output: BufReader<PipeReader>,
    status: Status,
    requests: u32,
}

impl Client {
    fn initialize(&mut self) -> io::Result<()> {
        let params = RawJson::trusted(format!(
            r#"{{"protocolVersion":"{LATEST_LEGACY}","capabilities":{{}},"clientInfo":{{"name":"sentinel-gateway","version":"{}"}}}}"#,
            env!("CARGO_PKG_VERSION"),
        ));
        self.request("initialize", &params)?;
        self.send(&message::notification("notifications/initialized", None))
    }

    /// Sends a request, and handles messages until its response. Progress and log messages are shown.
    ///
    /// # Errors
    /// If the gateway ends before.
    pub(super) fn request(&mut self, method: &str, params: &RawJson) -> io::Result<Outcome> {
        self.requests += 1;
        let id = Id::number(self.requests.into());
        self.send(&message::request(&id, method, Some(params)))?;
        loop {
            match self.receive()? {
                Inbound::Response(response) if response.id.as_ref() == Some(&id) => {
                    return Ok(response.outcome);
                }
                Inbound::Response(_) => {}
                Inbound::Notification(notification) => self.show(&notification),
                Inbound::Request(request) => self.answer(&request)?,
            }
        }
    }

    /// The definition of this name in one of the gateway's lists, if it has one.
    ///
    /// # Errors
    /// If the gateway ends before.
    pub(super) fn definition(
        &mut self,
        method: &str,
        member: &str,
        name: &str,
    ) -> io::Result<Option<RawJson>> {
        let Outcome::Result(list) = self.request(method, &RawJson::trusted("{}"))? else {
            return Ok(None);
        };
        let Some(list) = list.get(member) else {
            return Ok(None);
        };
        let items: Vec<&RawValue> = list.read().unwrap_or_default();
        let mut items = items.into_iter().map(|item| list.part(item));
        Ok(items.find(|item| item.get("name").and_then(|own| own.text()).as_deref() == Some(name)))
    }

    fn send(&mut self, line: &[u8]) -> io::Result<()> {
        self.input.write_all(line)?;
        self.input.write_all(b"\n")
    }

    fn receive(&mut self) -> io::Result<Inbound> {
        let mut line = Vec::new();
        if self.output.read_until(b'\n', &mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let message = message::json(Bytes::from(line))
            .and_then(|line| message::parse(&line).map_err(|malformed| malformed.error));
        message.map_err(|error| io::Error::other(error.message))
    }

    /// Answers a request. This client declares no capabilities, so only `ping` has a result.
    fn answer(&mut self, request: &Request) -> io::Result<()> {
        let outcome = match request.method.as_str() {
            "ping" => Outcome::Result(RawJson::trusted("{}")),
            method => RpcError::new(
                METHOD_NOT_FOUND,
                format!("the command line doesn't support {method}"),
            )
            .into(),
        };
        self.send(&message::response(Some(&request.id), &outcome))
    }

    /// Shows progress and log messages.
    fn show(&mut self, notification: &Notification) {
        let Some(params) = &notification.params else {
            return;
        };
        match notification.method.as_str() {
            "notifications/progress" => self.status.update(content::progress(params)),
            "notifications/message" => self.status.print_above(&content::log(params)),
            _ => {}
        }
    }
}
