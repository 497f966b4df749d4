//! The modern era's part of the fake server (MCP 2026-07-28): no handshake, no sessions, metadata
//! on each request.
//!
//! It refuses what a server must refuse, and records what a client must not send.

use serde_json::{Value, json};

use super::headers;
use super::message;
use super::reply::Reply;
use super::server::{Server, merge};
use super::wire::Request;

pub(super) const VERSION: &str = "2026-07-28";
const HEADER_MISMATCH: i64 = -32020;
const UNSUPPORTED_VERSION: i64 = -32022;
const INVALID_PARAMS: i64 = -32602;

/// The state of a modern server.
pub(super) struct Modern {
    /// `ttlMs` of every cacheable result.
    pub ttl_ms: u64,
    /// `cacheScope` of every cacheable result.
    pub scope: String,
    /// The client's protocol violations.
    pub violations: Vec<String>,
    /// It was of the legacy era before: what a client of that era sends is no violation.
    pub tolerates_legacy: bool,
}

impl Default for Modern {
    fn default() -> Self {
        Self {
            ttl_ms: 60_000,
            scope: "public".into(),
            violations: Vec::new(),
            tolerates_legacy: false,
        }
    }
}

impl Server {
    /// The error reply to a request that a modern server must refuse.
    pub fn check_modern(&mut self, request: &Request) -> Option<Reply> {
        match request.kind() {
            "GET" | "DELETE" => {
                self.violation(request, "POST is the only method");
                return Some(Reply::status(405).header("allow", "POST"));
            }
            "response" => {
                self.violation(request, "a response without a request");
                return Some(Reply::status(400));
            }
            "initialize" if !request.is_modern() => return Some(unsupported(request.params())),
            _ if request.message["id"].is_null() => {
                self.violation(request, "a client may not send notifications");
                return Some(Reply::status(202));
            }
            _ => {}
        }
        self.check_metadata(request)
            .or_else(|| self.check_headers(request))
    }

    fn check_metadata(&mut self, request: &Request) -> Option<Reply> {
        let bad = |why: &str| Reply::json_as(400, &message::error(INVALID_PARAMS, why));
        let header = request.header("mcp-protocol-version");
        match request.meta("protocolVersion").as_str() {
            None if header.is_some_and(|version| version != VERSION) => {
                return Some(unsupported(&json!({ "protocolVersion": header })));
            }
            None => {
                self.violation(request, "no protocolVersion in _meta");
                return Some(bad("protocolVersion is missing"));
            }
            Some(VERSION) => {}
            Some(other) => return Some(unsupported(&json!({ "protocolVersion": other }))),
        }
        if !request.meta("clientCapabilities").is_object() {
            self.violation(request, "no clientCapabilities in _meta");
            return Some(bad("clientCapabilities is missing"));
        }
        None
    }

    fn check_headers(&mut self, request: &Request) -> Option<Reply> {
        for removed in ["mcp-session-id", "last-event-id"] {
            if request.header(removed).is_some() {
                self.violation(request, &format!("{removed} does not exist"));
            }
        }
        let accepts = request.header("accept").unwrap_or_default();
        if !["application/json", "text/event-stream"]
            .iter()
            .all(|kind| accepts.contains(kind))
        {
            self.violation(request, &format!("it accepts only {accepts:?}"));
        }
        let tool = self
            .tools
            .iter()
            .find(|tool| tool["name"] == request.tool());
        let schema = tool.filter(|_| request.kind() == "tools/call");
        let why = headers::mismatch(request, schema.map(|tool| &tool["inputSchema"]))?;
        self.violation(request, &why);
        Some(Reply::json_as(400, &message::error(HEADER_MISMATCH, &why)))
    }

    fn violation(&mut self, request: &Request, why: &str) {
        if let Some(modern) = &mut self.modern
            && (request.is_modern() || !modern.tolerates_legacy)
        {
            modern.violations.push(format!("{}: {why}", request.kind()));
        }
    }

    /// The correct reply of a modern server.
    pub fn answer_modern(&mut self, request: &Request) -> Reply {
        let params = request.params();
        match request.kind() {
            "server/discover" => self.cacheable(self.discovery()),
            "tools/list" => self.modern_page("tools", &self.tools, params),
            "prompts/list" => self.modern_page("prompts", &self.prompts, params),
            "resources/list" => self.modern_page("resources", &self.resources, params),
            "resources/templates/list" => {
                self.modern_page("resourceTemplates", &self.templates, params)
            }
            "tools/call" => self.call(request, message::complete_text),
            "prompts/get" => self.complete(json!({ "messages": [{
                "role": "user", "content": { "type": "text", "text": params["name"] }
            }] })),
            "resources/read" => self.cacheable(json!({ "contents": [{
                "uri": params["uri"], "text": format!("contents of {}", params["uri"])
            }] })),
            "completion/complete" => {
                self.complete(json!({ "completion": { "values": ["one", "two"] } }))
            }
            "subscriptions/listen" => self.listen(params),
            other => {
                let error = message::error(-32601, &format!("Method not found: {other}"));
                Reply::json_as(404, &error)
            }
        }
    }

    fn discovery(&self) -> Value {
        let mut supported = vec![VERSION];
        if self.legacy {
            supported.push("2025-11-25");
        }
        json!({ "supportedVersions": supported, "capabilities": self.modern_capabilities() })
    }

    fn modern_capabilities(&self) -> Value {
        let mut capabilities = json!({ "tools": { "listChanged": true } });
        if !self.prompts.is_empty() {
            capabilities["prompts"] = json!({ "listChanged": true });
        }
        if !self.resources.is_empty() || !self.templates.is_empty() {
            capabilities["resources"] = json!({ "listChanged": true });
        }
        merge(&mut capabilities, &self.capabilities);
        capabilities
    }

    fn modern_page(&self, member: &str, all: &[Value], params: &Value) -> Reply {
        self.cacheable(self.page_of(member, all, params))
    }

    fn complete(&self, mut result: Value) -> Reply {
        let info = json!({ "name": self.name, "version": "1.0" });
        result["_meta"] = json!({ "io.modelcontextprotocol/serverInfo": info });
        Reply::json(&message::complete(result))
    }

    fn cacheable(&self, mut result: Value) -> Reply {
        if let Some(modern) = &self.modern {
            result["ttlMs"] = json!(modern.ttl_ms);
            result["cacheScope"] = json!(modern.scope);
        }
        self.complete(result)
    }

    /// Acknowledges the part of the filter that it honours, and opens the stream.
    fn listen(&mut self, params: &Value) -> Reply {
        let can = self.modern_capabilities();
        let mut honoured = params["notifications"].clone();
        if let Some(filter) = honoured.as_object_mut() {
            filter.retain(|kind, asked| match kind.as_str() {
                "toolsListChanged" => can["tools"]["listChanged"] == true && *asked == true,
                "promptsListChanged" => can["prompts"]["listChanged"] == true && *asked == true,
                "resourcesListChanged" => can["resources"]["listChanged"] == true && *asked == true,
                "resourceSubscriptions" => can["resources"]["subscribe"] == true,
                "taskIds" => can["extensions"]["io.modelcontextprotocol/tasks"].is_object(),
                _ => false,
            });
        }
        let acknowledged = message::notification(
            "notifications/subscriptions/acknowledged",
            json!({ "_meta": { "io.modelcontextprotocol/subscriptionId": "$id" },
                "notifications": honoured }),
        );
        self.open_stream(Reply::sse().event(acknowledged), honoured)
    }
}

/// The error of a server that supports only this version. `initialize` gets it too.
fn unsupported(params: &Value) -> Reply {
    let data = json!({ "supported": [VERSION], "requested": params["protocolVersion"] });
    let error = message::error_with(UNSUPPORTED_VERSION, "Unsupported protocol version", &data);
    Reply::json_as(400, &error)
}
