//! Which `list_changed` notifications a new snapshot calls for. Pure.

use crate::protocol::{Kind, Notification};
use crate::snapshot::Snapshot;

/// The notifications for clients that may have listed `before` and would now get `after`.
pub(crate) fn list_changed(before: &Snapshot, after: &Snapshot) -> Vec<Notification> {
    let mut methods = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|_| before.settled) {
        let changed = before.catalog.list(kind) != after.catalog.list(kind);
        // Resources and templates share one.
        if changed && !methods.contains(&kind.list_changed()) {
            methods.push(kind.list_changed());
        }
    }
    let notification = |method: &str| Notification {
        method: method.to_owned(),
        params: None,
    };
    methods.into_iter().map(notification).collect()
}
