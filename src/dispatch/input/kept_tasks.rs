//! Tasks of the extension that the gateway keeps for modern clients whose tool runs only as a task of
//! a legacy server (F-X-05).
//!
//! Owns their states, and what requests about them do. The call itself runs on as any that is
//! detached: the server's task is made, polled, and its requests for input are those of the client's
//! task. It must not know how the server is asked.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::detached_call::{CallHandle, DetachedCall, Ended};
use super::input_requests::input_requests;
use crate::dispatch::backend_call::KEPT;
use crate::dispatch::exchange::{Exchange, TaskEvent};
use crate::observe::request_span::RequestSpan;
use crate::protocol::era::legacy;
use crate::protocol::era::modern::ResultType;
use crate::protocol::{
    ClientProfile, Notification, Outcome, RawJson, RequestKey, RpcError, Tally, task,
};
use crate::sync::Mutex;

/// The most tasks that are kept; of a further tool the result is waited for.
pub(super) const MAX_TASKS: usize = 256;

/// What a call's end means to its client, as of a call that is no task.
pub(super) type Finish = fn(&DetachedCall, Ended, &ClientProfile, bool) -> Ended;

/// All tasks that are kept, by the ids that clients know.
#[derive(Default)]
pub(in crate::dispatch) struct KeptTasks(Mutex<HashMap<String, KeptTask>>);

struct KeptTask {
    /// `None` once it has ended or was cancelled.
    call: Option<CallHandle>,
    /// What the server says of its own task.
    said: watch::Receiver<Option<RawJson>>,
    /// How it ended: its status, and the member with what came of it.
    end: Option<(&'static str, Option<(&'static str, RawJson)>)>,
    /// The request that was answered with it.
    key: RequestKey,
    /// Tells of its states, and forgets it in the end.
    _keeper: AbortOnDropHandle<()>,
}

impl KeptTask {
    /// The state as `tasks/get` tells it.
    fn state(&self, id: &str) -> RawJson {
        let said = self.said.borrow().clone();
        let said = said.unwrap_or_else(|| RawJson::trusted("{}"));
        let open = self.call.as_ref().map(|call| call.detached.open_requests());
        let (status, more) = match (&self.end, open) {
            (Some((status, more)), _) => (*status, more.clone()),
            (None, Some(open)) if !open.is_empty() => {
                let requests = input_requests(&open);
                ("input_required", Some(("inputRequests", requests)))
            }
            _ => ("working", None),
        };
        let state = task::for_modern(&said, id, status, KEPT);
        let more = more.map(|(member, value)| (member, value.into_bytes()));
        state.with_members(more.as_slice(), &[])
    }
}

impl KeptTasks {
    /// Keeps the call, whose server has made this task. Returns the result of the client's request, and
    /// what was sent so far.
    ///
    /// # Errors
    /// The call itself, if there is no room.
    pub(super) fn keep(
        self: &Arc<Self>,
        call: CallHandle,
        said: watch::Receiver<Option<RawJson>>,
        exchange: &Exchange,
        finish: Finish,
    ) -> Result<(RawJson, Tally), CallHandle> {
        let own = said
            .borrow()
            .as_ref()
            .and_then(|state| state.get("taskId")?.text());
        let mut tasks = self.0.lock();
        let Some(own) = own.filter(|_| tasks.len() < MAX_TASKS) else {
            return Err(call);
        };
        let backend = &call.detached.call.backend;
        let id = format!("{}:{own}", backend.id_prefix);
        let tally = call.detached.call.tally();
        call.detached.detach();
        let keeper = Keeper {
            tasks: Arc::downgrade(self),
            id: id.clone(),
            detached: Arc::clone(&call.detached),
            exchange: exchange.clone(),
            finish,
        };
        let keeper = RequestSpan::spawn(RequestSpan::current(), keeper.run());
        let kept = KeptTask {
            call: Some(call),
            said,
            end: None,
            key: exchange.key,
            _keeper: AbortOnDropHandle::new(keeper),
        };
        let state = kept.state(&id);
        tasks.insert(id, kept);
        let is_task = [("resultType", Bytes::from_static(b"\"task\""))];
        Ok((state.with_members(&is_task, &[]), tally))
    }

    /// Whether this task is kept here.
    pub(in crate::dispatch) fn has(&self, id: &str) -> bool {
        self.0.lock().contains_key(id)
    }

    /// The result of a request about a task; `None` where it is none that is kept here.
    pub(in crate::dispatch) fn serve(
        &self,
        method: &str,
        id: &str,
        params: &RawJson,
    ) -> Option<RawJson> {
        let mut tasks = self.0.lock();
        let kept = tasks.get_mut(id)?;
        match (method, &kept.call) {
            ("tasks/get", _) => return Some(kept.state(id)),
            ("tasks/update", Some(call)) => {
                let answers = params.get("inputResponses");
                call.detached.answer(|key| answers.as_ref()?.get(key));
            }
            ("tasks/cancel", Some(_)) => {
                // Dropped, it cancels the server's task.
                kept.call = None;
                kept.end = Some(("cancelled", None));
            }
            _ => {}
        }
        Some(RawJson::trusted("{}"))
    }

    /// The response to this request was not sent: nobody knows of its task, which is cancelled.
    pub(super) fn cancel_unknown(&self, key: RequestKey) {
        self.0.lock().retain(|_, kept| kept.key != key);
    }

    /// Cancels all tasks that have not ended.
    pub(super) fn close(&self) -> Vec<CallHandle> {
        let all: Vec<KeptTask> = self.0.lock().drain().map(|(_, kept)| kept).collect();
        all.into_iter().filter_map(|kept| kept.call).collect()
    }

    fn end(&self, id: &str, finished: impl FnOnce(&DetachedCall) -> Ended) {
        let mut tasks = self.0.lock();
        let Some(kept) = tasks.get_mut(id) else {
            return;
        };
        let Some(call) = kept.call.take() else {
            return;
        };
        let said = kept
            .said
            .borrow()
            .as_ref()
            .and_then(|state| state.get("status"));
        let is_cancelled = said.is_some_and(|status| status.as_str() == r#""cancelled""#);
        let failed = |error: RawJson| ("failed", Some(("error", error)));
        let end = match finished(&call.detached) {
            _ if is_cancelled => ("cancelled", None),
            Ok(answer) if answer.result_type == ResultType::InputRequired => {
                let why = "it needs an answer at a URL, which a task can't ask for";
                failed(error_of(call.detached.call.unusable(why)))
            }
            Ok(answer) => match legacy::outcome_for_modern(answer.outcome, None) {
                Outcome::Result(result) => ("completed", Some(("result", result))),
                Outcome::Error(error) => failed(error),
            },
            Err(error) => failed(error_of(error)),
        };
        kept.end = Some(end);
    }
}

fn error_of(error: RpcError) -> RawJson {
    match Outcome::from(error) {
        Outcome::Error(error) | Outcome::Result(error) => error,
    }
}

/// Tells of the states of one task for as long as it is kept, and forgets it then.
struct Keeper {
    tasks: Weak<KeptTasks>,
    id: String,
    detached: Arc<DetachedCall>,
    exchange: Exchange,
    finish: Finish,
}

impl Keeper {
    async fn run(self) {
        let until = Instant::now() + KEPT;
        let _ = timeout_at(until, self.tell()).await;
        // What has ended, or was cancelled, is kept for as long, but not its call.
        let Self {
            tasks,
            id,
            detached,
            exchange,
            ..
        } = self;
        drop((detached, exchange));
        sleep_until(until).await;
        if let Some(tasks) = tasks.upgrade() {
            tasks.0.lock().remove(&id);
        }
    }

    /// Tells of each state; `None` where the task is not kept any more.
    async fn tell(&self) -> Option<()> {
        let Self { id, detached, .. } = self;
        let mut told = Vec::new();
        loop {
            let ended = detached.changed_from(&told).await;
            let is_over = ended.is_some();
            let tasks = self.tasks.upgrade()?;
            if let Some(ended) = ended {
                let client = &self.exchange.client;
                tasks.end(id, |call| (self.finish)(call, ended, client, false));
            }
            let open = detached.open_requests().into_iter();
            told = open.map(|open| open.key).collect();
            let state = tasks.0.lock().get(id)?.state(id);
            let notification = Notification {
                method: task::STATE.to_owned(),
                params: Some(state),
            };
            let _ = self.exchange.events.send(TaskEvent::TaskState {
                backend: detached.call.backend.id,
                notification,
            });
            if is_over {
                return Some(());
            }
        }
    }
}
