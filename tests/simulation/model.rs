//! The permitted outcomes of each call.
//!
//! The [protocol checker] of all tests checks that each id is answered once, in its own era and with
//! increasing progress. The model checks the rest: that the answer is that of the right tool, that a
//! failure had a cause, and how often the tool ran.
//!
//! [protocol checker]: crate::common::checker

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;
use tokio::time::Instant;

use super::driver::DEADLINE;
use super::script::Tool;
use crate::common::fake::FakeBackend;
use crate::common::protocol_checker::Message;

/// One id of a call.
pub struct Call {
    tool: usize,
    since: Instant,
    /// How many further requests used the same id. Each of them gets an answer too.
    duplicates: usize,
}

/// A disturbance of a backend that affects calls at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disturbance {
    /// Sessions were forgotten.
    SessionsLost,
    /// Connections broke.
    Broken,
    /// A backend serves another era than before.
    EraChanged,
}

pub struct Model {
    pub tools: Vec<Tool>,
    calls: BTreeMap<u64, Call>,
    disturbance: HashSet<Disturbance>,
    /// Tools whose call the client cancelled. The backend may have stopped it early.
    cancelled: HashSet<usize>,
    refused: bool,
    /// Tools that answered with their own text.
    succeeded: HashSet<usize>,
    /// Tools that did not run according to the gateway's error.
    denied: HashSet<usize>,
    failed: Vec<(usize, String)>,
}

impl Call {
    pub fn of(tool: usize) -> Self {
        Self {
            tool,
            since: Instant::now(),
            duplicates: 0,
        }
    }
}

impl Model {
    pub fn new(tools: Vec<Tool>) -> Self {
        Self {
            tools,
            calls: BTreeMap::new(),
            disturbance: HashSet::new(),
            cancelled: HashSet::new(),
            refused: false,
            succeeded: HashSet::new(),
            denied: HashSet::new(),
            failed: Vec::new(),
        }
    }

    /// The ids of all calls.
    pub fn ids(&self) -> Vec<u64> {
        self.calls.keys().copied().collect()
    }

    pub fn called(&mut self, id: u64, call: Call) {
        self.calls.insert(id, call);
    }

    pub fn id_reused(&mut self, id: u64) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.duplicates += 1;
        }
    }

    pub fn cancelled(&mut self, id: u64) {
        self.cancelled
            .extend(self.calls.get(&id).map(|call| call.tool));
    }

    pub fn refused_server_request(&mut self) {
        self.refused = true;
    }

    pub fn disturbance(&mut self, disturbance: Disturbance) {
        self.disturbance.insert(disturbance);
    }

    /// Records an answer. If it requests input, returns the tool.
    pub fn answered(&mut self, answer: &Message) -> Option<usize> {
        let call = self.calls.get_mut(&answer.id().as_u64()?)?;
        let (tool, line) = (call.tool, &answer.line);
        let name = &self.tools[tool].name;
        let error = &answer.json["error"];
        if error.is_null() {
            let result = &answer.json["result"];
            if result["resultType"] == "input_required" {
                assert!(self.tools[tool].asks, "no input was requested: {line}");
                return Some(tool);
            }
            let text = result["content"][0]["text"].as_str();
            let text = text.unwrap_or_else(|| panic!("no text: {line}"));
            let own = text.split(' ').next() == Some(name.as_str());
            assert!(own, "another tool's answer for {name}: {line}");
            self.succeeded.insert(tool);
            return None;
        }
        let for_duplicate = matches!(error["code"].as_i64(), Some(-32600 | -32602));
        if for_duplicate && call.duplicates > 0 {
            call.duplicates -= 1;
            return None;
        }
        let late = call.since.elapsed() >= DEADLINE;
        self.check_error(tool, late, error, line);
        None
    }

    fn check_error(&mut self, tool: usize, late: bool, error: &Value, line: &str) {
        let (data, message) = (
            &error["data"],
            error["message"].as_str().unwrap_or_default(),
        );
        assert!(
            !message.contains("please report"),
            "a part of the gateway failed: {line}"
        );
        if data["source"] == "gateway" {
            if data["executed"] == "no" {
                self.denied.insert(tool);
            }
            if data["class"] == "deadline" {
                assert!(late, "before the deadline: {line}");
            }
        }
        self.failed.push((tool, line.to_owned()));
    }

    /// Checks the whole run. `cut_off` is set if the gateway ended during calls.
    pub fn check(&self, backends: &[FakeBackend], cut_off: bool) {
        for (at, tool) in self.tools.iter().enumerate() {
            let name = &tool.name;
            let runs: usize = backends.iter().map(|backend| backend.runs(name)).sum();
            assert!(
                tool.safe || runs <= 1,
                "{name} isn't known to be safe, and ran {runs} times"
            );
            // The first attempt, two retries, one for a renewed session; two rounds of input.
            assert!(runs <= 6, "{name} ran {runs} times");
            let denied = self.denied.contains(&at) && !self.succeeded.contains(&at);
            assert!(
                !denied || runs == 0,
                "{name} ran, but its error says that it did not"
            );
            assert!(
                !self.succeeded.contains(&at) || runs > 0,
                "{name} answered without running"
            );
        }
        if !cut_off && self.disturbance.is_empty() {
            self.failed
                .iter()
                .for_each(|(tool, line)| self.check_cause(*tool, line));
        }
    }

    /// Without disturbances, a call fails only by the faults scripted for it.
    fn check_cause(&self, tool: usize, line: &str) {
        let class = serde_json::from_str::<Value>(line).unwrap_or_default();
        let class = class["error"]["data"]["class"].as_str().unwrap_or_default();
        let tool_is_cancelled = self.cancelled.contains(&tool);
        let tool = &self.tools[tool];
        let faults = |tool: &Tool| tool.classes.len();
        let others = self
            .tools
            .iter()
            .filter(|other| other.modern == tool.modern);
        let breaker = line.contains("not called, because its last 5 calls failed");
        let tripped = breaker && others.map(faults).sum::<usize>() >= 5;
        let own_error = tool.errs && line.contains("the tool says no");
        let known = tool.classes.contains(&class) || class == "deadline";
        let excused = own_error || known || tripped || tool.asks || tool_is_cancelled;
        assert!(excused, "{} fails without a cause: {line}", tool.name);
    }
}
