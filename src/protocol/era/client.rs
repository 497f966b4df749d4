//! The profile of a client, as it declares it.
//!
//! Owns [`ClientProfile`], and which clients are known to list once. Pure; it must not know when or how a
//! profile was received.

use bytes::Bytes;

use super::{Era, LATEST_LEGACY, LogLevel};
use crate::protocol::{RawJson, task};

/// How the names of clients begin that list once and ignore `list_changed`, in lower case. Nothing can
/// join their list, and where a server takes longer than a second they go on without it.
const LIST_ONCE: [&str; 1] = ["codex"];

/// The member of capabilities for what is not standardized.
const EXPERIMENTAL: &str = "experimental";

/// A client: declared by `initialize` for the whole process, or by the `_meta` of a modern request
/// for that request alone.
#[derive(Debug, Clone)]
pub struct ClientProfile {
    /// The era it declared itself in.
    pub(crate) era: Era,
    /// The protocol version agreed with it.
    pub(crate) version: &'static str,
    /// Its capabilities, an object, byte for byte as received.
    pub(crate) capabilities: RawJson,
    /// `clientInfo`, an object, byte for byte as received. Modern clients may omit it.
    pub(crate) info: Option<RawJson>,
    /// The least urgent log message it wants for this request; modern clients only.
    pub(crate) log_level: Option<LogLevel>,
}

impl ClientProfile {
    /// All capabilities that the gateway can relay. A legacy server gets these on behalf of modern
    /// clients, whose capabilities come with each request (X-ML-01).
    pub fn superset() -> Self {
        Self {
            era: Era::Modern,
            version: LATEST_LEGACY,
            capabilities: RawJson::trusted(
                r#"{"roots":{},"sampling":{"tools":{},"context":{}},"elicitation":{"form":{},"url":{}}}"#,
            ),
            info: Some(Self::gateway()),
            log_level: None,
        }
    }

    /// All capabilities that the gateway can relay, with the extensions and the experimental
    /// capabilities of this modern client, but for tasks, which are other ones in the legacy era.
    pub(crate) fn superset_for(client: &Self) -> Self {
        let all = Self::superset();
        let declared = |key| client.capabilities.get(key).filter(RawJson::is_object);
        let extensions =
            declared("extensions").map(|all| all.with_members(&[], &[task::EXTENSION]));
        let set = [
            ("extensions", extensions),
            (EXPERIMENTAL, declared(EXPERIMENTAL)),
        ];
        let set: Vec<(&str, Bytes)> = set
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .filter(|(_, value)| value.as_str() != "{}")
            .map(|(key, value)| (key, value.into_bytes()))
            .collect();
        Self {
            capabilities: all.capabilities.with_members(&set, &[]),
            ..all
        }
    }

    /// Whether it has experimental capabilities.
    pub(crate) fn has_experimental(&self) -> bool {
        self.capabilities.get(EXPERIMENTAL).is_some()
    }

    /// The client without its experimental capabilities.
    pub(crate) fn without_experimental(&self) -> Self {
        Self {
            capabilities: self.capabilities.with_members(&[], &[EXPERIMENTAL]),
            ..self.clone()
        }
    }

    /// The gateway itself, as a client without capabilities.
    pub(crate) fn ourselves() -> Self {
        Self {
            era: Era::Legacy,
            version: LATEST_LEGACY,
            capabilities: RawJson::trusted("{}"),
            info: Some(Self::gateway()),
            log_level: None,
        }
    }

    /// The gateway itself, as a client with all capabilities that it can relay: some servers list
    /// tools only for clients that have them.
    pub(crate) fn ourselves_able() -> Self {
        Self {
            capabilities: Self::superset().capabilities,
            ..Self::ourselves()
        }
    }

    fn gateway() -> RawJson {
        RawJson::trusted(concat!(
            r#"{"name":"sentinel-gateway","version":""#,
            env!("CARGO_PKG_VERSION"),
            r#""}"#
        ))
    }

    /// Its name in `clientInfo`.
    pub(crate) fn name(&self) -> Option<String> {
        self.info.as_ref()?.get("name")?.text()
    }

    /// Whether it is known to list once, as early as it can.
    pub(crate) fn lists_once(&self) -> bool {
        begins_like(&self.name().unwrap_or_default(), &LIST_ONCE)
    }

    /// Whether the client declared the capability at this path, e.g. `["sampling"]` or
    /// `["elicitation", "url"]`. `null` counts as not declared.
    pub(crate) fn declares(&self, path: &[&str]) -> bool {
        let found = self.capabilities.at(path);
        found.is_some_and(|value| value.as_str() != "null")
    }
}

/// Whether a client's name begins like one of these, which are in lower case with dashes.
pub(crate) fn begins_like(name: &str, beginnings: &[&str]) -> bool {
    let name = name.to_ascii_lowercase().replace([' ', '_'], "-");
    beginnings
        .iter()
        .any(|beginning| name.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_capabilities_are_found_at_their_depth() {
        let client = ClientProfile {
            capabilities: RawJson::trusted(
                r#"{"sampling":{},"elicitation":{"url":{}},"roots":null}"#,
            ),
            ..ClientProfile::ourselves()
        };
        assert!(client.declares(&["sampling"]));
        assert!(client.declares(&["elicitation", "url"]));
        assert!(!client.declares(&["elicitation", "form"]));
        assert!(!client.declares(&["roots"]));
    }
}
