//! The configuration as it is written: every key of sentinel.toml with its meaning and default.
//!
//! The types here are the one description of the file: its JSON Schema, `schema.json`, is made from
//! them, doc comments and all, and a document is held against that schema before it is read into
//! them.
//! Whether a value makes sense is not asked here.

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Deserialize as Derive, Serialize, Serializer};
use toml::Spanned;
use toml::de::DeTable;

use super::problem::{Place, Report};
use super::{NameChars, PinMode, Protocol, RetryTools, ToolErrors, ToolNames, shape};

/// sentinel.toml: the configuration of Sentinel Gateway.
#[derive(Default, Derive, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "sentinel.toml")]
pub(super) struct File {
    /// The gateway itself.
    pub(super) gateway: Gateway,
    /// The MCP servers behind it. Their order decides who keeps a name that several of them have.
    pub(super) backends: Vec<At<Backend>>,
}

/// The gateway itself.
#[derive(Derive, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Gateway {
    /// The name it gives itself: `serverInfo.name`.
    #[schemars(length(min = 1))]
    pub(super) name: String,
    /// What clients are told about its use: `instructions`.
    #[schemars(example = &"Query before you write.")]
    pub(super) instructions: Option<String>,
    /// Milliseconds that the first list waits at most for backends that have neither connected nor failed.
    #[schemars(range(max = 600_000))]
    pub(super) startup_wait_ms: u64,
    /// Requests in flight at once. Past it they are refused.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) max_in_flight: usize,
    /// Bytes of one line in, and of one response or SSE event back, after decompression.
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub(super) max_message_bytes: At<usize>,
    /// Bytes of all of these together.
    #[schemars(range(min = 1024, max = 4_294_967_295u64))]
    pub(super) max_buffered_bytes: At<usize>,
    /// Milliseconds that calls in flight may still take after stdin closes or a signal comes.
    #[schemars(range(max = 600_000))]
    pub(super) drain_ms: u64,
    /// How tools, resources and prompts are named to clients.
    pub(super) tool_names: ToolNames,
    /// Which characters such a name may have.
    pub(super) tool_name_chars: NameChars,
    /// How the gateway's own errors of a tool call reach the client.
    pub(super) tool_errors: ToolErrors,
    /// Whether what backends list is remembered, so that one that is down or slow at the start is listed as at last contact.
    pub(super) catalog_cache: bool,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            name: "sentinel".to_owned(),
            instructions: None,
            startup_wait_ms: 2_000,
            max_in_flight: 4_096,
            max_message_bytes: At::default_value(32 * 1024 * 1024),
            max_buffered_bytes: At::default_value(256 * 1024 * 1024),
            drain_ms: 2_000,
            tool_names: ToolNames::Bare,
            tool_name_chars: NameChars::Strict,
            tool_errors: ToolErrors::Jsonrpc,
            catalog_cache: true,
        }
    }
}

/// One MCP server behind the gateway.
#[derive(Derive, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["name", "url"]))]
pub(super) struct Backend {
    /// Its name in messages, and before `__` in the names of its tools: lower-case letters, digits, `_` and `-`, unique.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9_-]*$"), example = &"sqlite")]
    pub(super) name: Option<At<String>>,
    /// How it is reached.
    pub(super) r#type: Transport,
    /// Where it listens. `${VAR}` and `${VAR:-default}` are replaced. Used as it is; only a URL with no path at all gets `/mcp`.
    #[schemars(example = &"http://127.0.0.1:3002/mcp")]
    pub(super) url: Option<At<String>>,
    /// Whether it is used.
    pub(super) enabled: bool,
    /// The era of MCP it speaks.
    pub(super) protocol: Protocol,
    /// Seconds that one call may take, all waits and retries included.
    #[schemars(range(min = 1, max = 86_400))]
    pub(super) timeout_secs: u64,
    /// Seconds that connecting may take, TLS included.
    #[schemars(range(min = 1, max = 600))]
    pub(super) connect_timeout_secs: u64,
    /// Seconds of silence that end a call; progress counts as sound. 0 is no limit.
    #[schemars(range(max = 86_400))]
    pub(super) idle_timeout_secs: u64,
    /// Attempts after the first.
    #[schemars(range(max = 100))]
    pub(super) retries: u32,
    /// Which tools may be sent again once they may have run.
    pub(super) retry_tools: RetryTools,
    /// Calls at once. Past it they queue, fairly, up to their deadline.
    #[schemars(range(min = 1, max = 65_536))]
    pub(super) max_in_flight: usize,
    /// The token of `Authorization: Bearer …`.
    pub(super) bearer: Option<At<SecretForm>>,
    /// Further headers of every request. In their texts `${VAR}` and `${VAR:-default}` are replaced.
    pub(super) headers: Entries<HeaderForm>,
    /// PEM file of certificates trusted besides the system's.
    #[schemars(example = &"corp.pem")]
    pub(super) ca_file: Option<At<String>>,
    /// PEM file of the client certificate and its chain; needs `client_key_file`.
    #[schemars(example = &"client.pem")]
    pub(super) client_cert_file: Option<At<String>>,
    /// PEM file of the client certificate's key; needs `client_cert_file`.
    #[schemars(example = &"client.key")]
    pub(super) client_key_file: Option<At<String>>,
    /// Whether credentials may travel over plain http to another machine.
    pub(super) allow_insecure: bool,
    /// Which of its tools are shown and may be called, and how.
    pub(super) tools: Tools,
}

impl Default for Backend {
    fn default() -> Self {
        Self {
            name: None,
            r#type: Transport::Http,
            url: None,
            enabled: true,
            protocol: Protocol::Auto,
            timeout_secs: 300,
            connect_timeout_secs: 5,
            idle_timeout_secs: 0,
            retries: 3,
            retry_tools: RetryTools::Safe,
            max_in_flight: 256,
            bearer: None,
            headers: Entries::default(),
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            allow_insecure: false,
            tools: Tools::default(),
        }
    }
}

/// `type`
#[derive(Clone, Copy, Derive, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Transport {
    /// Streamable HTTP.
    Http,
}

/// Which tools of a backend are shown and may be called, and how. All names are the backend's own.
#[derive(Default, Derive, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tools {
    /// Globs of the tools allowed; without it all are.
    #[schemars(example = ["read_*"])]
    pub(super) allow: Option<Vec<At<String>>>,
    /// Globs of the tools denied, of those allowed.
    #[schemars(example = ["drop_*"])]
    pub(super) deny: Vec<At<String>>,
    /// Names to show instead.
    pub(super) rename: Entries<String>,
    /// Descriptions to show instead.
    pub(super) describe: Entries<String>,
    /// Seconds that a call of this tool may take.
    #[schemars(extend("additionalProperties" = { "type": "integer", "minimum": 1, "maximum": 86_400 }))]
    pub(super) timeout_secs: Entries<u64>,
    /// By glob, over `retry_tools`; the first match counts.
    pub(super) retry: Entries<RetryTools>,
    /// What becomes of a tool whose definition has changed since it was accepted.
    pub(super) pin: PinMode,
}

/// A secret: from the environment, from a file, or from a command. Exactly one of the three.
#[derive(Default, Derive, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(
    extend("minProperties" = 1, "maxProperties" = 1),
    example = SecretExample { env: "TOKEN" }
)]
pub(super) struct SecretForm {
    /// The environment variable that holds it.
    #[schemars(regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"), example = &"TOKEN")]
    pub(super) env: Option<String>,
    /// The file whose first line it is.
    #[schemars(length(min = 1), example = &"~/.secrets/token")]
    pub(super) file: Option<String>,
    /// The command that prints it, program and arguments apart; run when the backend connects.
    #[schemars(length(min = 1), example = ["pass", "show", "token"])]
    pub(super) command: Option<Vec<String>>,
}

#[derive(Serialize)]
struct SecretExample {
    env: &'static str,
}

/// The value of a header.
#[derive(Derive, JsonSchema)]
#[serde(untagged)]
#[schemars(example = &"acme")]
pub(super) enum HeaderForm {
    /// A text, in which `${VAR}` and `${VAR:-default}` are replaced.
    Text(String),
    /// A secret.
    Secret(SecretForm),
}

/// Reads a document, reporting whatever the schema doesn't allow and going on without it.
/// `None` if it isn't TOML at all.
pub(super) fn read(report: &mut Report) -> Option<File> {
    let text = report.text.clone();
    let (mut document, errors) = DeTable::parse_recoverable(&text);
    if !errors.is_empty() {
        errors.iter().for_each(|error| report.syntax(error));
        return None;
    }
    shape::prune(&mut document, &schema(), report);
    match File::deserialize(toml::de::Deserializer::from(document)) {
        Ok(file) => Some(file),
        Err(error) => {
            report.syntax(&error);
            None
        }
    }
}

/// The JSON Schema of sentinel.toml as it is printed. It is made from the types here by a test, which
/// holds it to them: to make it at each start would take longer than all else that is done there.
pub const SCHEMA: &str = include_str!("schema.json");

/// The same, to be asked.
pub fn schema() -> serde_json::Value {
    // The test has read it.
    serde_json::from_str(SCHEMA).unwrap_or_default()
}

/// A value and where it was said.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

impl<T> At<T> {
    fn default_value(value: T) -> Self {
        Self {
            value,
            place: Place::Default,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::deserialize(deserializer)?;
        Ok(Self {
            place: Place::File(spanned.span()),
            value: spanned.into_inner(),
        })
    }
}

/// So that the schema can show defaults.
impl<T: Serialize> Serialize for At<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A table of the user's own keys, in the order of the file.
pub(super) struct Entries<V>(pub(super) Vec<(At<String>, At<V>)>);

impl<V> Default for Entries<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Entries<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<V>(std::marker::PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for InOrder<V> {
            type Value = Entries<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries: Vec<(At<String>, At<V>)> = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                // The parser sorts keys by name.
                entries.sort_by_key(|(key, _)| match &key.place {
                    Place::File(bytes) => bytes.start,
                    _ => 0,
                });
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(InOrder(std::marker::PhantomData))
    }
}

impl<V: JsonSchema> JsonSchema for Entries<V> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        BTreeMap::<String, V>::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "additionalProperties": generator.subschema_for::<V>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use schemars::generate::SchemaSettings;
    use schemars::transform::RecursiveTransform;

    use super::*;

    #[test]
    fn the_schema_is_made_from_the_types() {
        let schema = SchemaSettings::draft2020_12()
            .with(|settings| settings.inline_subschemas = true)
            .with_transform(RecursiveTransform(as_toml))
            .into_generator()
            .into_root_schema_for::<File>();
        let made = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os("WRITE_SCHEMA").is_some() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/schema.json");
            std::fs::write(path, &made).unwrap();
        }
        assert!(
            made == SCHEMA,
            "the types have changed: WRITE_SCHEMA=1 cargo test --lib the_schema_is_made writes it anew"
        );
    }

    /// TOML has no null (a key that needn't be there is simply not there) and no widths of numbers.
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
