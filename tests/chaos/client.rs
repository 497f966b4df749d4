//! The client: starts the gateway process, sends what the lanes want sent, and passes every line of its
//! output to them. It reads slowly at times.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::common::gateway_log::GatewayLog;
use super::common::process::executable;
use super::common::rng::Rng;
use super::lanes::Lanes;
use super::{Goal, Result};

/// The timeout for the first list, for the last answers, and for the end of the gateway.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The interval at which the goal is compared with the figures.
const TICK: Duration = Duration::from_millis(20);
/// One of so many lines is read late.
const LATE: usize = 2_000;
/// How late, in milliseconds.
const LATENESS: usize = 150;
/// The id of the requests that are no calls.
const OTHER: &str = "other";

pub(crate) struct Client {
    child: Child,
    shared: Arc<Shared>,
    input: Sender<String>,
    writer: JoinHandle<()>,
    reader: JoinHandle<()>,
    canceller: JoinHandle<()>,
    log: JoinHandle<GatewayLog>,
}

/// What the threads share.
struct Shared {
    lanes: Mutex<Lanes>,
    /// The latest response to a request that is no call.
    response: Mutex<Option<Value>>,
    responded: Condvar,
}

/// How the gateway ended.
pub(crate) struct Ended {
    pub(crate) status: Option<ExitStatus>,
    pub(crate) log: GatewayLog,
}

impl Client {
    /// Starts the gateway. Calls whose numbers come through `to_cancel` are cancelled.
    pub(crate) fn start(config: &Path, lanes: Lanes, to_cancel: Receiver<u64>) -> Result<Self> {
        let gateway = executable();
        let mut child = Command::new(&gateway)
            .arg("--config")
            .arg(config)
            .env("RUST_LOG", "warn")
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("can't start {}: {error}", gateway.display()))?;
        let stdin = child.stdin.take().ok_or("a child without stdin")?;
        let output = child.stdout.take().ok_or("a child without stdout")?;
        let errors = child.stderr.take().ok_or("a child without stderr")?;
        let (input, lines) = channel();
        let shared = Arc::new(Shared {
            lanes: Mutex::new(lanes),
            response: Mutex::default(),
            responded: Condvar::new(),
        });
        let (reading, answering) = (Arc::clone(&shared), input.clone());
        let (cancelling, cancels) = (Arc::clone(&shared), input.clone());
        Ok(Self {
            child,
            shared,
            input,
            writer: thread::spawn(move || write(stdin, &lines)),
            reader: thread::spawn(move || read(output, &reading, &answering)),
            canceller: thread::spawn(move || {
                for number in to_cancel {
                    send(&cancels, cancelling.lanes().cancel(number));
                }
            }),
            log: thread::spawn(move || GatewayLog::read(errors)),
        })
    }

    /// Makes the handshake, and calls until the goal is reached and every call is answered.
    pub(crate) fn run(&self, goal: Goal) -> Result<()> {
        let client = json!({ "name": "chaos", "version": "1" });
        let hello =
            json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
        self.ask("initialize", &hello)?;
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        self.input.send(initialized.to_string())?;
        let (listed, wanted) = (self.listed()?, self.shared.lanes().tools());
        if listed != wanted {
            return Err(format!("{listed} of {wanted} tools are listed").into());
        }
        let begun = Instant::now();
        send(&self.input, self.shared.lanes().begin());
        while !self.has_reached(goal, begun) {
            thread::sleep(TICK);
        }
        self.shared.lanes().stop();
        let stopped = Instant::now();
        while !self.shared.lanes().is_idle() && stopped.elapsed() < TIMEOUT {
            thread::sleep(TICK);
        }
        Ok(())
    }

    fn has_reached(&self, goal: Goal, begun: Instant) -> bool {
        let lanes = self.shared.lanes();
        let (ran, failed) = lanes.progress();
        failed
            || match goal {
                Goal::Time(time) => begun.elapsed() >= time,
                Goal::Runs(runs) => ran >= runs,
            }
    }

    /// The number of tools.
    fn listed(&self) -> Result<usize> {
        let (mut listed, mut params) = (0, json!({}));
        loop {
            let response = self.ask("tools/list", &params)?;
            let tools = response["result"]["tools"].as_array();
            listed += tools.ok_or("no list of tools")?.len();
            match response["result"].get("nextCursor") {
                Some(cursor) => params = json!({ "cursor": cursor }),
                None => return Ok(listed),
            }
        }
    }

    fn ask(&self, method: &str, params: &Value) -> Result<Value> {
        let request = json!({ "jsonrpc": "2.0", "id": OTHER, "method": method, "params": params });
        self.input.send(request.to_string())?;
        let response = self.shared.response.lock().unwrap();
        let none = |response: &mut Option<Value>| response.is_none();
        let waited = self
            .shared
            .responded
            .wait_timeout_while(response, TIMEOUT, none);
        let (mut response, _) = waited.unwrap();
        response
            .take()
            .ok_or_else(|| format!("no response to {method}").into())
    }

    /// Closes the gateway's stdin, and waits for its end.
    pub(crate) fn end(mut self) -> Result<Ended> {
        let Self {
            input,
            writer,
            reader,
            canceller,
            log,
            ..
        } = self;
        // The reader and the canceller have senders too: an empty line ends the input.
        input.send(String::new())?;
        writer.join().map_err(|_| "the writer panicked")?;
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait()? {
                Some(status) => break Some(status),
                None if begun.elapsed() < TIMEOUT => thread::sleep(TICK),
                None => {
                    self.child.kill()?;
                    self.child.wait()?;
                    break None;
                }
            }
        };
        reader.join().map_err(|_| "the reader panicked")?;
        // It ends with the servers.
        drop(canceller);
        let log = log.join().map_err(|_| "the reader of the log panicked")?;
        Ok(Ended { status, log })
    }
}

impl Shared {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap()
    }
}

fn send(input: &Sender<String>, lines: Vec<String>) {
    for line in lines {
        // After the end of the input nothing is sent.
        let _ = input.send(line);
    }
}

/// Writes lines up to an empty one, and then closes the input.
fn write(mut stdin: ChildStdin, lines: &Receiver<String>) {
    for line in lines.iter().take_while(|line| !line.is_empty()) {
        if stdin.write_all((line + "\n").as_bytes()).is_err() {
            return;
        }
    }
}

fn read(output: impl Read, shared: &Shared, input: &Sender<String>) {
    let mut rng = Rng(0);
    for line in BufReader::new(output).lines() {
        let Ok(line) = line else { return };
        if rng.one_in(LATE) {
            thread::sleep(Duration::from_millis(rng.below(LATENESS) as u64));
        }
        let message: Value = serde_json::from_str(&line).expect("a line that is JSON");
        if message.get("method").is_some() {
            continue;
        }
        match message["id"].as_u64() {
            Some(number) => send(input, shared.lanes().answered(number, &message)),
            None => {
                *shared.response.lock().unwrap() = Some(message);
                shared.responded.notify_all();
            }
        }
    }
}
