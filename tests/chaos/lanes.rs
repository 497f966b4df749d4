//! The calls of the client, one lane for each backend.
//!
//! Owns the order of the calls to one backend: a wave of calls that may fail, then one that succeeds,
//! so that at most three fail one after the other, which no circuit breaker counts. It must not know
//! what servers do.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::common::rng::Rng;
use super::ledger::{Ledger, Told};

/// Calls that may fail, one after the other.
const WAVE: usize = 3;
/// How long a backend may take until a call succeeds again.
const RECOVERY: Duration = Duration::from_secs(30);
/// One of so many calls is cancelled as soon as it is sent.
const CANCELLED_AT_ONCE: usize = 50;

/// All lanes. Each method returns the lines that the client is to send.
pub(crate) struct Lanes {
    lanes: Vec<Lane>,
    lane_of: HashMap<u64, usize>,
    ledger: Arc<Mutex<Ledger>>,
    rng: Rng,
    next: u64,
    stopped: bool,
    /// Calls to cancel a little later.
    cancels: Sender<u64>,
}

struct Lane {
    backend: String,
    open: HashSet<u64>,
    /// The open call that is to succeed. It is made again until one does.
    good: Option<u64>,
    /// Since when one is to succeed; `None` after it has, when a wave may begin.
    unproven: Option<Instant>,
    /// Calls that have failed one after the other.
    series: Vec<u64>,
}

impl Lanes {
    pub(crate) fn new(
        seed: u64,
        backends: Vec<String>,
        ledger: Arc<Mutex<Ledger>>,
        cancels: Sender<u64>,
    ) -> Self {
        let lane = |backend| Lane {
            backend,
            open: HashSet::new(),
            good: None,
            unproven: Some(Instant::now()),
            series: Vec::new(),
        };
        Self {
            lanes: backends.into_iter().map(lane).collect(),
            lane_of: HashMap::new(),
            ledger,
            rng: Rng(seed),
            next: 1,
            stopped: false,
            cancels,
        }
    }

    /// The tools that must be listed.
    pub(crate) fn tools(&self) -> usize {
        self.lanes.len()
    }

    /// The first calls of all lanes.
    pub(crate) fn begin(&mut self) -> Vec<String> {
        (0..self.lanes.len())
            .flat_map(|lane| self.go_on(lane))
            .collect()
    }

    /// No more waves begin.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
    }

    /// How many calls have run, and whether the run is to end early.
    pub(crate) fn progress(&self) -> (u64, bool) {
        (self.ledger.lock().unwrap().counts.ran, self.stopped)
    }

    /// Whether no call is open.
    pub(crate) fn is_idle(&self) -> bool {
        self.lanes.iter().all(|lane| lane.open.is_empty())
    }

    /// An answer has come.
    pub(crate) fn answered(&mut self, number: u64, answer: &Value) -> Vec<String> {
        let told = self.ledger.lock().unwrap().answered(number, answer);
        let (Some(told), Some(at)) = (told, self.lane_of.remove(&number)) else {
            return Vec::new();
        };
        let lane = &mut self.lanes[at];
        lane.open.remove(&number);
        let mut ledger = self.ledger.lock().unwrap();
        match fails(told, answer) {
            true => lane.series.push(number),
            false => lane.series.clear(),
        }
        ledger.in_series(&lane.series);
        if lane.good == Some(number) {
            lane.good = None;
            match lane.unproven {
                _ if told == Told::Result => lane.unproven = None,
                Some(since) if since.elapsed() > RECOVERY => {
                    ledger.breaks(number, "its backend does not recover");
                    self.stopped = true;
                }
                _ => {}
            }
        }
        drop(ledger);
        self.go_on(at)
    }

    /// A call is to be cancelled, unless it has been answered.
    pub(crate) fn cancel(&mut self, number: u64) -> Vec<String> {
        if !self.ledger.lock().unwrap().cancelled(number) {
            return Vec::new();
        }
        let params = json!({ "requestId": number });
        let cancellation =
            json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params });
        let mut lines = vec![cancellation.to_string()];
        if let Some(at) = self.lane_of.remove(&number) {
            self.lanes[at].open.remove(&number);
            lines.extend(self.go_on(at));
        }
        lines
    }

    fn go_on(&mut self, at: usize) -> Vec<String> {
        let lane = &mut self.lanes[at];
        if !lane.open.is_empty() {
            return Vec::new();
        }
        if lane
            .unproven
            .is_some_and(|since| since.elapsed() > RECOVERY)
        {
            return Vec::new();
        }
        if lane.unproven.is_some() {
            let call = self.call(at, &json!({ "good": true }));
            self.lanes[at].good = Some(self.next - 1);
            return vec![call];
        }
        if self.stopped {
            return Vec::new();
        }
        lane.unproven = Some(Instant::now());
        (0..WAVE)
            .map(|place| self.call(at, &json!({ "first": place == 0 })))
            .collect()
    }

    /// A call with these arguments.
    fn call(&mut self, at: usize, more: &Value) -> String {
        let number = self.next;
        self.next += 1;
        let lane = &mut self.lanes[at];
        lane.open.insert(number);
        self.lane_of.insert(number, at);
        self.ledger.lock().unwrap().sent(number, &lane.backend);
        let name = format!("{}__act", lane.backend);
        let mut arguments = more.clone();
        arguments["call"] = json!(number);
        let mut params = json!({ "name": name, "arguments": arguments });
        if self.rng.one_in(2) {
            params["_meta"]["progressToken"] = json!(number);
        }
        if self.rng.one_in(2) {
            for (key, value) in [
                ("protocolVersion", json!("2026-07-28")),
                ("clientInfo", json!({ "name": "chaos", "version": "1" })),
                ("clientCapabilities", json!({})),
            ] {
                params["_meta"][format!("io.modelcontextprotocol/{key}")] = value;
            }
        }
        if more["good"] != true && self.rng.one_in(CANCELLED_AT_ONCE) {
            // At the end of the run nobody listens any more.
            let _ = self.cancels.send(number);
        }
        let call =
            json!({ "jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params });
        call.to_string()
    }
}

/// Whether a circuit breaker may count this answer as a failure.
fn fails(told: Told, answer: &Value) -> bool {
    let class = answer["error"]["data"]["class"]
        .as_str()
        .unwrap_or_default();
    let counts = ["outcome_unknown", "unreachable", "overloaded"].contains(&class);
    matches!(told, Told::Failed { .. }) && counts
}
