//! Requests and results of the modern era (MCP 2026-07-28, basic).
//!
//! Owns the client's profile in `_meta` of every request, and the members that every result must
//! have. Pure; it must not know who sends a message.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;
use serde_json::json;

use super::{Era, LogLevel, MODERN_VERSION, supported};
use crate::protocol::error::{
    INTERNAL_ERROR, INVALID_PARAMS, MISSING_CAPABILITY, UNSUPPORTED_VERSION,
};
use crate::protocol::error::{RESOURCE_NOT_FOUND, URL_ELICITATION_REQUIRED, code_of};
use crate::protocol::raw::quoted;
use crate::protocol::{ClientProfile, Freshness, Outcome, RawJson, RpcError, task};

/// Keys of `_meta` (MCP 2026-07-28, basic, "General fields").
pub(crate) mod key {
    /// Of a request: its protocol version.
    pub(crate) const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
    /// Of a request: name and version of the client.
    pub(crate) const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
    /// Of a request: capabilities of the client.
    pub(crate) const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
    /// Of a request: the least urgent level of log messages that it wants.
    pub(crate) const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
    /// Of a result: name and version of the server.
    pub(crate) const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
    /// Of every message of a subscription: the id of its `subscriptions/listen` request.
    pub(crate) const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
    /// Of a server request, a definition or a result: the name in the config of the backend that it is
    /// from.
    pub(crate) const BACKEND: &str = "sentinel-gateway/backend";
    /// Of a backend's result: what it calls itself there.
    pub(crate) const BACKEND_INFO: &str = "sentinel-gateway/serverInfo";

    /// The keys that the gateway alone sets.
    pub(crate) const OURS: [&str; 2] = [BACKEND, BACKEND_INFO];
    /// The keys of a request.
    pub(crate) const REQUEST: [&str; 4] = [
        PROTOCOL_VERSION,
        CLIENT_INFO,
        CLIENT_CAPABILITIES,
        LOG_LEVEL,
    ];
}

/// The client's profile in the params of a modern request; `None` if there is none (F-C-01).
///
/// # Errors
/// -32022 for an unsupported version; -32602 for a member that is missing or has the wrong type.
pub(crate) fn client_of(params: Option<&RawJson>) -> Option<Result<ClientProfile, RpcError>> {
    let meta = params?.get("_meta")?;
    match meta.locate_members(key::REQUEST) {
        Ok([None, ..]) => None,
        Ok([Some(version), rest @ ..]) => {
            let rest = rest.map(|place| place.map(|place| meta.slice(place)));
            Some(read_client(&meta.slice(version), rest))
        }
        Err(twice) => Some(Err(invalid(format!("{twice} occurs twice")))),
    }
}

fn invalid(why: String) -> RpcError {
    RpcError::new(INVALID_PARAMS, format!("_meta: {why}"))
}

/// The values under [`key::REQUEST`], in that order.
fn read_client(version: &RawJson, rest: [Option<RawJson>; 3]) -> Result<ClientProfile, RpcError> {
    let [info, capabilities, level] = rest;
    let version = version
        .text()
        .ok_or_else(|| invalid(format!("{} must be a string", key::PROTOCOL_VERSION)))?;
    if version != MODERN_VERSION {
        let data = json!({ "supported": supported(), "requested": version });
        let why = format!(
            "Unsupported protocol version {version:?}: use {MODERN_VERSION}, or initialize"
        );
        return Err(RpcError::new(UNSUPPORTED_VERSION, why).specified(data));
    }
    let capabilities = capabilities
        .filter(RawJson::is_object)
        .ok_or_else(|| invalid(format!("{} must be an object", key::CLIENT_CAPABILITIES)))?;
    let log_level = match level {
        None => None,
        Some(level) => Some(
            level
                .text()
                .and_then(|name| LogLevel::of(&name))
                .ok_or_else(|| {
                    invalid(format!(
                        "{} must be one of {}",
                        key::LOG_LEVEL,
                        LogLevel::names()
                    ))
                })?,
        ),
    };
    Ok(ClientProfile {
        era: Era::Modern,
        version: MODERN_VERSION,
        capabilities,
        info: info.filter(RawJson::is_object),
        log_level,
    })
}

/// The params of a request to a modern server on behalf of this client. Other members, and other
/// keys of `_meta`, are kept.
pub(crate) fn params_for(params: Option<&RawJson>, client: &ClientProfile) -> RawJson {
    let params = params.cloned().unwrap_or_else(|| RawJson::trusted("{}"));
    let meta = params.get("_meta").filter(RawJson::is_object);
    let meta = meta.unwrap_or_else(|| RawJson::trusted("{}"));
    let capabilities = match client.era {
        Era::Legacy => capabilities_of_legacy(&client.capabilities),
        Era::Modern => client.capabilities.clone(),
    };
    let mut set: Vec<(&str, Bytes)> = vec![
        (key::PROTOCOL_VERSION, quoted(MODERN_VERSION)),
        (key::CLIENT_CAPABILITIES, capabilities.into_bytes()),
    ];
    set.extend(
        client
            .info
            .clone()
            .map(|info| (key::CLIENT_INFO, info.into_bytes())),
    );
    set.extend(
        client
            .log_level
            .map(|level| (key::LOG_LEVEL, quoted(level.name()))),
    );
    let meta = meta.with_members(&set, &[]);
    params.with_members(&[("_meta", meta.into_bytes())], &[])
}

/// The params of a request without the experimental capabilities of the client in `_meta`.
pub(crate) fn without_experimental(params: &RawJson) -> RawJson {
    let without = |key: &str| {
        let meta = params.get("_meta")?;
        let capabilities = meta.get(key)?.with_members(&[], &["experimental"]);
        Some(meta.with_members(&[(key, capabilities.into_bytes())], &[]))
    };
    match without(key::CLIENT_CAPABILITIES) {
        Some(meta) => params.with_members(&[("_meta", meta.into_bytes())], &[]),
        None => params.clone(),
    }
}

/// The caching hints of a result, as its members (MCP 2026-07-28, server/utilities/caching).
pub(crate) fn caching_hints(freshness: Freshness) -> [(&'static str, Bytes); 2] {
    let scope = if freshness.public {
        "public"
    } else {
        "private"
    };
    [
        ("ttlMs", freshness.ttl_ms.to_string().into()),
        ("cacheScope", quoted(scope)),
    ]
}

/// Which members are added to a result; members that it has are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResultStamp {
    /// No stamp: it is not complete, and has its `resultType`.
    Itself,
    /// `resultType`, which every complete result must have.
    Complete,
    /// `resultType`, `ttlMs` and `cacheScope`, for methods whose results may be cached (MCP
    /// 2026-07-28, server/utilities/caching).
    CompleteAndCacheable,
}

/// A result of the gateway's own for a modern client: with the members it must have.
pub(crate) fn stamp_result(result: &RawJson, stamp: ResultStamp, gateway: &RawJson) -> RawJson {
    let server = (key::SERVER_INFO, gateway.clone().into_bytes());
    stamped(result, meta_of(result).with_members(&[server], &[]), stamp)
}

/// The same of a backend, by its name in the config. The gateway is its server, and which backend it is
/// from stands beside that, with what this calls itself (X-MM-04). Its own values there are gone: it
/// could name another.
pub(crate) fn stamp_backend_result(
    result: &RawJson,
    stamp: ResultStamp,
    gateway: &RawJson,
    backend: &str,
) -> RawJson {
    let meta = meta_of(result);
    let mut set = vec![
        (key::SERVER_INFO, gateway.clone().into_bytes()),
        (key::BACKEND, quoted(backend)),
    ];
    let without: &[&str] = match meta.get(key::SERVER_INFO) {
        Some(info) => {
            set.push((key::BACKEND_INFO, info.into_bytes()));
            &[]
        }
        None => &[key::BACKEND_INFO],
    };
    stamped(result, meta.with_members(&set, without), stamp)
}

/// The result that a member of a backend's result is, such as that of a task: which backend it is from
/// stands in it, too.
pub(crate) fn with_backend_inside(outer: RawJson, member: &str, backend: &str) -> RawJson {
    let Some(inner) = outer.get(member).filter(RawJson::is_object) else {
        return outer;
    };
    let name = (key::BACKEND, quoted(backend));
    let meta = meta_of(&inner).with_members(&[name], &[key::BACKEND_INFO]);
    let inner = inner.with_members(&[("_meta", meta.into_bytes())], &[]);
    outer.with_members(&[(member, inner.into_bytes())], &[])
}

fn meta_of(result: &RawJson) -> RawJson {
    let meta = result.get("_meta").filter(RawJson::is_object);
    meta.unwrap_or_else(|| RawJson::trusted("{}"))
}

fn stamped(result: &RawJson, meta: RawJson, stamp: ResultStamp) -> RawJson {
    let meta = ("_meta", meta.into_bytes());
    let defaults = [
        ("resultType", Bytes::from_static(b"\"complete\"")),
        ("ttlMs", Bytes::from_static(b"0")),
        ("cacheScope", Bytes::from_static(b"\"private\"")),
    ];
    let defaults = match stamp {
        ResultStamp::Itself => &defaults[..0],
        ResultStamp::Complete => &defaults[..1],
        ResultStamp::CompleteAndCacheable => &defaults[..],
    };
    result.with_members_and_defaults(&[meta], defaults, &[])
}

/// The params of a notification without the id of the gateway's own subscription at the server.
pub(crate) fn without_subscription_id(params: &RawJson) -> RawJson {
    without_key(params, key::SUBSCRIPTION_ID)
}

/// The params of a notification without the keys of its `_meta` that the gateway alone sets: a server could
/// name another (F-X-06).
pub(crate) fn without_ours(object: RawJson) -> RawJson {
    // A key may be written in escapes.
    static PARTS: LazyLock<[Finder<'_>; 2]> =
        LazyLock::new(|| ["sentinel-gateway", "\\u"].map(Finder::new));
    let may_say_so = (PARTS.iter()).any(|part| part.find(object.as_bytes()).is_some());
    let has = |meta: RawJson| key::OURS.iter().any(|key| meta.get(key).is_some());
    let says = may_say_so && object.every("_meta").any(has);
    match says {
        true => without_members(&object, &[], &key::OURS),
        false => object,
    }
}

/// An object without this key of its `_meta`.
pub(crate) fn without_key(object: &RawJson, key: &str) -> RawJson {
    without_members(object, &[], &[key])
}

/// An object without these members and without these keys of its `_meta`. A `_meta` that becomes
/// empty is removed too.
pub(super) fn without_members(object: &RawJson, members: &[&str], keys: &[&str]) -> RawJson {
    let Some(meta) = object.get("_meta") else {
        return object.with_members(&[], members);
    };
    let rest = meta.with_members(&[], keys);
    match rest.as_str() {
        "{}" => object.with_members(&[], &[members, &["_meta"]].concat()),
        _ => object.with_members(&[("_meta", rest.into_bytes())], members),
    }
}

/// The type of a result (MCP 2026-07-28, basic, "ResultType").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultType {
    /// The request is complete; also the default.
    Complete,
    /// The server needs input from the client first (MCP 2026-07-28, basic/patterns/mrtr).
    InputRequired,
    /// The work continues as a task (extension `io.modelcontextprotocol/tasks`).
    Task,
}

impl ResultType {
    /// The type of a result with this member `resultType`; `None` for an unknown one.
    pub(crate) fn named(member: Option<&RawJson>) -> Option<Self> {
        match member {
            None => Some(Self::Complete),
            Some(kind) => match kind.as_str() {
                "\"complete\"" => Some(Self::Complete),
                "\"input_required\"" => Some(Self::InputRequired),
                "\"task\"" => Some(Self::Task),
                _ => None,
            },
        }
    }
}

/// A modern backend's outcome for a modern client. Error codes about the gateway's own HTTP
/// requests, and codes that the specification reserves or has retired, become an internal error
/// (F-M-07).
pub(crate) fn outcome_for_client(outcome: Outcome) -> Outcome {
    let internal = |error: &RawJson| match code_of(error) {
        Some(MISSING_CAPABILITY) => false,
        Some(RESOURCE_NOT_FOUND | URL_ELICITATION_REQUIRED | -32099..=-32020) => true,
        _ => false,
    };
    match outcome {
        Outcome::Error(error) if internal(&error) => {
            let code = ("code", INTERNAL_ERROR.to_string().into());
            Outcome::Error(error.with_members(&[code], &[]))
        }
        other => other,
    }
}

/// Whether a request of this method may be answered with `input_required` (MCP 2026-07-28,
/// basic/patterns/mrtr, "Supported Requests").
pub(crate) fn may_require_input(method: &str) -> bool {
    matches!(method, "tools/call" | "prompts/get" | "resources/read")
}

/// Whether a request with these params continues one that was answered with `input_required`.
pub(crate) fn is_next_round(params: &RawJson) -> bool {
    let has = |key| params.get(key).is_some();
    has("inputResponses") || has("requestState")
}

/// This client as one that can have the tasks of the extension: on its behalf the gateway asks a
/// modern server about tasks of such clients (X-MM-05).
pub(crate) fn with_tasks(client: &ClientProfile) -> ClientProfile {
    let capabilities = match client.era {
        Era::Legacy => capabilities_of_legacy(&client.capabilities),
        Era::Modern => client.capabilities.clone(),
    };
    let extensions = capabilities.get("extensions").filter(RawJson::is_object);
    let extensions = extensions.unwrap_or_else(|| RawJson::trusted("{}"));
    let tasks = [(task::EXTENSION, Bytes::from_static(b"{}"))];
    let extensions = extensions.with_members(&tasks, &[]).into_bytes();
    ClientProfile {
        era: Era::Modern,
        capabilities: capabilities.with_members(&[("extensions", extensions)], &[]),
        ..client.clone()
    }
}

/// A legacy client's capabilities as declared to a modern server: without tasks and
/// `roots.listChanged`, which that era has in another form (X-LM-01, X-LM-10).
pub(crate) fn capabilities_of_legacy(capabilities: &RawJson) -> RawJson {
    let mut set = Vec::new();
    if let Some(roots) = capabilities.get("roots").filter(RawJson::is_object) {
        let roots = roots.with_members(&[], &["listChanged"]);
        set.push(("roots", roots.into_bytes()));
    }
    if let Some(extensions) = capabilities.get("extensions").filter(RawJson::is_object) {
        let extensions = extensions.with_members(&[], &[task::EXTENSION]);
        set.push(("extensions", extensions.into_bytes()));
    }
    capabilities.with_members(&set, &["tasks"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_says_which_backend_it_is_from_whatever_it_says_itself() {
        let gateway = RawJson::trusted(r#"{"name":"g"}"#);
        for (own, shown) in [
            (
                r#"{"content":[ 1.10 ]}"#,
                r#"{"content":[ 1.10 ],"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"g"},"sentinel-gateway/backend":"db"},"resultType":"complete"}"#,
            ),
            (
                r#"{"_meta":{"x":1,"io.modelcontextprotocol/serverInfo":{"name":"s"}},"resultType":"complete"}"#,
                r#"{"_meta":{"x":1,"io.modelcontextprotocol/serverInfo":{"name":"g"},"sentinel-gateway/backend":"db","sentinel-gateway/serverInfo":{"name":"s"}},"resultType":"complete"}"#,
            ),
            (
                r#"{"_meta":{"sentinel-gateway\/backend":"bank","sentinel-gateway/serverInfo":{"name":"bank"},"x":1}}"#,
                r#"{"_meta":{"sentinel-gateway\/backend":"db","x":1,"io.modelcontextprotocol/serverInfo":{"name":"g"}},"resultType":"complete"}"#,
            ),
            (
                r#"{"_meta":{"sentinel-gateway/serverInfo":{"name":"bank"},"io.modelcontextprotocol/serverInfo":{"name":"s"}}}"#,
                r#"{"_meta":{"sentinel-gateway/serverInfo":{"name":"s"},"io.modelcontextprotocol/serverInfo":{"name":"g"},"sentinel-gateway/backend":"db"},"resultType":"complete"}"#,
            ),
        ] {
            let own = RawJson::trusted(own);
            let stamped = stamp_backend_result(&own, ResultStamp::Complete, &gateway, "db");
            assert_eq!(stamped.as_str(), shown);
        }
    }

    #[test]
    fn a_result_within_a_state_says_it_too() {
        let state = |meta: &str| {
            RawJson::trusted(format!(
                r#"{{"taskId":"1","result":{{"content":[]{meta}}}}}"#
            ))
        };
        for meta in [
            "",
            r#","_meta":{"sentinel-gateway/serverInfo":{},"sentinel-gateway/backend":"bank"}"#,
        ] {
            let shown = with_backend_inside(state(meta), "result", "db");
            let expected = state(r#","_meta":{"sentinel-gateway/backend":"db"}"#);
            assert_eq!(shown.as_str(), expected.as_str());
        }
        let state = RawJson::trusted(r#"{"taskId":"1","status":"working"}"#);
        let shown = with_backend_inside(state.clone(), "result", "db");
        assert_eq!(shown.as_str(), state.as_str());
    }
}
