//! The pending requests, and the check of every line that the gateway writes.
//!
//! Owns the guarantee under test: one right answer for each request, in time, and errors only about
//! faulty backends. It must not know processes or clocks: the caller passes the time of a line.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::common::message::own_words;

/// The number of failures that are kept as text.
const MAX_FAILURES: usize = 20;

/// What is expected of a request.
#[derive(Debug)]
pub(crate) struct RequestInfo {
    pub(crate) expected: Expected,
    /// The backend that answers it.
    pub(crate) backend: &'static str,
    /// Whether errors of the gateway about that backend are permitted.
    pub(crate) flaky: bool,
    /// Whether its duration is measured.
    pub(crate) timed: bool,
    /// Gets the duration of the request.
    pub(crate) answered: Option<Sender<Duration>>,
    pub(crate) limit: Duration,
    /// The number of requests with this id, of which all but one may be refused.
    pub(crate) copies: u32,
}

/// The expected answer.
#[derive(Debug)]
pub(crate) enum Expected {
    /// A tool's result with this text.
    Text(String),
    /// An `input_required` result of this call.
    InputRequired { call: u64, tool: String },
    /// A list that has this tool.
    Tool(&'static str),
    /// Any result.
    Result,
    /// An error with this code.
    Refusal(i64),
}

/// What the client must send after a line.
#[derive(Debug)]
pub(crate) enum FollowUp {
    /// The response to a server request.
    Answer(Value),
    /// A retry of this call with these additional params.
    Retry {
        call: u64,
        tool: String,
        more: Value,
    },
}

/// Counters.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) answers: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) wrong: u64,
    pub(crate) late: u64,
    pub(crate) cancelled: u64,
    /// Second requests with an id in flight, and how many of them were refused.
    pub(crate) copies: u64,
    pub(crate) refused: u64,
    pub(crate) progress: u64,
    pub(crate) input_requests: u64,
    /// The gateway's errors about flaky backends, by class.
    pub(crate) errors: BTreeMap<String, u64>,
}

#[derive(Default)]
pub(crate) struct Tracker {
    pending: HashMap<u64, Pending>,
    /// Cancelled requests, each with the latest id sent before the cancellation.
    cancelled: VecDeque<(u64, u64)>,
    latest: u64,
    pub(crate) counts: Counts,
    /// Durations of the timed calls.
    pub(crate) times: Vec<Duration>,
    pub(crate) failures: Vec<String>,
}

struct Pending {
    info: RequestInfo,
    sent: Instant,
    left: u32,
    progress: f64,
    cancelled: bool,
}

impl Tracker {
    /// Records a request that is sent now.
    pub(crate) fn sent(&mut self, id: u64, info: RequestInfo, now: Instant) {
        self.counts.requests += u64::from(info.copies);
        self.counts.copies += u64::from(info.copies - 1);
        self.latest = id;
        let open = Pending {
            left: info.copies,
            info,
            sent: now,
            progress: 0.0,
            cancelled: false,
        };
        self.pending.insert(id, open);
    }

    /// Records a cancellation that is sent now.
    pub(crate) fn sent_cancellation(&mut self, id: u64) {
        if let Some(open) = self.pending.get_mut(&id) {
            open.cancelled = true;
            self.counts.cancelled += 1;
            self.cancelled.push_back((self.latest, id));
        }
    }

    /// The number of pending requests to good or to flaky backends.
    pub(crate) fn waiting(&self, flaky: bool) -> usize {
        let open = self.pending.values();
        open.filter(|open| open.info.flaky == flaky && !open.cancelled)
            .count()
    }

    /// Whether every request is answered or cancelled.
    pub(crate) fn is_settled(&self) -> bool {
        self.pending.values().all(|open| open.cancelled)
    }

    /// Counts every pending request as lost.
    pub(crate) fn close(&mut self) {
        let open = std::mem::take(&mut self.pending);
        for (id, open) in open.into_iter().filter(|(_, open)| !open.cancelled) {
            self.counts.lost += u64::from(open.left);
            self.fail(format!("no answer to {id}: {:?}", open.info));
        }
    }

    /// Checks a line of the gateway.
    pub(crate) fn received(&mut self, line: &[u8], now: Instant) -> Option<FollowUp> {
        let Ok(message) = serde_json::from_slice::<Value>(line) else {
            self.wrong("a line that is not JSON", &String::from_utf8_lossy(line));
            return None;
        };
        match (message["method"].as_str(), &message["id"]) {
            (Some("elicitation/create"), id) if !id.is_null() => {
                self.counts.input_requests += 1;
                let result = accepted(&message["params"]["message"]);
                let answer = json!({ "jsonrpc": "2.0", "id": id, "result": result });
                Some(FollowUp::Answer(answer))
            }
            (Some("notifications/progress"), _) => {
                self.progress(&message);
                None
            }
            (Some(method), id) => {
                if !id.is_null() || !method.starts_with("notifications/") {
                    self.wrong("a request that no backend made", &message);
                }
                None
            }
            (None, id) => {
                let Some(id) = id.as_u64() else {
                    self.wrong("an answer without a request", &message);
                    return None;
                };
                self.answer(id, &message, now)
            }
        }
    }

    fn answer(&mut self, id: u64, message: &Value, now: Instant) -> Option<FollowUp> {
        self.counts.answers += 1;
        let Some(open) = self.pending.get_mut(&id) else {
            self.counts.doubled += 1;
            self.fail(format!(
                "answered twice, or after it was cancelled: {}",
                short(message)
            ));
            return None;
        };
        open.left -= 1;
        let refused_copy = message["error"]["code"] == -32600 && open.left > 0;
        if refused_copy {
            self.counts.refused += 1;
            return None;
        }
        let took = now.duration_since(open.sent);
        let verdict = check(&open.info, message);
        let late = (took > open.info.limit).then_some(open.info.limit);
        if open.info.timed {
            self.times.push(took);
        }
        if let Some(answered) = &open.info.answered {
            let _ = answered.send(took);
        }
        if open.left == 0 {
            self.pending.remove(&id);
        }
        self.remove_cancelled(id);
        if let Some(limit) = late {
            self.counts.late += 1;
            self.fail(format!("{took:?} of {limit:?}: {}", short(message)));
        }
        match verdict {
            Verdict::Right => None,
            Verdict::InputRequired(follow_up) => {
                self.counts.input_requests += 1;
                Some(follow_up)
            }
            Verdict::PermittedError(class) => {
                *self.counts.errors.entry(class).or_default() += 1;
                None
            }
            Verdict::Wrong(wanted) => {
                self.wrong(&format!("not {wanted}"), message);
                None
            }
        }
    }

    /// Removes cancelled requests that can't be answered any more: the gateway reads in order, so it had
    /// read their cancellation before it read the answered request.
    fn remove_cancelled(&mut self, answered: u64) {
        while let Some((latest, id)) = self.cancelled.front().copied()
            && latest < answered
        {
            self.cancelled.pop_front();
            self.pending.remove(&id);
        }
    }

    fn progress(&mut self, message: &Value) {
        self.counts.progress += 1;
        let params = &message["params"];
        let open = params["progressToken"].as_u64();
        let open = open.and_then(|token| self.pending.get_mut(&token));
        let grows = |open: &mut Pending| {
            let before = std::mem::replace(
                &mut open.progress,
                params["progress"].as_f64().unwrap_or_default(),
            );
            open.progress > before || open.info.flaky
        };
        if !open.is_some_and(grows) {
            self.wrong("progress without a request, or not increasing", message);
        }
    }

    fn wrong(&mut self, why: &str, what: &impl ToString) {
        self.counts.wrong += 1;
        self.fail(format!("{why}: {}", short(what)));
    }

    fn fail(&mut self, why: String) {
        if self.failures.len() < MAX_FAILURES {
            self.failures.push(why);
        }
    }
}

enum Verdict {
    Right,
    InputRequired(FollowUp),
    /// A permitted error about a flaky backend, of this class.
    PermittedError(String),
    /// A wrong answer, with the expected one.
    Wrong(String),
}

fn check(info: &RequestInfo, message: &Value) -> Verdict {
    let (result, error) = (&message["result"], &message["error"]);
    let data = &error["data"];
    if info.flaky && data["source"] == "gateway" && data["backend"] == info.backend {
        let class = data["class"].as_str().unwrap_or("no class");
        return Verdict::PermittedError(class.to_owned());
    }
    let right = match &info.expected {
        Expected::Text(text) => result["content"][0]["text"] == **text,
        Expected::Tool(name) => {
            let mut tools = result["tools"].as_array().into_iter().flatten();
            tools.any(|tool| tool["name"] == *name)
        }
        Expected::Result => result.is_object(),
        Expected::Refusal(code) => error["code"] == *code,
        Expected::InputRequired { call, tool } => {
            let question = result["inputRequests"].as_object();
            if let Some((key, question)) = question.and_then(|all| all.iter().next()) {
                let answer = accepted(&question["params"]["message"]);
                let mut more = json!({ "inputResponses": { key: answer } });
                if let Some(state) = result.get("requestState") {
                    more["requestState"] = state.clone();
                }
                let (call, tool) = (*call, tool.clone());
                return Verdict::InputRequired(FollowUp::Retry { call, tool, more });
            }
            false
        }
    };
    if right {
        Verdict::Right
    } else {
        Verdict::Wrong(format!("{:?} of {}", info.expected, info.backend))
    }
}

/// The answer to the elicitation of a call. The backend's own words are the number of the call.
fn accepted(message: &Value) -> Value {
    let call = own_words(message).parse::<u64>().ok();
    json!({ "action": "accept", "content": { "call": call } })
}

fn short(text: &impl ToString) -> String {
    text.to_string().chars().take(400).collect()
}
