//! Related tasks in the messages of a call, under the names that each side uses.
//!
//! Owns the translation in both directions. It must not know what the messages are about.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::backend::ServerMessageHandler;
use crate::protocol::{Notification, Outcome, Request, task};

/// Passes server messages on to another handler, with related tasks renamed.
pub(in crate::dispatch) struct RelatedTaskHandler<'a> {
    /// Where they go.
    pub(in crate::dispatch) handler: &'a dyn ServerMessageHandler,
    /// The name of the backend that is called.
    pub(in crate::dispatch) backend: &'a str,
}

impl ServerMessageHandler for RelatedTaskHandler<'_> {
    fn notification(&self, notification: Notification) {
        self.handler.notification(Notification {
            params: task::related_for_client(notification.params, self.backend),
            ..notification
        });
    }

    fn request(&self, request: Request) -> BoxFuture<'_, Outcome> {
        let request = Request {
            params: task::related_for_client(request.params, self.backend),
            ..request
        };
        let answer = self.handler.request(request);
        answer.map(task::related_for_backend).boxed()
    }

    fn may_be_replayed(&self) -> bool {
        self.handler.may_be_replayed()
    }
}
