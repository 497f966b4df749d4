//! The program under test with its pipes managed by the row's check, for rows about pipes.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStderr, ChildStdin, ChildStdout, Stdio};

use serde_json::json;

use crate::common::process::{ChildGuard, peak_memory, read_to_end};
use crate::fixture::Plan;
use crate::table::Run;

pub const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#;
pub const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
pub const PING: &str = r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#;

/// A call of a tool without arguments, as a line.
pub fn call(id: usize, tool: &str) -> String {
    let params = json!({ "name": tool, "arguments": {} });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }).to_string()
}

/// A process whose pipes only the row's check uses. A pipe that was taken is not kept here.
pub struct RawProcess {
    pub process: ChildGuard,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Option<ChildStderr>,
    _kept: Box<dyn std::any::Any>,
}

impl RawProcess {
    /// Starts it. The backends live as long as the returned value.
    pub fn start(run: &Run<'_>, plan: Plan<'_>) -> (Self, crate::fixture::Backends) {
        let parts = plan.parts();
        let mut command = parts.command;
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let raw = Self {
            stdin: child.stdin.take(),
            stdout: child.stdout.take().map(BufReader::new),
            stderr: child.stderr.take(),
            process: ChildGuard::new(child, run.subject.timeout()),
            _kept: Box::new((parts.folder, parts.files)),
        };
        (raw, parts.backends)
    }

    /// Sends a line. It is lost if the process has closed stdin.
    pub fn send(&mut self, line: &str) {
        let _ = writeln!(self.stdin.as_mut().unwrap(), "{line}");
    }

    /// Makes the handshake and reads only its answer.
    pub fn initialize(&mut self) {
        self.send(INITIALIZE);
        let stdout = self.stdout.as_mut().unwrap();
        stdout.read_line(&mut String::new()).unwrap();
        self.send(INITIALIZED);
    }

    pub fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().unwrap()
    }

    pub fn take_stdout(&mut self) -> BufReader<ChildStdout> {
        self.stdout.take().unwrap()
    }

    /// Reads lines up to and including the first for which `is_last` holds.
    pub fn lines_until(&mut self, is_last: impl Fn(&str) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        for line in self.stdout.as_mut().unwrap().lines() {
            lines.push(line.unwrap());
            if lines.last().is_some_and(|line| is_last(line)) {
                break;
            }
        }
        lines
    }

    /// Waits for its end with the pipes as they are, checks its log, and returns the exit code and
    /// the log.
    pub fn end(mut self, run: &Run<'_>) -> (Option<i32>, String) {
        run.check_memory(peak_memory(self.process.pid()));
        let log = read_to_end(self.stderr.take().unwrap());
        let status = self.process.wait();
        let log = log.recv_timeout(run.subject.timeout()).unwrap();
        run.check_log(&log);
        (status.code(), log)
    }

    /// The same, without reading stderr.
    pub fn end_unread(mut self, run: &Run<'_>) -> Option<i32> {
        run.check_memory(peak_memory(self.process.pid()));
        self.process.wait().code()
    }
}

impl Drop for RawProcess {
    /// Shows what a failed check has not read: the answers often say what went wrong.
    fn drop(&mut self) {
        if !std::thread::panicking() || !self.process.is_alive() {
            return;
        }
        self.process.signal("KILL");
        self.stdin = None;
        if let Some(stdout) = &mut self.stdout {
            let lines = stdout.lines().map_while(Result::ok);
            lines.for_each(|line| eprintln!("unread answer: {line:.2000}"));
        }
        if let Some(stderr) = self.stderr.take() {
            let lines = BufReader::new(stderr).lines().map_while(Result::ok);
            lines.for_each(|line| eprintln!("log: {line:.2000}"));
        }
    }
}
