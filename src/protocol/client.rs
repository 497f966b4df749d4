//! Who we speak for: what the client said of itself.

use super::raw::RawJson;

/// The client of this process, as its `initialize` introduced it. Backends of the legacy era get
/// exactly this.
#[derive(Debug, Clone)]
pub struct ClientProfile {
    /// The protocol version agreed with the client.
    pub version: &'static str,
    /// `capabilities`, an object, as the client wrote it.
    pub capabilities: RawJson,
    /// `clientInfo`, an object, as the client wrote it.
    pub info: RawJson,
}

impl ClientProfile {
    /// Whether the client declared a capability, e.g. `sampling`, or one inside it, e.g.
    /// `elicitation`, `url`.
    pub fn declares(&self, path: &[&str]) -> bool {
        let mut at = self.capabilities.clone();
        path.iter().all(|key| match at.get(key) {
            Some(inner) => {
                at = inner;
                at.as_str() != "null"
            }
            None => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_capabilities_are_found_at_their_depth() {
        let client = ClientProfile {
            version: "2025-11-25",
            capabilities: RawJson::trusted(
                r#"{"sampling":{},"elicitation":{"url":{}},"roots":null}"#,
            ),
            info: RawJson::trusted("{}"),
        };
        assert!(client.declares(&["sampling"]));
        assert!(client.declares(&["elicitation", "url"]));
        assert!(!client.declares(&["elicitation", "form"]));
        assert!(!client.declares(&["roots"]));
    }
}
