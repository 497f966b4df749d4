//! What may come of each call, whatever happened in between.
//!
//! The [protocol checker] of all tests checks that each id is answered once, in its own era and with
//! growing progress. Here is the rest: whose answer it is, whether a failure had a cause, and how
//! often the tool ran.
//!
//! [protocol checker]: crate::common::protocol_checker

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;
use tokio::time::Instant;

use super::player::DEADLINE;
use super::script::Tool;
use crate::common::fake::FakeBackend;
use crate::common::protocol_checker::Message;

/// One id of a call.
pub struct Call {
    tool: usize,
    since: Instant,
    /// Its id was used for something else too: one of the answers is that one's.
    twice: usize,
}

/// What happened to backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weather {
    /// Sessions were forgotten.
    SessionsLost,
    /// Connections broke.
    Broken,
}

pub struct Model {
    pub tools: Vec<Tool>,
    calls: BTreeMap<u64, Call>,
    weather: HashSet<Weather>,
    /// Tools that a client cancelled: their backend may have stopped before it was done.
    cancelled: HashSet<usize>,
    refused: bool,
    /// Tools that answered with their own words.
    succeeded: HashSet<usize>,
    /// Tools of which the gateway said that they did not run.
    denied: HashSet<usize>,
    failed: Vec<(usize, String)>,
}

impl Call {
    pub fn of(tool: usize) -> Self {
        Self {
            tool,
            since: Instant::now(),
            twice: 0,
        }
    }
}

impl Model {
    pub fn new(tools: Vec<Tool>) -> Self {
        Self {
            tools,
            calls: BTreeMap::new(),
            weather: HashSet::new(),
            cancelled: HashSet::new(),
            refused: false,
            succeeded: HashSet::new(),
            denied: HashSet::new(),
            failed: Vec::new(),
        }
    }

    /// All ids that calls were made under.
    pub fn ids(&self) -> Vec<u64> {
        self.calls.keys().copied().collect()
    }

    pub fn called(&mut self, id: u64, call: Call) {
        self.calls.insert(id, call);
    }

    pub fn asked_twice(&mut self, id: u64) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.twice += 1;
        }
    }

    pub fn cancelled(&mut self, id: u64) {
        self.cancelled
            .extend(self.calls.get(&id).map(|call| call.tool));
    }

    pub fn refused_a_question(&mut self) {
        self.refused = true;
    }

    pub fn weather(&mut self, weather: Weather) {
        self.weather.insert(weather);
    }

    /// Takes note of an answer. If it asks something, says for which tool.
    pub fn answered(&mut self, answer: &Message) -> Option<usize> {
        let call = self.calls.get_mut(&answer.id().as_u64()?)?;
        let (tool, line) = (call.tool, &answer.line);
        let name = &self.tools[tool].name;
        let error = &answer.json["error"];
        if error.is_null() {
            let result = &answer.json["result"];
            if result["resultType"] == "input_required" {
                assert!(self.tools[tool].asks, "nobody asked: {line}");
                return Some(tool);
            }
            let text = result["content"][0]["text"].as_str();
            let words = text.unwrap_or_else(|| panic!("no text: {line}"));
            let own = words.split(' ').next() == Some(name.as_str());
            assert!(own, "another tool's answer for {name}: {line}");
            self.succeeded.insert(tool);
            return None;
        }
        let for_the_second = matches!(error["code"].as_i64(), Some(-32600 | -32602));
        if for_the_second && call.twice > 0 {
            call.twice -= 1;
            return None;
        }
        let late = call.since.elapsed() >= DEADLINE;
        self.judge_error(tool, late, error, line);
        None
    }

    fn judge_error(&mut self, tool: usize, late: bool, error: &Value, line: &str) {
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
                assert!(late, "before its time: {line}");
            }
        }
        self.failed.push((tool, line.to_owned()));
    }

    /// Judges the whole. `cut_off`: the gateway ended in the middle of it.
    pub fn judge(&self, backends: &[FakeBackend], cut_off: bool) {
        for (at, tool) in self.tools.iter().enumerate() {
            let name = &tool.name;
            let runs: usize = backends.iter().map(|backend| backend.runs(name)).sum();
            assert!(
                tool.safe || runs <= 1,
                "{name} isn't known to be safe, and ran {runs} times"
            );
            // First attempt, two retries, one for a renewed session; two rounds of questions.
            assert!(runs <= 6, "{name} ran {runs} times");
            let denied = self.denied.contains(&at) && !self.succeeded.contains(&at);
            assert!(
                !denied || runs == 0,
                "{name} ran, and the client was told that it did not"
            );
            assert!(
                !self.succeeded.contains(&at) || runs > 0,
                "{name} said something without running"
            );
        }
        if !cut_off && self.weather.is_empty() {
            self.failed
                .iter()
                .for_each(|(tool, line)| self.had_a_cause(*tool, line));
        }
    }

    /// In fair weather a call fails only by what its own backend was told to do with it.
    fn had_a_cause(&self, tool: usize, line: &str) {
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
        let own_words = tool.errs && line.contains("the tool says no");
        let known = tool.classes.contains(&class) || class == "deadline";
        let excused = own_words || known || tripped || tool.asks || tool_is_cancelled;
        assert!(excused, "{} fails without a cause: {line}", tool.name);
    }
}
