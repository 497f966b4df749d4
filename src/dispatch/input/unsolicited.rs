//! Server requests that belong to no call.
//!
//! Owns the choice of the client that gets one: the legacy client; or the modern client whose call is
//! the only one in flight on that backend, since only a response to a call can carry input requests
//! (X-ML-05). It never guesses: otherwise the backend gets an error. It must not know when a client may
//! be sent requests.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::parked_calls::ParkedCalls;
use crate::client::UnsolicitedRequest;
use crate::dispatch::exchange::{ClientRequester, TaskEvent};
use crate::protocol::ClientProfile;

/// Sends the request to the client that can answer it. `legacy` is the client of the handshake, once
/// it may be sent requests.
pub(crate) fn relay(
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
        tracing::debug!(
            ?backend,
            "a server request that belongs to no call is refused"
        );
    }
}
