//! The task that a message of a call belongs to, under the names that each side uses.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::backend::ServerMessageHandler;
use crate::protocol::{Notification, Outcome, Request, task};

/// Hears a call for another listener, with related tasks under the names that each side uses.
pub(super) struct RelatedTaskHandler<'a> {
    pub(super) listener: &'a dyn ServerMessageHandler,
    /// Whose call it is.
    pub(super) backend: &'a str,
}

impl ServerMessageHandler for RelatedTaskHandler<'_> {
    fn notification(&self, notification: Notification) {
        self.listener.notification(Notification {
            params: task::related_for_client(notification.params, self.backend),
            ..notification
        });
    }

    fn request(&self, request: Request) -> BoxFuture<'_, Outcome> {
        let request = Request {
            params: task::related_for_client(request.params, self.backend),
            ..request
        };
        let answer = self.listener.request(request);
        answer.map(task::related_for_backend).boxed()
    }

    fn may_be_replayed(&self) -> bool {
        self.listener.may_be_replayed()
    }
}
