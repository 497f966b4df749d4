//! A detached call while it runs.
//!
//! Owns its task: dropping the handle cancels the call, and its end is noted however it ends.

use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;

use super::{DetachedCall, Ended};
use crate::dispatch::backend_call::BackendCall;
use crate::dispatch::exchange::{Exchange, failed};
use crate::observe::request_span::RequestSpan;

/// A call that runs beside the request it was made for. Dropping it cancels the call.
pub(in crate::dispatch::input) struct CallHandle {
    pub(in crate::dispatch::input) detached: Arc<DetachedCall>,
    task: AbortOnDropHandle<()>,
}

impl CallHandle {
    /// Starts a call on behalf of this request.
    pub(in crate::dispatch::input) fn begin(call: BackendCall, exchange: Exchange) -> Self {
        let detached = Arc::new(DetachedCall::new(call, exchange));
        let running = RunGuard::new(&detached).run();
        let task = RequestSpan::spawn(RequestSpan::current(), running);
        let task = AbortOnDropHandle::new(task);
        Self { detached, task }
    }

    /// Cancels the call.
    pub(in crate::dispatch::input) fn cancel(&self) {
        self.task.abort();
    }

    /// Waits until its task has ended.
    pub(in crate::dispatch::input) async fn ended(self) {
        let _ = self.task.await;
    }
}

/// The call while it runs. Dropping it marks the call as ended, also after a panic or an abort.
struct RunGuard {
    detached: Arc<DetachedCall>,
    end: Option<Ended>,
}

impl RunGuard {
    /// Not yet sent.
    fn new(detached: &Arc<DetachedCall>) -> Self {
        Self {
            detached: Arc::clone(detached),
            end: Some(Err(failed())),
        }
    }

    /// Runs the call.
    async fn run(mut self) {
        let DetachedCall { call, .. } = &*self.detached;
        self.end = Some(call.send(&call.params, &*self.detached).await);
    }
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        let mut state = self.detached.lock();
        state.end = self.end.take();
        state.ended = true;
        state.open.clear();
        drop(state);
        self.detached.changed.notify_one();
    }
}
