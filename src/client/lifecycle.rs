//! The handshake with the client: `initialize` of the legacy era (MCP 2025-11-25, basic/lifecycle)
//! and `server/discover` of the modern one (MCP 2026-07-28, server/discover). Neither waits for a
//! backend.
//!
//! Owns what the client said of itself, and the profile that backends are introduced to. It must not
//! know other requests of the client.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::config::GatewayConfig;
use crate::protocol::era::modern::{self, ResultStamp};
use crate::protocol::era::supported;
use crate::protocol::error::{INVALID_PARAMS, INVALID_REQUEST};
use crate::protocol::{ClientProfile, Era, LATEST_LEGACY, LEGACY_VERSIONS, LogLevel};
use crate::protocol::{MODERN_VERSION, Notification, Outcome, RawJson, Request, RpcError, task};
use crate::snapshot::{Backends, Snapshot, identity};

/// The state of the handshake, and the profile that backends are introduced to.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    identity: RawJson,
    instructions: Option<String>,
    /// The profile that backends are introduced to; they wait for it. The first one counts: the
    /// client of `initialize` or, with a modern request, everything that the gateway can relay.
    introduced: watch::Sender<Option<Arc<ClientProfile>>>,
    /// The client of the handshake, once there was one.
    client: Option<Arc<ClientProfile>>,
    initialized: bool,
}

impl Lifecycle {
    /// No handshake yet.
    pub(crate) fn new(config: &GatewayConfig) -> Self {
        Self {
            identity: identity(config),
            instructions: config.instructions.clone(),
            introduced: watch::Sender::new(None),
            client: None,
            initialized: false,
        }
    }

    /// Receives the profile that backends are introduced to.
    pub(crate) fn introductions(&self) -> watch::Receiver<Option<Arc<ClientProfile>>> {
        self.introduced.subscribe()
    }

    /// Whether backends have been introduced to a client.
    pub(crate) fn has_introduced(&self) -> bool {
        self.introduced.borrow().is_some()
    }

    /// The client of the handshake, once there was one.
    pub(crate) fn client(&self) -> Option<&Arc<ClientProfile>> {
        self.client.as_ref()
    }

    /// A request came that carries its client's profile itself.
    pub(crate) fn met_modern_client(&self) {
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

    /// Whether batches are accepted: only protocol version 2025-03-26 has them.
    pub(crate) fn takes_batches(&self) -> bool {
        self.client
            .as_ref()
            .is_some_and(|client| client.version == "2025-03-26")
    }

    /// Answers `initialize`: the requested version if it is supported, else the latest legacy one.
    pub(crate) fn initialize(&mut self, request: &Request) -> Outcome {
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

    /// Answers `server/discover`: the modern counterpart of `initialize`.
    pub(crate) fn discover(&self, snapshot: &Snapshot) -> Outcome {
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
    pub(crate) fn initialized(&mut self) {
        self.initialized = self.client.is_some();
    }

    /// Whether the client may be sent requests.
    pub(crate) fn is_initialized(&self) -> bool {
        self.initialized
    }

    /// Whether the client may be sent this notification by now: log messages from the response to
    /// `initialize` on, all others from `notifications/initialized` on (MCP 2025-11-25,
    /// basic/lifecycle).
    pub(crate) fn may_receive(&self, notification: &Notification) -> bool {
        self.initialized || self.client.is_some() && notification.method == "notifications/message"
    }

    /// The client of a request that does not carry its profile itself. Clients that never send
    /// `notifications/initialized` are tolerated: their first request counts as one.
    ///
    /// # Errors
    /// Before `initialize`.
    pub(crate) fn legacy_client(&mut self) -> Result<Arc<ClientProfile>, RpcError> {
        self.initialized();
        self.client.clone().ok_or_else(|| {
            RpcError::new(
                INVALID_PARAMS,
                "not initialized: send initialize first, or (from 2026-07-28 on) put \
                 io.modelcontextprotocol/protocolVersion and clientCapabilities into params._meta",
            )
        })
    }

    /// Answers `logging/setLevel`. Legacy backends get the level now and after each reconnect, modern
    /// ones with every request.
    pub(crate) fn set_level(&mut self, request: &Request, backends: &Backends) -> Outcome {
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

/// All capabilities that the gateway can serve: backends join late, and capabilities that were
/// declared can't grow.
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

/// Extensions that the gateway relays, as connected backends declare them; where several declare
/// the same one, the first in config order wins.
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
