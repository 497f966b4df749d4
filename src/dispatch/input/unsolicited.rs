//! Server requests that belong to no call.
//!
//! Owns the choice of the client that gets one: the legacy client, which can be asked at any time. A
//! modern client can be asked only in the response to a call, so without a call the backend gets an
//! error (X-ML-05); requests that belong to a call don't come here. It must not know when a client may
//! be sent requests.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::client::UnsolicitedRequest;
use crate::dispatch::exchange::{ClientRequester, TaskEvent};
use crate::protocol::error::METHOD_NOT_FOUND;
use crate::protocol::{ClientProfile, RpcError, task};
use crate::tasks;

/// Sends the request to the client that can answer it. `legacy` is the client of the handshake, once
/// it may be sent requests.
pub(crate) fn relay(
    unsolicited: UnsolicitedRequest,
    legacy: Option<&Arc<ClientProfile>>,
    events: &mpsc::UnboundedSender<TaskEvent>,
) {
    let UnsolicitedRequest {
        backend,
        request,
        mut answer,
    } = unsolicited;
    let Some(client) = legacy else {
        tracing::info!(
            backend,
            "a server request is refused: no call is in flight that it could belong to"
        );
        let why = "no call is in flight that this request could belong to";
        let _ = answer.send(RpcError::new(METHOD_NOT_FOUND, why).into());
        return;
    };
    let requester = ClientRequester {
        key: None,
        client: Arc::clone(client),
        events: events.clone(),
    };
    tasks::spawn(async move {
        let outcome = tokio::select! {
            biased;
            () = answer.closed() => return,
            outcome = requester.answer(request) => outcome,
        };
        let _ = answer.send(task::related_for_backend(outcome));
    });
}
