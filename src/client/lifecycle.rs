//! The handshake with the client: `initialize` of the legacy era (MCP 2025-11-25, basic/lifecycle)
//! and `server/discover` of the modern one (MCP 2026-07-28, server/discover).
//!
//! Owns the client's profile, and the profile that is declared to backends. It must not know other
//! requests of the client.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::config::GatewayConfig;
use crate::protocol::era::modern::{self, ResultStamp};
use crate::protocol::era::supported;
use crate::protocol::error::INVALID_PARAMS;
use crate::protocol::{ClientProfile, Era, LATEST_LEGACY, LEGACY_VERSIONS, LogLevel};
use crate::protocol::{MODERN_VERSION, Notification, Outcome, RawJson, Request, RpcError};
use crate::snapshot::{Backends, Introduction, identity};

/// The state of the handshake, and the profile that is declared to backends.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    identity: RawJson,
    /// What is known of the backends.
    introduction: Arc<Introduction>,
    /// The profile that is declared to backends, which wait for it. It is set once: by `initialize`
    /// to the client's, or by a modern request to [`ClientProfile::superset`].
    introduced: watch::Sender<Option<Arc<ClientProfile>>>,
    /// Who the client is, for reports: that of `initialize`, or of the first modern request.
    seen: watch::Sender<Option<Arc<ClientProfile>>>,
    /// The client of `initialize`, after it was received.
    client: Option<Arc<ClientProfile>>,
    /// The result of `initialize`, after it was received.
    answered: Option<RawJson>,
    initialized: bool,
}

impl Lifecycle {
    /// No handshake yet.
    pub(crate) fn new(config: &GatewayConfig) -> Self {
        Self {
            identity: identity(config),
            introduction: Arc::new(Introduction::of(
                config.instructions.as_deref(),
                config.backend_instructions,
                &[],
            )),
            introduced: watch::Sender::new(None),
            seen: watch::Sender::new(None),
            client: None,
            answered: None,
            initialized: false,
        }
    }

    /// The config has changed. A client that was answered keeps its answer.
    pub(crate) fn reconfigure(&mut self, config: &GatewayConfig) {
        self.identity = identity(config);
    }

    /// Receives the profile that is declared to backends.
    pub(crate) fn introductions(&self) -> watch::Receiver<Option<Arc<ClientProfile>>> {
        self.introduced.subscribe()
    }

    /// Receives who the client is, once it has said so.
    pub(crate) fn clients(&self) -> watch::Receiver<Option<Arc<ClientProfile>>> {
        self.seen.subscribe()
    }

    /// Whether the profile that is declared to backends is set.
    pub(crate) fn has_introduced(&self) -> bool {
        self.introduced.borrow().is_some()
    }

    /// The client of `initialize`, after it was received.
    pub(crate) fn client(&self) -> Option<&Arc<ClientProfile>> {
        self.client.as_ref()
    }

    /// A modern request was received, which has its client's profile in `_meta`.
    pub(crate) fn modern_request_received(&self, client: &ClientProfile) {
        self.introduce(|| {
            self.seen.send_replace(Some(Arc::new(client.clone())));
            Arc::new(ClientProfile::superset_for(client))
        });
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
    pub(crate) fn accepts_batches(&self) -> bool {
        self.client
            .as_ref()
            .is_some_and(|client| client.version == "2025-03-26")
    }

    /// Answers `initialize`: the requested version if it is supported, else the latest legacy one.
    pub(crate) fn initialize(&mut self, request: &Request) -> Outcome {
        // Bridges that share one process say it again for each of their clients (F-L-09).
        if let Some(answered) = &self.answered {
            return Outcome::Result(answered.clone());
        }
        let Some(params) = &request.params else {
            return refuse(
                INVALID_PARAMS,
                "initialize needs params: protocolVersion, capabilities, clientInfo",
            );
        };
        let requested = params
            .get("protocolVersion")
            .and_then(|raw| raw.read::<String>().ok());
        let Some(requested) = requested else {
            return refuse(
                INVALID_PARAMS,
                "initialize: protocolVersion must be a string",
            );
        };
        let known = LEGACY_VERSIONS
            .into_iter()
            .find(|known| *known == requested);
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
        self.seen.send_replace(Some(Arc::clone(&client)));
        self.client = Some(client);
        let result = self.initialize_result(version);
        self.answered = Some(result.clone());
        Outcome::Result(result)
    }

    /// More is known of the backends.
    pub(crate) fn set_introduction(&mut self, introduction: Arc<Introduction>) {
        self.introduction = introduction;
    }

    /// What is known of the backends.
    pub(crate) fn introduction(&self) -> &Introduction {
        &self.introduction
    }

    /// `notifications/initialized` was received.
    pub(crate) fn initialized(&mut self) {
        self.initialized = self.client.is_some();
    }

    /// Whether the client may be sent requests.
    pub(crate) fn is_initialized(&self) -> bool {
        self.initialized
    }

    /// Whether the client may be sent this notification now: log messages after the response to
    /// `initialize`, all others after `notifications/initialized` (MCP 2025-11-25,
    /// basic/lifecycle).
    pub(crate) fn may_receive(&self, notification: &Notification) -> bool {
        self.initialized || self.client.is_some() && notification.method == "notifications/message"
    }

    /// The client of a request without a profile in `_meta`. The first such request counts as
    /// `notifications/initialized`, which some clients never send.
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

    /// Answers `logging/setLevel`. Legacy backends get the level now and after each reconnect,
    /// modern ones with every request.
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

    fn initialize_result(&self, version: &str) -> RawJson {
        let mut result = json!({
            "protocolVersion": version,
            "capabilities": capabilities(Era::Legacy, version),
        });
        introduce(&mut result, &self.introduction, Era::Legacy);
        let identity = ("serverInfo", self.identity.clone().into_bytes());
        RawJson::of(&result).with_members(&[identity], &[])
    }
}

/// All capabilities that the gateway can serve: backends may connect later, and declared
/// capabilities can't be extended.
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

/// The answer to `server/discover`, the modern counterpart of `initialize`.
pub(crate) fn discovered(introduction: &Introduction, identity: &RawJson) -> Outcome {
    let mut result = json!({
        "supportedVersions": supported(),
        "capabilities": capabilities(Era::Modern, MODERN_VERSION),
    });
    introduce(&mut result, introduction, Era::Modern);
    let (result, stamp) = (RawJson::of(&result), ResultStamp::CompleteAndCacheable);
    Outcome::Result(modern::stamp_result(&result, stamp, identity))
}

/// Adds to the result of a handshake what backends say of themselves.
fn introduce(result: &mut Value, introduction: &Introduction, era: Era) {
    let extensions = match era {
        Era::Legacy => introduction.extensions.clone(),
        Era::Modern => introduction.modern_extensions(),
    };
    let members = [
        ("extensions", &extensions),
        ("experimental", &introduction.experimental),
    ];
    for (key, members) in members {
        if !members.is_empty() {
            result["capabilities"][key] = json!(members);
        }
    }
    if let Some(instructions) = &introduction.instructions {
        result["instructions"] = json!(instructions);
    }
}

fn refuse(code: i64, message: &str) -> Outcome {
    RpcError::new(code, message).into()
}
