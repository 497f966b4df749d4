//! `tools/call`, `prompts/get`, `resources/read`, `completion/complete`: one call, start to end.
//!
//! Owns the steps: read the target, find its backend, send, write the response. Of the params it reads
//! only what calls are routed by; the rest stays the client's bytes. It must not know how input is
//! requested in between.

use std::sync::Arc;

use tokio::time::Instant;

use super::answer::{for_client, shutting_down, to_client_error};
use super::backend_call::BackendCall;
use super::call_target::CallTarget;
use super::exchange::Exchange;
use super::input::{self, ParkedCalls};
use crate::backend::Answer;
use crate::backend::retry::Replay;
use crate::observe::request_span::RequestSpan;
use crate::protocol::error::{HEADER_MISMATCH, INVALID_PARAMS, code_of};
use crate::protocol::{
    Class, Era, Executed, GatewayData, Kind, Outcome, RawJson, Request, RpcError,
};
use crate::snapshot::{Snapshot, Snapshots, settled};

/// Serves one call.
pub(super) async fn call(
    request: Request,
    mut snapshots: Snapshots,
    exchange: Exchange,
    parked: Arc<ParkedCalls>,
) -> Outcome {
    let Some(mut snapshot) = settled(snapshots.clone()).await else {
        return shutting_down().into();
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
    let run = Run {
        method: &method,
        params: &params,
        target: &target,
        exchange: &exchange,
        parked: &parked,
        begun,
    };
    let mut answer = run.on(&snapshot).await;
    if is_header_mismatch(&answer)
        && (is_not_taken(&answer) || run.is_safe(&snapshot))
        && let Some(fresh) = relisted_snapshot(&target, &snapshot, &mut snapshots).await
    {
        snapshot = fresh;
        answer = run.on(&snapshot).await;
    }
    match answer {
        Ok(answer) => {
            let uri = (target.kind == Kind::Resource).then_some(target.name.as_str());
            for_client(answer, &exchange.client, &method, uri, &snapshot)
        }
        Err(error) => to_client_error(error, exchange.client.era, &method, &snapshot),
    }
}

/// One call, whatever snapshot it is routed by.
struct Run<'a> {
    method: &'a str,
    params: &'a RawJson,
    target: &'a CallTarget,
    exchange: &'a Exchange,
    parked: &'a Arc<ParkedCalls>,
    begun: Instant,
}

impl Run<'_> {
    /// Whether the call may run twice.
    fn is_safe(&self, snapshot: &Snapshot) -> bool {
        let route = self.target.route(snapshot);
        route.is_some_and(|route| route.replay(self.target.kind) == Replay::Safe)
    }

    async fn on(&self, snapshot: &Snapshot) -> Result<Answer, RpcError> {
        let Self {
            method,
            params,
            target,
            exchange,
            parked,
            begun,
        } = *self;
        if let Some(resumed) = input::resumed(method, params, exchange, parked) {
            // Rare, and a large future: boxed, it takes no room in every other call.
            return Box::pin(resumed).await;
        }
        let caller = Arc::clone(&exchange.client);
        let Some(route) = target.route(snapshot) else {
            let blocked = blocked(target, snapshot);
            return Err(blocked.unwrap_or_else(|| target.unknown(snapshot, caller.era)));
        };
        let tool = route.tool(target.kind);
        RequestSpan::set_target(&route.backend.config.name, tool.map(|tool| &tool.own_name));
        let (method, own_params) = (method.to_owned(), params.clone());
        let admission = &snapshot.admission;
        let call = BackendCall::new(method, own_params, target, &route, admission, caller, begun);
        input::forward(call, params, exchange, parked).await
    }
}

/// The error for a tool that its backend has, but that is blocked.
fn blocked(target: &CallTarget, snapshot: &Snapshot) -> Option<RpcError> {
    let blocked = snapshot.catalog.blocked(target.kind, &target.name)?;
    let backend = snapshot.backends.get(blocked.backend)?.name();
    let (own, reason) = (&blocked.own_name, &blocked.reason);
    let message = format!("{backend}: the tool {own} is blocked: {reason}; the tool did not run");
    let data = GatewayData::new(Some(backend), Class::Refused, Executed::No, 0);
    Some(RpcError::new(INVALID_PARAMS, message).with_data(data))
}

/// The snapshot in which the target's backend has listed in this run, where so far only an earlier
/// run's listing is known: a tool may have changed since. `None` where that is not needed, or the
/// backend can't be reached or would be refused; the call itself then fails.
async fn listed_now(
    target: &CallTarget,
    snapshot: &Snapshot,
    snapshots: &mut Snapshots,
) -> Option<Arc<Snapshot>> {
    if snapshot.unlisted.is_empty() {
        return None;
    }
    let route = target.route(snapshot)?;
    let (backend, id) = (route.backend, route.backend.id);
    if snapshot.admission.would_refuse(id) {
        return None;
    }
    let own_name = route.entry.map_or("", |entry| &entry.own_name);
    let limit = backend.config.timeout_of(own_name);
    let listing = async {
        backend.era().await.ok()?;
        tokio::select! {
            listed = snapshots.wait_for(|snapshot| !snapshot.unlisted.contains(&id)) => {
                Some(Arc::clone(&*listed.ok()?))
            }
            () = backend.is_down() => None,
        }
    };
    tokio::time::timeout(limit, listing).await.ok()?
}

/// Whether a modern backend has refused the headers of a call: the tool may require other parameters
/// in headers than its last known definition says.
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

/// Whether the status says that the request was not taken: an error alone may come from a tool.
fn is_not_taken(answer: &Result<Answer, RpcError>) -> bool {
    answer.as_ref().is_ok_and(|answer| answer.bad_request)
}

/// The snapshot after the backend has listed again (B-M-04).
async fn relisted_snapshot(
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
