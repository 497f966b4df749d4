//! Child processes: how they are started and how they end.

use std::ffi::OsString;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use super::Result;
use super::usage::Usage;

/// How long a child may take to end after its stdin was closed.
const FAREWELL: Duration = Duration::from_secs(5);

/// A command line, ready to be run any number of times.
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
            // A proxy of this machine is no part of the way.
            .env("NO_PROXY", "127.0.0.1")
            // What the gateway remembers between runs is none of the user's.
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
            // One read takes what a pipe holds.
            output: BufReader::with_capacity(64 << 10, output),
        })
    }
}

/// A running child; dropped, it is asked to end by closing its stdin, and killed if it doesn't.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    pub(crate) output: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn input(&mut self) -> Result<&mut ChildStdin> {
        self.input.as_mut().ok_or_else(|| "stdin is closed".into())
    }

    /// What the process has cost so far; `None` where the system doesn't tell in a file.
    pub(crate) fn usage(&self) -> Option<Usage> {
        Usage::of(self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        let asked = Instant::now();
        while asked.elapsed() < FAREWELL {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        // Both fail only if it ended in between.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where files of a run go, and the stderr of its processes.
pub(crate) fn scratch() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

pub(crate) fn log(name: &str) -> PathBuf {
    scratch().join(format!("bench-{name}.log"))
}
