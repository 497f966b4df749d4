//! The two eras of MCP, and what a message of one becomes in the other.
//!
//! *Legacy*: a handshake (`initialize`), then requests within a session; 2024-11-05 to 2025-11-25.
//! *Modern*: no handshake, every request says in its `_meta` who asks and in which version;
//! 2026-07-28. Owns the words of both ([`legacy`], [`modern`]) and the headers that modern HTTP
//! mirrors ([`param_header`]). Pure; it must not know connections or who is asking.

pub mod legacy;
pub mod log_level;
pub mod modern;
pub mod param_header;

pub use log_level::LogLevel;
pub use param_header::ParamHeader;

/// Versions with `initialize`, oldest first.
pub const LEGACY_VERSIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// The latest of them: what a client that asks for an unknown one is answered.
pub const LATEST_LEGACY: &str = "2025-11-25";

/// The one version of the modern era so far.
pub const MODERN_VERSION: &str = "2026-07-28";

/// All versions we speak, the newest first, as `data.supported` and `server/discover` name them.
pub fn supported() -> Vec<&'static str> {
    let legacy = LEGACY_VERSIONS.into_iter().rev();
    std::iter::once(MODERN_VERSION).chain(legacy).collect()
}

/// Which family of protocol versions somebody speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    /// With a handshake: up to 2025-11-25.
    Legacy,
    /// Stateless: from 2026-07-28 on.
    Modern,
}

impl Era {
    /// For people: `legacy` or `modern`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        }
    }
}
