//! Translations between a legacy and a modern peer.
//!
//! Owns which members and error codes differ between the eras. Pure; it must not know who sends a
//! message.

use serde_json::json;

use super::modern::{self, key};
use crate::protocol::error::code_of;
use crate::protocol::error::{HEADER_MISMATCH, INTERNAL_ERROR, INVALID_PARAMS, MISSING_CAPABILITY};
use crate::protocol::error::{RESOURCE_NOT_FOUND, UNSUPPORTED_VERSION, URL_ELICITATION_REQUIRED};
use crate::protocol::{Outcome, RawJson};

/// Members of a modern result that the legacy era does not have.
const MODERN_ONLY: [&str; 5] = [
    "resultType",
    "ttlMs",
    "cacheScope",
    "inputRequests",
    "requestState",
];

/// A modern server's outcome for a legacy client (F-L-04, F-X-06, X-LM-09). `read`: the request was
/// `resources/read`, for which the legacy era has an error code of its own.
pub(crate) fn outcome_from_modern(outcome: Outcome, read: bool) -> Outcome {
    match outcome {
        Outcome::Result(result) => {
            let [backend, info] = key::OURS;
            let keys = [key::SERVER_INFO, key::SUBSCRIPTION_ID, backend, info];
            Outcome::Result(modern::without_members(&result, &MODERN_ONLY, &keys))
        }
        Outcome::Error(error) => Outcome::Error(error_from_modern(error, read)),
    }
}

/// Codes that only the modern era has become an internal error with the same message.
fn error_from_modern(error: RawJson, read: bool) -> RawJson {
    let code = match code_of(&error) {
        Some(INVALID_PARAMS) if read && error.at(&["data", "uri"]).is_some() => RESOURCE_NOT_FOUND,
        Some(HEADER_MISMATCH | MISSING_CAPABILITY | UNSUPPORTED_VERSION) => INTERNAL_ERROR,
        _ => return error,
    };
    error.with_members(&[("code", code.to_string().into())], &[])
}

/// The params of a modern request for a legacy server: without the keys of `_meta` that describe a
/// modern client.
pub(crate) fn params_from_modern(params: &RawJson) -> RawJson {
    modern::without_members(params, &[], &key::REQUEST)
}

/// A legacy server's outcome for a modern client, with that era's error codes (F-M-07, X-ML-11).
/// `uri`: of the resource that the request is about, if any.
pub(crate) fn outcome_for_modern(outcome: Outcome, uri: Option<&str>) -> Outcome {
    match outcome {
        Outcome::Error(error) => Outcome::Error(error_for_modern(error, uri)),
        result @ Outcome::Result(_) => result,
    }
}

fn error_for_modern(error: RawJson, uri: Option<&str>) -> RawJson {
    match (code_of(&error), uri) {
        (Some(RESOURCE_NOT_FOUND), uri) => {
            let data = uri.map(|uri| ("data", json!({ "uri": uri }).to_string().into()));
            let data =
                data.filter(|_| error.get("data").and_then(|data| data.get("uri")).is_none());
            let code = ("code", INVALID_PARAMS.to_string().into());
            let set: Vec<_> = [Some(code), data].into_iter().flatten().collect();
            error.with_members(&set, &[])
        }
        // Reserved by the modern specification: a legacy server means something else by them.
        (Some(URL_ELICITATION_REQUIRED | -32099..=-32020), _) => {
            error.with_members(&[("code", INTERNAL_ERROR.to_string().into())], &[])
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(outcome: Outcome) -> String {
        match outcome {
            Outcome::Result(text) | Outcome::Error(text) => text.as_str().to_owned(),
        }
    }

    #[test]
    fn members_of_the_modern_era_are_removed_for_a_legacy_client() {
        let result = RawJson::trusted(
            r#"{"resultType":"complete","content":[ 1.10 ],"ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{},"sentinel-gateway/backend":"bank","x":1,"sentinel-gateway/serverInfo":{}}}"#,
        );
        let seen = of(outcome_from_modern(Outcome::Result(result), false));
        assert_eq!(seen, r#"{"content":[ 1.10 ],"_meta":{"x":1}}"#);
        let only = RawJson::trusted(r#"{"_meta":{"io.modelcontextprotocol/serverInfo":{}}}"#);
        assert_eq!(of(outcome_from_modern(Outcome::Result(only), false)), "{}");
    }

    #[test]
    fn error_codes_are_mapped_to_the_other_era() {
        let back = |text: &'static str, read| {
            of(outcome_from_modern(
                Outcome::Error(RawJson::trusted(text)),
                read,
            ))
        };
        let none = r#"{"code":-32602,"message":"no","data":{"uri":"a:b"}}"#;
        assert!(back(none, true).starts_with(r#"{"code":-32002,"#));
        assert_eq!(back(none, false), none);
        assert!(back(r#"{"code":-32021,"message":"m"}"#, false).starts_with(r#"{"code":-32603,"#));
        let there = |text: &'static str, uri| {
            of(outcome_for_modern(
                Outcome::Error(RawJson::trusted(text)),
                uri,
            ))
        };
        assert_eq!(
            there(r#"{"code":-32002,"message":"no"}"#, Some("a:b")),
            r#"{"code":-32602,"message":"no","data":{"uri":"a:b"}}"#
        );
        assert_eq!(
            there(r#"{"code":-32050,"message":"m"}"#, None),
            r#"{"code":-32603,"message":"m"}"#
        );
        assert_eq!(
            there(r#"{"code":-32001,"message":"m"}"#, None),
            r#"{"code":-32001,"message":"m"}"#
        );
    }

    #[test]
    fn the_client_profile_is_removed_from_params_for_a_legacy_server() {
        let params = RawJson::trusted(
            r#"{"name":"t","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","traceparent":"00-x"}}"#,
        );
        let seen = params_from_modern(&params);
        assert_eq!(
            seen.as_str(),
            r#"{"name":"t","_meta":{"traceparent":"00-x"}}"#
        );
    }
}
