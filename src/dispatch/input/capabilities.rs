//! What a client said that it can be asked, and the words for what it did not say.
//!
//! Owns the capabilities that sampling, elicitation and roots need (S25 and S26 `client`). Pure;
//! it must not know how a question travels.

use serde_json::{Value, json};

use crate::protocol::error::{
    INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, MISSING_CAPABILITY,
};
use crate::protocol::{Class, ClientProfile, Era, Executed, GatewayData, RawJson, RpcError};

/// A capability that a question needs and its client lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MissingCapability {
    /// For people.
    what: &'static str,
    /// Where it stands in the capabilities.
    path: &'static [&'static str],
    /// What a server is told that asks all the same.
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
/// Also what an error asks for that names URLs to visit.
pub(super) const URL: MissingCapability = MissingCapability {
    what: "elicitation by URL",
    path: &["elicitation", "url"],
    code: INVALID_PARAMS,
};
const UNHEARD_OF: MissingCapability = MissingCapability {
    what: "such requests",
    path: &[],
    code: METHOD_NOT_FOUND,
};

/// Whether a server may ask this at all.
pub(super) fn is_question(method: &str) -> bool {
    matches!(
        method,
        "sampling/createMessage" | "roots/list" | "elicitation/create"
    )
}

/// What this client lacks to be asked this (F-L-06, F-M-12); `None` if it can be asked.
pub(super) fn missing(
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
        // A bare `{}` means form (S25 `client/elicitation`).
        "elicitation/create" if has(&URL) => &[FORM],
        "elicitation/create" => &[ELICITATION],
        _ => return Some(UNHEARD_OF),
    };
    needed.iter().find(|needed| !has(needed)).copied()
}

/// The refusal of what nobody could take the answer to.
pub(super) fn not_available(method: &str) -> RpcError {
    let why = format!("the client can't answer {method} here");
    RpcError::new(METHOD_NOT_FOUND, why)
}

impl MissingCapability {
    /// Whether it would help this client to declare it.
    pub(super) fn is_lacked_by(self, client: &ClientProfile) -> bool {
        !self.path.is_empty() && !client.declares(self.path)
    }

    /// What the server is told that asked.
    pub(super) fn refusal(self) -> RpcError {
        RpcError::new(
            self.code,
            format!("the client does not offer {}", self.what),
        )
    }
}

/// The end of a call that needs what its client lacks (F-M-07), in the words of the client's era.
pub(super) fn missing_capability_error(
    missing: &[MissingCapability],
    client: &ClientProfile,
    backend: &str,
    executed: Executed,
) -> RpcError {
    let mut what: Vec<&str> = missing.iter().map(|missing| missing.what).collect();
    what.sort_unstable();
    what.dedup();
    let (what, fate) = (
        what.join(" and "),
        match executed {
            Executed::No => "the tool did not run",
            Executed::Unknown | Executed::Yes => "the call is not done",
        },
    );
    let data = GatewayData::new(Some(backend), Class::Refused, executed, 1);
    match client.era {
        Era::Legacy => {
            let why =
                format!("{backend}: it needs {what}, which the client does not offer; {fate}");
            RpcError::new(INTERNAL_ERROR, why).with_data(data)
        }
        Era::Modern => {
            let why =
                format!("{backend}: it needs {what}, which the request did not declare; {fate}");
            let mut data = json!(data);
            data["requiredCapabilities"] = required(missing);
            RpcError::new(MISSING_CAPABILITY, why).specified(data)
        }
    }
}

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
    fn elicitation_goes_by_mode() {
        let ask = "elicitation/create";
        for (capabilities, form, url) in [
            ("{}", Some(ELICITATION), Some(ELICITATION)),
            (r#"{"elicitation":{}}"#, None, Some(URL)),
            (r#"{"elicitation":{"form":{}}}"#, None, Some(URL)),
            (r#"{"elicitation":{"url":{}}}"#, Some(FORM), None),
            (r#"{"elicitation":{"form":{},"url":{}}}"#, None, None),
        ] {
            assert_eq!(lacks(capabilities, ask, "{}"), form, "{capabilities}");
            assert_eq!(lacks(capabilities, ask, r#"{"mode":"form"}"#), form);
            assert_eq!(
                lacks(capabilities, ask, r#"{"mode":"url"}"#),
                url,
                "{capabilities}"
            );
        }
    }

    #[test]
    fn sampling_with_tools_is_more_than_sampling() {
        let (ask, tools) = ("sampling/createMessage", r#"{"tools":[]}"#);
        assert_eq!(lacks("{}", ask, tools), Some(SAMPLING));
        assert_eq!(
            lacks(r#"{"sampling":{}}"#, ask, tools),
            Some(SAMPLING_WITH_TOOLS)
        );
        assert_eq!(lacks(r#"{"sampling":{}}"#, ask, "{}"), None);
        assert_eq!(lacks(r#"{"sampling":{"tools":{}}}"#, ask, tools), None);
    }

    #[test]
    fn what_is_required_is_one_object() {
        assert_eq!(
            required(&[ROOTS, URL, FORM, SAMPLING]),
            json!({ "roots": {}, "elicitation": { "url": {}, "form": {} }, "sampling": {} })
        );
    }
}
