//! `call`: one tool call through the whole gateway, with this command as its client.
//!
//! Owns a minimal MCP client over a pair of pipes. It must not know how the gateway makes a call: it
//! reads and writes JSON-RPC lines, like any client.

mod arguments;
mod content;

use std::io::{self, BufRead, BufReader, IsTerminal, PipeReader, PipeWriter, Write};

use bytes::Bytes;

use crate::cli::args::Call;
use crate::cli::exit::{BAD_CONFIG, FAILED, OK};
use crate::cli::terminal::{Status, lines, print_message, print_result, warn};
use crate::config::Config;
use crate::protocol::error::METHOD_NOT_FOUND;
use crate::protocol::raw::quoted;
use crate::protocol::{
    Id, Inbound, LATEST_LEGACY, Notification, Outcome, RawJson, Request, RpcError, message,
};
use crate::{Io, Shutdown};

/// Calls the tool and prints its result. Returns the exit status.
pub(super) async fn call(config: Config, args: &Call) -> u8 {
    let arguments = match arguments::parse(&args.arguments) {
        Ok(arguments) => arguments,
        Err(why) => {
            print_message(&why);
            return BAD_CONFIG;
        }
    };
    for warning in &config.warnings {
        warn(warning);
    }
    match through_gateway(config, &args.tool, &arguments).await {
        Ok(Outcome::Result(result)) => print(&result, args),
        Ok(Outcome::Error(error)) => {
            let message = error.get("message").and_then(|text| text.read().ok());
            let message: String = message.unwrap_or_else(|| error.as_str().to_owned());
            print_message(&lines(&message));
            FAILED
        }
        Err(error) => {
            print_message(&format!("the gateway ended before it answered: {error}"));
            FAILED
        }
    }
}

fn print(result: &RawJson, args: &Call) -> u8 {
    let failed = result
        .get("isError")
        .is_some_and(|flag| flag.as_str() == "true");
    let mut stdout = io::stdout();
    let text = if args.json {
        result.as_str().to_owned()
    } else {
        content::text(result)
    };
    // A pipe gets the text unchanged; for a terminal, control sequences are removed.
    let text = if stdout.is_terminal() {
        lines(&text)
    } else {
        text
    };
    let end = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    let written = write!(stdout, "{text}{end}").and_then(|()| stdout.flush());
    if failed {
        print_message(&format!("the tool {} reports an error", args.tool));
    }
    print_result(written, if failed { FAILED } else { OK })
}

/// Runs a gateway for this one call.
async fn through_gateway(config: Config, tool: &str, arguments: &RawJson) -> io::Result<Outcome> {
    let params = RawJson::trusted(format!(
        r#"{{"name":{},"arguments":{},"_meta":{{"progressToken":1}}}}"#,
        RawJson::trusted(quoted(tool)).as_str(),
        arguments.as_str(),
    ));
    let (reader, input) = io::pipe()?;
    let (output, writer) = io::pipe()?;
    let io = Io {
        reader: Box::new(reader),
        writer: Box::new(writer),
    };
    let mut client = Client {
        input,
        output: BufReader::new(output),
        status: Status::new(format!("calling {tool}")),
    };
    // Its pipes block, so it needs a thread. When it returns, the gateway's input ends.
    let call = tokio::task::spawn_blocking(move || client.call(&params));
    let (_, answer) = tokio::join!(crate::run(config, io, Shutdown::on_signals()), call);
    answer.map_err(io::Error::other)?
}

/// The gateway's client.
struct Client {
    input: PipeWriter,
    output: BufReader<PipeReader>,
    status: Status,
}

impl Client {
    /// Does the handshake, sends the call and handles messages until its response.
    fn call(&mut self, params: &RawJson) -> io::Result<Outcome> {
        let initialize = RawJson::trusted(format!(
            r#"{{"protocolVersion":"{LATEST_LEGACY}","capabilities":{{}},"clientInfo":{{"name":"sentinel-gateway","version":"{}"}}}}"#,
            env!("CARGO_PKG_VERSION"),
        ));
        let (handshake, call) = (Id::number(1), Id::number(2));
        self.send(&message::request(
            &handshake,
            "initialize",
            Some(&initialize),
        ))?;
        self.send(&message::notification("notifications/initialized", None))?;
        self.send(&message::request(&call, "tools/call", Some(params)))?;
        loop {
            match self.receive()? {
                Inbound::Response(response) if response.id.as_ref() == Some(&call) => {
                    return Ok(response.outcome);
                }
                Inbound::Response(_) => {}
                Inbound::Notification(notification) => self.show(&notification),
                Inbound::Request(request) => self.answer(&request)?,
            }
        }
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
