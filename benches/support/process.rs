//! Child processes: how they are started and how they end.
//!
//! Owns the programs under test, and the CPU time and memory of a process. It must not know MCP.

pub(crate) mod setup;
pub(crate) mod usage;

use std::ffi::OsString;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use crate::support::Result;
use usage::Usage;

/// How long a child may take to end after its stdin was closed.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// A command line, which can be run any number of times.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) args: Vec<OsString>,
    /// Where its stderr goes.
    pub(crate) log: PathBuf,
}

impl Program {
    /// This executable in another role.
    pub(crate) fn own_role(role: &'static str, arg: &str) -> Result<Self> {
        Ok(Self {
            name: role,
            path: env::current_exe()?,
            args: [role, arg].map(OsString::from).into(),
            log: log(role),
        })
    }

    pub(crate) fn start(&self) -> Result<Process> {
        let failed = |e| format!("{}: can't start {}: {e}", self.name, self.path.display());
        let mut child = Command::new(&self.path)
            .args(&self.args)
            // No proxy of this machine.
            .env("NO_PROXY", "127.0.0.1")
            // Keeps the state of these runs apart from the user's.
            .env("XDG_STATE_HOME", scratch())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&self.log)?)
            .spawn()
            .map_err(failed)?;
        let input = child.stdin.take();
        let output = child.stdout.take().ok_or("a child without stdout")?;
        Ok(Process {
            child,
            input,
            // The usual size of a pipe.
            output: BufReader::with_capacity(64 << 10, output),
        })
    }
}

/// A running child. On drop its stdin is closed, and it is killed if it does not end in time.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    pub(crate) output: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn input(&mut self) -> Result<&mut ChildStdin> {
        self.input.as_mut().ok_or_else(|| "stdin is closed".into())
    }

    /// CPU time and memory so far; `None` if the system does not provide them.
    pub(crate) fn usage(&self) -> Option<Usage> {
        Usage::of(self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        let closed = Instant::now();
        while closed.elapsed() < EXIT_TIMEOUT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        // Both fail only if it has ended meanwhile.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Folder for the files of a run and the logs of its processes.
pub(crate) fn scratch() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

pub(crate) fn log(name: &str) -> PathBuf {
    scratch().join(format!("bench-{name}.log"))
}
