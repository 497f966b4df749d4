//! A backend that goes wrong, one beside it that doesn't, and the program under test as a process
//! between them and the row.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::{NamedTempFile, TempDir};

use crate::common::fake::FakeBackend;
use crate::common::gate::Gate;
use crate::common::gateway::{Answer, TestGateway};
use crate::common::message::text;
use crate::common::process::{ExitedProcess, Process};
use crate::common::reply::Reply;
use crate::common::tls::Authority;
use crate::table::Run;

/// Lines of an entry with which the backend's tools have one second.
pub const ONE_SECOND: &str = "tools.timeout_secs = { act = 1, look = 1 }";
/// How long a good backend's answer may take while another one suffers, on a busy machine.
const PROMPT: Duration = Duration::from_secs(5);
const INTERNAL_ERROR: i64 = -32603;

/// What must come of a fault that no answer comes out of.
#[derive(Clone, Copy)]
pub struct Must {
    pub class: &'static str,
    pub executed: &'static str,
    /// What the message has to say, beside the backend's name and the tool's fate.
    pub says: &'static str,
    /// How often a tool that may run twice is sent. All others are sent once.
    pub sent_if_safe: u64,
}

pub const BAD_REPLY: Must = must("bad_reply", "unknown", 1);
pub const OUTCOME_UNKNOWN: Must = must("outcome_unknown", "unknown", 2);
pub const DEADLINE: Must = must("deadline", "unknown", 1).saying("no answer within 1 s");
pub const TOO_LARGE: Must = must("too_large", "unknown", 1).saying("larger than 65536 bytes");
pub const AUTH_REQUIRED: Must = must("auth_required", "no", 1);
pub const REFUSED: Must = must("refused", "no", 1);
pub const UNREACHABLE: Must = must("unreachable", "no", 2);

pub const fn must(class: &'static str, executed: &'static str, sent_if_safe: u64) -> Must {
    Must {
        class,
        executed,
        says: "",
        sent_if_safe,
    }
}

impl Must {
    pub const fn saying(self, says: &'static str) -> Self {
        Self { says, ..self }
    }
}

/// A rig to be.
pub struct Plan<'a> {
    run: &'a Run<'a>,
    bad: Arc<FakeBackend>,
    /// Where the bad one is looked for, if not at its own address.
    url: Option<String>,
    gateway: String,
    retries: u32,
    entry: String,
    version: &'static str,
    capabilities: Value,
    environment: Vec<(String, String)>,
    /// That the entry names.
    files: Vec<NamedTempFile>,
    /// What starts the program, which comes as its last arguments.
    launcher: Vec<String>,
}

/// The backend of most rows: `act`, of which nothing is known, and `look`, which may run twice.
pub fn usual() -> FakeBackend {
    FakeBackend::start()
        .tool("act")
        .tool_with("look", json!({ "annotations": { "readOnlyHint": true } }))
}

/// With the usual backend.
pub fn plan<'a>(run: &'a Run<'a>) -> Plan<'a> {
    plan_over(run, Arc::new(usual()))
}

/// With this backend as the bad one.
pub fn plan_over<'a>(run: &'a Run<'a>, bad: Arc<FakeBackend>) -> Plan<'a> {
    Plan {
        run,
        bad,
        url: None,
        gateway: String::new(),
        retries: 1,
        entry: String::new(),
        version: "2025-11-25",
        capabilities: json!({}),
        environment: Vec::new(),
        files: Vec::new(),
        launcher: Vec::new(),
    }
}

impl<'a> Plan<'a> {
    pub fn bad(&self) -> &Arc<FakeBackend> {
        &self.bad
    }

    /// With these lines of `[gateway]`.
    pub fn gateway(mut self, lines: &str) -> Self {
        self.gateway = format!("[gateway]\n{lines}\n");
        self
    }

    /// With more retries than the one that calls usually get.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// With these further lines in the bad one's entry.
    pub fn entry(mut self, lines: &str) -> Self {
        self.entry = format!("{}{lines}\n", self.entry);
        self
    }

    /// The bad one's certificates are held against this authority.
    pub fn trusting(self, authority: &Authority) -> Self {
        let file = authority.file();
        let path = file.path().display().to_string();
        let mut plan = self.entry(&format!("ca_file = '{path}'"));
        plan.files.push(file);
        plan
    }

    /// The bad one is looked for at this address.
    pub fn at(mut self, url: &str) -> Self {
        self.url = Some(url.to_owned());
        self
    }

    /// The client speaks this version.
    pub fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// The client can do these things.
    pub fn client(mut self, capabilities: Value) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// The process has this variable.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The process is started by this program, to whose arguments its own are added.
    pub fn through(mut self, launcher: &[&str]) -> Self {
        self.launcher = launcher.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// The process is started by a shell that does this first.
    pub fn after(self, shell: &str) -> Self {
        self.through(&["sh", "-c", &format!("{shell}; exec \"$@\""), "sh"])
    }

    /// What a process is started with, for a row with pipes of its own.
    pub fn parts(self) -> Parts {
        let good = FakeBackend::start().tool("other").tool("held");
        let own = self.bad.url();
        let url = self.url.as_ref().unwrap_or(&own);
        let lines = format!("retries = {}\n{}", self.retries, self.entry);
        let entry = self.bad.entry("bad", &lines).replace(&own, url);
        let toml = format!("{}{}{entry}", self.gateway, good.entry("good", ""));
        let folder = tempfile::tempdir().unwrap();
        let mut command = self.run.subject.command(&folder, &toml, url);
        if !self.launcher.is_empty() {
            command = launched(&self.launcher, &command);
        }
        command.envs(self.environment);
        Parts {
            command,
            folder,
            files: self.files,
            backends: Backends {
                bad: self.bad,
                good,
            },
        }
    }

    /// The process before the handshake.
    pub fn raw(self) -> Rig<'a> {
        let run = self.run;
        let parts = self.parts();
        let mut process = Process::start(parts.command, parts.folder, run.subject.patience());
        if !run.subject.is_ours() {
            process.client.json_rpc_only();
        }
        Rig {
            run,
            process: Some(process),
            bad: parts.backends.bad,
            good: parts.backends.good,
            under_way: None,
            gate: Gate::new(),
            _files: parts.files,
        }
    }

    /// The process after the handshake, with a call to the good backend under way.
    pub fn start(self) -> Rig<'a> {
        let (version, capabilities) = (self.version, self.capabilities.clone());
        let mut rig = self.raw();
        rig.client().initialize_with(version, capabilities).result();
        if rig.is_ours() {
            let held = Reply::sse().hold(&rig.gate).event(text("unharmed"));
            rig.good.on_tool("held", held);
            rig.under_way = Some(rig.client().start_call("held", json!({})));
            rig.gate.wait_for(1);
        } else {
            rig.client().list_tools();
        }
        rig
    }
}

/// What a process is started with, and what lives as long as it.
pub struct Parts {
    pub command: Command,
    pub folder: TempDir,
    pub files: Vec<NamedTempFile>,
    pub backends: Backends,
}

pub struct Backends {
    pub bad: Arc<FakeBackend>,
    pub good: FakeBackend,
}

fn launched(launcher: &[String], command: &Command) -> Command {
    let mut whole = Command::new(&launcher[0]);
    whole
        .args(&launcher[1..])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear();
    for (name, value) in command.get_envs() {
        whole.envs(value.map(|value| (name, value)));
    }
    whole
}

/// See [`plan`]. A call to the good backend is under way from beginning to end, and must come out
/// well; so must one during each fault.
pub struct Rig<'a> {
    pub run: &'a Run<'a>,
    process: Option<Process>,
    pub bad: Arc<FakeBackend>,
    pub good: FakeBackend,
    under_way: Option<u64>,
    gate: Gate,
    _files: Vec<NamedTempFile>,
}

impl Rig<'_> {
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("it ends with the rig")
    }

    pub fn client(&mut self) -> &mut TestGateway {
        let process = self.process.as_mut().expect("it ends with the rig");
        &mut process.client
    }

    pub fn is_ours(&self) -> bool {
        self.run.subject.is_ours()
    }

    /// A call that the good backend answers as ever. Others than us have no such backend, and
    /// show that they live.
    pub fn good_works(&mut self) {
        let begun = Instant::now();
        if self.is_ours() {
            let answer = self.client().call("other", json!({}));
            assert_eq!(answer.text(), "other {}");
            assert!(begun.elapsed() < PROMPT, "the good backend was held up");
        }
    }

    /// It lives, and answers.
    pub fn lives(&mut self) {
        self.client().ask("ping", json!({})).result();
    }

    /// Calls a tool of the bad backend, and one of the other before it may answer.
    pub fn call(&mut self, tool: &str) -> Answer {
        let id = self.client().start_call(tool, json!({}));
        self.good_works();
        self.client().answer(id)
    }

    /// The tool's own answer comes, at the first attempt.
    pub fn works(&mut self, tool: &str) {
        if !self.is_ours() {
            return self.lives();
        }
        let before = self.sent(tool);
        assert_eq!(self.call(tool).text(), format!("{tool} {{}}"));
        assert_eq!(
            self.sent(tool) - before,
            1,
            "{tool} was sent more than once"
        );
    }

    /// The next answer to `act` is this one, and its text gets through.
    pub fn understands(&mut self, reply: Reply, words: &str) {
        let before = self.bad.runs("act");
        self.bad.on_tool("act", reply);
        assert_eq!(self.call("act").text(), words);
        self.run.ran(self.bad.runs("act") - before);
    }

    /// Lets both tools meet a reply, and sees that the next calls are served as ever.
    pub fn suffers(&mut self, variant: &str, reply: &Reply, must: Must) {
        self.run.at(variant);
        for (tool, attempts) in [("act", 1), ("look", must.sent_if_safe)] {
            let (sent, ran) = (self.sent(tool), self.bad.runs(tool));
            self.bad.always_tool(tool, reply.clone());
            let answer = self.call(tool);
            self.bad.reset_script(&format!("tools/call {tool}"));
            if tool == "act" {
                self.run.ran(self.bad.runs(tool) - ran);
            }
            if self.is_ours() {
                judge(&answer, must, attempts);
                assert_eq!(self.sent(tool) - sent, attempts, "{tool} was sent so often");
            }
            self.works(tool);
        }
    }

    /// Calls a tool and judges the error. Of others an answer is asked, whatever it says.
    pub fn fails(&mut self, tool: &str, must: Must, attempts: u64) {
        let answer = self.call(tool);
        if self.is_ours() {
            judge(&answer, must, attempts);
        }
    }

    /// Others than us may say what they like.
    pub fn expects(&self, holds: impl FnOnce() -> bool, what: &str) {
        if self.is_ours() {
            assert!(holds(), "{what}");
        }
    }

    /// How many calls of a tool have reached the bad backend.
    pub fn sent(&self, tool: &str) -> u64 {
        let calls = self.bad.requests_of("tools/call");
        calls.iter().filter(|call| call.tool() == tool).count() as u64
    }

    /// How many sessions the bad backend was asked for.
    pub fn handshakes(&self) -> usize {
        self.bad.requests_of("initialize").len()
    }

    /// The bad backend dies, and the gateway has seen its connections close: a request that
    /// crosses with the end of its connection may have run for all anybody knows.
    pub fn dies(&mut self) {
        self.bad.go_down();
        self.closings_are_seen();
    }

    /// What has arrived at the gateway by now, the ends of connections too, it has looked at:
    /// each of these calls takes it a turn around its sockets.
    pub fn closings_are_seen(&mut self) {
        for _ in 0..3 {
            self.good_works();
        }
    }

    /// Lets the call to the good backend end, for a row that ends the process in its own way.
    pub fn settle(&mut self) {
        self.gate.open();
        if let Some(id) = self.under_way.take() {
            assert_eq!(self.client().answer(id).text(), "unharmed");
        }
    }

    /// Ends the process, and says how it ended.
    pub fn end(mut self) -> ExitedProcess {
        self.settle();
        let process = self.process.take().expect("it ends with the rig");
        self.run.end(process)
    }
}

/// Checks an error's every part: class, executed, attempts, and that the message serves alone.
pub fn judge(answer: &Answer, must: Must, attempts: u64) {
    let verdict = (must.class, must.executed, attempts);
    assert_eq!(answer.gateway_error(), verdict, "{}", answer.0.line);
    assert_eq!(answer.code(), INTERNAL_ERROR);
    assert_eq!(answer.error()["data"]["backend"], "bad");
    let fate = match must.executed {
        "no" => "; the tool did not run",
        _ => "; the tool MAY HAVE RUN: check before calling again",
    };
    let message = answer.message();
    assert!(message.starts_with("bad: "), "{message}");
    assert!(message.contains(must.says), "no {:?}: {message}", must.says);
    assert!(message.ends_with(fate), "{message}");
    assert!(message.len() < 600, "too long to read: {message}");
    assert!(!message.contains(char::is_control), "{message:?}");
    assert!(!message.contains("docs.rs"), "not for users: {message}");
}

impl Drop for Rig<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.settle();
        if let Some(process) = self.process.take() {
            let ended = self.run.end(process);
            if self.is_ours() {
                assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
            }
        }
    }
}
