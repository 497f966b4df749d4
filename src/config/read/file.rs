//! The configuration as written: every key of sentinel.toml with its meaning and default.
//!
//! Owns the description of the file: the JSON Schema in `schema.json` is generated from these types
//! and their doc comments, and so are the rules in `schema.rules.json`, which are the schema without its texts. It must not know whether a value makes sense: that is `check`.

use std::io::Read;
use std::num::NonZeroU32;

use flate2::read::DeflateDecoder;
use schemars::JsonSchema;
use serde::{Deserialize as Derive, Serialize};

pub(in crate::config) use super::arg_value::ArgValue;
use super::oauth::{AuthStoreForm, NamedStore, OAuthForm};
use super::outputs::{Audit, Log, Telemetry};
pub(in crate::config) use super::secret_form::{HeaderForm, SecretForm};
pub(in crate::config) use super::written::{Entries, Located};
use crate::config::{NameChars, PinMode, Protocol, RetryTools, Schemas};
use crate::config::{SearchExposes, ToolErrors, ToolMode, ToolNames};

/// sentinel.toml: the configuration of Sentinel Gateway.
#[derive(Default, Derive, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "sentinel.toml")]
pub(in crate::config) struct File {
    /// The gateway itself.
    pub(in crate::config) gateway: Gateway,
    /// The record of each call.
    pub(in crate::config) audit: Audit,
    /// The log file.
    pub(in crate::config) log: Log,
    /// Traces and metrics for OpenTelemetry. Nothing is sent unless `otlp_endpoint` is set. All keys but `listen` count from the next start of a gateway on.
    pub(in crate::config) telemetry: Telemetry,
    /// The MCP servers behind the gateway. Their order decides which backend keeps a name that several have.
    pub(in crate::config) backends: Vec<Located<Backend>>,
    /// A part of the backends and tools, by name: what `--profile NAME` chooses for one client. Names of tools are the same in every profile.
    pub(in crate::config) profiles: Entries<Profile>,
    /// The tables and keys that are written, as `gateway` and `gateway.name`.
    #[serde(skip)]
    #[schemars(skip)]
    pub(in crate::config) keys: Vec<Located<String>>,
}

/// The gateway itself.
#[derive(Derive, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Gateway {
    /// Whether any backend is used. `sentinel-gateway disable --all` sets it to `false`.
    pub(in crate::config) enabled: bool,
    /// The gateway's name towards clients: `serverInfo.name`.
    #[schemars(length(min = 1))]
    pub(in crate::config) name: String,
    /// Instructions for clients on using the gateway: `instructions`.
    #[schemars(example = &"Query before you write.")]
    pub(in crate::config) instructions: Option<String>,
    /// Whether `instructions` of backends are passed on to clients, after the gateway's own, each under its backend's name: at most 2 KiB of each and 8 KiB in all.
    pub(in crate::config) backend_instructions: bool,
    /// Longest time in milliseconds that the first list waits for backends that have neither connected nor failed. A call of a name that is not listed yet waits for them for `connect_timeout_secs`. Codex goes on without tools after a second: up to 2000 it waits 800 at most.
    #[schemars(range(max = 600_000))]
    pub(in crate::config) startup_wait_ms: u64,
    /// Most requests in flight. Further ones are refused.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) max_in_flight: usize,
    /// Most bytes of one input line, and of one response or SSE event of a backend, after decompression.
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub(in crate::config) max_message_bytes: Located<usize>,
    /// Most bytes of all buffered messages together: being read, in flight, or waiting for the client.
    #[schemars(range(min = 1024, max = 4_294_967_295u64))]
    pub(in crate::config) max_buffered_bytes: Located<usize>,
    /// Milliseconds that calls in flight get to finish after stdin closes or a signal arrives.
    #[schemars(range(max = 600_000))]
    pub(in crate::config) drain_ms: u64,
    /// How tools and prompts are named towards clients.
    pub(in crate::config) tool_names: ToolNames,
    /// Which characters an exposed name may have. Other names are mapped, and mapped back on a call.
    pub(in crate::config) tool_name_chars: NameChars,
    /// Most characters of an exposed name, at least 24: longer ones are cut, and end in a hash. 0 is what `tool_name_chars` allows. Clients add the gateway's name: many take 64 characters of `mcp__sentinel__NAME`, so 49 fits all.
    #[schemars(range(max = 128))]
    pub(in crate::config) tool_name_max: Located<usize>,
    /// How the arguments of tools are described: as the backend does it, or so that the APIs of Claude, OpenAI and Gemini all take it. Only the listing changes, not the calls.
    pub(in crate::config) schemas: Schemas,
    /// How many of the tools a client sees.
    pub(in crate::config) tool_mode: ToolMode,
    /// Globs of exposed names of tools that are listed in any mode.
    #[schemars(example = ["read_*"])]
    pub(in crate::config) always_listed: Vec<Located<String>>,
    /// With `tool_mode = "auto"`: tokens of all definitions, about, from which on the tools are searched.
    #[schemars(range(max = 10_000_000))]
    pub(in crate::config) auto_over_tokens: usize,
    /// What happens with tools that are found.
    pub(in crate::config) search_exposes: SearchExposes,
    /// Whether clients get a tool `gateway_status`, by which a model learns which backends are connected, and why others are not.
    pub(in crate::config) gateway_status: bool,
    /// Where the tokens of sign-ins are kept: in files of the user alone, or in such files sealed with a key of the keychain or of a command.
    #[schemars(extend("default" = "file"))]
    pub(in crate::config) auth_store: Located<AuthStoreForm>,
    /// How the gateway reports its own errors of a tool call.
    pub(in crate::config) tool_errors: ToolErrors,
    /// Whether listings are cached on disk, so that a backend that is down or slow at the start is listed as at last contact.
    pub(in crate::config) catalog_cache: bool,
    /// Most calls a minute of the same tool with the same arguments; further ones are refused, so that a model that repeats itself does something else. 0 is no limit.
    #[schemars(range(max = 1_000))]
    pub(in crate::config) repeat_limit: u32,
    /// Whether `sentinel-gateway status` and `top` of the same user can see this gateway while it runs, through a private socket.
    pub(in crate::config) status: bool,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            enabled: true,
            name: "sentinel".to_owned(),
            instructions: None,
            backend_instructions: true,
            startup_wait_ms: 2_000,
            max_in_flight: 4_096,
            max_message_bytes: Located::default_value(32 * 1024 * 1024),
            max_buffered_bytes: Located::default_value(256 * 1024 * 1024),
            drain_ms: 2_000,
            tool_names: ToolNames::Bare,
            tool_name_chars: NameChars::Strict,
            tool_name_max: Located::default_value(0),
            schemas: Schemas::AsIs,
            tool_mode: ToolMode::All,
            always_listed: Vec::new(),
            auto_over_tokens: 10_000,
            search_exposes: SearchExposes::Call,
            gateway_status: false,
            auth_store: Located::default_value(AuthStoreForm::Named(NamedStore::File)),
            tool_errors: ToolErrors::Jsonrpc,
            catalog_cache: true,
            repeat_limit: 0,
            status: true,
        }
    }
}

/// One MCP server behind the gateway.
#[derive(Derive, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["name", "url"]))]
pub(in crate::config) struct Backend {
    /// Unique name of the backend, used in messages and before `__` in names of its tools: lower-case letters, digits, `_` and `-`.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9_-]*$"), example = &"sqlite")]
    pub(in crate::config) name: Option<Located<String>>,
    /// The transport.
    pub(in crate::config) r#type: Transport,
    /// The URL of its MCP endpoint. `${VAR}` and `${VAR:-default}` are expanded. `/mcp` is appended only if the URL has no path.
    #[schemars(example = &"http://127.0.0.1:3002/mcp")]
    pub(in crate::config) url: Option<Located<String>>,
    /// Whether the backend is used.
    pub(in crate::config) enabled: bool,
    /// Which revisions of MCP the backend supports.
    pub(in crate::config) protocol: Protocol,
    /// Whether the GET stream of a server of a revision up to 2025-11-25 is opened, on which it speaks outside of calls.
    pub(in crate::config) server_stream: crate::config::ServerStream,
    /// Whether experimental capabilities pass between the backend and clients, with the methods and notifications that begin with their names.
    pub(in crate::config) experimental: bool,
    /// Deadline of one call in seconds from its arrival, including the first connection, queueing, waits, retries and a new session. It is paused while the client answers a server request.
    #[schemars(range(min = 1, max = 86_400))]
    pub(in crate::config) timeout_secs: u64,
    /// Timeout of connecting in seconds, including TLS.
    #[schemars(range(min = 1, max = 600))]
    pub(in crate::config) connect_timeout_secs: u64,
    /// Seconds without data after which a call fails; progress resets the timer. 0 is no limit.
    #[schemars(range(max = 86_400))]
    pub(in crate::config) idle_timeout_secs: u64,
    /// Most attempts after the first.
    #[schemars(range(max = 100))]
    pub(in crate::config) retries: u32,
    /// Which tools may be called again after a failure where the call may have run.
    pub(in crate::config) retry_tools: RetryTools,
    /// Most concurrent calls. Further ones wait in FIFO order, up to their deadline.
    #[schemars(range(min = 1, max = 65_536))]
    pub(in crate::config) max_in_flight: usize,
    /// Most calls a minute over a long time; no limit if unset. Each call of a client counts once; every gateway process counts for itself.
    #[schemars(range(min = 1, max = 1_000_000), example = &60)]
    pub(in crate::config) rate_per_minute: Option<Located<NonZeroU32>>,
    /// Most calls at once after a pause; `rate_per_minute` if unset.
    #[schemars(range(min = 1, max = 1_000_000), example = &10)]
    pub(in crate::config) burst: Option<Located<NonZeroU32>>,
    /// The token of `Authorization: Bearer …`, a secret.
    pub(in crate::config) bearer: Option<Located<SecretForm>>,
    /// Additional headers of every request: text or secrets. In text `${VAR}` and `${VAR:-default}` are expanded.
    pub(in crate::config) headers: Entries<HeaderForm>,
    /// Signing in with OAuth. By itself where the backend asks for it and has no other token; `false` is never.
    pub(in crate::config) oauth: Option<Located<OAuthForm>>,
    /// PEM file of certificates to trust in addition to the system's: of authorities, or the server's own.
    #[schemars(example = &"corp.pem")]
    pub(in crate::config) ca_file: Option<Located<String>>,
    /// PEM file of the client certificate and its chain; requires `client_key_file`.
    #[schemars(example = &"client.pem")]
    pub(in crate::config) client_cert_file: Option<Located<String>>,
    /// PEM file of the client certificate's key; requires `client_cert_file`.
    #[schemars(example = &"client.key")]
    pub(in crate::config) client_key_file: Option<Located<String>>,
    /// Whether credentials may be sent over plain http to another machine: a bearer, any header, what a `${VAR}` puts into path or query.
    pub(in crate::config) allow_insecure: bool,
    /// Which of its tools are listed and callable, and how.
    pub(in crate::config) tools: Tools,
    /// The keys that are written, as `url` and `tools.deny`.
    #[serde(skip)]
    #[schemars(skip)]
    pub(in crate::config) keys: Vec<Located<String>>,
}

impl Default for Backend {
    fn default() -> Self {
        Self {
            name: None,
            r#type: Transport::Http,
            url: None,
            enabled: true,
            protocol: Protocol::Auto,
            server_stream: crate::config::ServerStream::Auto,
            experimental: false,
            timeout_secs: 300,
            connect_timeout_secs: 5,
            idle_timeout_secs: 0,
            retries: 3,
            retry_tools: RetryTools::Safe,
            max_in_flight: 256,
            rate_per_minute: None,
            burst: None,
            bearer: None,
            headers: Entries::default(),
            oauth: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            allow_insecure: false,
            tools: Tools::default(),
            keys: Vec::new(),
        }
    }
}

/// A part of the backends and tools.
#[derive(Default, Derive, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Profile {
    /// The names of its backends; all if unset.
    #[schemars(example = ["sqlite"])]
    pub(in crate::config) backends: Option<Vec<Located<String>>>,
    /// Globs of its tools; all if unset. A glob is of own names, at all backends, or `BACKEND/NAME` of globs.
    #[schemars(example = ["read_*", "sqlite/*"])]
    pub(in crate::config) allow: Option<Vec<Located<String>>>,
    /// Globs of tools that it has not; applied after `allow`.
    #[schemars(example = ["*/drop_*"])]
    pub(in crate::config) deny: Vec<Located<String>>,
    /// In place of the gateway's `tool_mode`.
    pub(in crate::config) tool_mode: Option<ToolMode>,
}

/// `type`
#[derive(Clone, Copy, Derive, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Transport {
    /// Streamable HTTP.
    Http,
}

/// Which tools of a backend are listed and callable, and how. All names are the backend's own.
#[derive(Default, Derive, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Tools {
    /// Globs of the allowed tools; all if unset.
    #[schemars(example = ["read_*"])]
    pub(in crate::config) allow: Option<Vec<Located<String>>>,
    /// Globs of the denied tools; applied after `allow`.
    #[schemars(example = ["drop_*"])]
    pub(in crate::config) deny: Vec<Located<String>>,
    /// Values of arguments, by glob of own names; the first match counts. One value: it is filled in, and the argument hidden. Several: it must be one of them. None: it is hidden, and must not be given. A key is the argument's name, or a JSON Pointer to one within others, as `"/repo/owner"`.
    pub(in crate::config) args: Entries<Entries<Vec<Located<ArgValue>>>>,
    /// Exposed names, by own name.
    pub(in crate::config) rename: Entries<String>,
    /// Exposed descriptions, by own name.
    pub(in crate::config) describe: Entries<String>,
    /// Deadline of a call in seconds, by own name; overrides the backend's `timeout_secs`.
    #[schemars(extend("additionalProperties" = { "type": "integer", "minimum": 1, "maximum": 86_400 }))]
    pub(in crate::config) timeout_secs: Entries<u64>,
    /// `retry_tools` by glob of own names; the first match counts.
    pub(in crate::config) retry: Entries<RetryTools>,
    /// `rate_per_minute` by glob of own names, for the tools of a glob together; the first match counts. The backend's own limit holds too.
    #[schemars(extend("additionalProperties" = { "type": "integer", "minimum": 1, "maximum": 1_000_000 }))]
    pub(in crate::config) rate_per_minute: Entries<NonZeroU32>,
    /// `burst` by a glob of `tools.rate_per_minute`.
    #[schemars(extend("additionalProperties" = { "type": "integer", "minimum": 1, "maximum": 1_000_000 }))]
    pub(in crate::config) burst: Entries<NonZeroU32>,
    /// `max_in_flight` by glob of own names, for the tools of a glob together; the first match counts. The backend's own limit holds too.
    #[schemars(extend("additionalProperties" = { "type": "integer", "minimum": 1, "maximum": 65_536 }))]
    pub(in crate::config) max_in_flight: Entries<usize>,
    /// `repeat_limit` by glob of own names; the first match counts.
    #[schemars(extend("additionalProperties" = { "type": "integer", "minimum": 0, "maximum": 1_000 }))]
    pub(in crate::config) repeat_limit: Entries<u32>,
    /// Most tokens, about, of the text of a result, by glob of own names; the first match counts. What is over is kept for the tool `read_more`. 0 is no limit; else at least 256.
    #[schemars(extend("additionalProperties" = { "type": "integer", "minimum": 0, "maximum": 10_000_000 }))]
    pub(in crate::config) max_result_tokens: Entries<u64>,
    /// How to treat a tool whose definition has changed since it was accepted.
    pub(in crate::config) pin: PinMode,
}

/// The JSON Schema of sentinel.toml, compressed: only people and editors read its text. A test generates it from the
/// types here and compares.
const SCHEMA: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/schema.deflate"));
/// The same without descriptions, which each start reads.
const RULES: &str = include_str!("../schema.rules.json");

/// The JSON Schema of sentinel.toml, as text.
pub(crate) fn schema_text() -> String {
    let mut text = String::new();
    // Can't fail: a test reads it.
    let _ = DeflateDecoder::new(SCHEMA).read_to_string(&mut text);
    text
}

/// The JSON Schema of sentinel.toml.
pub fn schema() -> serde_json::Value {
    serde_json::from_str(&schema_text()).unwrap_or_default()
}

/// What the schema allows, without descriptions.
pub(super) fn rules() -> serde_json::Value {
    // Can't fail: a test parses it.
    serde_json::from_str(RULES).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use schemars::Schema;
    use schemars::generate::SchemaSettings;
    use schemars::transform::RecursiveTransform;
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_schema_files_equal_the_schema_of_the_types() {
        let schema = SchemaSettings::draft2020_12()
            .with(|settings| settings.inline_subschemas = true)
            .with_transform(RecursiveTransform(as_toml))
            .into_generator()
            .into_root_schema_for::<File>();
        let generated = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        let mut rules = schema.to_value();
        without_descriptions(&mut rules);
        let rules = rules.to_string() + "\n";
        if std::env::var_os("WRITE_SCHEMA").is_some() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config");
            std::fs::write(folder.join("schema.json"), &generated).unwrap();
            std::fs::write(folder.join("schema.rules.json"), &rules).unwrap();
        }
        assert!(
            generated == schema_text() && rules == RULES,
            "the types have changed: WRITE_SCHEMA=1 cargo test --lib the_schema_files writes the new schema"
        );
    }

    /// A key may be called like a word of the schema.
    fn without_descriptions(schema: &mut Value) {
        match schema {
            Value::Object(words) => {
                for word in ["$schema", "title", "description"] {
                    words.remove(word);
                }
                for (word, value) in words {
                    match value.as_object_mut().filter(|_| word == "properties") {
                        Some(keys) => keys.values_mut().for_each(without_descriptions),
                        None => without_descriptions(value),
                    }
                }
            }
            Value::Array(list) => list.iter_mut().for_each(without_descriptions),
            _ => {}
        }
    }

    /// TOML has no null (an optional key is left out) and no integer widths.
    fn as_toml(schema: &mut Schema) {
        schema.remove("format");
        if schema
            .get("default")
            .is_some_and(|default| default.is_null())
        {
            schema.remove("default");
        }
        for alternatives in ["type", "anyOf"] {
            let Some(serde_json::Value::Array(list)) = schema.get_mut(alternatives) else {
                continue;
            };
            list.retain(|one| *one != "null" && one.get("type").is_none_or(|kind| kind != "null"));
            if let [only] = list.as_mut_slice() {
                let only = only.take();
                schema.remove(alternatives);
                match only {
                    serde_json::Value::Object(only) => {
                        for (key, value) in only {
                            schema.ensure_object().entry(key).or_insert(value);
                        }
                    }
                    kind => {
                        schema.insert(alternatives.to_owned(), kind);
                    }
                }
            }
        }
    }
}
