//! The `requestState` with which a modern client resumes a parked call (F-M-13), or returns that of a
//! modern server (X-MM-01).
//!
//! Owns how it is made and which request it is bound to. It carries no data: it can't be guessed, so
//! a tampered one is an unknown one, and what it stands for never leaves the process. That of a server
//! has the backend's prefix before it on the client's side, so that no other server gets it. It must not
//! know the call.

use std::sync::LazyLock;

use rand::RngExt;
use sha2::{Digest, Sha256};

use crate::backend::HttpBackend;
use crate::dispatch::backend_call::admission;
use crate::hex::hex;
use crate::protocol::error::INVALID_PARAMS;
use crate::protocol::raw::quoted;
use crate::protocol::{RawJson, RpcError, json_scan};

/// The prefix of all states of this process, and of no other gateway's.
static OURS: LazyLock<String> = LazyLock::new(|| format!("sentinel.{}.", random_hex::<8>()));

/// Names a parked call, for one retry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct RequestState(String);

impl RequestState {
    /// A random one, too long to be guessed.
    pub(super) fn new() -> Self {
        Self(format!("{}{}", *OURS, random_hex::<32>()))
    }

    /// The state in the params of a retry; `None` for one that this process has not made.
    pub(super) fn of(params: &RawJson) -> Option<Self> {
        let state = params.get("requestState")?.text()?;
        state.starts_with(OURS.as_str()).then_some(Self(state))
    }

    /// Its text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The error for a state that is unknown, used up or bound to another request.
pub(super) fn refusal(method: &str) -> RpcError {
    let why = format!(
        "{method}: this requestState is unknown, used, expired or of another request; \
         the request can be made anew without it"
    );
    RpcError::new(INVALID_PARAMS, why)
}

/// A modern server's result with its state as clients get it.
pub(super) fn for_client(result: RawJson, prefix: &str) -> RawJson {
    let Some(state) = result.get("requestState") else {
        return result;
    };
    match state.as_str().strip_prefix('"') {
        Some(own) => {
            let state = format!("\"{prefix}:{own}").into();
            result.with_members(&[("requestState", state)], &[])
        }
        None => result,
    }
}

/// The params of a modern client's request, with the state as the backend's server has made it.
///
/// # Errors
/// If the state is none of this server.
pub(super) fn for_backend(
    method: &str,
    params: &RawJson,
    backend: &HttpBackend,
) -> Result<RawJson, RpcError> {
    let state = params.get("requestState");
    let Some(state) = state.filter(|state| state.as_str() != "null") else {
        return Ok(params.clone());
    };
    let (name, prefix) = (backend.name(), &*backend.id_prefix);
    let after = |prefix: &str| state.as_str().strip_prefix('"')?.strip_prefix(prefix);
    if let Some(own) = after(prefix).and_then(|own| own.strip_prefix(':')) {
        let own = format!("\"{own}").into();
        return Ok(params.with_members(&[("requestState", own)], &[]));
    }
    let is_replaced = after(name).is_some_and(|rest| rest.starts_with('.'));
    let is_tool = method == "tools/call";
    Err(match is_replaced {
        true => admission::replaced(backend, "requestState", is_tool),
        false => refusal(method),
    })
}

/// What a state is bound to: the method and params of the request, without what a retry changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestFingerprint([u8; 32]);

impl RequestFingerprint {
    /// Of a request or its retry. White space and the order of the params do not count: a client
    /// may serialize the same request differently.
    pub(super) fn of(method: &str, params: &RawJson) -> Self {
        let mut digest = Sha256::new();
        digest.update(quoted(method));
        let mut members = params.members().unwrap_or_default();
        members.retain(|(key, _)| !["inputResponses", "requestState", "_meta"].contains(&&**key));
        members.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (key, value) in members {
            digest.update(quoted(&key));
            feed(&mut digest, value.get().as_bytes());
        }
        Self(digest.finalize().into())
    }
}

/// Adds JSON text without the white space between its tokens.
fn feed(digest: &mut Sha256, text: &[u8]) {
    let (mut at, mut from) = (0, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at = json_scan::string_end(text, at).unwrap_or(text.len()),
            b' ' | b'\t' | b'\n' | b'\r' => {
                digest.update(&text[from..at]);
                at += 1;
                from = at;
            }
            _ => at += 1,
        }
    }
    digest.update(&text[from..]);
}

fn random_hex<const BYTES: usize>() -> String {
    let bytes: [u8; BYTES] = rand::rng().random();
    hex(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(params: &'static str) -> RequestFingerprint {
        RequestFingerprint::of("tools/call", &RawJson::trusted(params))
    }

    #[test]
    fn a_handle_is_found_again_and_no_other_is_taken_for_one() {
        let handle = RequestState::new();
        let params = |state: &str| {
            RawJson::trusted(format!(
                r#"{{"requestState":{}}}"#,
                serde_json::json!(state)
            ))
        };
        assert_eq!(
            RequestState::of(&params(handle.as_str())),
            Some(handle.clone())
        );
        assert_ne!(RequestState::new(), handle);
        assert_eq!(
            RequestState::of(&params("sentinel.0123456789abcdef.aa")),
            None
        );
        assert_eq!(
            RequestState::of(&RawJson::trusted(r#"{"requestState":1}"#)),
            None
        );
    }

    #[test]
    fn the_fingerprint_covers_method_and_params_only() {
        let first = fingerprint(r#"{"name":"t","arguments":{"a":[1, "x \" y"]},"_meta":{"p":1}}"#);
        let again = r#"{ "inputResponses":{"k":{}}, "arguments" : {"a" : [1,"x \" y"]},"requestState":"s","_meta":{"p":2}, "name":"t"}"#;
        assert_eq!(fingerprint(again), first);
        for other in [
            r#"{"name":"u","arguments":{"a":[1,"x \" y"]}}"#,
            r#"{"name":"t","arguments":{"a":[1,"x \"y"]}}"#,
            r#"{"name":"t","arguments":{"a":[2,"x \" y"]}}"#,
            r#"{"name":"t"}"#,
        ] {
            assert_ne!(fingerprint(other), first, "{other}");
        }
        let params = RawJson::trusted(r#"{"name":"t"}"#);
        assert_ne!(
            RequestFingerprint::of("prompts/get", &params),
            RequestFingerprint::of("tools/call", &params)
        );
    }
}
