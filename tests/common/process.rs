//! A program that speaks MCP over stdio, as a process, with the test as its client.

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::canary::{self, ScannedPipe};
use super::gateway::TestGateway;

/// A running program. At its end its input ends first, and what it said is judged.
pub struct Process {
    pub client: TestGateway,
    child: ChildGuard,
    stderr: Receiver<String>,
    folder: TempDir,
}

/// How a process ended.
pub struct ExitedProcess {
    pub status: ExitStatus,
    /// All that it wrote to stderr.
    pub log: String,
}

impl Process {
    /// Starts it. The folder is its own and lives as long.
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

    /// Its own: where its config is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        self.child.signal(name);
    }

    /// The most memory it has ever had, in KiB; 0 where the system doesn't tell.
    pub fn peak_memory(&self) -> u64 {
        peak_memory(self.pid())
    }

    /// Ends its input, judges what it said, and waits for its end.
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

/// The most memory a process has ever had, in KiB; 0 where the system doesn't tell.
pub fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.map_or(0, |peak| {
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    })
}

/// The gateway's own binary over this sentinel.toml, with secrets planted and nothing of the
/// machine's own around it. The folder, which holds the file, is its home.
pub fn gateway(folder: &TempDir, toml: &str) -> Command {
    let file = folder.path().join("sentinel.toml");
    std::fs::write(&file, canary::plant(toml, folder.path())).unwrap();
    let mut command = bare_gateway(folder);
    command.arg("--config").arg(file);
    command
}

/// The same, still without a word about its config; the secrets are in its environment.
pub fn bare_gateway(folder: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel-gateway"));
    isolate(&mut command, folder.path().as_os_str());
    command.envs(canary::VARIABLES.map(|name| (name, canary::secret(name))));
    command.current_dir(folder.path());
    command
}

/// Starts it, and looks at its command line.
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

/// A child that doesn't outlive its test.
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

    /// Waits for its end. Once.
    ///
    /// # Panics
    /// If it doesn't end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let status = self.exit.recv_timeout(self.patience);
        let status = status.unwrap_or_else(|_| panic!("process {} doesn't end", self.pid));
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

    /// Whether it still runs.
    pub fn is_alive(&self) -> bool {
        !self.ended && self.exit.try_recv().is_err()
    }
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        if !self.ended && self.exit.try_recv().is_err() {
            // It may end by itself in between.
            let _ = Command::new("kill")
                .args(["-s", "KILL", &self.pid.to_string()])
                .stderr(Stdio::null())
                .status();
        }
    }
}

/// All that comes out of a pipe, when it has ended.
pub fn read_to_end(mut pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, whole) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    whole
}
