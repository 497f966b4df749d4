//! What a stream that is no request's own carries, and whom it is for.
//!
//! Owns the rule for server requests there (X-ML-05): they belong to the request that they name by
//! its progress token or task, else to the only one that can be asked; never to a guess. It must not
//! know who is asked.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tokio::sync::oneshot;

use super::handler::ServerMessageHandler;
use super::pending::{Owner, PendingRequests};
use super::request_id::was_issued;
use crate::protocol::{Id, Notification, Outcome, RawJson, Request, RpcError, error};

/// Passes progress, and server requests that belong to a pending request, to that request, and
/// everything else to `other`.
pub(in crate::backend) struct StreamRouter<'a> {
    /// The backend's name, for the log.
    pub(in crate::backend) backend: &'a str,
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
        match self.pending.owner(request.params.as_ref()) {
            Owner::Named(named) => asked(named.ask(without_our_token(request))).boxed(),
            Owner::Alone(alone) if !alone.takes_beside() => asked(alone.ask(request)).boxed(),
            Owner::Alone(alone) => async move {
                tokio::select! {
                    biased;
                    () = alone.given_up() => over().into(),
                    outcome = self.other.request(request) => outcome,
                }
            }
            .boxed(),
            Owner::Nobody => self.other.request(request),
            Owner::NoLonger => {
                tracing::debug!(
                    backend = self.backend,
                    "a server request is refused: the call that it names is over, or can't be asked for input"
                );
                ready(over().into()).boxed()
            }
            Owner::NoneOf(several) => {
                tracing::warn!(
                    backend = self.backend,
                    calls = several,
                    "a server request is refused: it does not name the call in flight that it belongs to"
                );
                let why = format!(
                    "it names none of the {several} calls in flight: send it on the stream of its call, or with the call's progress token or task in _meta"
                );
                ready(RpcError::new(error::METHOD_NOT_FOUND, why).into()).boxed()
            }
        }
    }
}

async fn asked(answered: oneshot::Receiver<Outcome>) -> Outcome {
    answered.await.unwrap_or_else(|_| over().into())
}

fn over() -> RpcError {
    RpcError::new(
        error::METHOD_NOT_FOUND,
        "the call that this request belongs to is over, or can't be asked for input",
    )
}

/// The request without the progress token of a call: the client does not know that token, and
/// would take it for one under which the server wants progress.
fn without_our_token(request: Request) -> Request {
    let without = |params: RawJson| {
        let meta = params.get("_meta")?;
        let token = meta.get("progressToken").and_then(Id::from_raw);
        token.filter(was_issued)?;
        let meta = meta.with_members(&[], &["progressToken"]);
        Some(params.with_members(&[("_meta", meta.into_bytes())], &[]))
    };
    let params = request.params.clone().and_then(without);
    Request {
        params: params.or(request.params),
        ..request
    }
}
