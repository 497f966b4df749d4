//! From a request to a plan: answer it now, or spawn the work that will.
//!
//! Owns the table of methods and what a task needs to do its work: a snapshot of everything that
//! may change, and a way to talk to its client. It must not know stdin, stdout or the client's
//! ids; who may answer is decided in [`crate::gateway`].

pub mod call;
pub mod input;
pub mod lifecycle;
pub mod list;
pub mod refresh;
mod subject;
pub mod subscribe;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::backend::Backend;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::protocol::era::modern;
use crate::protocol::{ClientProfile, Era, Kind, Outcome, RawJson, Request, RpcError, error};

pub use input::{Exchange, TaskEvent};
pub use lifecycle::Lifecycle;
pub use refresh::Refresh;
pub use subscribe::Subscriptions;

/// Everything a request is served from. Replaced whole on every change; who has one keeps it.
#[derive(Debug)]
pub struct Snapshot {
    /// The config that runs.
    pub config: Arc<Config>,
    /// In config order.
    pub backends: Vec<Arc<Backend>>,
    /// What is listed, and whose it is.
    pub catalog: Catalog,
    /// The results of the four lists, ready to send.
    pub lists: list::Lists,
    /// How the gateway names itself in results (S26 `basic`, "Per-response protocol fields").
    pub identity: RawJson,
    /// Every backend has connected or failed once, or has had its time.
    pub settled: bool,
    /// No more requests come: a list that still waits is answered from what is there.
    pub closing: bool,
}

/// Where tasks get their snapshot from.
pub type Snapshots = watch::Receiver<Arc<Snapshot>>;

/// What is to be done about a request.
pub enum Plan {
    /// Answer it at once.
    Reply(Outcome),
    /// Run this beside everything else; its output is the answer.
    Spawn(BoxFuture<'static, Outcome>),
}

impl Plan {
    /// An error, at once.
    pub fn refuse(code: i64, message: impl Into<String>) -> Self {
        Self::Reply(RpcError::new(code, message).into())
    }

    fn unknown(method: &str) -> Self {
        let why = format!("the gateway does not know the method {method:?}");
        Self::refuse(error::METHOD_NOT_FOUND, why)
    }
}

/// Says what is to be done about a request of the client, by the era it is written in (F-C-01).
/// `exchange` gives a task its way to the client; `None` where there is no room for another.
pub fn route(
    request: Request,
    lifecycle: &mut Lifecycle,
    snapshots: &Snapshots,
    exchange: impl FnOnce(Arc<ClientProfile>) -> Option<Exchange>,
) -> Plan {
    match modern::client_of(request.params.as_ref()) {
        Some(Ok(client)) => {
            lifecycle.met_modern_client();
            route_modern(request, Arc::new(client), lifecycle, snapshots, exchange)
        }
        Some(Err(error)) => Plan::Reply(error.into()),
        None => route_legacy(request, lifecycle, snapshots, exchange),
    }
}

fn route_legacy(
    request: Request,
    lifecycle: &mut Lifecycle,
    snapshots: &Snapshots,
    exchange: impl FnOnce(Arc<ClientProfile>) -> Option<Exchange>,
) -> Plan {
    match request.method.as_str() {
        "ping" => return Plan::Reply(Outcome::Result(RawJson::trusted("{}"))),
        "initialize" => return Plan::Reply(lifecycle.initialize(&request)),
        _ => {}
    }
    let client = match lifecycle.legacy_client() {
        Ok(client) => client,
        Err(refusal) => return Plan::Reply(refusal.into()),
    };
    if let Some(kind) = Kind::of_list_method(&request.method) {
        return list::list(kind, &request, Era::Legacy, snapshots);
    }
    match request.method.as_str() {
        "tools/call" | "resources/read" | "prompts/get" | "completion/complete" => {
            spawn_call(request, snapshots, exchange(client))
        }
        "logging/setLevel" => {
            Plan::Reply(lifecycle.set_level(&request, &snapshots.borrow().backends))
        }
        method => Plan::unknown(method),
    }
}

fn route_modern(
    request: Request,
    client: Arc<ClientProfile>,
    lifecycle: &Lifecycle,
    snapshots: &Snapshots,
    exchange: impl FnOnce(Arc<ClientProfile>) -> Option<Exchange>,
) -> Plan {
    if let Some(kind) = Kind::of_list_method(&request.method) {
        return list::list(kind, &request, Era::Modern, snapshots);
    }
    match request.method.as_str() {
        "server/discover" => Plan::Reply(lifecycle.discover(&snapshots.borrow())),
        "tools/call" | "resources/read" | "prompts/get" | "completion/complete" => {
            spawn_call(request, snapshots, exchange(client))
        }
        "subscriptions/listen" => match exchange(client) {
            Some(exchange) => Plan::Spawn(subscribe::listen(request, exchange).boxed()),
            None => Plan::Reply(call::overloaded(&request, &snapshots.borrow())),
        },
        method => Plan::unknown(method),
    }
}

fn spawn_call(request: Request, snapshots: &Snapshots, exchange: Option<Exchange>) -> Plan {
    match exchange {
        Some(exchange) => Plan::Spawn(call::call(request, snapshots.clone(), exchange).boxed()),
        None => Plan::Reply(call::overloaded(&request, &snapshots.borrow())),
    }
}
