//! Which listing a call is routed by: it may wait until its backend has listed.
//!
//! Owns these waits, and the error for a tool that is listed but blocked. It must not know how a call is
//! sent.

use std::sync::Arc;

use tokio::time::Instant;

use crate::backend::HttpBackend;
use crate::catalog::RejectReason;
use crate::config::Subject;
use crate::dispatch::answer::{not_settled, shutting_down};
use crate::dispatch::call_target::{CallTarget, Route};
use crate::protocol::error::INVALID_PARAMS;
use crate::protocol::{Class, GatewayData, Kind, Kinds, RpcError, Tally};
use crate::snapshot::{Snapshot, Snapshots, settled};

/// The first snapshot that calls about this kind are served from. Where it takes longer than any call may, no backend
/// can be told yet.
pub(super) async fn settled_in_time(
    snapshots: &Snapshots,
    kind: Kind,
    begun: Instant,
) -> Result<Arc<Snapshot>, RpcError> {
    // A URI may be listed, or be that of a template.
    let needed = Kinds::that(|other| other == kind || (other.is_uri() && kind.is_uri()));
    let current = Arc::clone(&snapshots.borrow());
    if needed.without(current.settled).is_empty() {
        return Ok(current);
    }
    let limits = current.config.backends.iter();
    let limit = limits.map(|backend| backend.longest_timeout()).max();
    let limit = limit.unwrap_or(current.config.gateway.startup_wait);
    match tokio::time::timeout_at(begun + limit, settled(snapshots.clone(), needed)).await {
        Ok(settled) => settled.ok_or_else(shutting_down),
        Err(_) => Err(not_settled(limit)),
    }
}

/// The error for a tool that its backend has, but that is blocked.
pub(super) fn blocked(target: &CallTarget, snapshot: &Snapshot) -> Option<RpcError> {
    let blocked = snapshot.catalog.blocked(target.kind, &target.name)?;
    let backend = snapshot.backends.get(blocked.backend)?.name();
    let (own, reason) = (&blocked.own_name, &blocked.reason);
    let accept = match reason {
        RejectReason::Changed(_) => {
            let tool = Subject::Tool(Arc::clone(own));
            snapshot.config.pin_command(backend, Some(&tool))
        }
        _ => None,
    };
    let accept = accept.map(|command| format!("; {command} accepts it"));
    let message = format!(
        "{backend}: the tool {own} is blocked: {reason}{}; the tool did not run",
        accept.unwrap_or_default()
    );
    let data = GatewayData::new(Some(backend), Class::Refused, Tally::NONE);
    Some(RpcError::new(INVALID_PARAMS, message).with_data(data))
}

/// The snapshot to route the call by: its backend has listed in this run, where it can be waited for. A reload
/// may replace the backend while it is waited for; the new one is waited for then.
pub(super) async fn listed(
    target: &CallTarget,
    mut snapshot: Arc<Snapshot>,
    snapshots: &mut Snapshots,
    begun: Instant,
) -> Arc<Snapshot> {
    while !snapshot.unlisted.is_empty() {
        let newer = match target.route(&snapshot) {
            Some(route) => listed_now(target, route, &snapshot, snapshots, begun).await,
            None => listed_first(target, &snapshot, snapshots, begun).await,
        };
        match newer {
            Some(newer) if !Arc::ptr_eq(&newer, &snapshot) => snapshot = newer,
            _ => break,
        }
    }
    snapshot
}

/// The snapshot in which each backend that may have the target has listed or failed once, or one
/// that has the target. A name that is not listed is unknown only then: after `startup_wait` a slow
/// backend may still be about to list it. `None` where the target is blocked, and where
/// no backend is being connected for the first time.
async fn listed_first(
    target: &CallTarget,
    snapshot: &Snapshot,
    snapshots: &mut Snapshots,
    begun: Instant,
) -> Option<Arc<Snapshot>> {
    if blocked(target, snapshot).is_some() {
        return None;
    }
    let is_first = |backend: &&Arc<HttpBackend>| {
        snapshot.awaits(backend.id, target.kind) && backend.failures() == 0
    };
    let first: Vec<_> = snapshot.backends.iter().filter(is_first).collect();
    let limit = first.iter().map(|backend| backend.config.connect_timeout);
    let limit = begun + limit.max()?;
    for backend in first {
        let is_settled = |now: &Arc<Snapshot>| {
            !now.awaits(backend.id, target.kind) || target.route(now).is_some()
        };
        let settled = async {
            tokio::select! {
                settled = snapshots.wait_for(is_settled) => settled.is_ok(),
                () = backend.is_down() => true,
            }
        };
        if !tokio::time::timeout_at(limit, settled).await.ok()? {
            return None;
        }
    }
    Some(Arc::clone(&snapshots.borrow()))
}

/// The snapshot in which the target's backend has listed in this run, where so far only an earlier
/// run's listing is known: a tool may have changed since. `None` where that is not needed, or the
/// backend can't be reached or would be refused; the call itself then fails.
async fn listed_now(
    target: &CallTarget,
    route: Route<'_>,
    snapshot: &Snapshot,
    snapshots: &mut Snapshots,
    begun: Instant,
) -> Option<Arc<Snapshot>> {
    let (backend, id) = (route.backend, route.backend.id);
    if !snapshot.awaits(id, target.kind) || snapshot.admission.would_refuse(id) {
        return None;
    }
    let is_listed_or_replaced = |snapshot: &Arc<Snapshot>| !snapshot.awaits(id, target.kind);
    let is_unreachable = async {
        if backend.era().await.is_ok() {
            backend.is_down().await;
        }
    };
    let listing = async {
        tokio::select! {
            biased;
            newer = snapshots.wait_for(is_listed_or_replaced) => Some(Arc::clone(&*newer.ok()?)),
            () = is_unreachable => None,
        }
    };
    tokio::time::timeout_at(begun + route.timeout(), listing)
        .await
        .ok()?
}

/// The snapshot after the backend has listed again (B-M-04); `None` if it no longer has the target, or
/// that takes too long.
pub(super) async fn relisted_snapshot(
    target: &CallTarget,
    snapshot: &Snapshot,
    snapshots: &mut Snapshots,
    begun: Instant,
) -> Option<Arc<Snapshot>> {
    let route = target.route(snapshot)?;
    let relisting = async {
        let (id, number) = (route.backend.id, route.backend.refresh_lists().await?);
        let has_it = |snapshot: &Arc<Snapshot>| {
            let latest = snapshot.listing_numbers.get(&id);
            latest.is_some_and(|latest| *latest >= number)
        };
        let relisted = Arc::clone(&*snapshots.wait_for(has_it).await.ok()?);
        target.route(&relisted).is_some().then_some(relisted)
    };
    let relisted = tokio::time::timeout_at(begun + route.timeout(), relisting)
        .await
        .ok()??;
    tracing::warn!(
        backend = route.backend.name(),
        "the headers of the call were refused: it is sent again, as listed now"
    );
    Some(relisted)
}
