//! Which rejected or mended items, and which takeovers of names were logged.
//!
//! Owns that each is logged once, and a limit for a backend that always lists new ones. It must not
//! know why an item is rejected or mended, nor why a name changes hands.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::catalog::Takeover;
use crate::protocol::Kind;

/// Most such items of one backend that are logged.
const MAX_NAMED: usize = 1_000;

/// What was logged so far.
#[derive(Debug, Default)]
pub(super) struct Reported {
    /// The items that were logged, by the name of their backend.
    items: HashMap<Arc<str>, HashSet<(Kind, String)>>,
    takeovers: HashSet<Takeover>,
}

impl Reported {
    /// Whether this item is to be logged now. Counts it as logged.
    pub(super) fn report_once(&mut self, backend: &Arc<str>, kind: Kind, item: &str) -> bool {
        let named = self.items.entry(Arc::clone(backend)).or_default();
        let is_new = named.len() < MAX_NAMED && named.insert((kind, item.to_owned()));
        if is_new && named.len() == MAX_NAMED {
            tracing::warn!(
                backend = &**backend,
                "it has {MAX_NAMED} items that are withheld or mended: no more of them are named"
            );
        }
        is_new
    }

    /// Whether this takeover of a name is to be logged now. Counts it as logged.
    pub(super) fn report_takeover_once(&mut self, takeover: &Takeover) -> bool {
        self.takeovers.len() < MAX_NAMED && self.takeovers.insert(takeover.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_reported_once_up_to_a_limit_for_each_backend() {
        let mut reported = Reported::default();
        let mut report = |backend: &str, name: usize| {
            reported.report_once(&backend.into(), Kind::Tool, &name.to_string())
        };
        assert!(report("a", 0) && !report("a", 0) && report("b", 0));
        let more = (1..10_000).filter(|name| report("a", *name)).count();
        assert_eq!(more, MAX_NAMED - 1);
        assert!(report("b", 1), "another backend has its own limit");
        assert_eq!(reported.items["a"].len(), MAX_NAMED);
    }
}
