//! How the client and the gateway meet: the handshake of the legacy era (S25 `basic/lifecycle`) and
//! `server/discover` of the modern one (S26 `server/discover`), both answered at once whatever
//! backends do.
//!
//! Owns what the client said of itself, and what backends are told about it.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::Snapshot;
use crate::backend::HttpBackend;
use crate::config::GatewayConfig;
use crate::protocol::era::modern::{self, ResultStamp};
use crate::protocol::era::supported;
use crate::protocol::error::{INVALID_PARAMS, INVALID_REQUEST};
use crate::protocol::{ClientProfile, Era, LATEST_LEGACY, LEGACY_VERSIONS, LogLevel};
use crate::protocol::{MODERN_VERSION, Notification, Outcome, RawJson, Request, RpcError, task};

/// Where the client stands in its handshake, and whom the backends are told about.
#[derive(Debug)]
pub struct Lifecycle {
    identity: RawJson,
    instructions: Option<String>,
    /// Whom backends are told about; they wait for it. The first to come counts: the client of
    /// an `initialize`, or, with a modern request, all that the gateway can relay.
    introduced: watch::Sender<Option<Arc<ClientProfile>>>,
    /// The client of the handshake, once there was one.
    client: Option<Arc<ClientProfile>>,
    initialized: bool,
}

impl Lifecycle {
    /// Nothing heard yet.
    pub fn new(config: &GatewayConfig) -> Self {
        Self {
            identity: identity(config),
            instructions: config.instructions.clone(),
            introduced: watch::Sender::new(None),
            client: None,
            initialized: false,
        }
    }

    /// For those who must wait until the client has introduced itself.
    pub fn introductions(&self) -> watch::Receiver<Option<Arc<ClientProfile>>> {
        self.introduced.subscribe()
    }

    /// Whether backends have been told about a client.
    pub fn has_introduced(&self) -> bool {
        self.introduced.borrow().is_some()
    }

    /// The client of the handshake, once there was one.
    pub fn client(&self) -> Option<&Arc<ClientProfile>> {
        self.client.as_ref()
    }

    /// A request came that says itself who asks.
    pub fn met_modern_client(&self) {
        self.introduce(|| Arc::new(ClientProfile::superset()));
    }

    fn introduce(&self, client: impl FnOnce() -> Arc<ClientProfile>) {
        self.introduced.send_if_modified(|introduced| {
            let first = introduced.is_none();
            if first {
                *introduced = Some(client());
            }
            first
        });
    }

    /// Whether batches must be taken: 2025-03-26 alone has them.
    pub fn takes_batches(&self) -> bool {
        self.client
            .as_ref()
            .is_some_and(|client| client.version == "2025-03-26")
    }

    /// Answers `initialize`: the asked version if we speak it, else our latest legacy one.
    pub fn initialize(&mut self, request: &Request) -> Outcome {
        if self.client.is_some() {
            return refuse(
                INVALID_REQUEST,
                "initialize was answered before: one handshake a process",
            );
        }
        let Some(params) = &request.params else {
            return refuse(
                INVALID_PARAMS,
                "initialize needs params: protocolVersion, capabilities, clientInfo",
            );
        };
        let asked = params
            .get("protocolVersion")
            .and_then(|raw| raw.read::<String>().ok());
        let Some(asked) = asked else {
            return refuse(
                INVALID_PARAMS,
                "initialize: protocolVersion must be a string",
            );
        };
        let known = LEGACY_VERSIONS.into_iter().find(|known| *known == asked);
        let version = known.unwrap_or(LATEST_LEGACY);
        let object = |key: &str| params.get(key).filter(RawJson::is_object);
        let client = Arc::new(ClientProfile {
            era: Era::Legacy,
            version,
            capabilities: object("capabilities").unwrap_or_else(|| RawJson::trusted("{}")),
            info: object("clientInfo"),
            log_level: None,
        });
        self.introduce(|| Arc::clone(&client));
        self.client = Some(client);
        Outcome::Result(self.introduction(version))
    }

    /// Answers `server/discover`: what `initialize` would say, for the modern era.
    pub fn discover(&self, snapshot: &Snapshot) -> Outcome {
        let mut result = json!({
            "supportedVersions": supported(),
            "capabilities": capabilities(Era::Modern, MODERN_VERSION),
        });
        result["capabilities"]["extensions"] = extensions(snapshot);
        if let Some(instructions) = &self.instructions {
            result["instructions"] = json!(instructions);
        }
        let (result, says) = (RawJson::of(&result), ResultStamp::CompleteAndCacheable);
        Outcome::Result(modern::stamp_result(&result, says, &snapshot.identity))
    }

    /// `notifications/initialized` came.
    pub fn initialized(&mut self) {
        self.initialized = self.client.is_some();
    }

    /// Whether the client may be asked something.
    pub fn is_initialized(&self) -> bool {
        self.initialized
    }

    /// Whether the client may be told this by now: what servers log from the handshake's answer
    /// on, everything else once it has said that it is ready (S25 `basic/lifecycle`).
    pub fn may_hear(&self, notification: &Notification) -> bool {
        self.initialized || self.client.is_some() && notification.method == "notifications/message"
    }

    /// Who asks, of a request that doesn't say so itself; or why it can't be served. Clients
    /// that never send `notifications/initialized` are tolerated: a first request says the same.
    ///
    /// # Errors
    /// Before `initialize`.
    pub fn legacy_client(&mut self) -> Result<Arc<ClientProfile>, RpcError> {
        self.initialized();
        self.client.clone().ok_or_else(|| {
            RpcError::new(
                INVALID_PARAMS,
                "not initialized: send initialize first, or (from 2026-07-28 on) put \
                 io.modelcontextprotocol/protocolVersion and clientCapabilities into params._meta",
            )
        })
    }

    /// `logging/setLevel`: to every backend of its era now and after each reconnect, and with
    /// every request to the others.
    pub fn set_level(&mut self, request: &Request, backends: &[Arc<HttpBackend>]) -> Outcome {
        let params = request.params.as_ref();
        let level = params.and_then(|params| params.get("level")?.text());
        let Some(level) = level.and_then(|level| LogLevel::of(&level)) else {
            let levels = LogLevel::names();
            let why = format!("logging/setLevel: level must be one of {levels}");
            return refuse(INVALID_PARAMS, &why);
        };
        self.client = self.client.take().map(|client| {
            Arc::new(ClientProfile {
                log_level: Some(level),
                ..ClientProfile::clone(&client)
            })
        });
        for backend in backends {
            backend.set_log_level(level);
        }
        Outcome::Result(RawJson::trusted("{}"))
    }

    fn introduction(&self, version: &str) -> RawJson {
        let mut result = json!({
            "protocolVersion": version,
            "capabilities": capabilities(Era::Legacy, version),
        });
        if let Some(instructions) = &self.instructions {
            result["instructions"] = json!(instructions);
        }
        let identity = ("serverInfo", self.identity.clone().into_bytes());
        RawJson::of(&result).with_members(&[identity], &[])
    }
}

/// How the gateway names itself.
pub(super) fn identity(config: &GatewayConfig) -> RawJson {
    RawJson::of(&json!({ "name": config.name, "version": env!("CARGO_PKG_VERSION") }))
}

/// The superset of what the gateway can serve: backends join late, and what a client has been
/// told can't grow.
fn capabilities(era: Era, version: &str) -> Value {
    let mut capabilities = json!({
        "tools": { "listChanged": true },
        "resources": { "listChanged": true, "subscribe": true },
        "prompts": { "listChanged": true },
        "logging": {},
    });
    if era == Era::Modern || version >= "2025-03-26" {
        capabilities["completions"] = json!({});
    }
    if era == Era::Legacy && version >= "2025-11-25" {
        let calls = json!({ "tools": { "call": {} } });
        capabilities["tasks"] = json!({ "list": {}, "cancel": {}, "requests": calls });
    }
    capabilities
}

/// Extensions that the gateway relays, as the backends that are connected declare them; where
/// several declare one, the first in config order says how.
fn extensions(snapshot: &Snapshot) -> Value {
    let mut all = Map::new();
    for backend in snapshot.backends.iter().rev() {
        let declared = backend.capability(&["extensions"]);
        all.extend(
            declared
                .and_then(|declared| declared.read::<Map<_, _>>().ok())
                .unwrap_or_default(),
        );
    }
    all.entry(task::EXTENSION).or_insert_with(|| json!({}));
    Value::Object(all)
}

fn refuse(code: i64, message: &str) -> Outcome {
    RpcError::new(code, message).into()
}
