//! What the protocol checker reads from a request of the client.

use serde_json::Value;

/// One request, as the client sent it.
#[derive(Clone, Default)]
pub(super) struct ClientRequest {
    pub method: String,
    /// It has the modern era's metadata.
    pub modern: bool,
    pub capabilities: Value,
    pub log_level: Option<String>,
    pub progress_token: Option<Value>,
    /// The filter of a `subscriptions/listen`.
    pub filter: Value,
    /// Its place among all requests.
    pub place: usize,
}

impl ClientRequest {
    pub fn read(message: &Value, place: usize) -> Self {
        let params = &message["params"];
        let meta = |key: &str| &params["_meta"][format!("io.modelcontextprotocol/{key}")];
        let token = &params["_meta"]["progressToken"];
        Self {
            method: message["method"].as_str().unwrap_or_default().to_owned(),
            modern: !meta("protocolVersion").is_null(),
            capabilities: meta("clientCapabilities").clone(),
            log_level: meta("logLevel").as_str().map(str::to_owned),
            progress_token: (!token.is_null()).then(|| token.clone()),
            filter: params["notifications"].clone(),
            place,
        }
    }

    /// Whether a modern client may cache the result, which then needs cache hints.
    pub fn is_cacheable(&self) -> bool {
        matches!(
            self.method.as_str(),
            "server/discover"
                | "tools/list"
                | "prompts/list"
                | "resources/list"
                | "resources/templates/list"
                | "resources/read"
        )
    }

    /// Whether the result may be `input_required`.
    pub fn takes_input(&self) -> bool {
        matches!(
            self.method.as_str(),
            "tools/call" | "prompts/get" | "resources/read"
        )
    }

    pub fn is_listen(&self) -> bool {
        self.modern && self.method == "subscriptions/listen"
    }

    /// Whether such a log message may be sent for this request.
    pub fn wants_log(&self, level: &str) -> bool {
        const LEVELS: [&str; 8] = [
            "debug",
            "info",
            "notice",
            "warning",
            "error",
            "critical",
            "alert",
            "emergency",
        ];
        let rank = |level: &str| LEVELS.iter().position(|known| *known == level);
        let least = self.log_level.as_deref().and_then(rank);
        least.is_some_and(|least| rank(level) >= Some(least))
    }
}

/// Whether a client with these capabilities may get this request.
pub(super) fn is_declared(capabilities: &Value, method: &str, params: &Value) -> bool {
    let elicitation = &capabilities["elicitation"];
    match method {
        "ping" => true,
        "roots/list" => capabilities["roots"].is_object(),
        "sampling/createMessage" => capabilities["sampling"].is_object(),
        "elicitation/create" if params["mode"] == "url" => elicitation["url"].is_object(),
        "elicitation/create" => {
            elicitation["form"].is_object()
                || *elicitation == Value::Object([].into_iter().collect())
        }
        _ => false,
    }
}
