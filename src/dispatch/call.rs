//! `tools/call`, `prompts/get`, `resources/read`, `completion/complete`: one call, start to end.
//!
//! Owns the steps: read what it is about, find whose that is, send, tell the client. Reads of the
//! params only what it routes on; the rest stays the client's bytes.

use std::sync::Arc;

use tokio::time::Instant;

use super::answer::{for_client, to_client_error};
use super::backend_call::BackendCall;
use super::call_target::CallTarget;
use super::{Exchange, Snapshot, Snapshots, input, settled};
use crate::backend::Answer;
use crate::protocol::error::{HEADER_MISMATCH, INVALID_PARAMS, code_of};
use crate::protocol::{
    Class, Era, Executed, GatewayData, Kind, Outcome, RawJson, Request, RpcError,
};

/// Serves one call.
pub async fn call(request: Request, mut snapshots: Snapshots, exchange: Exchange) -> Outcome {
    let mut snapshot = match settled(snapshots.clone()).await {
        Ok(snapshot) => snapshot,
        Err(error) => return error.into(),
    };
    let begun = Instant::now();
    let method = request.method;
    let params = request.params.unwrap_or_else(|| RawJson::trusted("{}"));
    let target = match CallTarget::read(&method, &params) {
        Ok(target) => target,
        Err(why) => return RpcError::new(INVALID_PARAMS, format!("{method}: {why}")).into(),
    };
    if let Some(listed) = listed_now(&target, &snapshot, &mut snapshots).await {
        snapshot = listed;
    }
    let mut answer = run(&method, &params, &target, &snapshot, &exchange, begun).await;
    if is_header_mismatch(&answer)
        && let Some(fresh) = refetched(&target, &snapshot, &mut snapshots).await
    {
        snapshot = fresh;
        answer = run(&method, &params, &target, &snapshot, &exchange, begun).await;
    }
    match answer {
        Ok(answer) => {
            let uri = (target.kind == Kind::Resource).then_some(target.name.as_str());
            for_client(answer, &exchange.client, &method, uri, &snapshot)
        }
        Err(error) => to_client_error(error, exchange.client.era, &method, &snapshot),
    }
}

async fn run(
    method: &str,
    params: &RawJson,
    target: &CallTarget,
    snapshot: &Snapshot,
    exchange: &Exchange,
    begun: Instant,
) -> Result<Answer, RpcError> {
    if let Some(resumed) = input::resumed(method, params, exchange) {
        // Rare, and large: apart from the call it takes no room in every other one.
        return Box::pin(resumed).await;
    }
    let caller = Arc::clone(&exchange.client);
    let Some(route) = target.route(snapshot) else {
        let blocked = blocked(target, snapshot);
        return Err(blocked.unwrap_or_else(|| target.unknown(snapshot, caller.era)));
    };
    let (method, own_params) = (method.to_owned(), params.clone());
    let call = BackendCall::new(method, own_params, target, &route, caller, begun);
    input::forward(call, params, exchange).await
}

/// Why a tool is not called that its backend has.
fn blocked(target: &CallTarget, snapshot: &Snapshot) -> Option<RpcError> {
    let blocked = snapshot.catalog.blocked(target.kind, &target.name)?;
    let backend = snapshot.backends[blocked.backend].name();
    let (own, reason) = (&blocked.own_name, &blocked.reason);
    let message = format!("{backend}: the tool {own} is blocked: {reason}; the tool did not run");
    let data = GatewayData::new(Some(backend), Class::Refused, Executed::No, 0);
    Some(RpcError::new(INVALID_PARAMS, message).with_data(data))
}

/// The snapshot after a backend has said what it has, where only an earlier run knows: a tool may
/// be another one by now. `None` where that isn't needed, or the backend can't be had, or keeps
/// failing; the call then says so itself.
async fn listed_now(
    target: &CallTarget,
    snapshot: &Snapshot,
    snapshots: &mut Snapshots,
) -> Option<Arc<Snapshot>> {
    if snapshot.unlisted.is_empty() {
        return None;
    }
    let route = target.route(snapshot)?;
    if route.breaker.turns_away() {
        return None;
    }
    let (backend, at) = (route.backend, route.backend.index);
    let own_name = route.entry.map_or("", |entry| &entry.own_name);
    let limit = backend.config.timeout_of(own_name);
    let listing = async {
        backend.era().await.ok()?;
        tokio::select! {
            listed = snapshots.wait_for(|snapshot| !snapshot.unlisted.contains(&at)) => {
                Some(Arc::clone(&*listed.ok()?))
            }
            () = backend.is_down() => None,
        }
    };
    tokio::time::timeout(limit, listing).await.ok()?
}

/// Whether a modern backend has refused the headers of a call: it may want other parameters
/// repeated than its definition of last contact says.
fn is_header_mismatch(answer: &Result<Answer, RpcError>) -> bool {
    match answer {
        Ok(Answer {
            outcome: Outcome::Error(error),
            era: Era::Modern,
            ..
        }) => code_of(error) == Some(HEADER_MISMATCH),
        _ => false,
    }
}

/// The snapshot after the backend was asked for its lists anew (B-M-04).
async fn refetched(
    target: &CallTarget,
    snapshot: &Snapshot,
    snapshots: &mut Snapshots,
) -> Option<Arc<Snapshot>> {
    let backend = target.route(snapshot)?.backend;
    snapshots.mark_unchanged();
    backend.refresh_lists().await.then_some(())?;
    snapshots.changed().await.ok()?;
    Some(Arc::clone(&snapshots.borrow()))
}
