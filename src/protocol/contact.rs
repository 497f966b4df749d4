//! How the handshake with a legacy server succeeded, so that the next one begins with that.
//!
//! Owns what is remembered and how it is written in a file. Pure; it must not know how a handshake
//! is made, nor where the file is.

use super::raw::RawJson;

/// The offer of `initialize` that a legacy server took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contact {
    /// The version that was asked for, where the server refuses the client's own.
    pub version: Option<String>,
    /// No capabilities were declared, since the server refuses the client's own.
    pub bare: bool,
    /// Over the HTTP with SSE transport of 2024-11-05.
    pub http_sse: bool,
    /// Name and version of the server. Another server is not held to what this one refused.
    pub server: String,
}

impl Contact {
    /// Reads what [`to_json`](Self::to_json) wrote; `None` for anything else.
    pub(crate) fn read(json: &RawJson) -> Option<Self> {
        let is_true = |key| json.get(key).is_some_and(|value| value.as_str() == "true");
        Some(Self {
            version: json.get("version").and_then(|version| version.text()),
            bare: is_true("bare"),
            http_sse: is_true("http_sse"),
            server: json.get("server")?.text()?,
        })
    }

    /// An object with the members that say something.
    pub(crate) fn to_json(&self) -> RawJson {
        let mut json = serde_json::json!({ "server": self.server });
        if let Some(version) = &self.version {
            json["version"] = version.as_str().into();
        }
        for (key, value) in [("bare", self.bare), ("http_sse", self.http_sse)] {
            if value {
                json[key] = true.into();
            }
        }
        RawJson::of(&json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_is_read_as_it_was_written() {
        let all = Contact {
            version: Some("2025-03-26".into()),
            bare: true,
            http_sse: true,
            server: "mail \"1.0\"".into(),
        };
        for contact in [all, Contact::default()] {
            assert_eq!(Contact::read(&contact.to_json()), Some(contact));
        }
        for other in ["{}", "null", r#"{"server":1}"#] {
            assert_eq!(Contact::read(&RawJson::trusted(other)), None, "{other}");
        }
    }
}
