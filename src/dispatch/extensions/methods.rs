//! Methods and notifications that the gateway does not know.
//!
//! Owns whom they go to: the one backend that declares the extension they belong to. It must not know
//! what they mean.

use tokio::time::Instant;

use super::request::ExtensionRequest;
use crate::backend::Answer;
use crate::backend::retry::Replay;
use crate::call_report::BackendId;
use crate::dispatch::answer::{shutting_down, sized_for_client, to_client_error};
use crate::dispatch::exchange::Exchange;
use crate::observe::request_span::RequestSpan;
use crate::protocol::{Notification, Outcome, RawJson, Request};
use crate::snapshot::{Snapshot, Snapshots};

/// Passes a request on to this backend. What its method does is not known, so that it is never sent
/// again where it may have run.
pub(in crate::dispatch) async fn call(
    request: Request,
    backend: BackendId,
    snapshots: Snapshots,
    exchange: Exchange,
) -> Outcome {
    let begun = Instant::now();
    let snapshot = std::sync::Arc::clone(&snapshots.borrow());
    let Some(backend) = snapshot.backends.get(backend) else {
        return shutting_down().into();
    };
    RequestSpan::set_target(&backend.config.name, None);
    let method = request.method.as_str();
    let params = request.params.unwrap_or_else(|| RawJson::trusted("{}"));
    let sent = ExtensionRequest::new(backend, &snapshot, &exchange, begun).counted();
    match sent.send(method, &params, None, Replay::Unsafe).await {
        Ok(answer) => {
            let outcome = match answer.outcome {
                Outcome::Result(result) => {
                    Outcome::Result(snapshot.with_client_uris(backend, result).await)
                }
                error @ Outcome::Error(_) => error,
            };
            let answer = Answer { outcome, ..answer };
            sized_for_client(answer, backend, &exchange.client, method, None, &snapshot).await
        }
        Err(error) => to_client_error(error, exchange.client.era, method, &snapshot),
    }
}

/// Passes a notification of the legacy client on to the backends that declare the extension it
/// belongs to.
pub(crate) fn forward_notification(notification: &Notification, snapshot: &Snapshot) {
    let method = &notification.method;
    let backends = snapshot.introduction.backends_of(method);
    if backends.is_empty() {
        return tracing::debug!(method, "an unknown notification is ignored");
    }
    for id in backends {
        if let Some(backend) = snapshot.backends.get(id) {
            backend.notify_of_extension(method, notification.params.clone());
        }
    }
}
