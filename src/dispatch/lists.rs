//! `tools/list`, `prompts/list`, `resources/list`, `resources/templates/list`.
//!
//! Owns how long such a request waits. The results are the snapshot's; it must not know how they are
//! built.

use std::sync::Arc;

use futures_util::FutureExt;

use super::answer::unknown_cursor;
use super::plan::Plan;
use crate::protocol::{Era, Kind, Outcome, Request};
use crate::snapshot::{Snapshot, Snapshots};

/// Serves a list in one page, once the snapshot is settled.
pub(super) fn list(kind: Kind, request: &Request, era: Era, snapshots: &Snapshots) -> Plan {
    let cursor = request
        .params
        .as_ref()
        .and_then(|params| params.get("cursor"));
    if cursor.is_some_and(|cursor| cursor.as_str() != "null") {
        return Plan::Reply(unknown_cursor(kind.list_method()).into());
    }
    let ready = |snapshot: &Arc<Snapshot>| snapshot.settled || snapshot.closing;
    let answer = move |snapshot: &Snapshot| Outcome::Result(snapshot.list(kind, era));
    if ready(&snapshots.borrow()) {
        return Plan::Reply(answer(&snapshots.borrow()));
    }
    let mut snapshots = snapshots.clone();
    let wait = async move {
        let _ = snapshots.wait_for(ready).await;
        let snapshot = snapshots.borrow();
        answer(&snapshot)
    };
    Plan::Spawn(wait.boxed())
}
