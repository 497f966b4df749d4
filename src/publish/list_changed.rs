//! Which `list_changed` notifications a new snapshot requires.
//!
//! Owns the comparison of two snapshots. Pure; it must not know which clients are notified.

use crate::protocol::{Era, Kind, Notification};
use crate::snapshot::Snapshot;

/// The notifications for clients that may have listed from `before`, now that `after` is current.
pub(crate) fn list_changed(before: &Snapshot, after: &Snapshot) -> Vec<Notification> {
    let mut methods = Vec::new();
    for kind in before.settled.iter() {
        let is_tools = kind == Kind::Tool;
        let differs = |era| match is_tools && after.all_search() {
            _ if is_tools && has_other_tools(before, after) => true,
            true => before.search_list(era) != after.search_list(era),
            false => before.catalog.list(kind, era) != after.catalog.list(kind, era),
        };
        let changed = differs(Era::Legacy) || differs(Era::Modern);
        // Resources and templates share a notification.
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

/// Whether the gateway's own tools that are listed in any mode are other ones.
fn has_other_tools(before: &Snapshot, after: &Snapshot) -> bool {
    let of = |snapshot: &Snapshot| {
        let listing = &snapshot.config.gateway.tool_listing;
        (listing.reads_more, listing.tells_status)
    };
    of(before) != of(after)
}
