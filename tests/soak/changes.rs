//! What is changed while the gateway runs: its config, again and again, and a switch.
//!
//! A change is a rule of a backend that is called all the time; the switch is that of a backend that is not, which so
//! comes and goes with its connection. It must not know what is called.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Result;

/// From one change of rules to the next, and from one switch to the next.
const RELOAD: Duration = Duration::from_secs(2);
const SWITCH: Duration = Duration::from_secs(5);
/// In the config: the value that changes, and the switch.
const RULE: &str = "timeout_secs = 300";
const OFF: &str = "enabled = false";

/// The config file, and what has been changed.
pub(crate) struct Changes {
    file: PathBuf,
    /// As at the beginning.
    text: String,
    is_on: bool,
    reloaded: Instant,
    switched: Instant,
    pub(crate) reloads: u64,
    pub(crate) switches: u64,
}

impl Changes {
    /// Of the config that [`entries`] is in.
    pub(crate) fn of(file: PathBuf) -> Result<Self> {
        let text = fs::read_to_string(&file)?;
        if !text.contains(RULE) || !text.contains(OFF) {
            return Err("the config has nothing to change".into());
        }
        Ok(Self {
            file,
            text,
            is_on: false,
            reloaded: Instant::now(),
            switched: Instant::now(),
            reloads: 0,
            switches: 0,
        })
    }

    /// Makes a change that is due.
    pub(crate) fn tick(&mut self) -> Result<()> {
        let is_due = (
            self.reloaded.elapsed() >= RELOAD,
            self.switched.elapsed() >= SWITCH,
        );
        if is_due.1 {
            self.switched = Instant::now();
            self.switches += 1;
            self.is_on = !self.is_on;
        }
        if is_due.0 {
            self.reloaded = Instant::now();
            self.reloads += 1;
        }
        match is_due {
            (false, false) => Ok(()),
            _ => self.write(),
        }
    }

    /// Writes the config as it was at the beginning.
    pub(crate) fn undo(&mut self) -> Result<()> {
        self.is_on = false;
        self.replace(&self.text)
    }

    fn write(&self) -> Result<()> {
        let rule = format!("timeout_secs = {}", 300 + self.reloads % 60);
        let text = self.text.replace(RULE, &rule);
        let switch = if self.is_on { "enabled = true" } else { OFF };
        self.replace(&text.replace(OFF, switch))
    }

    fn replace(&self, text: &str) -> Result<()> {
        let new = self.file.with_extension("new");
        fs::write(&new, text)?;
        Ok(fs::rename(&new, &self.file)?)
    }
}

/// What a backend's entry needs so that its rules can be changed, and one that is switched, at this URL.
pub(crate) fn entries(url: &str) -> (String, String) {
    let switched = format!("\n[[backends]]\nname = \"switched\"\nurl = \"{url}\"\n{OFF}\n");
    (format!("{RULE}\n"), switched)
}
