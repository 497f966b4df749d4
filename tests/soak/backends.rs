//! The backends, as a process of their own: five that are well, or three that misbehave.
//!
//! Prints a name and a URL for each, obeys a [`Word`] a line on stdin, and at its end says how many
//! calls ran and how many of them twice. What each fault is, is the affair of [`super::faults`].

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
use super::faults::{self, Mood, STEP};

/// How long the tool `work` takes: time enough to be cancelled.
const WORK: Duration = Duration::from_millis(50);
/// How many progress notifications come before the answer of `progress`.
const REPORTS: u32 = 3;
/// How many calls are remembered, to notice one that runs twice.
const REMEMBERED: usize = 100_000;

/// Backends that are well, with what kind of server each is.
const WELL: [Kind; 5] = [
    ("json", |fake| fake.with_get()),
    ("sse", |fake| fake.sse()),
    ("modern", |fake| fake.modern()),
    ("modern-sse", |fake| fake.modern().sse()),
    ("paged", |fake| fake.without_sessions().page_size(2)),
];
/// Those that misbehave while there is chaos.
const FLAKY: [Kind; 3] = [
    ("flaky-json", |fake| fake.with_get()),
    ("flaky-sse", |fake| fake.sse()),
    ("flaky-modern", |fake| fake.modern()),
];

/// What the process is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Misbehave, in every way in turn.
    Chaos,
    /// Behave.
    Calm,
    /// Close all connections, so that none is left but those that are needed.
    Hush,
}

impl Word {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Chaos => "chaos",
            Self::Calm => "calm",
            Self::Hush => "hush",
        }
    }

    fn read(text: &str) -> Option<Self> {
        let all = [Self::Chaos, Self::Calm, Self::Hush];
        all.into_iter().find(|word| word.text() == text)
    }
}

/// A backend's name, and what kind of server it is.
type Kind = (&'static str, fn(FakeBackend) -> FakeBackend);

/// The names of a group of backends, in their order.
pub(crate) fn names(group: &str) -> Vec<&'static str> {
    kinds(group).iter().map(|(name, _)| *name).collect()
}

fn kinds(group: &str) -> &'static [Kind] {
    match group {
        "well" => &WELL,
        "flaky" => &FLAKY,
        _ => &[],
    }
}

/// Plays the backends of a group until stdin ends.
pub(crate) fn play(group: &str) -> Result<()> {
    let runs = Arc::new(Mutex::new(Runs::default()));
    let mut actors = Vec::new();
    let mut out = std::io::stdout().lock();
    for (name, kind) in kinds(group) {
        let actor = Actor::start(*kind, &runs);
        writeln!(out, "{name} {}", actor.fake.url())?;
        actors.push(actor);
    }
    out.flush()?;
    obey(&mut actors, &words());
    let runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(out, "{} {}", runs.all, runs.twice)?;
    Ok(out.flush()?)
}

/// What comes on stdin; it ends with that.
fn words() -> Receiver<Word> {
    let (sender, words) = channel();
    thread::spawn(move || {
        let lines = std::io::stdin().lock().lines().map_while(|line| line.ok());
        for word in lines.filter_map(|line| Word::read(&line)) {
            if sender.send(word).is_err() {
                return;
            }
        }
    });
    words
}

/// In chaos every [`STEP`] brings each backend its next fault; no two have the same one.
fn obey(actors: &mut [Actor], words: &Receiver<Word>) {
    let mut times = 0;
    let mut chaos: Option<usize> = None;
    loop {
        match words.recv_timeout(STEP) {
            Ok(Word::Chaos) => {
                chaos = Some(0);
                times += 1;
            }
            Ok(Word::Calm) => {
                chaos = None;
                actors
                    .iter()
                    .for_each(|actor| actor.mood.settle(&actor.fake));
            }
            Ok(Word::Hush) => actors.iter().for_each(|actor| {
                actor.fake.drop_connections();
            }),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if let Some(step) = &mut chaos {
            for (place, actor) in actors.iter().enumerate() {
                let fault = faults::at(times, *step, place);
                actor.mood.turn(fault, &actor.fake);
            }
            *step += 1;
        }
    }
}

/// One backend, and how it behaves just now.
struct Actor {
    fake: FakeBackend,
    mood: Mood,
}

impl Actor {
    fn start(kind: fn(FakeBackend) -> FakeBackend, runs: &Arc<Mutex<Runs>>) -> Self {
        let mood = Mood::default();
        let fake = ["echo", "work", "progress", "ask"]
            .into_iter()
            .fold(FakeBackend::start(), FakeBackend::tool)
            .without_recording()
            .respond_with(role(mood.clone(), Arc::clone(runs)));
        let fake = kind(fake);
        Self { fake, mood }
    }
}

/// What a backend says to each request.
fn role(mood: Mood, runs: Arc<Mutex<Runs>>) -> impl FnMut(&Request) -> Option<Reply> + Send {
    let mut questions = Questions::default();
    move |request| {
        if request.kind() == "response" {
            questions.answered(request);
            return None;
        }
        let reply = match mood.reply(request) {
            Some(fault) => Some(fault),
            None if request.kind() == "tools/call" => perform(request, &mut questions),
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

/// A tool that isn't done at once.
fn perform(request: &Request, questions: &mut Questions) -> Option<Reply> {
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
        "ask" => Some(questions.ask(request)),
        _ => None,
    }
}

/// The answer of every tool: its name and what it was given.
pub(crate) fn said(tool: &str, arguments: &Value) -> String {
    format!("{tool} {arguments}")
}

pub(crate) fn done(request: &Request) -> Value {
    let text = said(request.tool(), &request.params()["arguments"]);
    if request.is_modern() {
        message::complete_text(&text)
    } else {
        message::text(&text)
    }
}

/// Questions to the client in the middle of a call, each about the number of its call.
#[derive(Default)]
struct Questions {
    /// In the era with a handshake: what holds the answer to the call, by the question's id.
    open: HashMap<String, (Value, Gate)>,
}

impl Questions {
    fn ask(&mut self, request: &Request) -> Reply {
        let call = &request.params()["arguments"]["call"];
        let question = json!({
            "message": call.to_string(),
            "requestedSchema": { "type": "object", "properties": { "call": { "type": "integer" } } },
        });
        if !request.is_modern() {
            let gate = Gate::new();
            let id = request.message["id"].to_string();
            self.open.insert(id, (call.clone(), gate.clone()));
            let question = message::request(json!("$id"), "elicitation/create", question);
            return Reply::sse()
                .event(question)
                .hold(&gate)
                .event(done(request));
        }
        let answer = &request.params()["inputResponses"]["number"];
        if is_right(answer, call) && request.params()["requestState"] == *call.to_string() {
            return Reply::json(&done(request));
        }
        let question = json!({ "method": "elicitation/create", "params": question });
        Reply::input_required(&json!({ "number": question }), Some(&call.to_string()))
    }

    /// The call goes on, if this is the right answer; else it never does.
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

/// Which calls ran, by their numbers.
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
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.recent.remove(&oldest);
        }
    }
}
