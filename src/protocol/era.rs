//! The two eras of MCP, and how a message of one is translated to the other.
//!
//! *Legacy*: a handshake (`initialize`), then requests within a session; 2024-11-05 to 2025-11-25.
//! *Modern*: no handshake, every request has the client's profile and the version in its `_meta`;
//! 2026-07-28. Owns the versions, the client's profile ([`client`]), the translations ([`legacy`],
//! [`modern`]) and the headers that repeat parameters in modern HTTP ([`param_header`]). Pure; it must not know connections.

pub(crate) mod client;
pub(crate) mod extension;
pub(crate) mod legacy;
pub(crate) mod log_level;
pub(crate) mod modern;
pub(crate) mod param_header;

pub use client::ClientProfile;
pub(crate) use client::begins_like;
pub use log_level::LogLevel;
pub(crate) use param_header::ParamHeader;

/// Versions with `initialize`, oldest first.
pub(crate) const LEGACY_VERSIONS: [&str; 4] =
    ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// The latest of them, which answers a client that requests an unknown version.
pub(crate) const LATEST_LEGACY: &str = "2025-11-25";

/// The only version of the modern era.
pub(crate) const MODERN_VERSION: &str = "2026-07-28";

/// All supported versions, newest first, as in `data.supported` and `server/discover`.
pub(crate) fn supported() -> Vec<&'static str> {
    let legacy = LEGACY_VERSIONS.into_iter().rev();
    std::iter::once(MODERN_VERSION).chain(legacy).collect()
}

/// A family of protocol versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    /// With a handshake: up to 2025-11-25.
    Legacy,
    /// Stateless: from 2026-07-28.
    Modern,
}

impl Era {
    /// `legacy` or `modern`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        }
    }
}
