//! From a request to a plan: respond at once, or spawn the task that will.
//!
//! Owns the table of methods and one handler for each family of them. A handler gets a snapshot of
//! everything that may change, and an [`Exchange`] to talk to its client. It must not know stdin,
//! stdout or the client's ids; [`crate::gateway`] decides whether a request may still be answered.

mod answer;
mod backend_call;
mod call;
mod call_target;
mod exchange;
mod input;
mod lists;
mod plan;
mod subscribe;
mod tasks;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::client::Lifecycle;
use crate::protocol::{ClientProfile, Era, Kind, Outcome, RawJson, Request, RpcError};
use crate::snapshot::Snapshots;

pub(crate) use answer::{Full, cut_off};
pub(crate) use backend_call::{
    request_uris_for_client, server_request_for_client, updated_for_client,
};
pub(crate) use exchange::{Exchange, ServerRequestId, TaskEvent, failed};
pub(crate) use input::{ParkedCalls, relay};
pub(crate) use plan::Plan;
pub(crate) use tasks::notice_for_client;

/// Decides what is to be done about a request. `asking` is the client's profile where the request
/// carries it, as modern ones do (F-C-01). `exchange` gives a task its way to the client, or says
/// what there is no room for.
pub(crate) fn route(
    request: Request,
    asking: Option<Result<ClientProfile, RpcError>>,
    lifecycle: &mut Lifecycle,
    snapshots: &Snapshots,
    parked: &Arc<ParkedCalls>,
    exchange: impl FnOnce(Arc<ClientProfile>) -> Result<Exchange, Full>,
) -> Plan {
    let client = match asking {
        Some(Ok(client)) => {
            lifecycle.modern_request_received();
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
        ("server/discover", Era::Modern) => Plan::Reply(lifecycle.discover(&snapshots.borrow())),
        ("logging/setLevel", Era::Legacy) => {
            Plan::Reply(lifecycle.set_level(&request, &snapshots.borrow().backends))
        }
        _ => match (handler(method, era), exchange(client)) {
            (None, _) => Plan::unknown(method),
            (Some(_), Err(full)) => {
                Plan::Reply(answer::overloaded(full, method, era, &snapshots.borrow()))
            }
            (Some(handler), Ok(exchange)) => {
                let parked = Arc::clone(parked);
                Plan::Spawn(handler(request, snapshots.clone(), exchange, parked))
            }
        },
    }
}

/// Serves a request in a task of its own.
type Handler = fn(Request, Snapshots, Exchange, Arc<ParkedCalls>) -> BoxFuture<'static, Outcome>;

fn handler(method: &str, era: Era) -> Option<Handler> {
    Some(match (method, era) {
        ("tools/call" | "resources/read" | "prompts/get" | "completion/complete", _) => {
            |request, snapshots, exchange, parked| {
                call::call(request, snapshots, exchange, parked).boxed()
            }
        }
        ("subscriptions/listen", Era::Modern) => |request, snapshots, exchange, _| {
            subscribe::listen(request, snapshots, exchange).boxed()
        },
        ("resources/subscribe", Era::Legacy) => |request, snapshots, exchange, _| {
            subscribe::subscribe(request, snapshots, exchange).boxed()
        },
        ("resources/unsubscribe", Era::Legacy) => {
            |request, _, exchange, _| subscribe::unsubscribe(request, exchange).boxed()
        }
        ("tasks/list", Era::Legacy) => {
            |request, snapshots, exchange, _| tasks::list(request, snapshots, exchange).boxed()
        }
        ("tasks/get" | "tasks/cancel", _)
        | ("tasks/result", Era::Legacy)
        | ("tasks/update", Era::Modern) => {
            |request, snapshots, exchange, _| tasks::of_one(request, snapshots, exchange).boxed()
        }
        _ => return None,
    })
}
