//! Which rejected items and which takeovers of names were logged.
//!
//! Owns that each is logged once, and a limit for a backend that always lists new ones. It must not
//! know why an item is rejected, nor why a name changes hands.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::catalog::{Rejected, Takeover};
use crate::protocol::Kind;

/// Most rejected items of one backend that are logged.
const MAX_NAMED: usize = 1_000;

/// What was logged so far.
#[derive(Debug, Default)]
pub(super) struct Reported {
    /// The rejected items, by the name of their backend.
    rejected: HashMap<Arc<str>, HashSet<(Kind, String)>>,
    takeovers: HashSet<Takeover>,
}

impl Reported {
    /// Whether this item is to be logged now. Counts it as logged.
    pub(super) fn report_once(&mut self, item: &Rejected) -> bool {
        let named = self.rejected.entry(Arc::clone(&item.backend)).or_default();
        let is_new = named.len() < MAX_NAMED && named.insert((item.kind, item.name.clone()));
        if is_new && named.len() == MAX_NAMED {
            tracing::warn!(
                backend = &*item.backend,
                "it has {MAX_NAMED} items that are withheld: no more of them are named"
            );
        }
        is_new
    }

    /// The same for the takeover of a name.
    pub(super) fn report_takeover_once(&mut self, takeover: &Takeover) -> bool {
        self.takeovers.len() < MAX_NAMED && self.takeovers.insert(takeover.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::RejectReason;

    fn item(backend: &str, name: usize) -> Rejected {
        Rejected {
            backend: backend.into(),
            kind: Kind::Tool,
            name: name.to_string(),
            reason: RejectReason::NotAnObject,
        }
    }

    #[test]
    fn each_item_is_reported_once_up_to_a_limit_for_each_backend() {
        let mut reported = Reported::default();
        let mut report = |backend, name| reported.report_once(&item(backend, name));
        assert!(report("a", 0) && !report("a", 0) && report("b", 0));
        let more = (1..10_000).filter(|name| report("a", *name)).count();
        assert_eq!(more, MAX_NAMED - 1);
        assert!(report("b", 1), "another backend has its own limit");
        assert_eq!(reported.rejected["a"].len(), MAX_NAMED);
    }
}
