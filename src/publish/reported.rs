//! Which rejected items the log has named.
//!
//! Owns that each is named once, and that a backend which lists new ones all the time neither floods
//! the log nor fills memory. It must not know why an item is rejected.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::catalog::Rejected;
use crate::protocol::Kind;

/// Rejected items of one backend that are named.
const MAX_NAMED: usize = 1_000;

/// The items named so far, by the name of their backend.
#[derive(Debug, Default)]
pub(super) struct Reported(HashMap<Arc<str>, HashSet<(Kind, String)>>);

impl Reported {
    /// Whether the log is to name this item now. It counts as named from then on.
    pub(super) fn is_news(&mut self, item: &Rejected) -> bool {
        let named = self.0.entry(Arc::clone(&item.backend)).or_default();
        let is_news = named.len() < MAX_NAMED && named.insert((item.kind, item.name.clone()));
        if is_news && named.len() == MAX_NAMED {
            tracing::warn!(
                backend = &*item.backend,
                "it has {MAX_NAMED} items that are withheld: no more of them are named"
            );
        }
        is_news
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
    fn each_is_news_once_and_so_many_of_a_backend() {
        let mut reported = Reported::default();
        let mut news = |backend, name| reported.is_news(&item(backend, name));
        assert!(news("a", 0) && !news("a", 0) && news("b", 0));
        let more = (1..10_000).filter(|name| news("a", *name)).count();
        assert_eq!(more, MAX_NAMED - 1);
        assert!(news("b", 1), "another backend's are named as ever");
        assert_eq!(reported.0["a"].len(), MAX_NAMED);
    }
}
