//! Every call: what servers did with it, and what the client was told.
//!
//! Owns the promises under test. It must not know how servers fail, nor how calls are sent.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

use serde_json::Value;

/// Calls that are kept: a call that comes to a server again is known for so long.
const RECENT: usize = 300_000;
/// Failures in a row that open a circuit breaker.
pub(crate) const BREAKER: u64 = 5;
/// Broken promises of which the story is kept.
const STORIES: usize = 20;

/// Calls, and the figures about them.
#[derive(Default)]
pub(crate) struct Ledger {
    calls: HashMap<u64, Call>,
    order: VecDeque<u64>,
    /// Calls with smaller numbers are no longer kept.
    oldest: u64,
    pub(crate) counts: Counts,
    /// Each broken promise with the story of its call.
    pub(crate) broken: Vec<String>,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) calls: u64,
    /// Requests for calls that came to a server.
    pub(crate) arrivals: u64,
    /// Calls that ran.
    pub(crate) ran: u64,
    pub(crate) twice: u64,
    /// Calls with a wrong `executed`.
    pub(crate) lies: u64,
    /// Calls whose `attempts` are fewer than the requests that came.
    pub(crate) miscounted: u64,
    /// Calls that were sent once more after their answer.
    pub(crate) late: u64,
    /// Answers that no call has, or two.
    pub(crate) stray: u64,
    pub(crate) cancelled: u64,
    pub(crate) results: u64,
    pub(crate) server_errors: u64,
    /// The gateway's own errors, by `executed` and `class`.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Calls that the circuit breaker refused.
    pub(crate) refused: u64,
    /// What servers did, by kind.
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// The longest series of calls to one backend that failed.
    pub(crate) longest_series: u64,
}

struct Call {
    backend: String,
    sent: Instant,
    arrivals: u64,
    runs: u64,
    cancelled: bool,
    told: Option<Told>,
    /// The requests that the client was told of.
    attempts: u64,
    story: Vec<String>,
}

/// What the client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Result,
    /// An error of the server's own.
    ServerError,
    /// An error of the gateway's own.
    Failed {
        executed: Executed,
    },
}

/// `executed` of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Executed {
    No,
    Unknown,
    Yes,
}

impl Ledger {
    /// The client sends a call.
    pub(crate) fn sent(&mut self, number: u64, backend: &str) {
        self.counts.calls += 1;
        let call = Call {
            backend: backend.to_owned(),
            sent: Instant::now(),
            arrivals: 0,
            runs: 0,
            cancelled: false,
            told: None,
            attempts: 0,
            story: Vec::new(),
        };
        self.calls.insert(number, call);
        self.order.push_back(number);
        if self.order.len() > RECENT
            && let Some(oldest) = self.order.pop_front()
        {
            self.calls.remove(&oldest);
            self.oldest = oldest + 1;
        }
    }

    /// The client cancels a call, unless it has been answered.
    pub(crate) fn cancelled(&mut self, number: u64) -> bool {
        let open = self
            .calls
            .get_mut(&number)
            .filter(|call| call.told.is_none());
        let first = open.is_some_and(|call| {
            call.story.push("the client cancels it".into());
            !std::mem::replace(&mut call.cancelled, true)
        });
        self.counts.cancelled += u64::from(first);
        first
    }

    /// How often a call has come so far.
    pub(crate) fn arrivals(&self, number: u64) -> u64 {
        self.calls.get(&number).map_or(0, |call| call.arrivals)
    }

    /// A call came to a server, which runs the tool or not, and then does this.
    pub(crate) fn arrived(&mut self, number: u64, runs: bool, kind: &'static str, what: &str) {
        self.counts.arrivals += 1;
        *self.counts.faults.entry(kind).or_default() += 1;
        let Some(call) = self.calls.get_mut(&number) else {
            self.counts.late += 1;
            return self.note(format!("call {number} came long after its answer: {what}"));
        };
        call.arrivals += 1;
        let ran = if runs { "runs it" } else { "does not take it" };
        let after = call.sent.elapsed();
        call.story
            .push(format!("{after:?}: the server {ran}: {what}"));
        // A request may be on its way when the client is told that its fate is unknown.
        if call.told.is_some() && !call.cancelled && call.arrivals > call.attempts {
            self.counts.late += 1;
            self.breaks(number, "it was sent after its answer");
        }
        if runs {
            self.ran(number);
        }
    }

    fn ran(&mut self, number: u64) {
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        call.runs += 1;
        let (runs, told) = (call.runs, call.told);
        self.counts.ran += u64::from(runs == 1);
        if runs > 1 {
            self.counts.twice += 1;
            self.breaks(number, "it ran twice");
        }
        let denied = Told::Failed {
            executed: Executed::No,
        };
        if told == Some(denied) {
            self.counts.lies += 1;
            self.breaks(number, "it ran in spite of `executed: no`");
        }
    }

    /// The client gets an answer. Returns what it says, or `None` if no call has it.
    pub(crate) fn answered(&mut self, number: u64, answer: &Value) -> Option<Told> {
        let told = read(answer);
        let Some(call) = self
            .calls
            .get_mut(&number)
            .filter(|call| call.told.is_none())
        else {
            self.counts.stray += 1;
            self.note(format!("an answer that no call has, or two: {answer}"));
            return None;
        };
        let after = call.sent.elapsed();
        call.story
            .push(format!("{after:?}: the client gets {answer}"));
        call.told = Some(told);
        // Only an error of the gateway says how many.
        let attempts = answer["error"]["data"]["attempts"].as_u64();
        let attempts = attempts.unwrap_or(call.arrivals);
        call.attempts = attempts;
        let (runs, arrivals) = (call.runs, call.arrivals);
        self.count(told, answer);
        let lie = match told {
            Told::Result => runs == 0,
            Told::ServerError => false,
            Told::Failed { executed } => match executed {
                Executed::No => runs > 0,
                Executed::Yes => runs == 0,
                Executed::Unknown => false,
            },
        };
        if lie {
            self.counts.lies += 1;
            self.breaks(number, "what the client is told is not so");
        }
        if attempts < arrivals {
            self.counts.miscounted += 1;
            self.breaks(number, "more requests came than `attempts` says");
        }
        Some(told)
    }

    fn count(&mut self, told: Told, answer: &Value) {
        let (error, counts) = (&answer["error"], &mut self.counts);
        match told {
            Told::Result => counts.results += 1,
            Told::ServerError => counts.server_errors += 1,
            Told::Failed { .. } => {
                let data = &error["data"];
                let executed = data["executed"].as_str().unwrap_or("missing");
                let class = data["class"].as_str().unwrap_or("missing");
                let key = format!("executed: {executed}, class {class}");
                *counts.errors.entry(key).or_default() += 1;
                let message = error["message"].as_str().unwrap_or_default();
                counts.refused += u64::from(message.contains("not called, because its last"));
            }
        }
    }

    /// These calls to one backend have failed one after the other.
    pub(crate) fn in_series(&mut self, calls: &[u64]) {
        let length = calls.len() as u64;
        let longest = &mut self.counts.longest_series;
        *longest = length.max(*longest);
        // A circuit breaker may have counted them.
        if length == BREAKER {
            for number in calls {
                self.breaks(*number, "it is one of too many failures in a row");
            }
        }
    }

    /// The calls without an answer, other than cancelled ones.
    pub(crate) fn unanswered(&self) -> Vec<u64> {
        let open = |call: &Call| call.told.is_none() && !call.cancelled;
        let all = self.calls.iter().filter(|(_, call)| open(call));
        all.map(|(number, _)| *number).collect()
    }

    /// Notes a broken promise with the story of its call.
    pub(crate) fn breaks(&mut self, number: u64, why: &str) {
        let Some(call) = self.calls.get(&number) else {
            return self.note(format!("call {number}: {why}"));
        };
        let story = call.story.join("\n    ");
        self.note(format!(
            "call {number} to {}: {why}\n    {story}",
            call.backend
        ));
    }

    fn note(&mut self, story: String) {
        if self.broken.len() < STORIES {
            self.broken.push(story);
        }
    }
}

fn read(answer: &Value) -> Told {
    let error = &answer["error"];
    if error.is_null() {
        return Told::Result;
    }
    let data = &error["data"];
    if data["source"] != "gateway" {
        return Told::ServerError;
    }
    let executed = match data["executed"].as_str() {
        Some("no") => Executed::No,
        Some("yes") => Executed::Yes,
        _ => Executed::Unknown,
    };
    Told::Failed { executed }
}
