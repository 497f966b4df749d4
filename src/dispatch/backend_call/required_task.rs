//! A tool that runs only as a task (MCP 2025-11-25, basic/utilities/tasks), called by a client that
//! asks for none (F-X-05).
//!
//! Owns the task: it is made, polled until it ends or needs input, and its result is the call's. Its
//! id is nobody else's, and who keeps the call as a task of the client's is told of its states. It must not know how input is requested: the result's stream carries that.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use super::BackendCall;
use crate::backend::retry::Replay;
use crate::backend::{Answer, BackendError, Deadline, HttpBackend, ServerMessageHandler};
use crate::protocol::era::modern::without_key;
use crate::protocol::raw::quoted;
use crate::protocol::{Era, Outcome, RawJson, RpcError, task};

/// Wait between two polls where the server names none, and the limits on what it names.
const POLL: Duration = Duration::from_millis(500);
const MIN_POLL: Duration = Duration::from_millis(50);
const MAX_POLL: Duration = Duration::from_secs(10);

/// How long a call may go on as a task of the client's.
pub(in crate::dispatch) const KEPT: Duration = Duration::from_secs(60 * 60);

/// Cancels a task of the gateway's own, unless it has ended.
struct TaskGuard<'a> {
    backend: &'a Arc<HttpBackend>,
    era: Era,
    id: &'a str,
    is_over: bool,
}

impl Drop for TaskGuard<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.backend.cancel_task(self.era, params_of(self.id));
        }
    }
}

fn params_of(id: &str) -> RawJson {
    RawJson::trusted("{}").with_members(&[("taskId", quoted(id))], &[])
}

impl BackendCall {
    /// Whether the tool runs only as a task, and the client asks for none.
    pub(in crate::dispatch) fn requires_task(&self) -> bool {
        self.requires_task
    }

    /// This call as one that outlives the client's request: the states of its task are reported.
    pub(in crate::dispatch) fn outliving(self, states: watch::Sender<Option<RawJson>>) -> Self {
        let task_states = Some(states);
        Self {
            task_states,
            ..self
        }
    }

    /// Whether the call has to be made as a task of the gateway's own.
    pub(in crate::dispatch) async fn needs_task(&self) -> bool {
        self.requires_task
            && self.era().await == Some(Era::Legacy)
            && self
                .backend
                .capability(&["tasks", "requests", "tools", "call"])
                .is_some()
    }

    async fn era(&self) -> Option<Era> {
        let era = self.deadline.run(self.backend.era()).await;
        era.ok().and_then(Result::ok)
    }

    /// One round, as a task.
    pub(super) async fn send_as_task(
        &self,
        params: &RawJson,
        handler: &dyn ServerMessageHandler,
    ) -> Result<Answer, RpcError> {
        let kept = match &self.task_states {
            Some(_) => KEPT,
            None => self.deadline.left(),
        };
        let task = format!(r#"{{"ttl":{}}}"#, kept.as_millis());
        let params = params.with_members(&[("task", Bytes::from(task))], &[]);
        let made = self
            .request(&self.method, &params, self.replay, &self.deadline, handler)
            .await?;
        let created = match &made.outcome {
            Outcome::Result(result) => result.get("task"),
            Outcome::Error(_) => None,
        };
        let id = created.as_ref().and_then(|task| task.get("taskId")?.text());
        let (Some(mut state), Some(id)) = (created, id) else {
            return Ok(made);
        };
        let mut guard = TaskGuard {
            backend: &self.backend,
            era: self.caller.era,
            id: &id,
            is_over: false,
        };
        let about = params_of(&id);
        let longer = |_| self.backend.deadline(Instant::now(), KEPT);
        let longer = self.task_states.as_ref().map(longer);
        let deadline = longer.as_ref().unwrap_or(&self.deadline);
        while state
            .get("status")
            .is_some_and(|status| status.as_str() == r#""working""#)
        {
            self.report(&state);
            self.wait(&state, deadline).await?;
            let polled = self
                .request("tasks/get", &about, Replay::Safe, deadline, handler)
                .await?;
            match polled.outcome {
                Outcome::Result(now) => state = now,
                Outcome::Error(_) => return Ok(polled),
            }
        }
        self.report(&state);
        let answer = self
            .request("tasks/result", &about, Replay::Safe, deadline, handler)
            .await?;
        guard.is_over = true;
        let outcome = match answer.outcome {
            Outcome::Result(result) => Outcome::Result(without_key(&result, task::RELATED)),
            error @ Outcome::Error(_) => error,
        };
        Ok(Answer { outcome, ..answer })
    }

    fn report(&self, state: &RawJson) {
        if let Some(states) = &self.task_states {
            states.send_replace(Some(state.clone()));
        }
    }

    async fn wait(&self, state: &RawJson, deadline: &Deadline) -> Result<(), RpcError> {
        let interval = state
            .get("pollInterval")
            .and_then(|ms| ms.as_str().parse().ok());
        let interval = interval.map_or(POLL, Duration::from_millis);
        let waited = tokio::time::sleep(interval.clamp(MIN_POLL, MAX_POLL));
        deadline.run(waited).await.map_err(|_| {
            let limit = deadline.limit();
            self.explain(&BackendError::Deadline { sent: true, limit })
        })
    }
}
