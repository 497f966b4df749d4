//! A folder with a config in which gateways run one after the other, and the state they write.

use std::fs;
use std::io::{BufRead, BufReader, Seek, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::canary;
use crate::common::gateway::TestGateway;
use crate::common::process::Ended;

/// One user's config, its lock file, and the state folder.
pub(crate) struct StateFixture {
    pub(crate) folder: TempDir,
    toml: String,
}

impl StateFixture {
    pub(crate) fn with(toml: impl Into<String>) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            toml: toml.into(),
        }
    }

    /// Replaces the config for later runs.
    pub(crate) fn rewrite(&mut self, toml: impl Into<String>) {
        self.toml = toml.into();
    }

    /// A gateway after the handshake.
    pub(crate) fn gateway(&self) -> TestGateway {
        self.gateway_with(json!({}))
    }

    /// The same of a client with these capabilities.
    pub(crate) fn gateway_with(&self, capabilities: Value) -> TestGateway {
        let mut gateway = TestGateway::with_state(self.folder.path(), &self.toml);
        gateway.initialize_with("2025-11-25", capabilities);
        gateway
    }

    /// The tool names that a new gateway lists.
    pub(crate) fn tool_names(&self) -> Vec<String> {
        self.gateway().tool_names()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the real binary with this config, without any of the machine's settings, with `input` on
    /// stdin.
    pub(crate) fn binary(&self, arguments: &[&str], input: &str) -> Ended {
        let config = self.write_config();
        let config = config.to_str().unwrap();
        self.binary_without_config(&[&["--config", config], arguments].concat(), input)
    }

    fn write_config(&self) -> PathBuf {
        let config = self.path("sentinel.toml");
        // Replaced atomically, since another process may be reading it.
        let mut written = tempfile::NamedTempFile::new_in(self.folder.path()).unwrap();
        written.write_all(self.toml.as_bytes()).unwrap();
        written.persist(&config).unwrap();
        config
    }

    /// The same without `--config`.
    pub(crate) fn binary_without_config(&self, arguments: &[&str], input: &str) -> Ended {
        let stdin = tempfile::tempfile_in(self.folder.path()).unwrap();
        (&stdin).write_all(input.as_bytes()).unwrap();
        (&stdin).rewind().unwrap();
        let mut command = self.command(arguments);
        Ended::of(command.stdin(Stdio::from(stdin)).output().unwrap())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel-gateway"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("HOME", self.path("home"))
            .env("XDG_CONFIG_HOME", self.path("home"))
            .env("XDG_STATE_HOME", self.path("state"))
            .envs(canary::VARIABLES.map(|name| (name, canary::variable(name).unwrap())))
            .env_remove("RUST_LOG")
            .env_remove("SENTINEL_CONFIG");
        command
    }

    /// Runs the real binary once, to list the tools, and returns its log.
    pub(crate) fn log_of_a_run(&self) -> String {
        let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#;
        let call =
            r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"no such tool"}}"#;
        let config = self.write_config();
        let mut child = self
            .command(&["--config", config.to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Its input stays open until both are answered.
        let mut input = child.stdin.take().unwrap();
        writeln!(input, "{initialize}\n{call}").unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines().take(2);
        assert_eq!(answers.map(Result::unwrap).count(), 2);
        drop(input);
        let ended = Ended::of(child.wait_with_output().unwrap());
        assert_eq!(ended.code, 0, "{}", ended.err);
        ended.err
    }

    /// The text of the lock file.
    pub(crate) fn lock(&self) -> String {
        fs::read_to_string(self.path("sentinel.lock")).unwrap()
    }

    /// The pins in the lock, as JSON.
    pub(crate) fn pins(&self) -> Vec<Value> {
        let lock: Value = serde_json::from_str(&self.lock()).unwrap();
        lock["pins"].as_array().unwrap().clone()
    }

    /// The pin of a backend's tool, as JSON.
    pub(crate) fn pin(&self, backend: &str, tool: &str) -> Value {
        let pins = self.pins().into_iter();
        let mut found = pins.filter(|pin| pin["backend"] == backend && pin["tool"] == tool);
        found
            .next()
            .unwrap_or_else(|| panic!("{backend}/{tool} is not pinned"))
    }

    /// The files of the listing cache.
    pub(crate) fn cache_files(&self) -> Vec<PathBuf> {
        let folder = self.path("state/sentinel/catalog");
        let files = fs::read_dir(folder).map(|files| files.map(|file| file.unwrap().path()));
        let mut files: Vec<_> = files.into_iter().flatten().collect();
        files.sort();
        files
    }
}
