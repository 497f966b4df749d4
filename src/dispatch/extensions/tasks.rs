//! `tasks/get`, `tasks/result`, `tasks/update`, `tasks/cancel`, `tasks/list`: tasks of backends, under
//! ids that name their backend.
//!
//! Owns these methods, and the task ids and URIs in notifications outside of calls. It must not know what such
//! an id looks like: [`crate::protocol::task`] defines that.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::merged::{Part, merged};
use super::request::ExtensionRequest;
use crate::backend::retry::Replay;
use crate::backend::{Answer, HttpBackend};
use crate::client::attribution::{completion_for_client, with_input_requests};
use crate::client::capabilities::tasks_undeclared;
use crate::dispatch::answer::{Place, limit_of_task, limited};
use crate::dispatch::answer::{sized_for_client, to_client_error, unknown_cursor};
use crate::dispatch::backend_call::{admission, attributed};
use crate::dispatch::exchange::Exchange;
use crate::dispatch::input::ParkedCalls;
use crate::observe::request_span::RequestSpan;
use crate::protocol::era::modern::{ResultType, with_backend_inside};
use crate::protocol::error::INVALID_PARAMS;
use crate::protocol::raw::quoted;
use crate::protocol::{Era, Notification, Outcome, RawJson, Request, RpcError, Tally, task};
use crate::snapshot::{Snapshot, Snapshots};

/// Serves a method about one task.
pub(in crate::dispatch) async fn of_one(
    request: Request,
    snapshots: Snapshots,
    exchange: Exchange,
    parked: Arc<ParkedCalls>,
) -> Outcome {
    let begun = Instant::now();
    let snapshot = Arc::clone(&snapshots.borrow());
    let (method, era) = (request.method.as_str(), exchange.client.era);
    let params = request.params.unwrap_or_else(|| RawJson::trusted("{}"));
    if era == Era::Modern && !exchange.client.declares(&["extensions", task::EXTENSION]) {
        return tasks_undeclared(method).into();
    }
    let owner = owner(method, &params, &snapshot);
    let may_be_kept = era == Era::Modern && owner.is_ok();
    let kept = may_be_kept.then(|| kept(method, &params, &parked));
    let answer = match (owner, kept) {
        (Ok((backend, _)), Some(Some(result))) => {
            RequestSpan::set_target(&backend.config.name, None);
            let answer = complete(result, backend);
            Ok((with_uris(answer, backend, &snapshot).await, backend))
        }
        // The tasks of a legacy server have another form.
        (Ok((backend, own)), Some(None)) if backend.known_era() == Some(Era::Legacy) => {
            let why = format!("unknown task {own:?} of {}", backend.name());
            Err(unknown(method, &why))
        }
        (Ok((backend, own)), _) => {
            RequestSpan::set_target(&backend.config.name, None);
            let params = params.with_members(&[("taskId", quoted(&own))], &[]);
            let request = ExtensionRequest::new(backend, &snapshot, &exchange, begun);
            let answer = send(&request, method, &params, Some(&own)).await;
            match answer {
                Ok(answer) => {
                    let answer = named(answer, backend).await;
                    Ok((with_uris(answer, backend, &snapshot).await, backend))
                }
                Err(error) => Err(error),
            }
        }
        (Err(error), _) => Err(error),
    };
    match answer {
        Ok((mut answer, backend)) => {
            if snapshot.reads_more() {
                // Rare, and a large future.
                answer = Box::pin(within_limit(answer, &params, method, &snapshot)).await;
            }
            let client = &exchange.client;
            sized_for_client(answer, backend, client, method, None, &snapshot).await
        }
        Err(error) => to_client_error(error, era, method, &snapshot),
    }
}

fn unknown(method: &str, why: &str) -> RpcError {
    RpcError::new(INVALID_PARAMS, format!("{method}: {why}"))
}

/// The result of a request about a task that is kept for modern clients.
fn kept(method: &str, params: &RawJson, parked: &ParkedCalls) -> Option<RawJson> {
    let id = params.get("taskId")?.text()?;
    parked.tasks.serve(method, &id, params)
}

/// An answer on behalf of this backend.
fn complete(result: RawJson, backend: &HttpBackend) -> Answer {
    Answer {
        outcome: Outcome::Result(result),
        era: Era::Modern,
        result_type: ResultType::Complete,
        tally: Tally::NONE,
        backend: Some(Arc::clone(&backend.config.name)),
    }
}

/// The answer to a request about a task, with the result of its tool within its limit.
async fn within_limit(
    answer: Answer,
    params: &RawJson,
    method: &str,
    snapshot: &Snapshot,
) -> Answer {
    let place = match method {
        "tasks/result" => Place::Whole,
        "tasks/get" => Place::Member("result"),
        _ => return answer,
    };
    let id = params.get("taskId").and_then(|id| id.text());
    match id.and_then(|id| limit_of_task(&id, snapshot)) {
        Some(tokens) => limited(answer, tokens, place, snapshot).await,
        None => answer,
    }
}

/// Serves `tasks/list`: the tasks of every backend that lists them, in config order. A backend that
/// fails costs its own tasks only, and is logged.
pub(in crate::dispatch) async fn list(
    request: Request,
    snapshots: Snapshots,
    exchange: Exchange,
) -> Outcome {
    let cursor = request
        .params
        .as_ref()
        .and_then(|params| params.get("cursor"));
    if cursor.is_some_and(|cursor| cursor.as_str() != "null") {
        return unknown_cursor("tasks/list").into();
    }
    let snapshot = Arc::clone(&snapshots.borrow());
    let listing = snapshot
        .backends
        .iter()
        .filter(|backend| backend.capability(&["tasks", "list"]).is_some());
    let all = join_all(listing.map(|backend| tasks_of(backend, &snapshot, &exchange))).await;
    Outcome::Result(merged("tasks", all, None).await)
}

async fn tasks_of(backend: &Arc<HttpBackend>, snapshot: &Snapshot, exchange: &Exchange) -> Part {
    let mut tasks = Part::new(backend);
    let mut params = RawJson::trusted("{}");
    let request = ExtensionRequest::new(backend, snapshot, exchange, Instant::now());
    loop {
        let page = match send(&request, "tasks/list", &params, None).await {
            Ok(answer) => named(answer, backend).await.outcome,
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
        let next;
        (tasks, next) = tasks.with_page("tasks", page).await;
        let Some(cursor) = next else { break };
        params = params.with_members(&[("cursor", cursor.into_bytes())], &[]);
    }
    tasks
}

/// States of tasks up to this size are mapped on the loop, in bytes.
const SMALL_STATE: usize = 16 * 1024;

/// A notification for [`large_notice_for_client`]: what is left to do is too much for the loop.
#[derive(Debug)]
pub(crate) struct LargeNotice {
    notification: Notification,
    /// It has the task id and the input requests of clients already.
    is_named: bool,
}

/// A notification that a backend sends outside of calls, with its tasks under the ids that clients
/// use.
///
/// # Errors
/// [`LargeNotice`], where the rest is no work for the loop.
pub(crate) fn notice_for_client(
    notification: Notification,
    backend: &HttpBackend,
    snapshot: &Snapshot,
) -> Result<Notification, LargeNotice> {
    let Notification { method, params } = notification;
    let with = |method, params| Notification { method, params };
    let prefix = &*backend.id_prefix;
    match method.as_str() {
        task::STATUS | task::STATE => {}
        "notifications/resources/updated" => {
            let notification = with(method, task::related_for_client(params, prefix));
            return Ok(snapshot.with_client_uri(backend, notification));
        }
        _ => {
            let params = completion_for_client(&method, params, backend.name());
            return Ok(with(method, task::related_for_client(params, prefix)));
        }
    }
    // Some modern servers use the older name.
    let method = match backend.known_era() {
        Some(Era::Modern) => task::STATE.to_owned(),
        _ => method,
    };
    let notification = with(method, params);
    let params = notification.params.as_ref();
    if params.is_some_and(|params| params.as_bytes().len() > SMALL_STATE) {
        return Err(LargeNotice {
            notification,
            is_named: false,
        });
    }
    let params = params.map(|params| named_state(params, prefix, backend.name()));
    state_for_client(with(notification.method, params), backend, snapshot)
}

/// The state of a task, with its id and its input requests as clients know them.
fn named_state(state: &RawJson, prefix: &str, backend: &str) -> RawJson {
    with_input_requests(task::for_client(state, prefix), backend)
}

/// A notification of the state of a task, which has the id and the input requests of clients
/// already, in the client's terms.
///
/// # Errors
/// Those of [`notice_for_client`].
pub(crate) fn state_for_client(
    notification: Notification,
    backend: &HttpBackend,
    snapshot: &Snapshot,
) -> Result<Notification, LargeNotice> {
    let Notification { method, params } = notification;
    let mapped = match params {
        Some(params) if snapshot.reads_more() && params.get("result").is_some() => Err(params),
        Some(params) => snapshot.with_client_uris_at_once(backend, params),
        None => return Ok(Notification { method, params }),
    };
    let state = mapped.map(|mapped| with_sender(&method, mapped, backend.name()));
    let with = |params| Notification {
        method,
        params: Some(params),
    };
    match state {
        Ok(state) => Ok(with(state)),
        Err(large) => Err(LargeNotice {
            notification: with(large),
            is_named: true,
        }),
    }
}

/// The state of a task, whose result says which backend it is from.
fn with_sender(method: &str, state: RawJson, backend: &str) -> RawJson {
    match method {
        task::STATE => with_backend_inside(state, "result", backend),
        _ => state,
    }
}

/// Does what is left: the ids and the URIs that clients use, the result of a tool within its limit, and who
/// it is from.
pub(crate) async fn large_notice_for_client(
    large: LargeNotice,
    backend: &Arc<HttpBackend>,
    snapshot: &Arc<Snapshot>,
) -> Notification {
    let Notification { method, params } = large.notification;
    let Some(mut params) = params else {
        return Notification { method, params };
    };
    if !large.is_named {
        let (state, sender) = (params.clone(), Arc::clone(backend));
        let naming = move || named_state(&state, &sender.id_prefix, sender.name());
        let naming = backend.off_loop(naming);
        params = backend.charged(&params, naming.await);
    }
    let params = snapshot.with_client_uris(backend, params).await;
    let state = complete(params.clone(), backend);
    let state = within_limit(state, &params, "tasks/get", snapshot).await;
    let (of, name) = (method.clone(), backend.name().to_owned());
    let attributing = move |outcome| match outcome {
        Outcome::Result(state) => Outcome::Result(with_sender(&of, state, &name)),
        error @ Outcome::Error(_) => error,
    };
    let params = match backend.edited(state.outcome, attributing).await {
        Outcome::Result(params) | Outcome::Error(params) => Some(params),
    };
    Notification { method, params }
}

/// The backend that has the task, and its own id of the task.
fn owner<'a>(
    method: &str,
    params: &RawJson,
    snapshot: &'a Snapshot,
) -> Result<(&'a Arc<HttpBackend>, String), RpcError> {
    let task = params.get("taskId").and_then(|task| task.text());
    let task = task.ok_or_else(|| unknown(method, "\"taskId\" must be a string"))?;
    match snapshot.backends.of_id(&task) {
        Some((backend, Some(own))) => Ok((backend, own.to_owned())),
        Some((backend, None)) => Err(admission::replaced(backend, "task", true)),
        None => Err(unknown(method, &format!("unknown task {task:?}"))),
    }
}

/// The backend that has the task with this id of clients, and its own id of it.
pub(in crate::dispatch) fn owner_of_task<'a, 'b>(
    task: &'b str,
    snapshot: &'a Snapshot,
) -> Option<(&'a Arc<HttpBackend>, &'b str)> {
    let (backend, own) = snapshot.backends.of_id(task)?;
    Some((backend, own?))
}

/// Sends a request about tasks.
async fn send(
    request: &ExtensionRequest<'_>,
    method: &str,
    params: &RawJson,
    target: Option<&str>,
) -> Result<Answer, RpcError> {
    let replay = match method {
        "tasks/update" => Replay::Unsafe,
        _ => Replay::Safe,
    };
    let mut answer = request.send(method, params, target, replay).await?;
    if method == "tasks/get" && matches!(answer.outcome, Outcome::Result(_)) {
        answer.outcome = attributed(request.backend, answer.outcome).await;
    }
    Ok(answer)
}

async fn with_uris(answer: Answer, backend: &Arc<HttpBackend>, snapshot: &Arc<Snapshot>) -> Answer {
    let outcome = match answer.outcome {
        Outcome::Result(result) => {
            Outcome::Result(snapshot.with_client_uris(backend, result).await)
        }
        error @ Outcome::Error(_) => error,
    };
    Answer { outcome, ..answer }
}

async fn named(answer: Answer, backend: &HttpBackend) -> Answer {
    let prefix = Arc::clone(&backend.id_prefix);
    let naming = move |outcome| task::outcome_for_client(outcome, &prefix);
    // Rare, and a large future.
    let outcome = Box::pin(backend.edited(answer.outcome, naming)).await;
    Answer { outcome, ..answer }
}
