//! `tools/call`, `prompts/get`, `resources/read`, `completion/complete`: one call, start to end.
//!
//! Owns the steps: read the target, find its backend, send, write the response. Of the params it reads
//! only what calls are routed by; the rest stays the client's bytes. It must not know how input is
//! requested in between.

mod explain;
mod listed;
mod own_tools;
mod sign_in;
mod status_tool;

use std::sync::Arc;

use tokio::time::Instant;

use super::answer::{Place, limit_later, limited};
use super::answer::{for_client, sized_for_client, to_client_error};
use super::backend_call::BackendCall;
use super::call_target::{CallTarget, Route};
use super::exchange::Exchange;
use super::input::{self, ParkedCalls};
use crate::backend::Answer;
use crate::backend::retry::Replay;
use crate::catalog::{Promise, shape_unpromised};
use crate::observe::request_span::RequestSpan;
use crate::protocol::era::modern::ResultType;
use crate::protocol::error::{HEADER_MISMATCH, INVALID_PARAMS, code_of};
use crate::protocol::raw::quoted;
use crate::protocol::{Era, Executed, Kind, Outcome, RawJson, Request, RpcError, Tally};
use crate::snapshot::{Snapshot, Snapshots};
use listed::{blocked, listed, relisted_snapshot, settled_in_time};
use own_tools::OwnTool;

/// Serves one call.
pub(super) async fn call(
    request: Request,
    mut snapshots: Snapshots,
    exchange: Exchange,
    parked: Arc<ParkedCalls>,
) -> Outcome {
    let (begun, method) = (Instant::now(), request.method);
    let mut params = request.params.unwrap_or_else(|| RawJson::trusted("{}"));
    let era = exchange.client.era;
    let read = |params: &RawJson| -> Result<CallTarget, RpcError> {
        let invalid = |why| RpcError::new(INVALID_PARAMS, format!("{method}: {why}"));
        let target = CallTarget::read(&method, params).map_err(invalid)?;
        exchange.note_target(&target.name, params);
        Ok(target)
    };
    let mut target = match read(&params) {
        Ok(target) => target,
        Err(error) => return error.into(),
    };
    let snapshot = match settled_in_time(&snapshots, target.kind, begun).await {
        Ok(snapshot) => snapshot,
        Err(error) => return refused(error, &exchange, &method, &snapshots.borrow()),
    };
    let own = own_tools::own_tool(&target, &snapshot);
    match own {
        None => {}
        Some(OwnTool::Call) => {
            params = match own_tools::unwrapped(&params, &snapshot) {
                Ok(params) => params,
                Err(why) => {
                    return exchange.noted_answer(own_tools::answer(Err(why), era, &snapshot));
                }
            };
            target = match read(&params) {
                Ok(target) => target,
                Err(error) => return error.into(),
            };
        }
        Some(tool) => {
            let answer = own_tools::serve(tool, &params, &exchange, snapshot).await;
            return exchange.noted_answer(answer);
        }
    }
    let run = Run {
        method: &method,
        params: &params,
        target: &target,
        exchange: &exchange,
        parked: &parked,
        begun,
        before: Tally::NONE,
    };
    let (answer, snapshot) = run.with_sign_in(snapshot, &mut snapshots).await;
    let answer = match own {
        Some(_) => explain::explained(answer, &target, &snapshot, &params).await,
        None => answer,
    };
    response(answer, &exchange, &target, &method, &snapshot).await
}

/// What the client gets.
async fn response(
    answer: Result<Answer, RpcError>,
    exchange: &Exchange,
    target: &CallTarget,
    method: &str,
    snapshot: &Arc<Snapshot>,
) -> Outcome {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return refused(error, exchange, method, snapshot),
    };
    exchange.note(Ok(&answer));
    let client = &exchange.client;
    let uri = (target.kind == Kind::Resource).then_some(target.name.as_str());
    let backend = match answer.is_small() {
        true => None,
        false => target.route(snapshot).map(|route| route.backend),
    };
    match backend {
        // Rare, and a large future.
        Some(backend) => {
            Box::pin(sized_for_client(
                answer, backend, client, method, uri, snapshot,
            ))
            .await
        }
        None => for_client(answer, client, method, uri, snapshot),
    }
}

/// The error of a call without an answer.
fn refused(error: RpcError, exchange: &Exchange, method: &str, snapshot: &Snapshot) -> Outcome {
    exchange.note(Err(&error));
    to_client_error(error, exchange.client.era, method, snapshot)
}

/// The answer of a tool whose results may be limited.
async fn within_limit(
    answer: Result<Answer, RpcError>,
    target: &CallTarget,
    snapshot: &Snapshot,
) -> Result<Answer, RpcError> {
    let answer = answer?;
    let Some(route) = target.route(snapshot) else {
        return Ok(answer);
    };
    let tool = route.tool(target.kind);
    let tokens = tool.and_then(|tool| route.backend.config.max_result_tokens_of(&tool.own_name));
    if target.is_task || answer.result_type == ResultType::Task {
        limit_later(&answer, tokens, snapshot);
    }
    Ok(match tokens {
        Some(tokens) => limited(answer, tokens, Place::Whole, snapshot).await,
        None => answer,
    })
}

/// One call, whatever snapshot it is routed by.
struct Run<'a> {
    method: &'a str,
    params: &'a RawJson,
    target: &'a CallTarget,
    exchange: &'a Exchange,
    parked: &'a Arc<ParkedCalls>,
    begun: Instant,
    /// What was sent for it before a sign-in.
    before: Tally,
}

impl Run<'_> {
    /// Whether the call may run twice.
    fn is_safe(&self, snapshot: &Snapshot) -> bool {
        let route = self.target.route(snapshot);
        route.is_some_and(|route| route.replay(self.target.kind) == Replay::Safe)
    }

    /// Runs it by what its backend lists now. Returns the snapshot that it was routed by, too.
    async fn to_the_end(
        &self,
        mut snapshot: Arc<Snapshot>,
        snapshots: &mut Snapshots,
    ) -> (Result<Answer, RpcError>, Arc<Snapshot>) {
        let (target, begun) = (self.target, self.begun);
        snapshot = listed(target, snapshot, snapshots, begun).await;
        let mut answer = self.on(&snapshot, self.before).await;
        if let Some(before) = tally_of_header_mismatch(&answer)
            && (before.executed == Executed::No || self.is_safe(&snapshot))
            && let Some(fresh) = relisted_snapshot(target, &snapshot, snapshots, begun).await
        {
            snapshot = fresh;
            answer = self.on(&snapshot, before).await;
        }
        if snapshot.reads_more() && target.kind == Kind::Tool {
            // Rare, and a large future.
            answer = Box::pin(within_limit(answer, target, &snapshot)).await;
        }
        (answer, snapshot)
    }

    /// Runs it, after what was sent `before`.
    async fn on(&self, snapshot: &Arc<Snapshot>, before: Tally) -> Result<Answer, RpcError> {
        let Self {
            method,
            params,
            target,
            exchange,
            parked,
            begun: _,
            before: _,
        } = *self;
        let route = target.route(snapshot);
        if let Some(route) = &route {
            exchange.note_backend(route.backend, route.own_name());
        }
        if let Some(resumed) = input::resumed(method, params, exchange, parked) {
            // Rare, and a large future: boxed, it takes no room in every other call.
            let (answer, backend) = Box::pin(resumed).await?;
            let tool = route.as_ref().and_then(|route| route.tool(target.kind));
            let promise = tool.and_then(|tool| tool.promise.clone());
            let answer = self.shaped(answer, promise, route.as_ref()).await;
            return Ok(match route {
                Some(route) => {
                    // The same server may have another connection by now.
                    let is_same = route.backend.id_prefix == backend.id_prefix;
                    let backend = if is_same { route.backend } else { &backend };
                    let route = Route { backend, ..route };
                    self.with_client_uris(answer, &route, snapshot).await
                }
                None => answer,
            });
        }
        let Some(route) = route else {
            let blocked = blocked(target, snapshot).or_else(|| target.switched_off(snapshot));
            let unknown = || target.unknown(snapshot, exchange.client.era);
            return Err(blocked.unwrap_or_else(unknown));
        };
        let tool = route.tool(target.kind);
        RequestSpan::set_target(&route.backend.config.name, tool.map(|tool| &tool.own_name));
        let call = self.ready(&route, snapshot)?;
        let promise = tool.and_then(|tool| tool.promise.clone());
        let call = call.after(before, exchange.record.as_ref());
        let answer = input::forward(call, params, exchange, parked).await?;
        let answer = self.shaped(answer, promise, Some(&route)).await;
        Ok(self.with_client_uris(answer, &route, snapshot).await)
    }

    /// The call as its backend gets it.
    fn ready(&self, route: &Route<'_>, snapshot: &Snapshot) -> Result<BackendCall, RpcError> {
        let (method, params) = (self.method.to_owned(), self.params.clone());
        let caller = Arc::clone(&self.exchange.client);
        let admission = &snapshot.admission;
        BackendCall::new(
            method,
            params,
            self.target,
            route,
            admission,
            caller,
            self.begun,
        )
    }

    /// The answer with the URIs that clients use for the backend's resources.
    async fn with_client_uris(
        &self,
        answer: Answer,
        route: &Route<'_>,
        snapshot: &Arc<Snapshot>,
    ) -> Answer {
        let outcome = match answer.outcome {
            Outcome::Result(result) => {
                Outcome::Result(snapshot.with_client_uris(route.backend, result).await)
            }
            Outcome::Error(error) => Outcome::Error(match route.own_name() {
                Some(own) if self.target.kind.is_uri() && **own != *self.target.name => {
                    with_data_uri(error, own, &self.target.name)
                }
                _ => error,
            }),
        };
        Answer { outcome, ..answer }
    }

    /// The answer of a tool, with its structured content as the client can read it.
    async fn shaped(
        &self,
        answer: Answer,
        promise: Option<Arc<Promise>>,
        route: Option<&Route<'_>>,
    ) -> Answer {
        let client = self.exchange.client.era;
        let is_final = answer.result_type == ResultType::Complete && self.target.kind == Kind::Tool;
        let unpromised = (answer.era, client) == (Era::Modern, Era::Legacy);
        if !is_final || (promise.is_none() && !unpromised) {
            return answer;
        }
        let is_small = answer.is_small();
        let shape = move |outcome| match (outcome, &promise) {
            (Outcome::Result(result), Some(promise)) => {
                Outcome::Result(promise.shape(&result, client))
            }
            (Outcome::Result(result), None) => Outcome::Result(shape_unpromised(&result)),
            (error, _) => error,
        };
        let outcome = match route.filter(|_| !is_small) {
            // Rare, and a large future.
            Some(route) => Box::pin(route.backend.edited(answer.outcome, shape)).await,
            None => shape(answer.outcome),
        };
        Answer { outcome, ..answer }
    }
}

/// An error about a resource with the client's URI of it in its data.
fn with_data_uri(error: RawJson, own: &str, shown: &str) -> RawJson {
    let Some(data) = error.get("data") else {
        return error;
    };
    if data.get("uri").and_then(|uri| uri.text()).as_deref() != Some(own) {
        return error;
    }
    let data = data.with_members(&[("uri", quoted(shown))], &[]);
    error.with_members(&[("data", data.into_bytes())], &[])
}

/// The tally of a call whose headers a modern backend has refused: the tool may require other
/// parameters in headers than its last known definition says. `None` for any other answer.
fn tally_of_header_mismatch(answer: &Result<Answer, RpcError>) -> Option<Tally> {
    match answer {
        Ok(Answer {
            outcome: Outcome::Error(error),
            era: Era::Modern,
            tally,
            ..
        }) => (code_of(error) == Some(HEADER_MISMATCH)).then_some(*tally),
        _ => None,
    }
}
