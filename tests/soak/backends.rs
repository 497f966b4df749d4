//! A process with a group of backends: five good ones, three faulty ones, or the one that only the second
//! client calls.
//!
//! Prints a name and a URL for each, reads a [`BackendCommand`] a line from stdin, and at its end prints how many
//! calls ran and how many of them ran twice. The faults are in [`super::faults`].

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{BufRead, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::Result;
use super::common::fake::FakeBackend;
use super::common::gate::Gate;
use super::common::message;
use super::common::reply::Reply;
use super::common::wire::Request;
use super::faults::{self, CurrentFault, STEP};

/// The duration of the tool `work`: long enough to be cancelled.
const WORK: Duration = Duration::from_millis(50);
/// The number of progress notifications before the answer of `progress`.
const REPORTS: u32 = 3;
/// The number of recent calls that are kept, to detect a call that runs twice.
const RECENT_CALLS: usize = 100_000;

/// Backends without faults, and the kind of server of each.
const GOOD: [Kind; 5] = [
    ("json", |fake| fake.with_get()),
    ("sse", |fake| fake.sse()),
    ("modern", |fake| fake.modern()),
    ("modern-sse", |fake| fake.modern().sse()),
    ("paged", |fake| fake.without_sessions().page_size(2)),
];
/// Backends that are faulty in slices with faults.
const FLAKY: [Kind; 3] = [
    ("flaky-json", |fake| fake.with_get()),
    ("flaky-sse", |fake| fake.sse()),
    ("flaky-modern", |fake| fake.modern()),
];

/// The backend of the second client.
pub(crate) const QUIET: &str = "quiet";
const OF_SECOND_CLIENT: [Kind; 1] = [(QUIET, |fake| fake)];

/// A command to the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BackendCommand {
    /// Show every fault in turn.
    Faults,
    /// Show no faults.
    NoFaults,
    /// Close all connections, so that only those that are needed are reopened.
    CloseConnections,
}

impl BackendCommand {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Faults => "faults",
            Self::NoFaults => "no-faults",
            Self::CloseConnections => "close-connections",
        }
    }

    fn read(text: &str) -> Option<Self> {
        let all = [Self::Faults, Self::NoFaults, Self::CloseConnections];
        all.into_iter().find(|command| command.text() == text)
    }
}

/// A backend's name and its kind of server.
type Kind = (&'static str, fn(FakeBackend) -> FakeBackend);

/// The names of a group of backends, in their order.
pub(crate) fn names(group: &str) -> Vec<&'static str> {
    kinds(group).iter().map(|(name, _)| *name).collect()
}

fn kinds(group: &str) -> &'static [Kind] {
    match group {
        "good" => &GOOD,
        "flaky" => &FLAKY,
        QUIET => &OF_SECOND_CLIENT,
        _ => &[],
    }
}

/// Runs the backends of a group until stdin ends.
pub(crate) fn serve(group: &str) -> Result<()> {
    let runs = Arc::new(Mutex::new(Runs::default()));
    let mut instances = Vec::new();
    let mut out = std::io::stdout().lock();
    for (name, kind) in kinds(group) {
        let instance = Instance::start(*kind, &runs);
        writeln!(out, "{name} {}", instance.fake.url())?;
        instances.push(instance);
    }
    out.flush()?;
    execute(&mut instances, &commands());
    let runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(out, "{} {}", runs.all, runs.twice)?;
    Ok(out.flush()?)
}

/// The commands on stdin. The channel closes when stdin ends.
fn commands() -> Receiver<BackendCommand> {
    let (sender, commands) = channel();
    thread::spawn(move || {
        let lines = std::io::stdin().lock().lines().map_while(|line| line.ok());
        for command in lines.filter_map(|line| BackendCommand::read(&line)) {
            if sender.send(command).is_err() {
                return;
            }
        }
    });
    commands
}

/// Executes commands. With faults, each backend gets its next fault every [`STEP`], and no two have
/// the same one.
fn execute(instances: &mut [Instance], commands: &Receiver<BackendCommand>) {
    let mut cycle = 0;
    let mut faulty: Option<usize> = None;
    loop {
        match commands.recv_timeout(STEP) {
            Ok(BackendCommand::Faults) => {
                faulty = Some(0);
                cycle += 1;
            }
            Ok(BackendCommand::NoFaults) => {
                faulty = None;
                instances
                    .iter()
                    .for_each(|instance| instance.current_fault.clear(&instance.fake));
            }
            Ok(BackendCommand::CloseConnections) => instances.iter().for_each(|instance| {
                instance.fake.drop_connections();
            }),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if let Some(step) = &mut faulty {
            for (position, instance) in instances.iter().enumerate() {
                let fault = faults::at(cycle, *step, position);
                instance.current_fault.set(fault, &instance.fake);
            }
            *step += 1;
        }
    }
}

/// One backend and its current fault.
struct Instance {
    fake: FakeBackend,
    current_fault: CurrentFault,
}

impl Instance {
    fn start(kind: fn(FakeBackend) -> FakeBackend, runs: &Arc<Mutex<Runs>>) -> Self {
        let current_fault = CurrentFault::default();
        let fake = ["echo", "work", "progress", "ask"]
            .into_iter()
            .fold(FakeBackend::start(), FakeBackend::tool)
            .without_recording()
            .respond_with(replies(current_fault.clone(), Arc::clone(runs)));
        let fake = kind(fake);
        Self {
            fake,
            current_fault,
        }
    }
}

/// A backend's replies to requests.
fn replies(
    current_fault: CurrentFault,
    runs: Arc<Mutex<Runs>>,
) -> impl FnMut(&Request) -> Option<Reply> + Send {
    let mut elicitations = Elicitations::default();
    move |request| {
        if request.kind() == "response" {
            elicitations.answered(request);
            return None;
        }
        let reply = match current_fault.reply(request) {
            Some(fault) => Some(fault),
            None if request.kind() == "tools/call" => perform(request, &mut elicitations),
            None => None,
        };
        let runs_now = reply.as_ref().is_none_or(Reply::tool_runs);
        if request.kind() == "tools/call" && runs_now {
            let mut runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
            runs.note(&request.params()["arguments"]["call"]);
        }
        reply
    }
}

/// The reply of a tool that doesn't answer immediately.
fn perform(request: &Request, elicitations: &mut Elicitations) -> Option<Reply> {
    match request.tool() {
        "work" => Some(Reply::sse().pause(WORK).event(done(request))),
        "progress" => {
            let reports = (1..=REPORTS).map(|n| message::progress(n.into()));
            Some(
                reports
                    .fold(Reply::sse(), Reply::event)
                    .event(done(request)),
            )
        }
        "ask" => Some(elicitations.ask(request)),
        _ => None,
    }
}

/// The answer of every tool: its name and its arguments.
pub(crate) fn answer_text(tool: &str, arguments: &Value) -> String {
    format!("{tool} {arguments}")
}

pub(crate) fn done(request: &Request) -> Value {
    let text = answer_text(request.tool(), &request.params()["arguments"]);
    if request.is_modern() {
        message::complete_text(&text)
    } else {
        message::text(&text)
    }
}

/// Elicitations during calls, each about the number of its call.
#[derive(Default)]
struct Elicitations {
    /// In the legacy era, the call number and the gate that holds its answer, by request id.
    open: HashMap<String, (Value, Gate)>,
}

impl Elicitations {
    fn ask(&mut self, request: &Request) -> Reply {
        let call = &request.params()["arguments"]["call"];
        let elicitation = json!({
            "message": call.to_string(),
            "requestedSchema": { "type": "object", "properties": { "call": { "type": "integer" } } },
        });
        if !request.is_modern() {
            let gate = Gate::new();
            let id = request.message["id"].to_string();
            self.open.insert(id, (call.clone(), gate.clone()));
            let elicitation = message::request(json!("$id"), "elicitation/create", elicitation);
            return Reply::sse()
                .event(elicitation)
                .hold(&gate)
                .event(done(request));
        }
        let answer = &request.params()["inputResponses"]["number"];
        if is_right(answer, call) && request.params()["requestState"] == *call.to_string() {
            return Reply::json(&done(request));
        }
        let elicitation = json!({ "method": "elicitation/create", "params": elicitation });
        Reply::input_required(&json!({ "number": elicitation }), Some(&call.to_string()))
    }

    /// Lets the call continue if the answer is right. Otherwise it never ends.
    fn answered(&mut self, response: &Request) {
        let (id, result) = (&response.message["id"], &response.message["result"]);
        if let Some((call, gate)) = self.open.remove(&id.to_string())
            && is_right(result, &call)
        {
            gate.open();
        }
    }
}

fn is_right(answer: &Value, call: &Value) -> bool {
    answer["action"] == "accept" && answer["content"]["call"] == *call
}

/// The calls that ran, by number.
#[derive(Default)]
struct Runs {
    all: u64,
    twice: u64,
    recent: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Runs {
    fn note(&mut self, call: &Value) {
        let Some(call) = call.as_u64() else { return };
        self.all += 1;
        if !self.recent.insert(call) {
            self.twice += 1;
            return;
        }
        self.order.push_back(call);
        if self.order.len() > RECENT_CALLS
            && let Some(oldest) = self.order.pop_front()
        {
            self.recent.remove(&oldest);
        }
    }
}
