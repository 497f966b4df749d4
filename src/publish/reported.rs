//! Which rejected items were logged.
//!
//! Owns that each is logged once, and a limit for a backend that always lists new ones. It must not
//! know why an item is rejected.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::catalog::Rejected;
use crate::protocol::Kind;

/// Most rejected items of one backend that are logged.
const MAX_NAMED: usize = 1_000;

/// The items logged so far, by the name of their backend.
#[derive(Debug, Default)]
pub(super) struct Reported(HashMap<Arc<str>, HashSet<(Kind, String)>>);

impl Reported {
    /// Whether this item is to be logged now. Counts it as logged.
    pub(super) fn report_once(&mut self, item: &Rejected) -> bool {
        let named = self.0.entry(Arc::clone(&item.backend)).or_default();
        let is_new = named.len() < MAX_NAMED && named.insert((item.kind, item.name.clone()));
        if is_new && named.len() == MAX_NAMED {
            tracing::warn!(
                backend = &*item.backend,
                "it has {MAX_NAMED} items that are withheld: no more of them are named"
            );
        }
        is_new
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
        assert_eq!(reported.0["a"].len(), MAX_NAMED);
    }
}
