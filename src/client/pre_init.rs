//! Server requests that belong to no call, and came before their client is initialized.
//!
//! Owns the queue in which they wait. It must not know who answers them.

use tokio::sync::oneshot;

use crate::call_report::BackendId;
use crate::protocol::{Outcome, Request};

/// A server request that belongs to no call.
#[derive(Debug)]
pub(crate) struct UnsolicitedRequest {
    /// The backend that sent it.
    pub(crate) backend: BackendId,
    /// As the backend wrote it; its id stays with the backend.
    pub(crate) request: Request,
    /// Where the response goes. Dropped: there will be none.
    pub(crate) answer: oneshot::Sender<Outcome>,
}

/// Requests that wait for `notifications/initialized` (MCP 2025-11-25, basic/lifecycle).
#[derive(Debug, Default)]
pub(crate) struct PreInitQueue(Vec<UnsolicitedRequest>);

impl PreInitQueue {
    /// Queues a request; requests that were cancelled meanwhile are dropped.
    pub(crate) fn hold(&mut self, unsolicited: UnsolicitedRequest) {
        self.0.retain(|queued| !queued.answer.is_closed());
        self.0.push(unsolicited);
    }

    /// The client is initialized: takes all that wait, in the order they came.
    pub(crate) fn release(&mut self) -> impl Iterator<Item = UnsolicitedRequest> + use<> {
        std::mem::take(&mut self.0).into_iter()
    }
}
