//! A faulty backend, a good one beside it, and the program under test as a process between them
//! and the row's check.

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

/// Lines of a backend's entry that give its tools one second.
pub const ONE_SECOND: &str = "tools.timeout_secs = { act = 1, look = 1 }";
/// The most that a good backend's answer may take during another's fault, on a busy machine.
const GOOD_BACKEND_TIMEOUT: Duration = Duration::from_secs(5);
const INTERNAL_ERROR: i64 = -32603;

/// The expected error of a call that a fault prevents from succeeding.
#[derive(Clone, Copy)]
pub struct Expected {
    pub class: &'static str,
    pub executed: &'static str,
    /// What the message contains, beside the backend's name and whether the tool ran.
    pub expected_text: &'static str,
    /// How often a call of a read-only tool is sent. Other calls are sent once.
    pub sent_if_safe: u64,
}

pub const BAD_REPLY: Expected = expected("bad_reply", "unknown", 1);
pub const OUTCOME_UNKNOWN: Expected = expected("outcome_unknown", "unknown", 2);
pub const DEADLINE: Expected = expected("deadline", "unknown", 1).with_text("no answer within 1 s");
pub const TOO_LARGE: Expected =
    expected("too_large", "unknown", 1).with_text("larger than 65536 bytes");
pub const AUTH_REQUIRED: Expected = expected("auth_required", "no", 1);
pub const FORBIDDEN: Expected = expected("auth_required", "unknown", 1);
pub const REFUSED: Expected = expected("refused", "no", 1);
pub const REDIRECTED: Expected = expected("refused", "unknown", 1);
pub const UNREACHABLE: Expected = expected("unreachable", "no", 2);

pub const fn expected(class: &'static str, executed: &'static str, sent_if_safe: u64) -> Expected {
    Expected {
        class,
        executed,
        expected_text: "",
        sent_if_safe,
    }
}

impl Expected {
    pub const fn with_text(self, expected_text: &'static str) -> Self {
        Self {
            expected_text,
            ..self
        }
    }
}

/// Builds a [`Fixture`].
pub struct Plan<'a> {
    run: &'a Run<'a>,
    bad: Arc<FakeBackend>,
    /// The URL configured for the bad backend, if not its own.
    url: Option<String>,
    gateway: String,
    retries: u32,
    entry: String,
    version: &'static str,
    capabilities: Value,
    environment: Vec<(String, String)>,
    /// Files that the entry refers to.
    files: Vec<NamedTempFile>,
    /// The command that starts the program, which is appended to its arguments.
    launcher: Vec<String>,
}

/// The backend of most rows: tools `act`, without annotations, and `look`, which is read-only and so
/// may run twice.
pub fn default_backend() -> FakeBackend {
    FakeBackend::start()
        .tool("act")
        .tool_with("look", json!({ "annotations": { "readOnlyHint": true } }))
}

/// A plan with [`default_backend`] as the bad backend.
pub fn plan<'a>(run: &'a Run<'a>) -> Plan<'a> {
    plan_with(run, Arc::new(default_backend()))
}

/// A plan with this bad backend.
pub fn plan_with<'a>(run: &'a Run<'a>, bad: Arc<FakeBackend>) -> Plan<'a> {
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

    /// Adds these lines to `[gateway]`.
    pub fn gateway(mut self, lines: &str) -> Self {
        self.gateway = format!("[gateway]\n{lines}\n");
        self
    }

    /// Sets `retries`, which is 1 by default.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Adds these lines to the bad backend's entry.
    pub fn entry(mut self, lines: &str) -> Self {
        self.entry = format!("{}{lines}\n", self.entry);
        self
    }

    /// Verifies the bad backend's certificates against this authority.
    pub fn trusting(self, authority: &Authority) -> Self {
        let file = authority.file();
        let path = file.path().display().to_string();
        let mut plan = self.entry(&format!("ca_file = '{path}'"));
        plan.files.push(file);
        plan
    }

    /// Configures this URL for the bad backend.
    pub fn at(mut self, url: &str) -> Self {
        self.url = Some(url.to_owned());
        self
    }

    /// The client's protocol version.
    pub fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// The client's capabilities.
    pub fn client(mut self, capabilities: Value) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Sets an environment variable of the process.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the process with this command, to which its own program and arguments are appended.
    pub fn through(mut self, launcher: &[&str]) -> Self {
        self.launcher = launcher.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Starts the process from a shell that runs this first.
    pub fn after(self, shell: &str) -> Self {
        self.through(&["sh", "-c", &format!("{shell}; exec \"$@\""), "sh"])
    }

    /// The command and its resources, for a row that manages the pipes itself.
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

    /// Starts the process without the handshake.
    pub fn raw(self) -> Fixture<'a> {
        let run = self.run;
        let parts = self.parts();
        let mut process = Process::start(parts.command, parts.folder, run.subject.timeout());
        if !run.subject.is_gateway() {
            process.client.json_rpc_only();
        }
        Fixture {
            run,
            process: Some(process),
            bad: parts.backends.bad,
            good: parts.backends.good,
            held_call: None,
            gate: Gate::new(),
            _files: parts.files,
        }
    }

    /// Starts the process, with the handshake done and a call to the good backend in flight.
    pub fn start(self) -> Fixture<'a> {
        let (version, capabilities) = (self.version, self.capabilities.clone());
        let mut fixture = self.raw();
        fixture
            .client()
            .initialize_with(version, capabilities)
            .result();
        if fixture.is_gateway() {
            let held = Reply::sse().hold(&fixture.gate).event(text("unharmed"));
            fixture.good.on_tool("held", held);
            fixture.held_call = Some(fixture.client().start_call("held", json!({})));
            fixture.gate.wait_for(1);
        } else {
            fixture.client().list_tools();
        }
        fixture
    }
}

/// The command of a process, and what must live as long as the process.
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

/// The command with this one before it, to which its program and arguments are appended.
pub fn launched(launcher: &[String], command: &Command) -> Command {
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

/// See [`plan`]. One call to the good backend is in flight from beginning to end and must succeed, and
/// so must one during each fault.
pub struct Fixture<'a> {
    pub run: &'a Run<'a>,
    process: Option<Process>,
    pub bad: Arc<FakeBackend>,
    pub good: FakeBackend,
    held_call: Option<u64>,
    gate: Gate,
    _files: Vec<NamedTempFile>,
}

impl Fixture<'_> {
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("it runs until `end`")
    }

    pub fn client(&mut self) -> &mut TestGateway {
        let process = self.process.as_mut().expect("it runs until `end`");
        &mut process.client
    }

    pub fn is_gateway(&self) -> bool {
        self.run.subject.is_gateway()
    }

    /// Makes a call to the good backend, which must succeed in time. Other programs have no such
    /// backend.
    pub fn check_good_backend(&mut self) {
        let begun = Instant::now();
        if self.is_gateway() {
            let answer = self.client().call("other", json!({}));
            assert_eq!(answer.text(), "other {}");
            assert!(
                begun.elapsed() < GOOD_BACKEND_TIMEOUT,
                "the good backend was delayed"
            );
        }
    }

    /// Sends a ping, which must be answered.
    pub fn expect_alive(&mut self) {
        self.client().ask("ping", json!({})).result();
    }

    /// Calls a tool of the bad backend, and one of the good backend before reading the answer.
    pub fn call(&mut self, tool: &str) -> Answer {
        let id = self.client().start_call(tool, json!({}));
        self.check_good_backend();
        self.client().answer(id)
    }

    /// Calls a tool, which must succeed at the first attempt.
    pub fn expect_success(&mut self, tool: &str) {
        if !self.is_gateway() {
            return self.expect_alive();
        }
        let before = self.sent(tool);
        assert_eq!(self.call(tool).text(), format!("{tool} {{}}"));
        assert_eq!(
            self.sent(tool) - before,
            1,
            "{tool} was sent more than once"
        );
    }

    /// Answers the next call of `act` with this reply, whose text must reach the client.
    pub fn expect_text(&mut self, reply: Reply, words: &str) {
        let before = self.bad.runs("act");
        self.bad.on_tool("act", reply);
        assert_eq!(self.call("act").text(), words);
        self.run.record_runs(self.bad.runs("act") - before);
    }

    /// Checks the faulty reply with both tools, and that the next calls succeed.
    pub fn check_fault(&mut self, variant: &str, reply: &Reply, expected: Expected) {
        self.run.set_variant(variant);
        for (tool, attempts) in [("act", 1), ("look", expected.sent_if_safe)] {
            let (sent, ran) = (self.sent(tool), self.bad.runs(tool));
            self.bad.always_tool(tool, reply.clone());
            let answer = self.call(tool);
            self.bad.reset_script(&format!("tools/call {tool}"));
            if tool == "act" {
                self.run.record_runs(self.bad.runs(tool) - ran);
            }
            if self.is_gateway() {
                check_error(&answer, expected, attempts);
                assert_eq!(
                    self.sent(tool) - sent,
                    attempts,
                    "{tool}: number of requests"
                );
            }
            self.expect_success(tool);
        }
    }

    /// Calls a tool and checks the error. Other programs may give any answer.
    pub fn expect_error(&mut self, tool: &str, expected: Expected, attempts: u64) {
        let answer = self.call(tool);
        if self.is_gateway() {
            check_error(&answer, expected, attempts);
        }
    }

    /// Asserts a condition that other programs need not meet.
    pub fn expect_that(&self, holds: impl FnOnce() -> bool, what: &str) {
        if self.is_gateway() {
            assert!(holds(), "{what}");
        }
    }

    /// The number of calls of a tool that have reached the bad backend.
    pub fn sent(&self, tool: &str) -> u64 {
        let calls = self.bad.requests_of("tools/call");
        calls.iter().filter(|call| call.tool() == tool).count() as u64
    }

    /// The number of `initialize` requests that the bad backend got.
    pub fn handshakes(&self) -> usize {
        self.bad.requests_of("initialize").len()
    }

    /// Stops the bad backend and waits until the gateway has seen its connections close. A request
    /// sent while its connection closes would count as possibly executed.
    pub fn stop_bad_backend(&mut self) {
        self.bad.go_down();
        self.wait_for_closed_connections();
    }

    /// Waits until the gateway has handled all that has arrived by now, closed connections included:
    /// each of these calls makes it poll its sockets.
    pub fn wait_for_closed_connections(&mut self) {
        for _ in 0..3 {
            self.check_good_backend();
        }
    }

    /// Finishes the held call to the good backend, for a row that ends the process itself.
    pub fn finish_held_call(&mut self) {
        self.gate.open();
        if let Some(id) = self.held_call.take() {
            assert_eq!(self.client().answer(id).text(), "unharmed");
        }
    }

    /// Ends the process and returns how it ended.
    pub fn end(mut self) -> ExitedProcess {
        self.finish_held_call();
        let process = self.process.take().expect("it runs until `end`");
        self.run.end(process)
    }
}

/// Checks every part of an error: class, executed, attempts, and a self-contained message.
pub fn check_error(answer: &Answer, expected: Expected, attempts: u64) {
    let verdict = (expected.class, expected.executed, attempts);
    assert_eq!(answer.gateway_error(), verdict, "{}", answer.0.line);
    assert_eq!(answer.code(), INTERNAL_ERROR);
    assert_eq!(answer.error()["data"]["backend"], "bad");
    let ending = match expected.executed {
        "no" => "; the tool did not run",
        _ => "; the tool MAY HAVE RUN: check before calling again",
    };
    let message = answer.message();
    assert!(message.starts_with("bad: "), "{message}");
    assert!(
        message.contains(expected.expected_text),
        "no {:?}: {message}",
        expected.expected_text
    );
    assert!(message.ends_with(ending), "{message}");
    assert!(message.len() < 600, "too long to read: {message}");
    assert!(!message.contains(char::is_control), "{message:?}");
    assert!(!message.contains("docs.rs"), "not for users: {message}");
}

impl Drop for Fixture<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.finish_held_call();
        if let Some(process) = self.process.take() {
            let ended = self.run.end(process);
            if self.is_gateway() {
                assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
            }
        }
    }
}
