//! What a stream that is no request's own carries, and whom it is for.
//!
//! Owns the rule for server requests there (X-ML-05): they belong to the request that they name by
//! its progress token or task, else to the only one that can be asked; never to a guess. It must not
//! know who is asked.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::handler::ServerMessageHandler;
use super::pending::PendingRequests;
use crate::protocol::{Id, Notification, Outcome, Request, RpcError, error, task};

/// Passes progress, and server requests that belong to a pending request, to that request, and
/// everything else to `other`.
pub(in crate::backend) struct StreamRouter<'a> {
    pub(in crate::backend) pending: &'a PendingRequests,
    pub(in crate::backend) other: &'a dyn ServerMessageHandler,
}

impl ServerMessageHandler for StreamRouter<'_> {
    fn notification(&self, notification: Notification) {
        if notification.method != "notifications/progress" {
            return self.other.notification(notification);
        }
        let token = notification.params.as_ref();
        let token = token.and_then(|params| params.get("progressToken"));
        if let Some(token) = token.and_then(Id::from_raw) {
            self.pending.progress(&token, notification);
        }
    }

    fn request(&self, request: Request) -> BoxFuture<'_, Outcome> {
        if request.method == "ping" {
            return self.other.request(request);
        }
        let params = request.params.as_ref();
        let token = params.and_then(|params| params.at(&["_meta", "progressToken"]));
        let related = params.and_then(task::related_task);
        let named = token
            .and_then(Id::from_raw)
            .and_then(|token| self.pending.with_token(&token))
            .or_else(|| self.pending.about_task(&related?));
        if let Some(named) = named {
            return asked(named.ask(request)).boxed();
        }
        match self.pending.alone() {
            None => self.other.request(request),
            Some(alone) if alone.takes_beside() => async move {
                tokio::select! {
                    biased;
                    () = alone.given_up() => refusal().into(),
                    outcome = self.other.request(request) => outcome,
                }
            }
            .boxed(),
            Some(alone) => asked(alone.ask(request)).boxed(),
        }
    }
}

async fn asked(answered: tokio::sync::oneshot::Receiver<Outcome>) -> Outcome {
    answered.await.unwrap_or_else(|_| refusal().into())
}

fn refusal() -> RpcError {
    RpcError::new(
        error::METHOD_NOT_FOUND,
        "the call that this request belongs to is over",
    )
}
