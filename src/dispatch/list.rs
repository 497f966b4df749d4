//! `tools/list`, `prompts/list`, `resources/list`, `resources/templates/list`: from memory.

use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;

use super::{Plan, Snapshot, Snapshots};
use crate::protocol::era::modern::{self, ResultStamp};
use crate::protocol::error::INVALID_PARAMS;
use crate::protocol::{Era, Kind, Outcome, RawJson, Request};

/// Serves a list in one page. The first one waits until backends have had their chance.
pub fn list(kind: Kind, request: &Request, era: Era, snapshots: &Snapshots) -> Plan {
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

impl Snapshot {
    /// The result of a list as a client of this era gets it.
    pub fn list(&self, kind: Kind, era: Era) -> RawJson {
        let items = self.catalog.list(kind);
        let cell = &self.lists.0[kind as usize];
        match era {
            Era::Legacy => cell.legacy.get_or_init(|| result(kind, items)),
            Era::Modern => cell.modern.get_or_init(|| {
                let hints = modern::hints(self.catalog.freshness(kind));
                let result = result(kind, items).with_members(&hints, &[]);
                modern::stamp_result(&result, ResultStamp::CompleteAndCacheable, &self.identity)
            }),
        }
        .clone()
    }
}

/// The results of the four lists, each made when it is first asked for in its era.
#[derive(Debug, Default)]
pub struct Lists([ByEra; Kind::ALL.len()]);

#[derive(Debug, Default)]
struct ByEra {
    legacy: OnceLock<RawJson>,
    modern: OnceLock<RawJson>,
}

fn result(kind: Kind, items: &[u8]) -> RawJson {
    RawJson::trusted([b"{\"", kind.member().as_bytes(), b"\":", items, b"}"].concat())
}
