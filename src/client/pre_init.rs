//! Server requests that belong to no call and arrive before the client is initialized.
//!
//! Owns the queue in which they wait. It must not know how they are answered.

use tokio::sync::oneshot;

use crate::call_report::BackendId;
use crate::protocol::{Outcome, Request};

/// A server request that belongs to no call.
#[derive(Debug)]
pub(crate) struct UnsolicitedRequest {
    /// The backend that sent it.
    pub(crate) backend: BackendId,
    /// The request as received. Its id is the backend's, and is not sent to the client.
    pub(crate) request: Request,
    /// Receives the response. Dropped if there is none.
    pub(crate) answer: oneshot::Sender<Outcome>,
}

/// Requests that wait for `notifications/initialized` (MCP 2025-11-25, basic/lifecycle).
#[derive(Debug, Default)]
pub(crate) struct PreInitQueue(Vec<UnsolicitedRequest>);

impl PreInitQueue {
    /// Queues a request, and drops requests that were cancelled meanwhile.
    pub(crate) fn push(&mut self, unsolicited: UnsolicitedRequest) {
        self.0.retain(|queued| !queued.answer.is_closed());
        self.0.push(unsolicited);
    }

    /// Takes all requests, in order of arrival. Called when the client is initialized.
    pub(crate) fn release(&mut self) -> impl Iterator<Item = UnsolicitedRequest> + use<> {
        std::mem::take(&mut self.0).into_iter()
    }
}
