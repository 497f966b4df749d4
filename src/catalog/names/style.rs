//! The form of names.
//!
//! Owns which characters and lengths a name has, and the names that a tool may get: its preferred
//! one, the one with its backend's prefix, and those with a hash. It must not know which are taken.

use super::claim::Claim;
use crate::config::{GatewayConfig, NameChars, ToolNames};

/// Hashes that are tried for a tool before a written name is given up.
const MAX_ATTEMPTS: u32 = 4;

/// The form of names: `tool_names`, `tool_name_chars` and `tool_name_max`.
pub(super) struct Style {
    prefixed: bool,
    chars: NameChars,
    /// Most characters of a name, all of them ASCII.
    max_len: usize,
}

impl Style {
    pub(super) fn of(gateway: &GatewayConfig) -> Self {
        Self {
            prefixed: gateway.tool_names == ToolNames::Prefixed,
            chars: gateway.tool_name_chars,
            max_len: match (gateway.tool_name_max, gateway.tool_name_chars) {
                (0, NameChars::Strict) => 64,
                (0, NameChars::Spec) => 128,
                (most, NameChars::Strict) => most.min(64),
                (most, NameChars::Spec) => most.min(128),
            },
        }
    }

    /// The name a claim gets if it is free.
    pub(super) fn preferred(&self, claim: &Claim<'_>) -> String {
        if self.prefixed {
            self.prefixed(claim)
        } else {
            self.formed(claim.wanted, claim)
        }
    }

    pub(super) fn prefixed(&self, claim: &Claim<'_>) -> String {
        self.formed(&format!("{}__{}", claim.backend, claim.wanted), claim)
    }

    pub(super) fn suffixed(&self, stem: &str, claim: &Claim<'_>, attempt: u32) -> String {
        let hash = claim.hash(attempt);
        let kept = stem.len().min(self.max_len - hash.len() - 1);
        format!("{}_{hash}", &stem[..kept])
    }

    /// Whether a claim can have this name now, as it had it once.
    pub(super) fn allows(&self, claim: &Claim<'_>, name: &str) -> bool {
        let stems = [self.preferred(claim), self.prefixed(claim)];
        let has_hash = |stem: &String| {
            let mut suffixed = (0..MAX_ATTEMPTS).map(|attempt| self.suffixed(stem, claim, attempt));
            suffixed.any(|suffixed| suffixed == name)
        };
        stems.iter().any(|stem| stem == name) || stems.iter().any(has_hash)
    }

    /// Priority within a backend: renamed by the user, valid unchanged, needs mapping.
    pub(super) fn rank(&self, claim: &Claim<'_>) -> u8 {
        match (self.chars.allow(claim.wanted), claim.is_renamed()) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        }
    }

    /// `text` in the allowed form: other characters become `_`; text that is too long is cut and
    /// ends in the claim's hash, so it does not depend on other names that are cut.
    fn formed(&self, text: &str, claim: &Claim<'_>) -> String {
        let mut buffer = [0; 4];
        let map = |c: char| {
            if self.chars.allow(c.encode_utf8(&mut buffer)) {
                c
            } else {
                '_'
            }
        };
        let formed: String = text.chars().map(map).collect();
        if formed.len() > self.max_len {
            self.suffixed(&formed, claim, 0)
        } else {
            formed
        }
    }
}
