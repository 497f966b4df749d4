//! An MCP program over stdio as a child process, with the test as its client.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::canary::{self, ScannedPipe};
use super::gateway::TestGateway;

/// A running program. [`Process::end`] closes its stdin and checks what it wrote.
pub struct Process {
    pub client: TestGateway,
    child: ChildGuard,
    stderr: Receiver<String>,
    folder: TempDir,
}

/// The outcome of a process that has exited.
pub struct ExitedProcess {
    pub status: ExitStatus,
    /// Everything that it wrote to stderr.
    pub log: String,
}

/// What a command has said, and how it ended.
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// It must have exited by itself, and written UTF-8.
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Its stdout. It must have exited with 0 and an empty stderr.
    pub fn success(self) -> String {
        assert_eq!(
            (self.code, self.err.as_str()),
            (0, ""),
            "stdout: {}",
            self.out
        );
        self.out
    }

    /// Its stdout, which must be JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {}", self.out))
    }
}

impl Process {
    /// Starts the command. The folder is removed when the process has ended. `patience` limits
    /// every wait for it.
    pub fn start(mut command: Command, folder: TempDir, patience: Duration) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} can't be started: {error}"));
        canary::scan_command_line(child.id());
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let stderr = read_to_end(ScannedPipe::new("stderr", child.stderr.take().unwrap()));
        Self {
            client: TestGateway::over_pipes(stdin, stdout, patience),
            child: ChildGuard::new(child, patience),
            stderr,
            folder,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.pid
    }

    /// The folder of its config.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        self.child.signal(name);
    }

    /// Its peak resident memory in KiB; 0 where the system doesn't report it.
    pub fn peak_memory(&self) -> u64 {
        peak_memory(self.pid())
    }

    /// Closes its stdin, checks what it wrote, and waits for its exit.
    pub fn end(self) -> ExitedProcess {
        let Self {
            client,
            mut child,
            stderr,
            folder,
        } = self;
        drop(client);
        let status = child.wait();
        let log = stderr.recv_timeout(child.patience).unwrap_or_default();
        drop(folder);
        canary::assert_no_leaks();
        ExitedProcess { status, log }
    }
}

/// The peak resident memory of a process in KiB; 0 where the system doesn't report it.
pub fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.map_or(0, |peak| {
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    })
}

/// The gateway's binary with this sentinel.toml, with planted secrets and a clean environment. The
/// folder holds the file and is the process's home.
pub fn gateway(folder: &TempDir, toml: &str) -> Command {
    let file = folder.path().join("sentinel.toml");
    std::fs::write(&file, canary::plant(toml, folder.path())).unwrap();
    let mut command = bare_gateway(folder);
    command.arg("--config").arg(file);
    command
}

/// The same without a config argument; the secrets are in its environment. `SENTINEL_BIN` names another
/// build of it.
pub fn bare_gateway(folder: &TempDir) -> Command {
    let built = || env!("CARGO_BIN_EXE_sentinel-gateway").into();
    let program = std::env::var_os("SENTINEL_BIN").unwrap_or_else(built);
    let mut command = Command::new(program);
    isolate(&mut command, folder.path().as_os_str());
    command.envs(canary::VARIABLES.map(|name| (name, canary::secret(name))));
    command.current_dir(folder.path());
    command
}

/// The gateway's executable: the one that `SENTINEL_BIN` names, or the one built with this test.
pub fn executable() -> PathBuf {
    let built = || env!("CARGO_BIN_EXE_sentinel-gateway").into();
    std::env::var_os("SENTINEL_BIN").map_or_else(built, PathBuf::from)
}

/// Starts a command, and scans its command line for secrets.
pub fn spawn(command: &mut Command) -> Child {
    let child = command.spawn().unwrap();
    canary::scan_command_line(child.id());
    child
}

fn isolate(command: &mut Command, home: &OsStr) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    command
        .env_clear()
        .env("PATH", path)
        .env("HOME", home)
        .env("XDG_CONFIG_HOME", home)
        .env("XDG_STATE_HOME", home);
}

/// A child process that is killed when it is dropped.
pub struct ChildGuard {
    pid: u32,
    patience: Duration,
    exit: Receiver<ExitStatus>,
    ended: bool,
}

impl ChildGuard {
    pub fn new(mut child: Child, patience: Duration) -> Self {
        let pid = child.id();
        let (ended, exit) = channel();
        thread::spawn(move || ended.send(child.wait().unwrap()));
        Self {
            pid,
            patience,
            exit,
            ended: false,
        }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for its exit. Call it once.
    ///
    /// # Panics
    /// If it doesn't exit in time.
    pub fn wait(&mut self) -> ExitStatus {
        let status = self.exit.recv_timeout(self.patience);
        let status = status.unwrap_or_else(|_| panic!("process {} doesn't exit", self.pid));
        self.ended = true;
        status
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.pid.to_string()])
            .status();
        assert!(sent.unwrap().success(), "no process to send {name} to");
    }

    /// Whether it is still running.
    pub fn is_alive(&self) -> bool {
        !self.ended && self.exit.try_recv().is_err()
    }
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        if !self.ended && self.exit.try_recv().is_err() {
            // It may exit in between.
            let _ = Command::new("kill")
                .args(["-s", "KILL", &self.pid.to_string()])
                .stderr(Stdio::null())
                .status();
        }
    }
}

/// Receives the whole content of a pipe when it is closed.
pub fn read_to_end(mut pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, whole) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    whole
}
