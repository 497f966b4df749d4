//! Which program is put to the test: the gateway, or any other bridge from stdio to one server.

use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::common::process;

/// Longer than the 60 s that clients of the protocol usually give a request: others than us have
/// no deadline of their own to be held to.
const PATIENCE_WITH_OTHERS: Duration = Duration::from_secs(70);
/// For the gateway, on a machine that is busy with all rows at once.
const PATIENCE_WITH_US: Duration = Duration::from_secs(25);

pub struct Subject {
    pub name: String,
    /// Program and arguments of somebody else's, `{url}` in place of the server's address.
    other: Option<Vec<String>>,
}

impl Subject {
    /// As `FAULTS_SUBJECT` and `FAULTS_NAME` say; else it is us.
    pub fn from_environment() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let other: Option<Vec<String>> = variable("FAULTS_SUBJECT")
            .map(|command| command.split_whitespace().map(str::to_owned).collect());
        let program = other.as_ref().map(|words| words[0].clone());
        Self {
            name: variable("FAULTS_NAME")
                .or(program)
                .unwrap_or_else(|| "sentinel-gateway".to_owned()),
            other,
        }
    }

    pub fn is_ours(&self) -> bool {
        self.other.is_none()
    }

    pub fn patience(&self) -> Duration {
        match self.other {
            None => PATIENCE_WITH_US,
            Some(_) => PATIENCE_WITH_OTHERS,
        }
    }

    /// How it is started: we over this sentinel.toml, others before this address.
    pub fn command(&self, folder: &TempDir, toml: &str, url: &str) -> Command {
        let Some(words) = &self.other else {
            return process::gateway(folder, toml);
        };
        let mut command = Command::new(&words[0]);
        command.args(words[1..].iter().map(|word| word.replace("{url}", url)));
        command
    }
}
