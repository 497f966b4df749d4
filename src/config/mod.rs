//! The configuration that runs: checked, expanded, with every default in place.
//!
//! Owns the types the rest of the gateway reads; they know no TOML and do no I/O. How they come
//! about is told by the modules below, each with one part in it:
//!
//! `environment` what surrounds the process · `locate` which file, and whether it is trusted ·
//! `file` the keys as written, and their schema · `shape` a document held against that schema ·
//! `expand` variables · `url` · `check` from written to checked · `problem` what is wrong ·
//! `lock` the definitions of tools that are gone by · `load` all of it in order.

mod check;
mod environment;
mod expand;
mod file;
mod load;
mod locate;
mod lock;
mod problem;
pub mod secret;
mod shape;
mod url;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use environment::Environment;
pub use file::{SCHEMA, schema};
pub use load::{Overrides, load};
pub use lock::{Lock, LockFile, Pin};
pub use problem::{Problem, Problems};
pub use secret::{Secret, SecretSource};
pub use url::is_loopback;

/// Everything one run of the gateway is told. Replaced whole, never edited.
#[derive(Debug, Clone)]
pub struct Config {
    /// The `[gateway]` table.
    pub gateway: GatewayConfig,
    /// Enabled backends, in the order of the file: that order owns names.
    pub backends: Vec<Arc<BackendConfig>>,
    /// Where it came from, for logs and messages; `None` where command-line flags alone made it.
    pub source: Option<PathBuf>,
    /// What is allowed but deserves a word in the log at start.
    pub warnings: Vec<String>,
    /// The definitions of tools that were accepted, and where they are kept.
    pub lock: LockFile,
    /// The folder for what the gateway remembers between runs; `None` where it has none.
    pub state_folder: Option<PathBuf>,
}

/// The `[gateway]` table.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// `serverInfo.name`.
    pub name: String,
    /// `instructions` of the handshake, if any.
    pub instructions: Option<String>,
    /// How long the first list waits at most for backends that have neither connected nor failed.
    pub startup_wait: Duration,
    /// Requests in flight at once; past it they are refused as overloaded.
    pub max_in_flight: usize,
    /// Bytes of one line in, and of one response or SSE event back, after decompression.
    pub max_message_bytes: usize,
    /// Bytes of all of these together.
    pub max_buffered_bytes: usize,
    /// How long calls in flight may still finish after EOF or a signal.
    pub drain: Duration,
    /// How exposed names are made.
    pub tool_names: ToolNames,
    /// Which characters an exposed name may have.
    pub tool_name_chars: NameChars,
    /// How the gateway's own errors reach the client on `tools/call`.
    pub tool_errors: ToolErrors,
    /// Whether what backends list is remembered between runs.
    pub catalog_cache: bool,
}

/// `tool_names`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ToolNames {
    /// A tool keeps its own name; a later backend's tool of a taken name becomes `backend__tool`.
    Bare,
    /// Always `backend__tool`.
    Prefixed,
}

/// `tool_name_chars`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NameChars {
    /// `[A-Za-z0-9_-]{1,64}`: what every client takes.
    Strict,
    /// `[A-Za-z0-9_.-]{1,128}`: what the specification allows.
    Spec,
}

impl NameChars {
    /// Whether an exposed name may be this one.
    pub fn allow(self, name: &str) -> bool {
        let (most, dot) = match self {
            Self::Strict => (64, false),
            Self::Spec => (128, true),
        };
        let allowed =
            |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-' || dot && b == b'.';
        (1..=most).contains(&name.len()) && name.bytes().all(allowed)
    }
}

/// As the pattern it is.
impl fmt::Display for NameChars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Strict => "[A-Za-z0-9_-]{1,64}",
            Self::Spec => "[A-Za-z0-9_.-]{1,128}",
        })
    }
}

/// `tool_errors`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ToolErrors {
    /// Gateway errors are JSON-RPC errors.
    Jsonrpc,
    /// Gateway errors of `tools/call` are results with `isError`, for clients that hide errors from the model.
    Result,
}

/// `protocol`: which era of MCP a backend is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Found out once per connection, by a probe.
    Auto,
    /// `initialize`, up to 2025-11-25.
    Legacy,
    /// Stateless, 2026-07-28.
    Modern,
}

/// `retry_tools` and `tools.retry`: which tools may be sent again once they may have run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RetryTools {
    /// Those annotated `readOnlyHint` or `idempotentHint`.
    Safe,
    /// All.
    Always,
    /// None.
    Never,
}

/// `tools.pin`: what becomes of a tool whose definition has changed since it was accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PinMode {
    /// Nobody looks.
    Off,
    /// It is served, and the log says what has changed.
    #[default]
    Warn,
    /// It is neither listed nor called until it is accepted.
    Block,
}

/// One `[[backends]]` entry.
#[derive(Clone)]
pub struct BackendConfig {
    /// `[a-z0-9][a-z0-9_-]*`, unique.
    pub name: Arc<str>,
    /// Where it listens, or in plain words why that can't be said (a missing variable, an
    /// untrusted file): such a backend is down, and this is the reason given.
    pub url: Result<Url, String>,
    /// The URL for people: as written, variables unexpanded, without user and query. Messages
    /// show this one, since `url` may hold secrets.
    pub shown_url: String,
    /// What variables have put into the URL and the headers, any of which may be a secret that a
    /// server says back.
    pub expanded: Vec<Secret>,
    /// The era it is spoken to in.
    pub protocol: Protocol,
    /// Deadline of one call, all waits and retries included.
    pub timeout: Duration,
    /// TCP and TLS together.
    pub connect_timeout: Duration,
    /// Longest silence inside one call; `None` = no limit.
    pub idle_timeout: Option<Duration>,
    /// Attempts after the first.
    pub retries: u32,
    /// Which tools may be sent again once they may have run.
    pub retry_tools: RetryTools,
    /// Calls at once; past it they queue, fairly, up to their deadline.
    pub max_in_flight: usize,
    /// `Authorization: Bearer …`.
    pub bearer: Option<SecretSource>,
    /// Further headers on every request, names in the order of the file.
    pub headers: Vec<(HeaderName, SecretSource)>,
    /// Own CA and client certificate.
    pub tls: TlsConfig,
    /// Credentials may travel over plain http off loopback.
    pub allow_insecure: bool,
    /// Filters, renames and per-tool settings.
    pub tools: ToolRules,
}

impl BackendConfig {
    /// Deadline of a call of the tool of this own name.
    pub fn timeout_of(&self, tool: &str) -> Duration {
        let own = self.tools.timeout.iter().find(|(name, _)| name == tool);
        own.map_or(self.timeout, |(_, timeout)| *timeout)
    }

    /// The user's word on sending the tool of this own name again.
    pub fn retry_of(&self, tool: &str) -> RetryTools {
        let own = self
            .tools
            .retry
            .iter()
            .find(|(glob, _)| glob.is_match(tool));
        own.map_or(self.retry_tools, |(_, rule)| *rule)
    }
}

/// Shows what is no secret, whoever logs it.
impl fmt::Debug for BackendConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendConfig")
            .field("name", &self.name)
            .field("url", &self.url.as_ref().map(|_| &self.shown_url))
            .finish_non_exhaustive()
    }
}

/// Certificates of one backend, as absolute paths; read at connect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TlsConfig {
    /// PEM bundle trusted besides the system's roots.
    pub ca_file: Option<PathBuf>,
    /// PEM client certificate chain and its PEM key.
    pub client_cert: Option<(PathBuf, PathBuf)>,
}

/// `tools.*` of a backend. All globs match the backend's own names.
#[derive(Debug, Clone, Default)]
pub struct ToolRules {
    /// `None` = all allowed.
    pub allow: Option<globset::GlobSet>,
    /// Applied after `allow`.
    pub deny: globset::GlobSet,
    /// Own name → name shown.
    pub rename: Vec<(String, String)>,
    /// Own name → description shown.
    pub describe: Vec<(String, String)>,
    /// Own name → deadline of a call.
    pub timeout: Vec<(String, Duration)>,
    /// Globs over `retry_tools`; the first match counts.
    pub retry: Vec<(globset::GlobMatcher, RetryTools)>,
    /// What becomes of a tool whose definition has changed.
    pub pin: PinMode,
}

impl ToolRules {
    /// Whether the tool of this own name is shown and may be called.
    pub fn admits(&self, name: &str) -> bool {
        self.allow.as_ref().is_none_or(|allow| allow.is_match(name)) && !self.deny.is_match(name)
    }
}
