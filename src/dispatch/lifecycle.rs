//! The handshake with the client (S25 `basic/lifecycle`), answered at once whatever backends do.
//!
//! Owns what the client said of itself and whether it may ask for things yet.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::watch;

use super::Snapshot;
use crate::config::GatewayConfig;
use crate::protocol::error::{INVALID_PARAMS, INVALID_REQUEST};
use crate::protocol::{ClientProfile, LATEST_LEGACY, LEGACY_VERSIONS, Outcome, RawJson};
use crate::protocol::{Request, RpcError};

const LOG_LEVELS: [&str; 8] = [
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
];

/// Where the client stands in its handshake.
#[derive(Debug)]
pub struct Lifecycle {
    name: String,
    instructions: Option<String>,
    /// `Some` once it has sent `initialize`; backends wait for it.
    client: watch::Sender<Option<Arc<ClientProfile>>>,
    initialized: bool,
}

impl Lifecycle {
    /// Nothing heard yet.
    pub fn new(config: &GatewayConfig) -> Self {
        Self {
            name: config.name.clone(),
            instructions: config.instructions.clone(),
            client: watch::Sender::new(None),
            initialized: false,
        }
    }

    /// For those who must wait until the client has introduced itself.
    pub fn introductions(&self) -> watch::Receiver<Option<Arc<ClientProfile>>> {
        self.client.subscribe()
    }

    /// Who the client is, once it has said so.
    pub fn client(&self) -> Option<Arc<ClientProfile>> {
        self.client.borrow().clone()
    }

    /// Whether batches must be taken: 2025-03-26 alone has them.
    pub fn takes_batches(&self) -> bool {
        self.client
            .borrow()
            .as_ref()
            .is_some_and(|client| client.version == "2025-03-26")
    }

    /// Answers `initialize`: the asked version if we speak it, else our latest legacy one.
    pub fn initialize(&mut self, request: &Request) -> Outcome {
        if self.client.borrow().is_some() {
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
        let object = |key: &str, otherwise: &'static str| {
            let given = params.get(key).filter(|raw| raw.as_str().starts_with('{'));
            given.unwrap_or_else(|| RawJson::trusted(otherwise))
        };
        let client = ClientProfile {
            version,
            capabilities: object("capabilities", "{}"),
            info: object("clientInfo", r#"{"name":"unknown","version":"0"}"#),
        };
        let result = self.introduction(version);
        self.client.send_replace(Some(Arc::new(client)));
        Outcome::Result(result)
    }

    /// `notifications/initialized` came.
    pub fn initialized(&mut self) {
        self.initialized = self.client.borrow().is_some();
    }

    /// Whether notifications may go out.
    pub fn is_initialized(&self) -> bool {
        self.initialized
    }

    /// Why a request can't be served yet, if it can't. Clients that never send
    /// `notifications/initialized` are tolerated: a first request says the same.
    pub fn refuse_early(&mut self) -> Option<RpcError> {
        self.initialized();
        (!self.initialized).then(|| {
            RpcError::new(
                INVALID_PARAMS,
                "not initialized: send initialize first, or (from 2026-07-28 on) put \
                 io.modelcontextprotocol/protocolVersion and clientCapabilities into params._meta",
            )
        })
    }

    /// The superset of what the gateway can serve: backends join late, and capabilities freeze here.
    fn introduction(&self, version: &str) -> RawJson {
        let mut capabilities = json!({
            "tools": { "listChanged": true },
            "resources": { "listChanged": true },
            "prompts": { "listChanged": true },
            "logging": {},
        });
        if version >= "2025-03-26" {
            capabilities["completions"] = json!({});
        }
        let mut result = json!({
            "protocolVersion": version,
            "capabilities": capabilities,
            "serverInfo": { "name": self.name, "version": env!("CARGO_PKG_VERSION") },
        });
        if let Some(instructions) = &self.instructions {
            result["instructions"] = json!(instructions);
        }
        RawJson::of(&result)
    }
}

/// `logging/setLevel`: to every backend now, and to each again after a reconnect.
pub fn set_level(request: &Request, snapshot: &Snapshot) -> Outcome {
    let level = request
        .params
        .as_ref()
        .and_then(|params| params.get("level"));
    let level = level.and_then(|level| level.read::<String>().ok());
    let Some(level) = level.filter(|level| LOG_LEVELS.contains(&level.as_str())) else {
        let why = format!(
            "logging/setLevel: level must be one of {}",
            LOG_LEVELS.join(", ")
        );
        return refuse(INVALID_PARAMS, &why);
    };
    let params = RawJson::of(&json!({ "level": level }));
    for backend in &snapshot.backends {
        backend.set_log_level(params.clone());
    }
    Outcome::Result(RawJson::trusted("{}"))
}

fn refuse(code: i64, message: &str) -> Outcome {
    RpcError::new(code, message).into()
}
