//! `tools/list`, `prompts/list`, `resources/list`, `resources/templates/list`.
//!
//! Owns how long such a request waits: for its own kind of list alone. The results are the snapshot's; it must not know how they are
//! built.

use std::sync::Arc;

use futures_util::FutureExt;

use super::answer::unknown_cursor;
use super::plan::Plan;
use crate::protocol::error::INTERNAL_ERROR;
use crate::protocol::{ClientProfile, Kind, Kinds, Outcome, Request, RpcError};
use crate::snapshot::{Snapshot, Snapshots};
use crate::tasks;

/// Serves a list in one page, once that kind is settled.
pub(super) fn list(
    kind: Kind,
    request: &Request,
    client: Arc<ClientProfile>,
    snapshots: &Snapshots,
) -> Plan {
    let era = client.era;
    let cursor = request
        .params
        .as_ref()
        .and_then(|params| params.get("cursor"));
    if cursor.is_some_and(|cursor| cursor.as_str() != "null") {
        return Plan::Reply(unknown_cursor(kind.list_method()).into());
    }
    let kinds = Kinds::that(|other| other == kind);
    let ready = move |snapshot: &Arc<Snapshot>| snapshot.can_list(kinds);
    let current = Arc::clone(&snapshots.borrow());
    if ready(&current) && current.lists_at_once(kind, era) {
        return Plan::Reply(Outcome::Result(current.list_for(kind, &client)));
    }
    let mut snapshots = snapshots.clone();
    let wait = async move {
        let _ = snapshots.wait_for(ready).await;
        let snapshot = Arc::clone(&snapshots.borrow());
        if snapshot.lists_at_once(kind, era) {
            return Outcome::Result(snapshot.list_for(kind, &client));
        }
        // A backend decides how long that takes.
        let listing = tasks::blocking(move || snapshot.list_for(kind, &client));
        match listing.await {
            Ok(list) => Outcome::Result(list),
            Err(_) => {
                RpcError::new(INTERNAL_ERROR, "the list can't be built: please report it").into()
            }
        }
    };
    Plan::Spawn(wait.boxed())
}
