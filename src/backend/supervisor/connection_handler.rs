//! Handles what a server sends outside of calls.
//!
//! Owns which notifications become events, and that a request of the server gets one response, also if
//! nobody can answer. Calls do not time out while it is open.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::context::BackendContext;
use super::event::BackendEvent;
use crate::backend::session::Session;
use crate::backend::stream::ServerMessageHandler;
use crate::protocol::era::modern;
use crate::protocol::{Kind, Notification, Outcome, RawJson, Request, RpcError, error, task};

/// Turns unsolicited messages of one session into events.
#[derive(Debug, Clone)]
pub(super) struct ConnectionHandler {
    pub(super) session: Arc<Session>,
    pub(super) context: BackendContext,
}

impl ServerMessageHandler for ConnectionHandler {
    fn notification(&self, notification: Notification) {
        let method = notification.method.as_str();
        if Kind::ALL.iter().any(|kind| kind.list_changed() == method) {
            return self.session.lists_changed.notify_one();
        }
        if self.session.served.keeps_early(&notification) {
            return;
        }
        let is_forwarded = match method {
            "notifications/message"
            | "notifications/resources/updated"
            | task::STATUS
            | task::STATE
            | "notifications/elicitation/complete" => true,
            _ => self.session.declares_method(method),
        };
        if !is_forwarded || !self.session.forwards_unsolicited() {
            return tracing::debug!(
                backend = self.session.name(),
                "an unhandled notification is dropped"
            );
        }
        let params = notification
            .params
            .as_ref()
            .map(modern::without_subscription_id)
            .map(modern::without_ours);
        let _ = self.context.events.send(BackendEvent::Notice {
            backend: self.context.id,
            notification: Notification {
                params,
                ..notification
            },
        });
    }

    fn request(&self, request: Request) -> BoxFuture<'_, Outcome> {
        if request.method == "ping" {
            return futures_util::future::ready(Outcome::Result(RawJson::trusted("{}"))).boxed();
        }
        let (answer, answered) = oneshot::channel();
        let _ = self.context.events.send(BackendEvent::ServerRequest {
            backend: self.context.id,
            client_era: self.session.client_era(),
            request,
            answer,
        });
        let pause = self.context.shared_pause.begin();
        async move {
            let _pause = pause;
            let refusal = || RpcError::new(error::METHOD_NOT_FOUND, "no client can answer here");
            answered.await.unwrap_or_else(|_| refusal().into())
        }
        .boxed()
    }
}
