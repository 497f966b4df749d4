//! The real binary as a process: its pipes, its signals, its exit codes.
//!
//! A test named `fault_NN_…` shows row NN of the fault catalogue.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use common::PATIENCE;
use common::binary;
use common::canary::{self, Watch};
use common::fake::FakeBackend;
use common::gate::Gate;
use common::reply::Reply;

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#;
const PING: &str = r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#;

/// A gateway process with its config in a folder of its own, which is also its home.
struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<Watch<ChildStdout>>,
    folder: TempDir,
}

impl Process {
    /// Over this sentinel.toml.
    fn start(toml: &str) -> Self {
        Self::start_with(toml, &[])
    }

    fn start_with(toml: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = binary::spawn(
            command(&folder, toml)
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped()),
        );
        Self {
            stdin: child.stdin.take(),
            stdout: BufReader::new(Watch::new("stdout", child.stdout.take().unwrap())),
            child,
            folder,
        }
    }

    /// The same after the handshake.
    fn initialized(toml: &str) -> Self {
        let mut process = Self::start(toml);
        process.send(INITIALIZE);
        assert_eq!(process.answer()["id"], "i");
        process
    }

    /// Sends a line.
    fn send(&mut self, line: &str) {
        self.send_bytes(format!("{line}\n").as_bytes());
    }

    /// Sends bytes as they are.
    fn send_bytes(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
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

    /// What is left on stdout, each line checked to be JSON-RPC.
    fn rest(&mut self) -> Vec<Value> {
        let mut rest = Vec::new();
        while !self.stdout.fill_buf().unwrap().is_empty() {
            rest.push(self.answer());
        }
        rest
    }

    /// Ends its input.
    fn eof(&mut self) {
        self.stdin = None;
    }

    #[cfg(unix)]
    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end: the exit code and what it wrote to stderr.
    fn exit(mut self) -> (Option<i32>, String) {
        self.stdin = None;
        let mut stderr = Watch::new("stderr", self.child.stderr.take().unwrap());
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
        drop(self.folder);
        canary::assert_none();
        (self.child.wait().unwrap().code(), log)
    }
}

/// The binary with this config, telling all that it can.
fn command(folder: &TempDir, toml: &str) -> Command {
    let mut command = binary::command(folder.path(), toml);
    command.env("RUST_LOG", "trace");
    command
}

/// A backend that is held at its tool `slow`, and its config.
fn held(gateway: &str) -> (FakeBackend, Gate, String) {
    let fake = FakeBackend::start().tool("slow").tool("echo");
    let gate = Gate::new();
    fake.always_tool("slow", Reply::text("done").after(&gate));
    let toml = format!("[gateway]\n{gateway}\n{}", fake.entry("fake", ""));
    (fake, gate, toml)
}

#[test]
fn stdout_holds_answers_alone_whatever_is_logged() {
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
fn fault_04_endless_bytes_without_a_newline_take_no_memory() {
    let mut process = Process::initialized("[gateway]\nmax_message_bytes = 65536\n");
    let before = peak_memory(&process);
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..64 {
        process.send_bytes(&chunk);
    }
    process.send("");
    assert_eq!(process.answer()["error"]["code"], -32600);
    process.send(PING);
    assert_eq!(process.answer()["id"], "p");
    let grown = peak_memory(&process) - before;
    assert!(
        grown < 8 << 10,
        "{grown} KiB more than before 64 MiB of one line"
    );
    assert_eq!(process.exit().0, Some(0));
}

/// In KiB, where the system tells.
fn peak_memory(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id()));
    let status = status.unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.map_or(0, |peak| {
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    })
}

#[test]
fn fault_05_a_batch_is_refused_as_one_where_the_version_has_none() {
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
fn fault_09_a_message_with_two_ids_is_refused_under_none() {
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
fn fault_10_a_leading_bom_is_tolerated() {
    let mut process = Process::start("");
    process.send(&format!("\u{feff}{PING}\r"));
    assert_eq!(process.answer()["id"], "p");
    assert_eq!(process.exit().0, Some(0));
}

#[test]
fn fault_12_eof_drains_and_exits_well() {
    let (_fake, gate, toml) = held("");
    let mut process = Process::initialized(&toml);
    process.call("c", "slow");
    gate.wait_for(1);
    process.eof();
    gate.open();
    let rest = process.rest();
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0]["result"]["content"][0]["text"], "done");
    assert_eq!(process.exit().0, Some(0));
}

#[test]
fn fault_13_half_a_line_at_eof_is_served_if_it_is_whole_json() {
    for (half, answers) in [(PING, 1), (r#"{"jsonrpc":"2.0","id":"#, 1), ("", 0)] {
        let mut process = Process::initialized("");
        process.send_bytes(half.as_bytes());
        process.eof();
        let rest = process.rest();
        assert_eq!(rest.len(), answers, "{rest:?}");
        if let [answer] = &rest[..] {
            assert_eq!(answer.get("result").is_some(), half == PING, "{answer}");
        }
        assert_eq!(process.exit().0, Some(0));
    }
}

/// Stdin is read on, and what waits is bounded: past it the process ends, and says why.
#[test]
fn fault_14_a_client_that_does_not_read_is_left() {
    let fake = FakeBackend::start().tool("large");
    let text = "x".repeat(400_000);
    fake.always_tool("large", Reply::result(json!({ "content": [], "x": text })));
    let caps = "[gateway]\nmax_message_bytes = 1048576\nmax_buffered_bytes = 1048576\n";
    let mut process = Process::initialized(&format!("{caps}{}", fake.entry("fake", "")));
    for n in 0..20 {
        process.call(&n.to_string(), "large");
    }
    let Process {
        mut child,
        stdin,
        stdout,
        folder,
    } = process;
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let mut log = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .unwrap();
    assert!(
        log.contains("the client does not read its answers"),
        "{log}"
    );
    drop((stdin, stdout, folder));
}

#[test]
fn fault_15_a_closed_stdout_cancels_everything_and_ends() {
    let (fake, gate, toml) = held("drain_ms = 600000");
    let mut process = Process::initialized(&toml);
    process.call("c", "slow");
    gate.wait_for(1);
    let Process {
        mut child,
        mut stdin,
        stdout,
        folder,
    } = process;
    drop(stdout);
    // Nobody reads the answer to this.
    let _ = writeln!(stdin.as_mut().unwrap(), "{PING}");
    fake.next_request("notifications/cancelled");
    fake.next_request("DELETE");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop((stdin, folder));
}

#[cfg(unix)]
#[test]
fn fault_17_a_signal_drains_and_exits_well() {
    for name in ["TERM", "INT"] {
        let (_fake, gate, toml) = held("drain_ms = 600000");
        let mut process = Process::initialized(&toml);
        process.call("c", "slow");
        gate.wait_for(1);
        process.signal(name);
        gate.open();
        assert_eq!(process.rest().len(), 1);
        assert_eq!(process.exit().0, Some(0));
    }
}

#[cfg(unix)]
#[test]
fn fault_17_a_second_signal_ends_at_once() {
    let (_fake, gate, toml) = held("drain_ms = 600000");
    let mut process = Process::initialized(&toml);
    process.call("c", "slow");
    gate.wait_for(1);
    process.signal("TERM");
    process.signal("INT");
    let stdin = process.stdin.take();
    assert_eq!(process.exit().0, Some(1));
    drop(stdin);
}

/// The client owns both pipes, as clients do, so that its death closes them.
#[cfg(unix)]
#[test]
fn fault_19_a_killed_client_leaves_no_orphan() {
    let (fake, gate, toml) = held("drain_ms = 50");
    let folder = tempfile::tempdir().unwrap();
    let (input, mut to_gateway) = std::io::pipe().unwrap();
    let (from_gateway, output) = std::io::pipe().unwrap();
    let mut gateway = command(&folder, &toml)
        .stdin(input)
        .stdout(output)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"slow"}}"#;
    write!(to_gateway, "{INITIALIZE}\n{call}\n").unwrap();
    gate.wait_for(1);
    let mut client = Command::new("sleep")
        .arg("600")
        .stdin(from_gateway)
        .stdout(to_gateway)
        .spawn()
        .unwrap();
    assert!(gateway.try_wait().unwrap().is_none());
    client.kill().unwrap();
    client.wait().unwrap();
    fake.next_request("notifications/cancelled");
    fake.next_request("DELETE");
    assert_eq!(gateway.wait().unwrap().code(), Some(0));
}

#[test]
fn lone_surrogates_of_a_backend_come_out_as_they_were_written() {
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
fn a_bad_config_is_told_on_stderr_and_to_the_client_on_a_pipe() {
    let mut process = Process::start("[gateway]\nnaem = 1\n\n[[backends]]\nname = 'UPPER'\n");
    process.send(r#"{"jsonrpc":"2.0","method":"notifications/early"}"#);
    process.send(INITIALIZE);
    let answer = process.answer();
    assert_eq!(
        (&answer["id"], &answer["error"]["code"]),
        (&json!("i"), &json!(-32603))
    );
    let told = answer["error"]["message"].as_str().unwrap().to_owned();
    assert!(
        told.contains("sentinel.toml") && told.contains("naem"),
        "{told}"
    );
    assert!(process.rest().is_empty());
    let (code, log) = process.exit();
    assert_eq!(code, Some(2));
    assert!(log.contains("naem") && log.contains("UPPER"), "{log}");
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
    let (code, said) = process.exit();
    assert_eq!(code, Some(2));
    assert!(said.contains("--no-such-flag"), "{said}");
}
