//! How the exposed names of tools and prompts are formed.
//!
//! Owns the choices of `tool_names` and `tool_name_chars`, and which characters a name may have: of 64, or of
//! 128 with dots.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `tool_names`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ToolNames {
    /// A tool keeps its own name; a later backend's tool of a taken name becomes `backend__tool`.
    Bare,
    /// Always `backend__tool`.
    Prefixed,
}

/// `tool_name_chars`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NameChars {
    /// `[A-Za-z0-9_-]{1,64}`: what every client accepts.
    Strict,
    /// `[A-Za-z0-9_.-]{1,128}`: what the specification allows.
    Spec,
}

impl NameChars {
    /// Whether `name` may be an exposed name.
    pub(crate) fn allow(self, name: &str) -> bool {
        let (max_len, dot) = match self {
            Self::Strict => (64, false),
            Self::Spec => (128, true),
        };
        let allowed =
            |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-' || dot && b == b'.';
        (1..=max_len).contains(&name.len()) && name.bytes().all(allowed)
    }
}

/// As a regular expression.
impl fmt::Display for NameChars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Strict => "[A-Za-z0-9_-]{1,64}",
            Self::Spec => "[A-Za-z0-9_.-]{1,128}",
        })
    }
}
