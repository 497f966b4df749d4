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

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::backend::Backend;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::protocol::{Kind, Outcome, RawJson, Request, RpcError, error};

pub use input::{Exchange, TaskEvent};
pub use lifecycle::Lifecycle;
pub use refresh::Refresh;

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
    pub lists: [RawJson; Kind::ALL.len()],
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
}

/// Says what is to be done about a request of the client.
pub fn route(
    request: Request,
    lifecycle: &mut Lifecycle,
    snapshots: &Snapshots,
    exchange: impl FnOnce() -> Option<Exchange>,
) -> Plan {
    match request.method.as_str() {
        "ping" => return Plan::Reply(Outcome::Result(RawJson::trusted("{}"))),
        "initialize" => return Plan::Reply(lifecycle.initialize(&request)),
        _ => {}
    }
    if let Some(refusal) = lifecycle.refuse_early() {
        return Plan::Reply(refusal.into());
    }
    match request.method.as_str() {
        "tools/list" => list::list(Kind::Tool, &request, snapshots),
        "prompts/list" => list::list(Kind::Prompt, &request, snapshots),
        "resources/list" => list::list(Kind::Resource, &request, snapshots),
        "resources/templates/list" => list::list(Kind::Template, &request, snapshots),
        "tools/call" | "resources/read" | "prompts/get" | "completion/complete" => match exchange()
        {
            Some(exchange) => Plan::Spawn(call::call(request, snapshots.clone(), exchange).boxed()),
            None => Plan::Reply(call::overloaded(&request.method, &snapshots.borrow())),
        },
        "logging/setLevel" => Plan::Reply(lifecycle::set_level(&request, &snapshots.borrow())),
        method => Plan::refuse(
            error::METHOD_NOT_FOUND,
            format!("the gateway does not know the method {method:?}"),
        ),
    }
}
