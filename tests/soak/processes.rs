//! The processes of the backends, one for each group, and the gateway's config for both.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::backends::{BackendCommand, QUIET, names};
use super::changes;
use super::client::Names;
use super::traffic::FLAKY_TIMEOUT;
use super::{MAX_MESSAGE, Result};

/// A running group of backends.
pub(crate) struct Group {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Name and URL of each.
    entries: Vec<(String, String)>,
}

/// The calls that a group executed: all, and those that ran twice.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Runs {
    pub(crate) all: u64,
    pub(crate) twice: u64,
}

impl Group {
    /// Starts this executable as a group of backends.
    pub(crate) fn start(group: &str) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["backends", group])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("a child without stdin")?;
        let output = child.stdout.take().ok_or("a child without stdout")?;
        let mut started = Self {
            child,
            input,
            output: BufReader::new(output),
            entries: Vec::new(),
        };
        for _ in names(group) {
            let line = started.line()?;
            let (name, url) = line.split_once(' ').ok_or("not a name and a URL")?;
            started.entries.push((name.to_owned(), url.to_owned()));
        }
        Ok(started)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn tell(&mut self, command: BackendCommand) -> Result<()> {
        Ok(writeln!(self.input, "{}", command.text())?)
    }

    /// Ends it. Fails if a backend has detected a violation of the protocol.
    pub(crate) fn end(mut self) -> Result<Runs> {
        drop(self.input);
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        if !self.child.wait()?.success() {
            return Err("the backends failed: see above".into());
        }
        let (all, twice) = line.trim_end().split_once(' ').ok_or("not two numbers")?;
        Ok(Runs {
            all: all.parse()?,
            twice: twice.parse()?,
        })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

pub(crate) fn all_names() -> Names {
    Names {
        good: names("good"),
        flaky: names("flaky"),
        quiet: QUIET,
    }
}

/// Writes the config with all groups. Calls to flaky backends have a short timeout; the rules of the first backend
/// change, and another one at its URL is switched on and off.
pub(crate) fn config(others: [&Group; 2], flaky: &Group) -> Result<PathBuf> {
    let mut text =
        format!("[gateway]\ntool_names = \"prefixed\"\nmax_message_bytes = {MAX_MESSAGE}\n");
    let timeout = format!("timeout_secs = {FLAKY_TIMEOUT}\n");
    let entries = others.into_iter().flat_map(|group| &group.entries);
    let (_, first) = others[0].entries.first().ok_or("no backend")?;
    let (rule, switched) = changes::entries(first);
    let entries = entries.enumerate().map(|(at, entry)| match at {
        0 => (entry, &*rule),
        _ => (entry, ""),
    });
    for ((name, url), more) in entries.chain(flaky.entries.iter().map(|entry| (entry, &*timeout))) {
        text += &format!("\n[[backends]]\nname = \"{name}\"\nurl = \"{url}\"\n{more}");
    }
    text += &switched;
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("soak.toml");
    fs::write(&path, text)?;
    Ok(path)
}
