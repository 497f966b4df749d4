//! A call that is ready to go to its backend, once or in several rounds.
//!
//! Owns what the backend gets of a client's request (its own name for the thing, the headers that
//! repeat parameters), the one deadline over all rounds, and the plain words for what went wrong.

use std::sync::Arc;

use reqwest::header::HeaderName;
use tokio::time::Instant;

use super::admission;
use super::call_target::{CallTarget, Route};
use super::related::RelatedTaskHandler;
use crate::backend::retry::Replay;
use crate::backend::{
    Answer, BackendError, Call, Deadline, Failed, HttpBackend, ServerMessageHandler,
};
use crate::backend::{LevelGuard, ProgressHighWater, ProgressToken};
use crate::catalog::Entry;
use crate::governance::breaker::Breaker;
use crate::protocol::era::ParamHeader;
use crate::protocol::era::modern::ResultType;
use crate::protocol::raw::quoted;
use crate::protocol::{ClientProfile, Era, Kind, RawJson, RpcError, task};

/// A call, and whom it goes to.
pub(super) struct BackendCall {
    pub(super) backend: Arc<HttpBackend>,
    breaker: Arc<Breaker>,
    pub(super) method: String,
    /// The client's, with the backend's own name in them.
    pub(super) params: RawJson,
    /// Over all rounds.
    pub(super) deadline: Deadline,
    caller: Arc<ClientProfile>,
    is_tool: bool,
    is_task: bool,
    has_meta: bool,
    replay: Replay,
    target: Option<Arc<str>>,
    param_headers: Vec<(HeaderName, String)>,
    reached: ProgressHighWater,
}

impl BackendCall {
    /// Its clock has started when the call had `begun`.
    pub(super) fn new(
        method: String,
        params: RawJson,
        target: &CallTarget,
        route: &Route<'_>,
        caller: Arc<ClientProfile>,
        begun: Instant,
    ) -> Self {
        let backend = route.backend;
        let own_name = route.entry.map(|entry| &entry.own_name);
        let params = match own_name {
            Some(own_name) if **own_name != *target.name => {
                params.with_edits(vec![(target.at.clone(), quoted(own_name))])
            }
            _ => params,
        };
        let tool = route.entry.filter(|_| target.kind == Kind::Tool);
        let timeout = tool.map_or(backend.config.timeout, |tool| {
            backend.config.timeout_of(&tool.own_name)
        });
        let own_target = (method != "completion/complete")
            .then(|| own_name.map_or_else(|| target.name.as_str().into(), Arc::clone));
        Self {
            backend: Arc::clone(backend),
            breaker: Arc::clone(route.breaker),
            deadline: backend.deadline(begun, timeout),
            caller,
            is_tool: target.kind == Kind::Tool,
            is_task: target.is_task,
            has_meta: target.has_meta,
            replay: tool.map_or(Replay::Safe, |tool| replay(backend, tool)),
            target: own_target,
            param_headers: tool.map_or_else(Vec::new, |tool| param_headers(tool, &params)),
            reached: ProgressHighWater::default(),
            method,
            params,
        }
    }

    /// One round, with these params.
    pub(super) async fn send(
        &self,
        params: &RawJson,
        listener: &dyn ServerMessageHandler,
    ) -> Result<Answer, RpcError> {
        let call = Call {
            method: &self.method,
            params: Some(params),
            progress: (self.has_meta)
                .then(|| progress_token(params, &self.reached))
                .flatten(),
            replay: self.replay,
            deadline: &self.deadline,
            caller: &self.caller,
            target: self.target.as_deref(),
            param_headers: &self.param_headers,
            handler: &RelatedTaskHandler {
                listener,
                backend: self.backend.name(),
            },
        };
        let _level = self.hear_logs(&self.caller).await;
        let answer = admission::call(&self.backend, &self.breaker, &call, self.is_tool).await?;
        let is_task = answer.result_type == ResultType::Task || self.is_task;
        Ok(match is_task {
            true => Answer {
                outcome: task::outcome_for_client(answer.outcome, self.backend.name()),
                ..answer
            },
            false => answer,
        })
    }

    /// Has the backend log down to what a request of this client wants, while the guard is held.
    pub(super) async fn hear_logs(&self, client: &ClientProfile) -> Option<LevelGuard> {
        match client.log_level {
            Some(level) if client.era == Era::Modern => {
                // Rare, and large.
                Some(Box::pin(self.backend.want_log_level(level)).await)
            }
            _ => None,
        }
    }

    /// The error that reaches the client.
    pub(super) fn explain(&self, failed: &Failed) -> RpcError {
        admission::explain(&self.backend, failed, self.is_tool)
    }

    /// The error for an answer that came, but can't be used.
    pub(super) fn unusable(&self, why: impl Into<String>) -> RpcError {
        let error = BackendError::BadReply(why.into());
        self.explain(&Failed {
            executed: error.executed(),
            error,
            attempts: 1,
        })
    }
}

/// `_meta.progressToken` and its place, if the client wants progress; `reached` so far.
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

/// Whether a tool may run twice: the user's word first, then the tool's own annotations.
fn replay(backend: &HttpBackend, tool: &Entry) -> Replay {
    Replay::of_tool(backend.config.retry_of(&tool.own_name), tool.safe_to_repeat)
}
