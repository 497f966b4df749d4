//! The configuration that runs: checked, expanded, with all defaults filled in.
//!
//! Owns the types that the rest of the gateway reads. They must not know TOML, and do no I/O; how
//! they are made is the modules' part:
//!
//! - `load`: all steps in order. `overrides`: command-line flags. `environment`: variables, folders.
//! - `read`: which file, its schema, and the keys as written.
//! - `check`: from the configuration as written to the one that runs; expands variables.
//! - `problem`: what is wrong with a configuration. `secret`: values that are never printed.
//! - `settings`: how a backend is signed in to, how many of the tools a client sees, `tools.*`, files that are written.
//! - `lock`: the accepted definitions of tools.
//! - `diff`: what a changed file changes while the gateway runs.

mod check;
mod diff;
mod environment;
mod load;
mod lock;
mod overrides;
mod problem;
mod read;
mod secret;
mod settings;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shell;
pub(crate) use check::url::is_loopback;
pub use diff::{Change, Changes, diff};
pub use environment::Environment;
pub use load::load;
pub(crate) use load::{Origin, Parts, Stamps, check_text};
pub use lock::{Form, Lock, Pin, Subject};
pub(crate) use lock::{LockFile, NamedTool};
pub use overrides::Overrides;
pub use problem::{Problem, Problems};
pub use read::file::schema;
pub(crate) use read::file::schema_text;
pub(crate) use read::{is_client_json, switch};
pub use secret::{Secret, SecretSource};
pub(crate) use settings::{
    ArgRule, ArgUse, Closed, GATEWAY_STATUS, Place, READ_MORE, ToolRule, View, folded,
};
pub use settings::{AuditArguments, AuditConfig, FileLevel, LogConfig, OnFailure, RotatingFile};
pub use settings::{
    CallbackHost, Destination, GrantKind, NameChars, RateLimit, ResourceParam, SealedBy,
    SearchExposes, SignIn, TelemetryConfig, ToolListing, ToolMode, ToolNames, ToolRules,
};

use crate::text::Scrubber;

/// The configuration of one run. Replaced whole, never edited.
#[derive(Debug, Clone)]
pub struct Config {
    /// The `[gateway]` table.
    pub gateway: GatewayConfig,
    /// The `[audit]` table.
    pub audit: AuditConfig,
    /// The `[log]` table.
    pub log: LogConfig,
    /// Where traces and metrics go; `None` where none are sent.
    pub telemetry: Option<TelemetryConfig>,
    /// Where metrics are served over HTTP; `None` where they aren't.
    pub listen: Option<SocketAddr>,
    /// Enabled backends, in the order of the file, which decides who owns a name.
    pub backends: Vec<Arc<BackendConfig>>,
    /// The administrator's file, if there is one.
    pub(crate) administered: Option<Administered>,
    /// The names of all backends in the config, in its order.
    pub(crate) configured: Vec<ConfiguredName>,
    /// The config file, for logs and messages; `None` where there are only command-line flags.
    pub source: Option<PathBuf>,
    /// The profile that `--profile` has chosen.
    pub(crate) profile: Option<Arc<str>>,
    /// Messages about what is allowed but probably not intended.
    pub warnings: Vec<String>,
    /// What of the files and flags is not used as it is now, though the gateway runs, and why. Empty at the start.
    pub unused: Vec<String>,
    /// The accepted definitions of tools, and the file they are kept in.
    pub(crate) lock: LockFile,
    /// The folder for state that is kept between runs; `None` where nothing is kept.
    pub(crate) state_folder: Option<PathBuf>,
    /// The folders for the socket that shows the gateway's state, the best first.
    pub(crate) socket_folders: Vec<PathBuf>,
    /// How it is loaded again when its files change; `None` where it stays as it is.
    pub(crate) origin: Option<Arc<Origin>>,
}

/// The name of a backend in the config, whether or not it is used in this run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfiguredName {
    /// The name.
    pub(crate) name: Arc<str>,
    /// `--only` or `--profile` leaves it out of this run.
    pub(crate) left_out: bool,
    /// `enabled`
    pub(crate) enabled: bool,
    /// Why the administrator's file keeps it out, if it does.
    pub(crate) held: Option<Arc<str>>,
}

/// What the administrator's file has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Administered {
    /// Its path.
    pub(crate) file: PathBuf,
    /// The names of its backends, and their URLs to show.
    pub(crate) backends: Vec<(Arc<str>, String)>,
    /// Why nothing is used, if it has switched everything off.
    pub(crate) all_off: Option<Arc<str>>,
}

impl Administered {
    /// Whose a rule of it is, for those who can't change it.
    pub(crate) fn who(&self) -> String {
        let file = self.file.display();
        format!("the administrator's file {file}, which only an administrator can change")
    }
}

impl Config {
    /// Why nothing is used, if it is the administrator who has switched everything off.
    pub(crate) fn all_off_by_administrator(&self) -> Option<&str> {
        self.administered.as_ref()?.all_off.as_deref()
    }

    /// What to type to accept what a backend says now, or with `None` to see all that has changed: for
    /// messages. `None` where what is accepted isn't kept.
    pub(crate) fn pin_command(&self, backend: &str, subject: Option<&Subject>) -> Option<String> {
        self.lock.path.as_ref().ok()?;
        let what = match subject {
            Some(Subject::Tool(own)) => shell::word(&format!("{backend}/{own}")).into_owned(),
            Some(Subject::Instructions) => backend.to_owned(),
            None => format!("{backend} --dry-run"),
        };
        if self.lock.is_administrators {
            return Some(format!("sentinel-gateway pin {what}"));
        }
        let file = self.source.as_ref()?.display().to_string();
        Some(format!(
            "sentinel-gateway --config {} pin {what}",
            shell::word(&file)
        ))
    }
}

/// The `[gateway]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayConfig {
    /// Whether any backend is used.
    pub enabled: bool,
    /// `serverInfo.name`.
    pub name: String,
    /// `instructions` of the handshake.
    pub instructions: Option<String>,
    /// Whether `instructions` of backends are passed on.
    pub backend_instructions: bool,
    /// Longest wait of the first list for backends that have neither connected nor failed.
    pub startup_wait: Duration,
    /// Most requests in flight; further ones are refused as overloaded.
    pub max_in_flight: usize,
    /// Most bytes of one input line, and of one response or SSE event of a backend, after
    /// decompression.
    pub max_message_bytes: usize,
    /// Most bytes of all buffered messages together.
    pub max_buffered_bytes: usize,
    /// Time for calls in flight to finish after EOF or a signal.
    pub drain: Duration,
    /// How exposed names are formed.
    pub tool_names: ToolNames,
    /// Which characters an exposed name may have.
    pub tool_name_chars: NameChars,
    /// Most characters of an exposed name; 0 is what `tool_name_chars` allows.
    pub tool_name_max: usize,
    /// How the arguments of tools are described.
    pub schemas: Schemas,
    /// How many of the tools a client sees.
    pub tool_listing: ToolListing,
    /// How the gateway reports its own errors on `tools/call`.
    pub tool_errors: ToolErrors,
    /// Whether listings are cached between runs.
    pub catalog_cache: bool,
    /// `gateway.auth_store`; `None`: tokens are kept as they are.
    pub auth_sealed_by: Option<SealedBy>,
    /// Most calls a minute of one tool with the same arguments; 0 is no limit.
    pub repeat_limit: u32,
    /// Whether the gateway can be seen while it runs.
    pub status: bool,
}

/// `schemas`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schemas {
    /// The arguments of tools are described as the backend does it.
    #[default]
    AsIs,
    /// They are described in the words that Claude's, OpenAI's and Gemini's APIs all take, and the rest as rules in the descriptions.
    Portable,
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

/// `protocol`: which revisions of MCP are used with a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Detected with one harmless request.
    Auto,
    /// Revisions up to 2025-11-25, which begin with `initialize`.
    Legacy,
    /// Revision 2026-07-28, which is stateless.
    Modern,
}

/// `server_stream`: whether a legacy server's GET stream is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServerStream {
    /// Open, unless the server turns out to serve nothing else while it is; that is noticed after a few seconds.
    Auto,
    /// Never: what the server says outside of calls is not heard.
    Never,
}

/// `retry_tools` and `tools.retry`: which tools may be called again after a failure where the call may
/// have run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RetryTools {
    /// Tools annotated with `readOnlyHint` or `idempotentHint`.
    Safe,
    /// All tools.
    Always,
    /// No tool.
    Never,
}

/// `tools.pin`: how to treat a tool whose definition has changed since it was accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PinMode {
    /// Changes are not detected.
    Off,
    /// The tool is served, and the log shows what has changed.
    #[default]
    Warn,
    /// The tool is neither listed nor called until the change is accepted.
    Block,
}

/// One `[[backends]]` entry.
#[derive(Clone)]
pub struct BackendConfig {
    /// `[a-z0-9][a-z0-9_-]*`, unique.
    pub name: Arc<str>,
    /// The URL of its MCP endpoint, or a message saying why there is none (a missing variable, an
    /// untrusted file): the backend is then down for this reason.
    pub url: Result<Url, String>,
    /// The URL to show in messages, since `url` may hold secrets: as written, variables not expanded,
    /// without user, query and fragment.
    pub shown_url: String,
    /// Removes its secrets from what is written of it. Learns those of files and commands when they
    /// are read.
    pub(crate) scrubber: Scrubber,
    /// Which revisions of MCP are used.
    pub protocol: Protocol,
    /// Whether a legacy server's GET stream is opened.
    pub server_stream: ServerStream,
    /// Whether experimental capabilities pass in both directions.
    pub experimental: bool,
    /// Deadline of one call, including queueing, waits and retries.
    pub timeout: Duration,
    /// Timeout of connecting: TCP and TLS together.
    pub connect_timeout: Duration,
    /// Longest time without data within one call; `None` is no limit.
    pub idle_timeout: Option<Duration>,
    /// Most attempts after the first.
    pub retries: u32,
    /// Which tools may be called again after a failure where the call may have run.
    pub retry_tools: RetryTools,
    /// Most concurrent calls; further ones wait in FIFO order, up to their deadline.
    pub max_in_flight: usize,
    /// How often it is called; `None` is no limit.
    pub rate: Option<RateLimit>,
    /// Most calls a minute of one tool with the same arguments; 0 is no limit.
    pub repeat_limit: u32,
    /// `Authorization: Bearer …`.
    pub bearer: Option<SecretSource>,
    /// Additional headers of every request, in the order of the file.
    pub headers: Vec<(HeaderName, SecretSource)>,
    /// Whether requests carry what may be a credential: `bearer`, a header, or a variable in the URL.
    pub(crate) has_credentials: bool,
    /// How it is signed in to; `None` where nobody can.
    pub sign_in: Option<Arc<SignIn>>,
    /// CA and client certificate.
    pub tls: TlsConfig,
    /// Whether credentials may be sent over plain http to another machine.
    pub allow_insecure: bool,
    /// Filters, renames and per-tool settings.
    pub tools: ToolRules,
    /// How the arguments of its tools are described: `schemas` of the gateway.
    pub schemas: Schemas,
    /// Whether it is one of the administrator's file.
    pub(crate) of_administrator: bool,
    /// Where none of its redirects may lead: servers of the administrator's file, at its host.
    pub(crate) closed: Closed,
}

impl BackendConfig {
    /// Deadline of a call of a tool, by its own name.
    pub fn timeout_of(&self, tool: &str) -> Duration {
        let own = self.tools.timeout.iter().find(|(name, _)| name == tool);
        own.map_or(self.timeout, |(_, timeout)| *timeout)
    }

    /// The longest deadline of a call.
    pub(crate) fn longest_timeout(&self) -> Duration {
        let tools = self.tools.timeout.iter().map(|(_, timeout)| *timeout);
        tools.chain([self.timeout]).max().unwrap_or_default()
    }

    /// The configured retry rule of a tool, by its own name.
    pub(crate) fn retry_of(&self, tool: &str) -> RetryTools {
        let own = self
            .tools
            .retry
            .iter()
            .find(|(glob, _)| glob.is_match(tool));
        own.map_or(self.retry_tools, |(_, rule)| *rule)
    }

    /// Most tokens of a result's text, of a tool by its own name; `None` is no limit.
    pub(crate) fn max_result_tokens_of(&self, tool: &str) -> Option<usize> {
        let mut rules = self.tools.max_result_tokens.iter();
        let (_, tokens) = rules.find(|(glob, _)| glob.is_match(tool))?;
        Some(*tokens).filter(|tokens| *tokens > 0)
    }
}

/// Shows only what is no secret.
impl fmt::Debug for BackendConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendConfig")
            .field("name", &self.name)
            .field("url", &self.url.as_ref().map(|_| &self.shown_url))
            .finish_non_exhaustive()
    }
}

/// Certificate files of one backend as absolute paths, read at connect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TlsConfig {
    /// PEM file of CA certificates to trust in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM files of the client certificate chain and of its key.
    pub client_cert: Option<(PathBuf, PathBuf)>,
}
