//! The real binary as a process: its output and its exit codes.
//!
//! Pipes and signals are rows of the fault table, `faults_test.rs`. A test named `fault_NN_…` is a
//! variant of row NN.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::channel;
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::PATIENCE;
use crate::common::canary::{self, ScannedPipe};
use crate::common::fake::FakeBackend;
use crate::common::process::{self, gateway};
use crate::common::reply::Reply;

#[cfg(unix)]
pub(crate) mod orphan;
pub(crate) mod quiet;

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#;
const PING: &str = r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#;

/// A gateway process with its own folder, which has its config and is its home.
struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ScannedPipe<ChildStdout>>,
    folder: TempDir,
}

impl Process {
    /// Starts it with this sentinel.toml.
    fn start(toml: &str) -> Self {
        Self::start_with(toml, &[])
    }

    fn start_with(toml: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, toml, arguments, Some("trace"))
    }

    /// With this `RUST_LOG`.
    fn start_in(folder: TempDir, toml: &str, arguments: &[&str], log: Option<&str>) -> Self {
        let mut child = process::spawn(
            gateway(&folder, toml)
                .envs(log.map(|log| ("RUST_LOG", log)))
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped()),
        );
        Self {
            stdin: child.stdin.take(),
            stdout: BufReader::new(ScannedPipe::new("stdout", child.stdout.take().unwrap())),
            child,
            folder,
        }
    }

    /// Starts it and makes the handshake.
    fn initialized(toml: &str) -> Self {
        let mut process = Self::start(toml);
        process.send(INITIALIZE);
        assert_eq!(process.answer()["id"], "i");
        process
    }

    /// Sends a line.
    fn send(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Sends a call of a tool without arguments.
    fn call(&mut self, id: &str, tool: &str) {
        let params = json!({ "name": tool });
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
        self.send(&call.to_string());
    }

    /// The next line of stdout.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    /// The next line of stdout, which must be JSON-RPC.
    fn answer(&mut self) -> Value {
        let line = self.line();
        let message: Value = serde_json::from_str(&line).unwrap_or_else(|error| {
            panic!("stdout has a line that is not JSON ({error}): {line:?}")
        });
        assert_eq!(message["jsonrpc"], "2.0", "{line}");
        message
    }

    /// The remaining lines of stdout, which must be JSON-RPC.
    fn rest(&mut self) -> Vec<Value> {
        let mut rest = Vec::new();
        while !self.stdout.fill_buf().unwrap().is_empty() {
            rest.push(self.answer());
        }
        rest
    }

    /// Closes its stdin.
    fn eof(&mut self) {
        self.stdin = None;
    }

    /// Waits for its end and returns its exit code and stderr.
    fn exit(self) -> (Option<i32>, String) {
        let (code, log, _) = self.exit_with_folder();
        (code, log)
    }

    /// The same, and its folder for another run.
    fn exit_with_folder(mut self) -> (Option<i32>, String, TempDir) {
        self.stdin = None;
        let mut stderr = ScannedPipe::new("stderr", self.child.stderr.take().unwrap());
        let (ended, end) = channel();
        thread::spawn(move || {
            let mut log = String::new();
            let _ = stderr.read_to_string(&mut log);
            let _ = ended.send(log);
        });
        let log = end.recv_timeout(PATIENCE);
        if log.is_err() {
            let _ = self.child.kill();
        }
        let log = log.expect("the gateway doesn't end");
        canary::assert_no_leaks();
        (self.child.wait().unwrap().code(), log, self.folder)
    }
}

#[test]
fn stdout_contains_only_answers_at_any_log_level() {
    let fake = FakeBackend::start().tool("echo");
    let down = FakeBackend::down();
    let toml = fake.entry("fake", "") + &down.entry("down", "");
    let mut process = Process::start_with(&toml, &["--log-level", "trace"]);
    process.send(INITIALIZE);
    process.send("nonsense");
    process.call("c", "echo");
    process.call("u", "unknown");
    process.eof();
    let answers = process.rest();
    assert_eq!(answers.len(), 4, "{answers:?}");
    let (code, log) = process.exit();
    assert_eq!(code, Some(0));
    assert!(
        log.contains("connected") && log.contains("backend is down"),
        "{log}"
    );
}

#[test]
fn fault_05_a_batch_gets_one_error_in_versions_without_batches() {
    let mut process = Process::initialized("");
    for batch in [format!("[{PING},{PING}]"), "[]".into()] {
        process.send(&batch);
        let refusal = process.answer();
        assert_eq!(
            (&refusal["error"]["code"], &refusal["id"]),
            (&json!(-32600), &Value::Null)
        );
    }
    process.send(PING);
    assert_eq!(process.answer()["id"], "p");
    assert_eq!(process.exit().0, Some(0));
}

#[test]
fn fault_09_a_message_with_two_ids_is_refused_with_id_null() {
    let mut process = Process::initialized("");
    process.send(r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#);
    let refusal = process.answer();
    assert_eq!(
        (&refusal["error"]["code"], &refusal["id"]),
        (&json!(-32600), &Value::Null)
    );
    assert_eq!(process.exit().0, Some(0));
}

#[test]
fn lone_surrogates_of_a_backend_are_forwarded_unchanged() {
    let fake = FakeBackend::start().tool("echo");
    let result = r#"{"content":[{"type":"text","text":"\ud800"}],"n":1.10}"#;
    let body = format!(r#"{{"jsonrpc":"2.0","id":"$id","result":{result}}}"#);
    let json = Reply::status(200).header("content-type", "application/json");
    fake.on_tool("echo", json.body(body));
    let mut process = Process::initialized(&fake.entry("fake", ""));
    process.call("c", "echo");
    let expected = format!(r#"{{"jsonrpc":"2.0","id":"c","result":{result}}}"#);
    assert_eq!(process.line(), expected);
    assert_eq!(process.exit().0, Some(0));
}

#[test]
pub(crate) fn a_bad_config_is_reported_on_stderr_and_to_a_client_on_a_pipe() {
    let discover = json!({ "jsonrpc": "2.0", "id": "d", "method": "server/discover", "params": { "_meta": {} } });
    let list = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list" });
    // Whatever the client's first request is, in either era.
    for (first, id) in [
        (INITIALIZE.to_owned(), json!("i")),
        (discover.to_string(), json!("d")),
        (list.to_string(), json!(7)),
        (PING.to_owned(), json!("p")),
    ] {
        let mut process = Process::start("[gateway]\nnaem = 1\n\n[[backends]]\nname = 'UPPER'\n");
        process.send(r#"{"jsonrpc":"2.0","method":"notifications/early"}"#);
        process.send(&first);
        let answer = process.answer();
        assert_eq!(
            (&answer["id"], &answer["error"]["code"]),
            (&id, &json!(-32603))
        );
        let message = answer["error"]["message"].as_str().unwrap().to_owned();
        let problems: Vec<&str> = message.lines().collect();
        assert_eq!(problems.len(), 3, "{message}");
        for (problem, words) in problems.iter().zip(["naem", "url: missing", "UPPER.name"]) {
            assert!(
                problem.contains("sentinel.toml:") && problem.contains(words),
                "{message}"
            );
        }
        assert!(process.rest().is_empty());
        let (code, log) = process.exit();
        assert_eq!(code, Some(2));
        assert!(log.contains("naem") && log.contains("UPPER"), "{log}");
    }
}

#[test]
pub(crate) fn a_client_is_told_ten_problems_with_causes_first() {
    let typos: String = (0..11).map(|at| format!("kee{at} = 1\n")).collect();
    let toml = format!("[[backends]]\nname = 'a'\nurll = 'http://127.0.0.1/'\n{typos}");
    let mut process = Process::start(&toml);
    process.send(INITIALIZE);
    let message = process.answer()["error"]["message"].to_string();
    let lines: Vec<&str> = message.split("\\n").collect();
    assert_eq!(lines.len(), 11, "{message}");
    assert!(
        lines[0].contains("the gateway's config is bad: ")
            && lines[0].ends_with("backends.a.urll: unknown key; did you mean `url`?"),
        "{message}"
    );
    assert!(lines[1].contains("backends.a.url: missing"), "{message}");
    assert!(lines[10].starts_with("and 3 more; "), "{message}");
    let (code, log) = process.exit();
    assert_eq!((code, log.lines().count()), (Some(2), 13), "{log}");
}

#[test]
fn a_bad_config_without_a_client_exits_at_eof() {
    let mut process = Process::start("nonsense");
    process.eof();
    assert!(process.rest().is_empty());
    assert_eq!(process.exit().0, Some(2));
}

#[test]
fn bad_usage_exits_with_two_and_nothing_on_stdout() {
    let mut process = Process::start_with("", &["--no-such-flag"]);
    assert!(process.rest().is_empty());
    let (code, log) = process.exit();
    assert_eq!(code, Some(2));
    assert!(log.contains("--no-such-flag"), "{log}");
}
