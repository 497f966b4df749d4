//! Tasks of backends, under names that say whose they are.
//!
//! Owns the methods about a task that exists already (`tasks/get`, `tasks/result`,
//! `tasks/update`, `tasks/cancel`), the list of all of them (`tasks/list`, legacy era), and
//! the related task in what goes to and fro during a call. What a task's name looks like is
//! told by [`crate::protocol::task`].

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::Instant;

use super::admission;
use super::answer::{for_client, to_client_error};
use super::backend_call::progress_token;
use super::related::RelatedTaskHandler;
use super::{Exchange, Snapshot, Snapshots};
use crate::backend::retry::Replay;
use crate::backend::{Answer, Call, HttpBackend, ProgressHighWater};
use crate::governance::breaker::Breaker;
use crate::protocol::error::{INVALID_PARAMS, MISSING_CAPABILITY};
use crate::protocol::message::elements;
use crate::protocol::raw::quoted;
use crate::protocol::{Era, Notification, Outcome, RawJson, Request, RpcError, task};

/// Pages of one backend's tasks that are read.
const MAX_PAGES: usize = 100;

/// Serves a method about one task.
pub(super) async fn of_one(request: Request, snapshots: Snapshots, exchange: Exchange) -> Outcome {
    let snapshot = Arc::clone(&snapshots.borrow());
    let (method, era) = (request.method.as_str(), exchange.client.era);
    let params = request.params.unwrap_or_else(|| RawJson::trusted("{}"));
    if era == Era::Modern && !exchange.client.declares(&["extensions", task::EXTENSION]) {
        return undeclared(method).into();
    }
    let answer = match owner(&params, &snapshot) {
        Ok((backend, own)) => {
            let params = params.with_members(&[("taskId", quoted(&own))], &[]);
            let breaker = snapshot.breaker_of(backend);
            let answer = ask(backend, breaker, method, &params, Some(&own), &exchange).await;
            answer.map(|answer| named(answer, backend))
        }
        Err(why) => Err(RpcError::new(INVALID_PARAMS, format!("{method}: {why}"))),
    };
    match answer {
        Ok(answer) => for_client(answer, &exchange.client, method, None, &snapshot),
        Err(error) => to_client_error(error, era, method, &snapshot),
    }
}

/// `tasks/list`: those of every backend that lists them, in config order. A backend that fails
/// to costs its own tasks only, and a line in the log.
pub(super) async fn list(request: Request, snapshots: Snapshots, exchange: Exchange) -> Outcome {
    let cursor = request
        .params
        .as_ref()
        .and_then(|params| params.get("cursor"));
    if cursor.is_some_and(|cursor| cursor.as_str() != "null") {
        let why = "tasks/list: unknown cursor; the list is one page";
        return RpcError::new(INVALID_PARAMS, why).into();
    }
    let snapshot = Arc::clone(&snapshots.borrow());
    let listing = snapshot
        .backends
        .iter()
        .filter(|backend| backend.capability(&["tasks", "list"]).is_some());
    let all =
        join_all(listing.map(|backend| tasks_of(backend, snapshot.breaker_of(backend), &exchange)))
            .await;
    let tasks = task::array(all.into_iter().flatten());
    Outcome::Result(RawJson::trusted("{}").with_members(&[("tasks", tasks)], &[]))
}

async fn tasks_of(
    backend: &Arc<HttpBackend>,
    breaker: &Arc<Breaker>,
    exchange: &Exchange,
) -> Vec<RawJson> {
    let mut tasks = Vec::new();
    let mut params = RawJson::trusted("{}");
    for _ in 0..MAX_PAGES {
        let page = match ask(backend, breaker, "tasks/list", &params, None, exchange).await {
            Ok(answer) => named(answer, backend).outcome,
            Err(error) => {
                tracing::warn!(
                    backend = backend.name(),
                    error = error.message,
                    "its tasks can't be listed"
                );
                break;
            }
        };
        let Outcome::Result(page) = page else { break };
        tasks.extend(
            page.get("tasks")
                .and_then(|tasks| elements(&tasks))
                .unwrap_or_default(),
        );
        let next = page
            .get("nextCursor")
            .filter(|cursor| cursor.as_str() != "null");
        let Some(next) = next.filter(|next| params.get("cursor").as_ref() != Some(next)) else {
            break;
        };
        params = params.with_members(&[("cursor", next.into_bytes())], &[]);
    }
    tasks
}

/// A notification that a backend sends outside of any call, with its tasks under the names that
/// clients use.
pub fn notice_for_client(notification: Notification, backend: &HttpBackend) -> Notification {
    let name = backend.name();
    let params = match notification.method.as_str() {
        "notifications/tasks/status" => notification
            .params
            .map(|params| task::for_client(&params, name)),
        _ => task::related_for_client(notification.params, name),
    };
    Notification {
        params,
        ..notification
    }
}

/// The refusal of a modern request about tasks that does not declare the extension (SEP-2663).
pub(super) fn undeclared(method: &str) -> RpcError {
    let why = format!("{method}: it needs the tasks extension, which the request did not declare");
    let required = json!({ "extensions": { task::EXTENSION: {} } });
    let data = json!({ "requiredCapabilities": required });
    RpcError::new(MISSING_CAPABILITY, why).specified(data)
}

/// Whose task it is, and what it is called there.
fn owner<'a>(
    params: &RawJson,
    snapshot: &'a Snapshot,
) -> Result<(&'a Arc<HttpBackend>, String), String> {
    let task = params.get("taskId").and_then(|task| task.text());
    let task = task.ok_or("\"taskId\" must be a string")?;
    let found = task::apart(&task).and_then(|(name, own)| {
        let mut backends = snapshot.backends.iter();
        let backend = backends.find(|backend| backend.name() == name)?;
        Some((backend, own.to_owned()))
    });
    found.ok_or_else(|| format!("unknown task {task:?}"))
}

async fn ask(
    backend: &Arc<HttpBackend>,
    breaker: &Arc<Breaker>,
    method: &str,
    params: &RawJson,
    target: Option<&str>,
    exchange: &Exchange,
) -> Result<Answer, RpcError> {
    let replay = match method {
        "tasks/update" => Replay::Unsafe,
        _ => Replay::Safe,
    };
    let call = Call {
        method,
        params: Some(params),
        progress: progress_token(params, &ProgressHighWater::default()),
        replay,
        deadline: &backend.deadline(Instant::now(), backend.config.timeout),
        caller: &exchange.client,
        target,
        param_headers: &[],
        handler: &RelatedTaskHandler {
            listener: exchange,
            backend: backend.name(),
        },
    };
    admission::call(backend, breaker, &call, false).await
}

fn named(answer: Answer, backend: &HttpBackend) -> Answer {
    Answer {
        outcome: task::outcome_for_client(answer.outcome, backend.name()),
        ..answer
    }
}
