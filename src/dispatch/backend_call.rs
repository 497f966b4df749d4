//! A call that is ready to be sent to its backend, once or in several rounds.
//!
//! Owns what the backend gets of a client's request (its own name for the target, headers that repeat
//! parameters), the one deadline over all rounds, and the errors for what went wrong. It must not know
//! how a backend was found, nor when there is another round.

pub(super) mod admission;
mod arguments;
mod relay;
mod required_task;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use reqwest::header::HeaderName;
use tokio::sync::watch;
use tokio::time::Instant;

use super::call_target::{CallTarget, Route};
use crate::backend::retry::Replay;
use crate::backend::{Answer, BackendError, Call, Deadline, HttpBackend, ServerMessageHandler};
use crate::backend::{LevelGuard, ProgressHighWater, ProgressToken};
use crate::call_report::{CallSums, RunningTally};
use crate::catalog::Entry;
use crate::client::attribution::attributed_outcome;
use crate::governance::{Admission, ClientCall};
use crate::observe::audit::OpenRecord;
use crate::protocol::era::ParamHeader;
use crate::protocol::era::modern::ResultType;
use crate::protocol::raw::quoted;
use crate::protocol::{ClientProfile, Era, Outcome, RawJson, RpcError, Tally, task};
pub(super) use relay::RelayHandler;
pub(crate) use relay::{request_uris_for_client, server_request_for_client, updated_for_client};
pub(super) use required_task::KEPT;

/// Setting a log level may take one part in so many of the time that a call has left.
const LEVEL_SHARE: u32 = 4;

/// A call, and the backend that it goes to.
pub(super) struct BackendCall {
    pub(super) backend: Arc<HttpBackend>,
    admission: Arc<Admission>,
    pub(super) method: String,
    /// The client's, with the backend's own name in them.
    pub(super) params: RawJson,
    /// Over all rounds.
    pub(super) deadline: Deadline,
    caller: Arc<ClientProfile>,
    /// The backend's own name of the tool that it runs, if it runs one.
    tool: Option<Arc<str>>,
    is_task: bool,
    /// The tool runs only as a task, and the client asks for none.
    requires_task: bool,
    /// Where the states of its task are reported, if the call goes on as a task of the client's.
    task_states: Option<watch::Sender<Option<RawJson>>>,
    has_meta: bool,
    replay: Replay,
    target: Option<Arc<str>>,
    param_headers: Vec<(HeaderName, String)>,
    reached: ProgressHighWater,
    tally: RunningTally,
    /// Its calls are in the trace of this one.
    record: Option<Arc<OpenRecord>>,
    /// Limits have counted it.
    is_counted: AtomicBool,
}

impl BackendCall {
    /// Its deadline counts from `begun`.
    ///
    /// # Errors
    /// If the config does not allow its arguments.
    pub(super) fn new(
        method: String,
        params: RawJson,
        target: &CallTarget,
        route: &Route<'_>,
        admission: &Arc<Admission>,
        caller: Arc<ClientProfile>,
        begun: Instant,
    ) -> Result<Self, RpcError> {
        let backend = route.backend;
        let own_name = route.own_name();
        let params = match own_name {
            Some(own_name) if **own_name != *target.name => {
                params.with_edits(vec![(target.at.clone(), quoted(own_name))])
            }
            _ => params,
        };
        let tool = route.tool(target.kind);
        let params = match tool {
            Some(tool) => arguments::guarded(params, tool, backend)?,
            None => params,
        };
        // The modern era has no such member.
        let is_task = target.is_task && caller.era == Era::Legacy;
        let params = match target.is_task && !is_task {
            true => params.with_members(&[], &["task"]),
            false => params,
        };
        let own_target = (method != "completion/complete")
            .then(|| own_name.map_or_else(|| target.name.as_str().into(), Arc::clone));
        Ok(Self {
            backend: Arc::clone(backend),
            admission: Arc::clone(admission),
            deadline: backend.deadline(begun, route.timeout()),
            caller,
            tool: tool.map(|tool| Arc::clone(&tool.own_name)),
            is_task,
            requires_task: tool.is_some_and(|tool| tool.requires_task) && !is_task,
            task_states: None,
            has_meta: target.has_meta,
            replay: route.replay(target.kind),
            target: own_target,
            param_headers: tool.map_or_else(Vec::new, |tool| param_headers(tool, &params)),
            reached: ProgressHighWater::default(),
            tally: RunningTally::after(Tally::NONE),
            record: None,
            is_counted: AtomicBool::new(false),
            method,
            params,
        })
    }

    /// This call after what was sent `before` for the same request of the client. Its reports are
    /// added up for the record of that request, if there is one.
    pub(super) fn after(self, before: Tally, record: Option<&Arc<OpenRecord>>) -> Self {
        Self {
            tally: RunningTally::after(before).summed(record.map(|record| record.sums())),
            record: record.map(Arc::clone),
            is_counted: AtomicBool::new(before.attempts > 0),
            ..self
        }
    }

    /// Where its reports are added up, if they are.
    pub(super) fn sums(&self) -> Option<&Arc<CallSums>> {
        self.tally.sums()
    }

    /// One round, with these params.
    pub(super) async fn send(
        &self,
        params: &RawJson,
        handler: &dyn ServerMessageHandler,
    ) -> Result<Answer, RpcError> {
        if self.requires_task && self.needs_task().await {
            // Rare, and a large future.
            return Box::pin(self.send_as_task(params, handler)).await;
        }
        self.request(&self.method, params, self.replay, &self.deadline, handler)
            .await
    }

    async fn request(
        &self,
        method: &str,
        params: &RawJson,
        replay: Replay,
        deadline: &Deadline,
        handler: &dyn ServerMessageHandler,
    ) -> Result<Answer, RpcError> {
        let call = Call {
            method,
            params: Some(params),
            progress: (self.has_meta)
                .then(|| progress_token(params, &self.reached))
                .flatten(),
            replay,
            deadline,
            caller: &self.caller,
            target: self.target.as_deref(),
            param_headers: &self.param_headers,
            request: self.record.as_ref().and_then(|record| record.trace()),
            handler: &RelayHandler {
                handler,
                backend: &self.backend,
            },
        };
        let _level = self.hold_log_level(&self.caller).await;
        let tool = self.tool.as_deref();
        // Rounds, and requests about a task of the gateway's own, belong to the same call.
        let is_first = !self.is_counted.swap(true, Relaxed);
        let counted = is_first.then_some(ClientCall { tool, params });
        let (backend, admission) = (&self.backend, &self.admission);
        let is_tool = tool.is_some();
        let calling = admission::call(backend, admission, &call, is_tool, counted, &self.tally);
        let mut answer = calling.await?;
        let is_error = matches!(answer.outcome, Outcome::Error(_));
        if is_error || answer.result_type == ResultType::InputRequired {
            answer.outcome = attributed(&self.backend, answer.outcome).await;
        }
        let is_task = answer.result_type == ResultType::Task || self.is_task;
        if is_task {
            let prefix = Arc::clone(&self.backend.id_prefix);
            let naming = move |outcome| task::outcome_for_client(outcome, &prefix);
            // Rare, and a large future.
            answer.outcome = Box::pin(self.backend.edited(answer.outcome, naming)).await;
        }
        Ok(answer)
    }

    /// Has the backend log at the level that a request of this client wants, while the guard is held.
    /// A server that does not take the level in a part of the time left gets the call without it.
    pub(super) async fn hold_log_level(&self, client: &ClientProfile) -> Option<LevelGuard> {
        match client.log_level {
            Some(level) if client.era == Era::Modern => {
                // Rare, and a large future.
                let limit = self.deadline.left() / LEVEL_SHARE;
                Some(Box::pin(self.backend.want_log_level(level, limit)).await)
            }
            _ => None,
        }
    }

    /// The client is asked for input, and continues the call with another request.
    pub(super) fn expect_round(&self) {
        self.admission.expect_round(self.backend.id);
    }

    /// The client is invited to make the call again.
    pub(super) fn expect_repeat(&self) {
        let (tool, params) = (self.tool.as_deref(), &self.params);
        let call = ClientCall { tool, params };
        self.admission.expect_repeat(self.backend.id, call);
    }

    /// The requests so far, over all rounds, and whether the tool may have run.
    pub(super) fn tally(&self) -> Tally {
        self.tally.so_far()
    }

    /// The error that the client gets for a failure after the rounds so far.
    pub(super) fn explain(&self, error: &BackendError) -> RpcError {
        admission::explain(&self.backend, error, self.tally(), self.tool.is_some())
    }

    /// The error for a response that came, but can't be used.
    pub(super) fn unusable(&self, why: impl Into<String>) -> RpcError {
        self.explain(&BackendError::BadReply(why.into()))
    }
}

/// `_meta.progressToken` and its place, if the client wants progress; `reached` is the progress
/// so far.
pub(super) fn progress_token(
    params: &RawJson,
    reached: &ProgressHighWater,
) -> Option<ProgressToken> {
    let [meta] = params.locate_members(["_meta"]).ok()?;
    let meta = meta?;
    let [token] = params
        .slice(meta.clone())
        .locate_members(["progressToken"])
        .ok()?;
    let at = token.map(|token| meta.start + token.start..meta.start + token.end)?;
    Some(ProgressToken {
        token: params.slice(at.clone()),
        at,
        reached: reached.clone(),
    })
}

/// The headers that repeat parameters of a call, as the tool's definition asks for.
fn param_headers(tool: &Entry, params: &RawJson) -> Vec<(HeaderName, String)> {
    if tool.param_headers.is_empty() {
        return Vec::new();
    }
    let arguments = params.get("arguments");
    let arguments = arguments.unwrap_or_else(|| RawJson::trusted("{}"));
    let header = |param_header: &ParamHeader| {
        let name = HeaderName::from_bytes(param_header.header.as_bytes()).ok()?;
        Some((name, param_header.value(&arguments)?))
    };
    tool.param_headers.iter().filter_map(header).collect()
}

/// An outcome with every request for input in it attributed to the backend, as
/// [`attributed_outcome`] does.
pub(super) async fn attributed(backend: &HttpBackend, outcome: Outcome) -> Outcome {
    let name = backend.name().to_owned();
    // Rare, and a large future.
    let attributing = backend.edited(outcome, move |outcome| attributed_outcome(outcome, &name));
    Box::pin(attributing).await
}
