//! The program under test: the gateway, or any other bridge from stdio to one server.

use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::common::process;

/// Longer than the usual request timeout of MCP clients, 60 s: other programs promise no deadline.
const OTHER_TIMEOUT: Duration = Duration::from_secs(70);
/// For the gateway, on a machine that checks several rows in parallel.
const GATEWAY_TIMEOUT: Duration = Duration::from_secs(25);

pub struct Subject {
    pub name: String,
    /// Another program and its arguments, with `{url}` in place of the server's address.
    other: Option<Vec<String>>,
}

impl Subject {
    /// The program that `FAULTS_SUBJECT` and `FAULTS_NAME` give, or the gateway.
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

    pub fn is_gateway(&self) -> bool {
        self.other.is_none()
    }

    pub fn timeout(&self) -> Duration {
        match self.other {
            None => GATEWAY_TIMEOUT,
            Some(_) => OTHER_TIMEOUT,
        }
    }

    /// The command that starts it: the gateway with this sentinel.toml, others with this address.
    pub fn command(&self, folder: &TempDir, toml: &str, url: &str) -> Command {
        let Some(words) = &self.other else {
            return process::gateway(folder, toml);
        };
        let mut command = Command::new(&words[0]);
        command.args(words[1..].iter().map(|word| word.replace("{url}", url)));
        command
    }
}
