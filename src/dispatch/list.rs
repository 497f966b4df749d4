//! `tools/list`, `prompts/list`, `resources/list`, `resources/templates/list`: from memory.

use std::sync::Arc;

use futures_util::FutureExt;

use super::{Plan, Snapshot, Snapshots};
use crate::protocol::error::INVALID_PARAMS;
use crate::protocol::{Kind, Outcome, RawJson, Request};

/// Serves a list in one page. The first one waits until backends have had their chance.
pub fn list(kind: Kind, request: &Request, snapshots: &Snapshots) -> Plan {
    let cursor = request
        .params
        .as_ref()
        .and_then(|params| params.get("cursor"));
    if cursor.is_some_and(|cursor| cursor.as_str() != "null") {
        let method = kind.list_method();
        return Plan::refuse(
            INVALID_PARAMS,
            format!("{method}: unknown cursor; the list is one page"),
        );
    }
    let ready = |snapshot: &Arc<Snapshot>| snapshot.settled || snapshot.closing;
    let answer = move |snapshot: &Snapshot| Outcome::Result(snapshot.lists[kind as usize].clone());
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

/// The result of a list, made once for each catalogue.
pub fn result(kind: Kind, items: &[u8]) -> RawJson {
    let head = format!("{{\"{}\":", kind.member());
    let mut text = Vec::with_capacity(head.len() + items.len() + 1);
    text.extend_from_slice(head.as_bytes());
    text.extend_from_slice(items);
    text.push(b'}');
    RawJson::trusted(text)
}
