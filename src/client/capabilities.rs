//! Client capabilities that server requests need, and the errors when one is missing.
//!
//! Owns the capabilities that sampling, elicitation and roots require (MCP 2025-11-25 and
//! 2026-07-28, client). Pure; it must not know how a server request is forwarded.

use serde_json::{Value, json};

use crate::protocol::error::{
    INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, MISSING_CAPABILITY,
};
use crate::protocol::{
    Class, ClientProfile, Era, Executed, GatewayData, RawJson, RpcError, Tally, task,
};

/// A capability that a server request needs and its client lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MissingCapability {
    /// Its name in a message.
    what: &'static str,
    /// Its path in the capabilities object.
    path: &'static [&'static str],
    /// The error code for a server whose request needs it.
    code: i64,
}

const SAMPLING: MissingCapability = MissingCapability {
    what: "sampling",
    path: &["sampling"],
    code: METHOD_NOT_FOUND,
};
const SAMPLING_WITH_TOOLS: MissingCapability = MissingCapability {
    what: "sampling with tools",
    path: &["sampling", "tools"],
    code: INVALID_PARAMS,
};
const ROOTS: MissingCapability = MissingCapability {
    what: "roots",
    path: &["roots"],
    code: METHOD_NOT_FOUND,
};
const ELICITATION: MissingCapability = MissingCapability {
    what: "elicitation",
    path: &["elicitation"],
    code: METHOD_NOT_FOUND,
};
const FORM: MissingCapability = MissingCapability {
    what: "elicitation by form",
    path: &["elicitation", "form"],
    code: INVALID_PARAMS,
};
/// Elicitation by URL, which the error -32042 needs too.
pub(crate) const URL: MissingCapability = MissingCapability {
    what: "elicitation by URL",
    path: &["elicitation", "url"],
    code: INVALID_PARAMS,
};
const UNKNOWN_REQUEST: MissingCapability = MissingCapability {
    what: "such requests",
    path: &[],
    code: METHOD_NOT_FOUND,
};

/// The first capability that this client lacks for this request; `None` if it lacks none (F-L-06,
/// F-M-12).
pub(crate) fn missing(
    client: &ClientProfile,
    method: &str,
    params: Option<&RawJson>,
) -> Option<MissingCapability> {
    let has = |missing: &MissingCapability| client.declares(missing.path);
    let needed: &[MissingCapability] = match method {
        "sampling/createMessage" if is_given(params, "tools") => &[SAMPLING, SAMPLING_WITH_TOOLS],
        "sampling/createMessage" => &[SAMPLING],
        "roots/list" => &[ROOTS],
        "elicitation/create" if wants_url(params) => &[ELICITATION, URL],
        // A bare `{}` means form (MCP 2025-11-25, client/elicitation).
        "elicitation/create" if has(&URL) => &[FORM],
        "elicitation/create" => &[ELICITATION],
        _ => return Some(UNKNOWN_REQUEST),
    };
    needed.iter().find(|needed| !has(needed)).copied()
}

/// The error for a server request whose response could not be delivered.
pub(crate) fn not_available(method: &str) -> RpcError {
    let why = format!("the client can't answer {method} here");
    RpcError::new(METHOD_NOT_FOUND, why)
}

impl MissingCapability {
    /// Whether a client can declare this capability and this client has not.
    pub(crate) fn is_lacked_by(self, client: &ClientProfile) -> bool {
        !self.path.is_empty() && !client.declares(self.path)
    }

    /// The error for the server that sent the request.
    pub(crate) fn refusal(self) -> RpcError {
        RpcError::new(
            self.code,
            format!("the client does not offer {}", self.what),
        )
    }
}

/// The error for a call that needs capabilities its client lacks, in the form of the client's era
/// (F-M-07).
pub(crate) fn missing_capability_error(
    missing: &[MissingCapability],
    client: &ClientProfile,
    backend: &str,
    tally: Tally,
) -> RpcError {
    let mut what: Vec<&str> = missing.iter().map(|missing| missing.what).collect();
    what.sort_unstable();
    what.dedup();
    let what = what.join(" and ");
    let effect = match tally.executed {
        Executed::No => "the tool did not run",
        Executed::Unknown | Executed::Yes => "the call is not done",
    };
    let data = GatewayData::new(Some(backend), Class::Refused, tally);
    match client.era {
        Era::Legacy => {
            let why =
                format!("{backend}: it needs {what}, which the client does not offer; {effect}");
            RpcError::new(INTERNAL_ERROR, why).with_data(data)
        }
        Era::Modern => {
            let why =
                format!("{backend}: it needs {what}, which the request did not declare; {effect}");
            let mut data = json!(data);
            data["requiredCapabilities"] = required(missing);
            RpcError::new(MISSING_CAPABILITY, why).specified(data)
        }
    }
}

/// The error for a modern request about tasks that did not declare the extension (SEP-2663).
pub(crate) fn tasks_undeclared(method: &str) -> RpcError {
    let why = format!("{method}: it needs the tasks extension, which the request did not declare");
    let required = json!({ "extensions": { task::EXTENSION: {} } });
    let data = json!({ "requiredCapabilities": required });
    RpcError::new(MISSING_CAPABILITY, why).specified(data)
}

/// These capabilities as one object.
fn required(missing: &[MissingCapability]) -> Value {
    let mut capabilities = json!({});
    for missing in missing {
        let mut at = &mut capabilities;
        for key in missing.path {
            at = &mut at[*key];
            if at.is_null() {
                *at = json!({});
            }
        }
    }
    capabilities
}

fn wants_url(params: Option<&RawJson>) -> bool {
    let mode = params.and_then(|params| params.get("mode")?.text());
    mode.is_some_and(|mode| mode == "url")
}

fn is_given(params: Option<&RawJson>, key: &str) -> bool {
    let value = params.and_then(|params| params.get(key));
    value.is_some_and(|value| value.as_str() != "null")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(capabilities: &'static str) -> ClientProfile {
        ClientProfile {
            capabilities: RawJson::trusted(capabilities),
            ..ClientProfile::ourselves()
        }
    }

    fn lacks(
        capabilities: &'static str,
        method: &str,
        params: &'static str,
    ) -> Option<MissingCapability> {
        let params = RawJson::trusted(params);
        missing(&client(capabilities), method, Some(&params))
    }

    #[test]
    fn elicitation_needs_the_capability_for_its_mode() {
        let method = "elicitation/create";
        for (capabilities, form, url) in [
            ("{}", Some(ELICITATION), Some(ELICITATION)),
            (r#"{"elicitation":{}}"#, None, Some(URL)),
            (r#"{"elicitation":{"form":{}}}"#, None, Some(URL)),
            (r#"{"elicitation":{"url":{}}}"#, Some(FORM), None),
            (r#"{"elicitation":{"form":{},"url":{}}}"#, None, None),
        ] {
            assert_eq!(lacks(capabilities, method, "{}"), form, "{capabilities}");
            assert_eq!(lacks(capabilities, method, r#"{"mode":"form"}"#), form);
            assert_eq!(
                lacks(capabilities, method, r#"{"mode":"url"}"#),
                url,
                "{capabilities}"
            );
        }
    }

    #[test]
    fn sampling_with_tools_needs_more_than_sampling() {
        let (method, tools) = ("sampling/createMessage", r#"{"tools":[]}"#);
        assert_eq!(lacks("{}", method, tools), Some(SAMPLING));
        assert_eq!(
            lacks(r#"{"sampling":{}}"#, method, tools),
            Some(SAMPLING_WITH_TOOLS)
        );
        assert_eq!(lacks(r#"{"sampling":{}}"#, method, "{}"), None);
        assert_eq!(lacks(r#"{"sampling":{"tools":{}}}"#, method, tools), None);
    }

    #[test]
    fn required_capabilities_are_merged_into_one_object() {
        assert_eq!(
            required(&[ROOTS, URL, FORM, SAMPLING]),
            json!({ "roots": {}, "elicitation": { "url": {}, "form": {} }, "sampling": {} })
        );
    }
}
