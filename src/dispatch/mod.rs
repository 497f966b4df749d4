//! From a request to a plan: answer it now, or spawn the work that will.
//!
//! Owns the table of methods and what a task needs to do its work: a snapshot of everything that
//! may change, and a way to talk to its client. It must not know stdin, stdout or the client's
//! ids; who may answer is decided in [`crate::gateway`].

mod admission;
pub mod answer;
mod backend_call;
pub mod call;
mod call_target;
mod filter;
pub mod input;
pub mod lifecycle;
pub mod list;
mod pinning;
pub mod refresh;
mod related;
mod reported;
pub mod subscribe;
pub mod tasks;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::backend::HttpBackend;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::governance::breaker::Breaker;
use crate::protocol::{ClientProfile, Era, Kind, Outcome, RawJson, Request, RpcError, error};

use answer::Full;
pub use input::{Exchange, ParkedCalls, TaskEvent};
pub use lifecycle::Lifecycle;
pub use refresh::Refresh;
pub use subscribe::Subscriptions;

/// Everything a request is served from. Replaced whole on every change; who has one keeps it.
#[derive(Debug)]
pub struct Snapshot {
    /// The config that runs.
    pub config: Arc<Config>,
    /// In config order.
    pub backends: Vec<Arc<HttpBackend>>,
    /// The breaker of each of them. All calls to one share it, whichever session they go to.
    pub breakers: Vec<Arc<Breaker>>,
    /// What is listed, and whose it is.
    pub catalog: Catalog,
    /// The results of the four lists, ready to send.
    pub lists: list::Lists,
    /// Backends whose lists have not come yet in this run, by index.
    pub unlisted: Vec<usize>,
    /// How the gateway names itself in results (S26 `basic`, "Per-response protocol fields").
    pub identity: RawJson,
    /// Every backend has connected or failed once, or has had its time.
    pub settled: bool,
    /// No more requests come: a list that still waits is answered from what is there.
    pub closing: bool,
}

impl Snapshot {
    fn breaker_of(&self, backend: &HttpBackend) -> &Arc<Breaker> {
        &self.breakers[backend.index]
    }
}

/// Where tasks get their snapshot from.
pub type Snapshots = watch::Receiver<Arc<Snapshot>>;

/// The snapshot to serve from, once backends have had their chance.
async fn settled(mut snapshots: Snapshots) -> Result<Arc<Snapshot>, RpcError> {
    let settled = snapshots.wait_for(|snapshot| snapshot.settled).await;
    let settled = settled.map(|snapshot| Arc::clone(&snapshot));
    settled.map_err(|_| RpcError::new(error::INTERNAL_ERROR, "the gateway is shutting down"))
}

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

/// Says what is to be done about a request of the client. `asking` is who asks, where the request
/// says so itself as modern ones do (F-C-01); `exchange` gives a task its way to the client,
/// or says what there is no room for.
pub fn route(
    request: Request,
    asking: Option<Result<ClientProfile, RpcError>>,
    lifecycle: &mut Lifecycle,
    snapshots: &Snapshots,
    exchange: impl FnOnce(Arc<ClientProfile>) -> Result<Exchange, Full>,
) -> Plan {
    let client = match asking {
        Some(Ok(client)) => {
            lifecycle.met_modern_client();
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
        return list::list(kind, &request, era, snapshots);
    }
    match (method, era) {
        ("server/discover", Era::Modern) => Plan::Reply(lifecycle.discover(&snapshots.borrow())),
        ("logging/setLevel", Era::Legacy) => {
            Plan::Reply(lifecycle.set_level(&request, &snapshots.borrow().backends))
        }
        _ => match (work(method, era), exchange(client)) {
            (None, _) => Plan::unknown(method),
            (Some(_), Err(full)) => {
                Plan::Reply(answer::overloaded(full, method, era, &snapshots.borrow()))
            }
            (Some(work), Ok(exchange)) => Plan::Spawn(work(request, snapshots.clone(), exchange)),
        },
    }
}

/// What is done beside everything else, and may take its time.
type Work = fn(Request, Snapshots, Exchange) -> BoxFuture<'static, Outcome>;

fn work(method: &str, era: Era) -> Option<Work> {
    Some(match (method, era) {
        ("tools/call" | "resources/read" | "prompts/get" | "completion/complete", _) => {
            |request, snapshots, exchange| call::call(request, snapshots, exchange).boxed()
        }
        ("subscriptions/listen", Era::Modern) => {
            |request, snapshots, exchange| subscribe::listen(request, snapshots, exchange).boxed()
        }
        ("resources/subscribe", Era::Legacy) => |request, snapshots, exchange| {
            subscribe::subscribe(request, snapshots, exchange).boxed()
        },
        ("resources/unsubscribe", Era::Legacy) => {
            |request, _, exchange| subscribe::unsubscribe(request, exchange).boxed()
        }
        ("tasks/list", Era::Legacy) => {
            |request, snapshots, exchange| tasks::list(request, snapshots, exchange).boxed()
        }
        ("tasks/get" | "tasks/cancel", _)
        | ("tasks/result", Era::Legacy)
        | ("tasks/update", Era::Modern) => {
            |request, snapshots, exchange| tasks::of_one(request, snapshots, exchange).boxed()
        }
        _ => return None,
    })
}
