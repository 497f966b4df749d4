//! What the client waits for, and the judgement of every line that comes.
//!
//! Owns the promise: one right answer for each request, in time, and an error only from a backend
//! that misbehaves. It knows neither processes nor clocks: it is told when a line came.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How many failures are told in words.
const TOLD: usize = 20;

/// A request under way.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) wants: Wants,
    /// Who answers it, in the end.
    pub(crate) backend: &'static str,
    /// Errors of the gateway about that backend are no failure.
    pub(crate) flaky: bool,
    /// Its time counts among those that are compared.
    pub(crate) timed: bool,
    pub(crate) limit: Duration,
    /// How many requests there are under this id, of which all but one may be refused.
    pub(crate) copies: u32,
}

/// The right answer.
#[derive(Debug)]
pub(crate) enum Wants {
    /// A tool's result with this text.
    Text(String),
    /// The question of this call.
    Question { call: u64, tool: String },
    /// A list that has this tool.
    Tool(&'static str),
    /// A result, whatever is in it.
    Result,
    /// An error with this code.
    Refusal(i64),
}

/// What the client has to say after a line.
#[derive(Debug)]
pub(crate) enum FollowUp {
    /// The answer to a question of a server, ready to be sent.
    Answer(Value),
    /// This call is to be made again with these params beside its own.
    Again {
        call: u64,
        tool: String,
        more: Value,
    },
}

/// What was counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) answers: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) wrong: u64,
    pub(crate) late: u64,
    pub(crate) cancelled: u64,
    /// Second requests under an id, and how many of them were refused, since it was in flight.
    pub(crate) copies: u64,
    pub(crate) refused: u64,
    pub(crate) progress: u64,
    pub(crate) questions: u64,
    /// The gateway's errors about flaky backends, by class.
    pub(crate) errors: BTreeMap<String, u64>,
}

#[derive(Default)]
pub(crate) struct Ledger {
    open: HashMap<u64, Open>,
    /// Requests that were cancelled, with the id of the latest request before that.
    withdrawn: VecDeque<(u64, u64)>,
    latest: u64,
    pub(crate) counts: Counts,
    /// Times of the calls that are compared.
    pub(crate) times: Vec<Duration>,
    pub(crate) failures: Vec<String>,
}

struct Open {
    asked: Asked,
    sent: Instant,
    left: u32,
    progress: f64,
    cancelled: bool,
}

impl Ledger {
    /// Takes note of a request that goes out now.
    pub(crate) fn asks(&mut self, id: u64, asked: Asked, now: Instant) {
        self.counts.requests += u64::from(asked.copies);
        self.counts.copies += u64::from(asked.copies - 1);
        self.latest = id;
        let open = Open {
            left: asked.copies,
            asked,
            sent: now,
            progress: 0.0,
            cancelled: false,
        };
        self.open.insert(id, open);
    }

    /// Takes note of a cancellation that goes out now.
    pub(crate) fn cancels(&mut self, id: u64) {
        if let Some(open) = self.open.get_mut(&id) {
            open.cancelled = true;
            self.counts.cancelled += 1;
            self.withdrawn.push_back((self.latest, id));
        }
    }

    /// How many requests wait for an answer of a backend of this kind.
    pub(crate) fn waiting(&self, flaky: bool) -> usize {
        let open = self.open.values();
        open.filter(|open| open.asked.flaky == flaky && !open.cancelled)
            .count()
    }

    /// Whether nothing waits any more but what was cancelled.
    pub(crate) fn is_settled(&self) -> bool {
        self.open.values().all(|open| open.cancelled)
    }

    /// What waits still will never be answered.
    pub(crate) fn close(&mut self) {
        let open = std::mem::take(&mut self.open);
        for (id, open) in open.into_iter().filter(|(_, open)| !open.cancelled) {
            self.counts.lost += u64::from(open.left);
            self.fail(format!("no answer to {id}: {:?}", open.asked));
        }
    }

    /// Judges a line.
    pub(crate) fn takes(&mut self, line: &[u8], now: Instant) -> Option<FollowUp> {
        let Ok(message) = serde_json::from_slice::<Value>(line) else {
            self.wrong("a line that is no JSON", &String::from_utf8_lossy(line));
            return None;
        };
        match (message["method"].as_str(), &message["id"]) {
            (Some("elicitation/create"), id) if !id.is_null() => {
                self.counts.questions += 1;
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
                    self.wrong("an answer to nothing", &message);
                    return None;
                };
                self.answer(id, &message, now)
            }
        }
    }

    fn answer(&mut self, id: u64, message: &Value, now: Instant) -> Option<FollowUp> {
        self.counts.answers += 1;
        let Some(open) = self.open.get_mut(&id) else {
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
        let verdict = judge(&open.asked, message);
        let late = (took > open.asked.limit).then(|| open.asked.limit);
        if open.asked.timed {
            self.times.push(took);
        }
        if open.left == 0 {
            self.open.remove(&id);
        }
        self.has_read(id);
        if let Some(limit) = late {
            self.counts.late += 1;
            self.fail(format!("{took:?} of {limit:?}: {}", short(message)));
        }
        match verdict {
            RetryDecision::Right => None,
            RetryDecision::Asks(follow_up) => {
                self.counts.questions += 1;
                Some(follow_up)
            }
            RetryDecision::Excused(class) => {
                *self.counts.errors.entry(class).or_default() += 1;
                None
            }
            RetryDecision::Wrong(wanted) => {
                self.wrong(&format!("not {wanted}"), message);
                None
            }
        }
    }

    /// Lines are read in order: who answers a request has read what came before it.
    fn has_read(&mut self, answered: u64) {
        while let Some((latest, id)) = self.withdrawn.front().copied()
            && latest < answered
        {
            self.withdrawn.pop_front();
            self.open.remove(&id);
        }
    }

    fn progress(&mut self, message: &Value) {
        self.counts.progress += 1;
        let params = &message["params"];
        let open = params["progressToken"].as_u64();
        let open = open.and_then(|token| self.open.get_mut(&token));
        let grows = |open: &mut Open| {
            let before = std::mem::replace(
                &mut open.progress,
                params["progress"].as_f64().unwrap_or_default(),
            );
            open.progress > before || open.asked.flaky
        };
        if !open.is_some_and(grows) {
            self.wrong("progress of nothing, or backwards", message);
        }
    }

    fn wrong(&mut self, why: &str, what: &impl ToString) {
        self.counts.wrong += 1;
        self.fail(format!("{why}: {}", short(what)));
    }

    fn fail(&mut self, why: String) {
        if self.failures.len() < TOLD {
            self.failures.push(why);
        }
    }
}

enum RetryDecision {
    Right,
    Asks(FollowUp),
    /// An error of the gateway about a flaky backend, of this class.
    Excused(String),
    /// What it should have been.
    Wrong(String),
}

fn judge(asked: &Asked, message: &Value) -> RetryDecision {
    let (result, error) = (&message["result"], &message["error"]);
    let data = &error["data"];
    if asked.flaky && data["source"] == "gateway" && data["backend"] == asked.backend {
        let class = data["class"].as_str().unwrap_or("no class");
        return RetryDecision::Excused(class.to_owned());
    }
    let right = match &asked.wants {
        Wants::Text(text) => result["content"][0]["text"] == **text,
        Wants::Tool(name) => {
            let mut tools = result["tools"].as_array().into_iter().flatten();
            tools.any(|tool| tool["name"] == *name)
        }
        Wants::Result => result.is_object(),
        Wants::Refusal(code) => error["code"] == *code,
        Wants::Question { call, tool } => {
            let question = result["inputRequests"].as_object();
            if let Some((key, question)) = question.and_then(|all| all.iter().next()) {
                let answer = accepted(&question["params"]["message"]);
                let mut more = json!({ "inputResponses": { key: answer } });
                if let Some(state) = result.get("requestState") {
                    more["requestState"] = state.clone();
                }
                let (call, tool) = (*call, tool.clone());
                return RetryDecision::Asks(FollowUp::Again { call, tool, more });
            }
            false
        }
    };
    if right {
        RetryDecision::Right
    } else {
        RetryDecision::Wrong(format!("{:?} of {}", asked.wants, asked.backend))
    }
}

/// The answer to the question of a call, which names its number.
fn accepted(message: &Value) -> Value {
    let call = message.as_str().and_then(|text| text.parse::<u64>().ok());
    json!({ "action": "accept", "content": { "call": call } })
}

fn short(text: &impl ToString) -> String {
    text.to_string().chars().take(400).collect()
}
