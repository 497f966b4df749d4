//! Legacy MCP: versions with a handshake, and results made fit for clients of that era.

use serde_json::json;

use super::modern::{self, key};
use crate::protocol::error::{HEADER_MISMATCH, INVALID_PARAMS};
use crate::protocol::error::{INTERNAL_ERROR, MISSING_CAPABILITY, UNSUPPORTED_VERSION};
use crate::protocol::{Outcome, RawJson};

/// Versions with `initialize`, oldest first.
pub const VERSIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// The latest of them: what a client that asks for an unknown one is answered.
pub const LATEST: &str = "2025-11-25";

/// Members of a modern result that the legacy era doesn't know.
const MODERN_ONLY: [&str; 5] = [
    "resultType",
    "ttlMs",
    "cacheScope",
    "inputRequests",
    "requestState",
];

/// What a modern server answered, as a legacy client may see it (F-L-04, X-LM-09).
pub fn outcome_from_modern(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Result(result) => Outcome::Result(result_from_modern(&result)),
        Outcome::Error(error) => Outcome::Error(error_from_modern(error)),
    }
}

fn result_from_modern(result: &RawJson) -> RawJson {
    let result = result.with_members(&[], &MODERN_ONLY);
    let Some(meta) = result.get("_meta") else {
        return result;
    };
    let rest = meta.with_members(&[], &[key::SERVER_INFO, key::SUBSCRIPTION_ID]);
    match rest.as_str() {
        "{}" => result.with_members(&[], &["_meta"]),
        _ => result.with_members(&[("_meta", rest.into_bytes())], &[]),
    }
}

/// The modern era's own codes mean nothing to a legacy client: they become an internal error
/// that keeps what was said.
fn error_from_modern(error: RawJson) -> RawJson {
    let own = [HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION];
    if !own.contains(&modern::code_of(&error).unwrap_or(0)) {
        return error;
    }
    error.with_members(&[("code", INTERNAL_ERROR.to_string().into())], &[])
}

/// The params of a request as a legacy server may see them: without the modern era's envelope.
pub fn params_from_modern(params: &RawJson) -> RawJson {
    let Some(meta) = params.get("_meta") else {
        return params.clone();
    };
    let rest = meta.with_members(&[], &key::REQUEST);
    match rest.as_str() {
        "{}" => params.with_members(&[], &["_meta"]),
        _ => params.with_members(&[("_meta", rest.into_bytes())], &[]),
    }
}

/// What a legacy server answered, as a modern client may see it (F-M-03, F-M-07, X-ML-11).
/// `cacheable` for the methods whose results carry caching hints.
pub fn outcome_for_modern(outcome: Outcome, cacheable: bool, uri: Option<&str>) -> Outcome {
    match outcome {
        Outcome::Result(result) => Outcome::Result(modern::complete(&result, cacheable)),
        Outcome::Error(error) => Outcome::Error(error_for_modern(error, uri)),
    }
}

fn error_for_modern(error: RawJson, uri: Option<&str>) -> RawJson {
    use crate::protocol::error::{RESOURCE_NOT_FOUND, URL_ELICITATION_REQUIRED};
    match (modern::code_of(&error), uri) {
        (Some(RESOURCE_NOT_FOUND), uri) => {
            let data = uri.map(|uri| ("data", json!({ "uri": uri }).to_string().into()));
            let data =
                data.filter(|_| error.get("data").and_then(|data| data.get("uri")).is_none());
            let code = ("code", INVALID_PARAMS.to_string().into());
            let set: Vec<_> = [Some(code), data].into_iter().flatten().collect();
            error.with_members(&set, &[])
        }
        // Reserved for the specification's own use: a server of another era means something else.
        (Some(URL_ELICITATION_REQUIRED | -32099..=-32020), _) => {
            error.with_members(&[("code", INTERNAL_ERROR.to_string().into())], &[])
        }
        _ => error,
    }
}
