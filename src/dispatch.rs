//! From a request to a plan: respond at once, or spawn the task that will.
//!
//! Owns the table of methods and one handler for each family of them. A handler gets a snapshot of
//! everything that may change, and an [`Exchange`] to reach its client. It must not know stdin,
//! stdout or the client's ids; [`crate::gateway`] decides whether a request may still be answered.

mod answer;
mod backend_call;
mod call;
mod call_target;
mod exchange;
mod extensions;
mod input;
mod lists;
mod plan;
mod subscribe;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::client::{Lifecycle, discovered};
use crate::protocol::error::METHOD_NOT_FOUND;
use crate::protocol::{ClientProfile, Era, Kind, Outcome, RawJson, Request, RpcError};
use crate::snapshot::{Introduction, Snapshot, Snapshots};

pub(crate) use answer::{NotAccepted, cut_off};
pub(crate) use backend_call::{
    request_uris_for_client, server_request_for_client, updated_for_client,
};
pub(crate) use exchange::{Exchange, ServerRequestId, TaskEvent, failed};
pub(crate) use extensions::{
    forward_notification, large_notice_for_client, notice_for_client, state_for_client,
};
pub(crate) use input::{ParkedCalls, relay};
pub(crate) use plan::Plan;

/// Decides what is to be done about a request. `asking` is the client's profile where the request
/// carries it, as modern ones do (F-C-01). `exchange` gives a task its way to the client, or says
/// what there is no room for.
pub(crate) fn route(
    request: Request,
    asking: Option<Result<ClientProfile, RpcError>>,
    lifecycle: &mut Lifecycle,
    snapshots: &Snapshots,
    parked: &Arc<ParkedCalls>,
    exchange: impl FnOnce(Arc<ClientProfile>) -> Result<Exchange, NotAccepted>,
) -> Plan {
    let client = match asking {
        Some(Ok(client)) => {
            lifecycle.modern_request_received(&client);
            Arc::new(client)
        }
        Some(Err(error)) => return Plan::Reply(error.into()),
        None => match request.method.as_str() {
            "ping" => return Plan::Reply(Outcome::Result(RawJson::trusted("{}"))),
            "initialize" => return Plan::Reply(lifecycle.initialize(&request)),
            _ => match lifecycle.legacy_client() {
                Ok(client) => client,
                Err(refusal) => return Plan::Reply(refusal.into()),
            },
        },
    };
    let (method, era) = (request.method.as_str(), client.era);
    if let Some(kind) = Kind::of_list_method(method) {
        return lists::list(kind, &request, client, snapshots);
    }
    match (method, era) {
        ("server/discover", Era::Modern) => discover(lifecycle, snapshots),
        ("logging/setLevel", Era::Legacy) => {
            Plan::Reply(lifecycle.set_level(&request, &snapshots.borrow().backends))
        }
        _ => match (
            handler(method, era, lifecycle.introduction()),
            exchange(client),
        ) {
            (None, exchange) => {
                foreign(request, era, lifecycle.introduction(), snapshots, exchange)
            }
            (Some(_), Err(why)) => {
                Plan::Reply(answer::not_accepted(why, method, era, &snapshots.borrow()))
            }
            (Some(handler), Ok(exchange)) => {
                let parked = Arc::clone(parked);
                Plan::Spawn(handler(request, snapshots.clone(), exchange, parked))
            }
        },
    }
}

/// A request whose method the gateway does not know: for the one backend that declares the extension
/// it belongs to (F-X-04).
fn foreign(
    request: Request,
    era: Era,
    introduction: &Introduction,
    snapshots: &Snapshots,
    exchange: Result<Exchange, NotAccepted>,
) -> Plan {
    let method = request.method.as_str();
    match (&introduction.backends_of(method)[..], exchange) {
        ([], _) => Plan::unknown(method),
        ([_], Err(why)) => Plan::Reply(answer::not_accepted(why, method, era, &snapshots.borrow())),
        ([backend], Ok(exchange)) => {
            let sent = extensions::call(request, *backend, snapshots.clone(), exchange);
            Plan::Spawn(sent.boxed())
        }
        (several, _) => {
            let count = several.len();
            let why = format!(
                "{count} servers have the extension that {method:?} belongs to: the gateway does not know which is meant"
            );
            Plan::refuse(METHOD_NOT_FOUND, why)
        }
    }
}

/// Answers `server/discover`: at once where every backend has been connected, in this run or an
/// earlier one, else when the first list of tools would be answered (F-X-01).
fn discover(lifecycle: &Lifecycle, snapshots: &Snapshots) -> Plan {
    let current = Arc::clone(&snapshots.borrow());
    let introduction = lifecycle.introduction();
    let is_ready = |snapshot: &Arc<Snapshot>| snapshot.settled.has(Kind::Tool) || snapshot.closing;
    if introduction.is_complete || is_ready(&current) {
        return Plan::Reply(discovered(introduction, &current.identity));
    }
    let mut snapshots = snapshots.clone();
    let wait = async move {
        let _ = snapshots.wait_for(is_ready).await;
        let snapshot = Arc::clone(&snapshots.borrow());
        discovered(&snapshot.introduction, &snapshot.identity)
    };
    Plan::Spawn(wait.boxed())
}

/// Whether a request of this method is a call of what a backend has.
pub(crate) fn is_call(method: &str) -> bool {
    matches!(
        method,
        "tools/call" | "resources/read" | "prompts/get" | "completion/complete"
    )
}

/// Serves a request in a task of its own.
type Handler = fn(Request, Snapshots, Exchange, Arc<ParkedCalls>) -> BoxFuture<'static, Outcome>;

fn handler(method: &str, era: Era, introduction: &Introduction) -> Option<Handler> {
    Some(match (method, era) {
        ("tools/call" | "resources/read" | "prompts/get" | "completion/complete", _) => {
            |request, snapshots, exchange, parked| {
                call::call(request, snapshots, exchange, parked).boxed()
            }
        }
        ("subscriptions/listen", Era::Modern) => |request, snapshots, exchange, parked| {
            subscribe::listen(request, snapshots, exchange, parked).boxed()
        },
        ("resources/subscribe", Era::Legacy) => |request, snapshots, exchange, _| {
            subscribe::subscribe(request, snapshots, exchange).boxed()
        },
        ("resources/unsubscribe", Era::Legacy) => {
            |request, _, exchange, _| subscribe::unsubscribe(request, exchange).boxed()
        }
        ("tasks/list", Era::Legacy) => |request, snapshots, exchange, _| {
            extensions::list_tasks(request, snapshots, exchange).boxed()
        },
        ("tasks/get" | "tasks/cancel", _)
        | ("tasks/result", Era::Legacy)
        | ("tasks/update", Era::Modern) => |request, snapshots, exchange, parked| {
            extensions::task(request, snapshots, exchange, parked).boxed()
        },
        ("skills/list" | "skills/get" | "resources/directory/read", _)
            if introduction.declaring(extensions::SKILLS).is_empty() =>
        {
            return None;
        }
        ("skills/list", _) => |request, snapshots, exchange, _| {
            extensions::list_skills(request, snapshots, exchange).boxed()
        },
        ("skills/get" | "resources/directory/read", _) => |request, snapshots, exchange, _| {
            extensions::skill_or_directory(request, snapshots, exchange).boxed()
        },
        _ => return None,
    })
}
