//! Logs the rules of the config that match no tool.
//!
//! Owns that each is logged once. It must not know when a rule matches.

use std::collections::HashSet;
use std::sync::Arc;

use crate::catalog::BackendListing;

/// The rules that were logged: backend, key and pattern.
#[derive(Debug, Default)]
pub(super) struct RuleCheck(HashSet<(Arc<str>, &'static str, String)>);

impl RuleCheck {
    /// Logs those of a complete list of tools.
    pub(super) fn check(&mut self, backend: &Arc<str>, listing: &BackendListing) {
        for rule in listing.unmatched_rules() {
            let logged = (Arc::clone(backend), rule.key, rule.pattern.clone());
            if self.0.insert(logged) {
                tracing::warn!(
                    backend = &**backend,
                    "a rule of the config has no effect: {rule}"
                );
            }
        }
    }
}
