//! Names of attributes and metrics.
//!
//! Owns all of them, the bounds of buckets (seconds), and the few values that may be counted by. Those without the
//! prefix `sentinel.` are of the OpenTelemetry semantic convention for MCP, which is in development: a name that
//! moves changes here alone.

/// Bounds of the buckets of durations, in seconds.
pub(super) const BOUNDS: [f64; 14] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

pub(super) const SERVER_DURATION: &str = "mcp.server.operation.duration";
pub(super) const CLIENT_DURATION: &str = "mcp.client.operation.duration";
pub(super) const SERVER_SESSION: &str = "mcp.server.session.duration";
pub(super) const CLIENT_SESSION: &str = "mcp.client.session.duration";
pub(super) const RETRIES: &str = "sentinel.retries";
pub(super) const IN_FLIGHT: &str = "sentinel.calls.in_flight";
pub(super) const RECORDS_WRITTEN: &str = "sentinel.audit.written";
pub(super) const RECORDS_DROPPED: &str = "sentinel.audit.dropped";
pub(super) const BREAKER_OPEN: &str = "sentinel.breaker.open";
pub(super) const RATE_LIMITED: &str = "sentinel.rate_limited";
pub(super) const RELOADS: &str = "sentinel.reloads";

pub(super) const METHOD: &str = "mcp.method.name";
pub(super) const PROTOCOL_VERSION: &str = "mcp.protocol.version";
pub(super) const RESOURCE_URI: &str = "mcp.resource.uri";
pub(super) const TOOL: &str = "gen_ai.tool.name";
pub(super) const PROMPT: &str = "gen_ai.prompt.name";
pub(super) const OPERATION: &str = "gen_ai.operation.name";
pub(super) const REQUEST_ID: &str = "jsonrpc.request.id";
pub(super) const STATUS_CODE: &str = "rpc.response.status_code";
pub(super) const ERROR_TYPE: &str = "error.type";
pub(super) const TRANSPORT: &str = "network.transport";
pub(super) const NETWORK_PROTOCOL: &str = "network.protocol.name";
pub(super) const SERVER_ADDRESS: &str = "server.address";
pub(super) const SERVER_PORT: &str = "server.port";
pub(super) const BACKEND: &str = "sentinel.backend";
pub(super) const ATTEMPT: &str = "sentinel.attempt";
pub(super) const ATTEMPTS: &str = "sentinel.attempts";
pub(super) const EXECUTED: &str = "sentinel.executed";
pub(super) const QUEUE_MS: &str = "sentinel.queue_ms";
pub(super) const RESULT: &str = "result";

pub(super) const SERVICE_VERSION: &str = "service.version";
pub(super) const PROCESS_ID: &str = "process.pid";

/// The value of [`ERROR_TYPE`] for a tool's own error.
pub(crate) const TOOL_ERROR: &str = "tool_error";
/// The value of [`ERROR_TYPE`] for a session with a backend that ended though nobody wanted it to.
pub(super) const LOST: &str = "disconnected";
/// The value of [`OPERATION`] for `tools/call`.
pub(super) const EXECUTE_TOOL: &str = "execute_tool";
/// A name that no backend has: it may be anything.
pub(super) const OTHER: &str = "_OTHER";

/// The methods that a client may request.
pub(super) const METHODS: [&str; 23] = [
    "initialize",
    "ping",
    "server/discover",
    "tools/list",
    "tools/call",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "completion/complete",
    "logging/setLevel",
    "subscriptions/listen",
    "tasks/list",
    "tasks/get",
    "tasks/result",
    "tasks/cancel",
    "tasks/update",
    "skills/list",
    "skills/get",
    "skills/directory/read",
];
