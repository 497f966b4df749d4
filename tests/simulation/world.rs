//! One gateway in a world whose clock moves only when the simulation says so.
//!
//! The gateway, its backends and the player share one thread and one runtime. Its clock is paused,
//! and can't run ahead by itself, since the player never sleeps: it yields, and every turn lets all
//! others do what they can. Sockets are real, on the loopback; what is written to one of them is
//! there at the other end by the next turn.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sentinel_gateway::config::{Environment, Overrides, load};
use sentinel_gateway::{ExitReason, Io, Shutdown, run};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use super::pipes::{Input, Output, stdin, stdout};
use crate::common::PATIENCE;
use crate::common::protocol_checker::{Message, ProtocolChecker};

/// Both directions and what else happened, for whoever has to find out why.
pub type Transcript = Arc<Mutex<Vec<String>>>;

/// Turns in which a request on a fresh connection gets from one end to the other.
const TURNS: usize = 12;

pub struct World {
    pub checker: ProtocolChecker,
    pub input: Option<Input>,
    pub output: Output,
    pub shutdown: UnboundedSender<()>,
    /// The gateway reads and answers: nothing has told it to end.
    pub reads: bool,
    gateway: JoinHandle<ExitReason>,
    transcript: Transcript,
    pings: usize,
    pongs: usize,
    /// Messages, other than pongs.
    heard: usize,
    /// Requests of the gateway's own that came in and were not taken yet.
    pub questions: Vec<Message>,
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
        let (shutdown, wishes) = Shutdown::manual();
        let io = Io {
            reader: Box::new(reader),
            writer: Box::new(writer),
        };
        let gateway = tokio::task::spawn_local(run(config, io, wishes));
        // Only a gateway that has begun reads what it is sent.
        tokio::task::yield_now().await;
        Self {
            checker: ProtocolChecker::default(),
            input: Some(input),
            output,
            shutdown,
            reads: true,
            gateway,
            transcript,
            pings: 0,
            pongs: 0,
            heard: 0,
            questions: Vec::new(),
            answers: Vec::new(),
        }
    }

    pub fn note(&self, what: impl Into<String>) {
        let what = what.into();
        // There are hundreds of them.
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

    /// Lets everybody else do so many turns.
    pub async fn turns(&self, count: usize) {
        for _ in 0..count {
            tokio::task::yield_now().await;
        }
    }

    /// Lets everybody else go on until nothing more happens.
    pub async fn settle(&mut self) {
        loop {
            let before = self.heard;
            self.turns(TURNS).await;
            self.catch_up().await;
            if self.heard == before {
                return;
            }
        }
    }

    /// Pings the gateway, which answers whatever else it does, and waits for that: all that it said
    /// before has then gone through the thread that writes. Nobody else gets a turn meanwhile, so
    /// that what happens doesn't hang on how fast that thread is.
    pub async fn catch_up(&mut self) {
        let begun = Instant::now();
        if self.reads {
            self.pings += 1;
            let ping =
                json!({ "jsonrpc": "2.0", "id": format!("ping {}", self.pings), "method": "ping" });
            self.send(&ping.to_string());
        }
        self.hear();
        while self.reads && self.pongs < self.pings && !self.has_ended() {
            assert!(begun.elapsed() < PATIENCE, "a ping is not answered");
            self.turns(2).await;
            while self.pongs < self.pings && self.output.wait(Duration::from_millis(50)) {
                self.hear();
            }
        }
    }

    /// Lets time pass once nothing else happens.
    pub async fn pass(&mut self, time: Duration) {
        self.settle().await;
        self.note(format!("  {time:?} pass"));
        tokio::time::advance(time).await;
    }

    /// Whether the gateway has ended.
    pub fn has_ended(&self) -> bool {
        self.gateway.is_finished()
    }

    /// Takes in what is left of stdout, and says why the gateway ended.
    pub async fn end(mut self) -> (ExitReason, ProtocolChecker, Vec<Message>) {
        let reason = (&mut self.gateway).await.expect("the gateway panicked");
        let begun = Instant::now();
        while !self.output.has_ended() {
            assert!(begun.elapsed() < PATIENCE, "stdout stays open");
            self.output.wait(PATIENCE);
            self.hear();
        }
        self.hear();
        self.note(format!("  the gateway has ended: {reason:?}"));
        (reason, self.checker, self.answers)
    }

    fn hear(&mut self) {
        for line in self.output.lines() {
            self.note(format!("← {}", String::from_utf8_lossy(&line)));
            for message in self.checker.received(&line) {
                self.heard += usize::from(!is_pong(message.id()));
                if !message.is_response() {
                    if !message.id().is_null() {
                        self.questions.push(message);
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
