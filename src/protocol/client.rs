//! Who we speak for: what a client said of itself.

use super::era::{Era, LogLevel};
use super::raw::RawJson;

/// A client, as its `initialize` introduced it for the whole process, or as the `_meta` of a
/// modern request does for that request alone.
#[derive(Debug, Clone)]
pub struct ClientProfile {
    /// How it introduced itself.
    pub era: Era,
    /// The protocol version agreed with it.
    pub version: &'static str,
    /// Its capabilities, an object, as it wrote them.
    pub capabilities: RawJson,
    /// `clientInfo`, an object, as it wrote it. Modern clients may leave it out.
    pub info: Option<RawJson>,
    /// The least urgent log message it wants for this request; modern clients only.
    pub log_level: Option<LogLevel>,
}

impl ClientProfile {
    /// Everything that the gateway can relay: what a legacy server is told when modern clients
    /// stand before the gateway, whose abilities come with each request (X-ML-01).
    pub fn superset() -> Self {
        Self {
            era: Era::Modern,
            version: super::LATEST_LEGACY,
            capabilities: RawJson::trusted(
                r#"{"roots":{},"sampling":{"tools":{},"context":{}},"elicitation":{"form":{},"url":{}}}"#,
            ),
            info: Some(Self::gateway()),
            log_level: None,
        }
    }

    /// The gateway itself, as a client that can do nothing.
    pub fn ourselves() -> Self {
        Self {
            era: Era::Legacy,
            version: super::LATEST_LEGACY,
            capabilities: RawJson::trusted("{}"),
            info: Some(Self::gateway()),
            log_level: None,
        }
    }

    fn gateway() -> RawJson {
        RawJson::trusted(concat!(
            r#"{"name":"sentinel-gateway","version":""#,
            env!("CARGO_PKG_VERSION"),
            r#""}"#
        ))
    }

    /// Whether the client declared a capability, e.g. `sampling`, or one inside it, e.g.
    /// `elicitation`, `url`.
    pub fn declares(&self, path: &[&str]) -> bool {
        let found = self.capabilities.at(path);
        found.is_some_and(|value| value.as_str() != "null")
    }
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
