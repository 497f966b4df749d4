//! One gateway with a clock that only the simulation advances.
//!
//! The gateway, its backends and the driver share one thread and one runtime. The clock is paused,
//! and doesn't advance by itself, since the driver never sleeps: it yields, and every yield lets all
//! other tasks run. Sockets are real, on loopback; bytes written to one are readable at the other end
//! by the next yield.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sentinel_gateway::config::{Environment, Overrides, load};
use sentinel_gateway::{ExitReason, Io, Shutdown, run};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use super::pipes::{Input, Output, Reading, stdin, stdout};
use crate::common::PATIENCE;
use crate::common::protocol_checker::{Message, ProtocolChecker};

/// All messages and events, to find the cause of a failure.
pub type Transcript = Arc<Mutex<Vec<String>>>;

/// The longest time for which a client reads nothing.
const SILENCE: Duration = Duration::from_secs(20);
/// Yields that a request on a new connection needs to reach the other end.
const TURNS: usize = 12;

pub struct World {
    pub checker: ProtocolChecker,
    pub input: Option<Input>,
    pub output: Output,
    pub shutdown: UnboundedSender<()>,
    /// The gateway reads and answers, since no shutdown was requested.
    pub reads: bool,
    /// While the client reads nothing: how much time has passed so far.
    silent: Option<Duration>,
    gateway: JoinHandle<ExitReason>,
    transcript: Transcript,
    pings: usize,
    pongs: usize,
    /// Messages received, other than pongs.
    received: usize,
    /// Server requests that were not taken yet.
    pub server_requests: Vec<Message>,
    /// Responses that were not taken yet.
    pub answers: Vec<Message>,
}

impl World {
    pub async fn new(toml: &str, transcript: Transcript) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sentinel.toml");
        std::fs::write(&file, toml).unwrap();
        let overrides = Overrides {
            config: Some(file),
            ..Overrides::default()
        };
        let config = load(&overrides, &Environment::new(folder.path())).unwrap();
        let (reader, input) = stdin();
        let (writer, output) = stdout();
        let (shutdown, requests) = Shutdown::manual();
        let io = Io {
            reader: Box::new(reader),
            writer: Box::new(writer),
        };
        let gateway = tokio::task::spawn_local(run(config, io, requests));
        // The gateway reads its input only after it has started.
        tokio::task::yield_now().await;
        Self {
            checker: ProtocolChecker::default(),
            input: Some(input),
            output,
            shutdown,
            reads: true,
            silent: None,
            gateway,
            transcript,
            pings: 0,
            pongs: 0,
            received: 0,
            server_requests: Vec::new(),
            answers: Vec::new(),
        }
    }

    pub fn note(&self, what: impl Into<String>) {
        let what = what.into();
        // There are hundreds of pings.
        if !what.contains("\"ping ") {
            self.transcript.lock().unwrap().push(what);
        }
    }

    /// Sends a line, if the input is still open.
    pub fn send(&mut self, line: &str) {
        let Some(input) = &self.input else { return };
        self.checker.sent(line.as_bytes());
        input.send(format!("{line}\n").as_bytes());
        self.note(format!("→ {line}"));
    }

    /// The client reads so from now on.
    pub fn set_reading(&mut self, reading: Reading) {
        self.note(format!("  the client reads {reading:?}"));
        self.silent = (reading == Reading::Nothing).then_some(Duration::ZERO);
        self.output.set_reading(reading);
    }

    /// Yields to all other tasks so many times.
    pub async fn turns(&self, count: usize) {
        for _ in 0..count {
            tokio::task::yield_now().await;
        }
    }

    /// Yields until no more messages arrive.
    pub async fn settle(&mut self) {
        loop {
            let before = self.received;
            self.turns(TURNS).await;
            self.catch_up().await;
            if self.received == before {
                return;
            }
        }
    }

    /// Pings the gateway and waits for the pong: then the writer thread has written everything before
    /// it. Other tasks hardly run meanwhile, so the run doesn't depend on the speed of that thread.
    pub async fn catch_up(&mut self) {
        let begun = Instant::now();
        if self.silent.is_some() {
            return;
        }
        if self.reads {
            self.pings += 1;
            let ping =
                json!({ "jsonrpc": "2.0", "id": format!("ping {}", self.pings), "method": "ping" });
            self.send(&ping.to_string());
        }
        self.receive();
        while self.reads && self.pongs < self.pings && !self.has_ended() {
            assert!(begun.elapsed() < PATIENCE, "a ping is not answered");
            self.turns(2).await;
            while self.pongs < self.pings && self.output.wait(Duration::from_millis(50)) {
                self.receive();
            }
        }
    }

    /// Advances the clock after [`Self::settle`].
    pub async fn pass(&mut self, time: Duration) {
        // A gateway may end where its client reads nothing for long.
        if let Some(silent) = self.silent {
            self.silent = Some(silent + time);
            if silent + time > SILENCE {
                self.set_reading(Reading::Everything);
            }
        }
        self.settle().await;
        self.note(format!("  {time:?} pass"));
        tokio::time::advance(time).await;
    }

    /// Whether the gateway has ended.
    pub fn has_ended(&self) -> bool {
        self.gateway.is_finished()
    }

    /// Reads the rest of stdout, and returns why the gateway ended.
    pub async fn end(mut self) -> (ExitReason, ProtocolChecker, Vec<Message>) {
        let reason = (&mut self.gateway).await.expect("the gateway panicked");
        let begun = Instant::now();
        while !self.output.has_ended() {
            assert!(begun.elapsed() < PATIENCE, "stdout stays open");
            self.output.wait(PATIENCE);
            self.receive();
        }
        self.receive();
        self.note(format!("  the gateway has ended: {reason:?}"));
        (reason, self.checker, self.answers)
    }

    fn receive(&mut self) {
        for line in self.output.lines() {
            self.note(format!("← {}", String::from_utf8_lossy(&line)));
            for message in self.checker.received(&line) {
                self.received += usize::from(!is_pong(message.id()));
                if !message.is_response() {
                    if !message.id().is_null() {
                        self.server_requests.push(message);
                    }
                } else if is_pong(message.id()) {
                    self.pongs += 1;
                } else {
                    self.answers.push(message);
                }
            }
        }
    }
}

fn is_pong(id: &Value) -> bool {
    id.as_str().is_some_and(|id| id.starts_with("ping "))
}
