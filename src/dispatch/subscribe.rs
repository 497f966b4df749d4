//! `subscriptions/listen` of the modern era (MCP 2026-07-28, basic/patterns/subscriptions), and
//! `resources/subscribe` and `resources/unsubscribe` of the legacy era (MCP 2025-11-25,
//! server/resources).
//!
//! Owns how backends are subscribed to on behalf of a client. The loop keeps what comes of it, in
//! [`crate::client::Subscriptions`]; it must not know what is open there.

use std::sync::Arc;

use futures_util::future::join_all;

use super::answer::shutting_down;
use super::backend_call::{admission, attributed};
use super::call_target::CallTarget;
use super::exchange::{Exchange, TaskEvent};
use super::extensions::owner_of_task;
use super::input::ParkedCalls;
use crate::backend::Subscription;
use crate::client::Filter;
use crate::client::capabilities::tasks_undeclared;
use crate::protocol::error::INVALID_PARAMS;
use crate::protocol::{Era, Kind, Kinds, Outcome, RawJson, Request, RpcError, task};
use crate::snapshot::{Snapshot, Snapshots, settled};

/// Serves `subscriptions/listen`. The request ends only with its subscription, so that only errors
/// are returned.
pub(super) async fn listen(
    request: Request,
    snapshots: Snapshots,
    exchange: Exchange,
    parked: Arc<ParkedCalls>,
) -> Outcome {
    let mut filter = match Filter::read(request.params.as_ref()) {
        Ok(filter) => filter,
        Err(why) => {
            let why = format!("subscriptions/listen: {why}");
            return RpcError::new(INVALID_PARAMS, why).into();
        }
    };
    if filter.tasks.is_some() && !exchange.client.declares(&["extensions", task::EXTENSION]) {
        return tasks_undeclared("subscriptions/listen").into();
    }
    // Held for as long as the task runs: dropped, they are withdrawn.
    let mut held = Vec::new();
    if !filter.uris.is_empty()
        && let Some(snapshot) = settled(snapshots.clone(), uris()).await
    {
        let uris = std::mem::take(&mut filter.uris);
        let asked = join_all(uris.iter().map(|uri| subscribe_to(uri, &snapshot))).await;
        for (uri, answer) in uris.into_iter().zip(asked) {
            if let Ok(subscription) = answer {
                filter.uris.push(uri);
                held.push(subscription);
            }
        }
    }
    if let Some(tasks) = filter.tasks.take() {
        let snapshot = snapshots.borrow().clone();
        let asked = join_all(tasks.iter().map(|id| subscribe_to_task(id, &snapshot))).await;
        for (id, subscription) in tasks.into_iter().zip(asked) {
            // Of those that are kept here, the gateway tells itself.
            let is_kept = || parked.tasks.has(&id) && owner_of_task(&id, &snapshot).is_some();
            if subscription.is_some() || is_kept() {
                filter.tasks.get_or_insert_default().push(id);
                held.extend(subscription);
            }
        }
    }
    let _ = exchange.events.send(TaskEvent::Listening {
        key: exchange.key,
        filter,
    });
    std::future::pending().await
}

/// The kinds that say whose a URI is.
fn uris() -> Kinds {
    Kinds::that(Kind::is_uri)
}

/// Serves `resources/subscribe`.
pub(super) async fn subscribe(
    request: Request,
    snapshots: Snapshots,
    exchange: Exchange,
) -> Outcome {
    let (uri, snapshot) = match (uri_of(&request), settled(snapshots, uris()).await) {
        (Ok(uri), Some(snapshot)) => (uri, snapshot),
        (Err(error), _) => return error.into(),
        (_, None) => return shutting_down().into(),
    };
    match subscribe_to(&uri, &snapshot).await {
        Ok(subscription) => {
            let held = Some(subscription);
            let _ = exchange.events.send(TaskEvent::Subscribed { uri, held });
            Outcome::Result(RawJson::trusted("{}"))
        }
        Err(refused) => Outcome::Error(refused),
    }
}

/// Serves `resources/unsubscribe`.
pub(super) async fn unsubscribe(request: Request, exchange: Exchange) -> Outcome {
    match uri_of(&request) {
        Ok(uri) => {
            let _ = exchange
                .events
                .send(TaskEvent::Subscribed { uri, held: None });
            Outcome::Result(RawJson::trusted("{}"))
        }
        Err(error) => error.into(),
    }
}

fn uri_of(request: &Request) -> Result<String, RpcError> {
    let uri = request
        .params
        .as_ref()
        .and_then(|params| params.get("uri")?.text());
    let method = &request.method;
    uri.ok_or_else(|| {
        RpcError::new(
            INVALID_PARAMS,
            format!("{method}: \"uri\" must be a string"),
        )
    })
}

/// `None` where no backend has the task, or its backend tells nothing of it: clients can ask at any time.
async fn subscribe_to_task(id: &str, snapshot: &Snapshot) -> Option<Subscription> {
    let (backend, own) = owner_of_task(id, snapshot)?;
    let subscribed = backend.subscribe_to_task(own, &snapshot.admission).await;
    subscribed.ok()
}

async fn subscribe_to(uri: &str, snapshot: &Snapshot) -> Result<Subscription, RawJson> {
    let target = CallTarget::of_resource(uri);
    match target.route(snapshot) {
        Some(route) => {
            let backend = route.backend;
            let own = route.own_name().map_or(uri, |own| own);
            let subscribed = backend.subscribe(own, &snapshot.admission).await;
            match subscribed {
                Ok(subscription) => Ok(subscription),
                Err(error) => {
                    let error = Outcome::Error(admission::not_subscribed(backend, error));
                    Err(attributed(backend, error).await.text().clone())
                }
            }
        }
        None => Err(RawJson::of(&target.unknown(snapshot, Era::Legacy))),
    }
}
