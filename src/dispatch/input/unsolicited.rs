//! What a backend asks outside of any call, on the stream it keeps for its own news.
//!
//! Owns finding somebody to ask: the legacy client, as ever; of modern clients, whose requests
//! alone can carry a question, the one whose call is the only one on that backend (X-ML-05). It
//! never guesses: without one, the backend is told that nobody can answer.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{ClientRequester, ParkedCalls, TaskEvent};
use crate::protocol::{ClientProfile, Outcome, Request};

/// A question that belongs to no call.
#[derive(Debug)]
pub struct UnsolicitedRequest {
    /// The index of the backend.
    pub backend: usize,
    /// As it wrote it; its id stays with the backend.
    pub request: Request,
    /// Where the answer goes. Dropped: nobody will answer.
    pub answer: oneshot::Sender<Outcome>,
}

/// Questions that came before their client may be asked anything (S25 `basic/lifecycle`).
#[derive(Debug, Default)]
pub struct PreInitQueue(Vec<UnsolicitedRequest>);

impl PreInitQueue {
    /// Keeps a question for a moment; those that were taken back meanwhile are forgotten.
    pub fn hold(&mut self, unsolicited: UnsolicitedRequest) {
        self.0.retain(|queued| !queued.answer.is_closed());
        self.0.push(unsolicited);
    }

    /// The client is ready: what waits for it, in the order it came.
    pub fn release(&mut self) -> impl Iterator<Item = UnsolicitedRequest> + use<> {
        std::mem::take(&mut self.0).into_iter()
    }
}

/// Finds the client that can answer, and asks it. `legacy` is the client of the handshake, once
/// it may be asked something.
pub fn relay(
    unsolicited: UnsolicitedRequest,
    legacy: Option<&Arc<ClientProfile>>,
    parked: &ParkedCalls,
    events: &mpsc::UnboundedSender<TaskEvent>,
) {
    let UnsolicitedRequest {
        backend,
        request,
        mut answer,
    } = unsolicited;
    if let Some(client) = legacy {
        let requester = ClientRequester {
            key: None,
            client: Arc::clone(client),
            events: events.clone(),
        };
        tokio::spawn(async move {
            let outcome = tokio::select! {
                biased;
                () = answer.closed() => return,
                outcome = requester.answer(request) => outcome,
            };
            let _ = answer.send(outcome);
        });
    } else if let Some(call) = parked.only_call_on(backend) {
        tokio::spawn(async move {
            let outcome = tokio::select! {
                biased;
                () = answer.closed() => return,
                outcome = call.ask(request) => outcome,
            };
            let _ = answer.send(outcome);
        });
    } else {
        let method = request.method;
        tracing::debug!(method, "a question that belongs to no call is refused");
    }
}
