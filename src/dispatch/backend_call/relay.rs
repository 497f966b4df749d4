//! What a backend sends during a call, in the terms of the client.
//!
//! Owns the translation in both directions: related tasks have the names that each side uses, and a
//! server request says which backend it is from. It must not know what the messages are about.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::backend::ServerMessageHandler;
use crate::client::attribution::attributed;
use crate::protocol::{Notification, Outcome, Request, task};

/// Passes server messages on to another handler, in the client's terms.
pub(in crate::dispatch) struct RelayHandler<'a> {
    /// Where they go.
    pub(in crate::dispatch) handler: &'a dyn ServerMessageHandler,
    /// The name of the backend that is called.
    pub(in crate::dispatch) backend: &'a str,
}

impl ServerMessageHandler for RelayHandler<'_> {
    fn notification(&self, notification: Notification) {
        self.handler.notification(Notification {
            params: task::related_for_client(notification.params, self.backend),
            ..notification
        });
    }

    fn request(&self, request: Request) -> BoxFuture<'_, Outcome> {
        let request = server_request_for_client(request, self.backend);
        let answer = self.handler.request(request);
        answer.map(task::related_for_backend).boxed()
    }

    fn may_be_replayed(&self) -> bool {
        self.handler.may_be_replayed()
    }
}

/// A server request in the client's terms. The response is translated back by
/// [`task::related_for_backend`].
pub(crate) fn server_request_for_client(request: Request, backend: &str) -> Request {
    let params = task::related_for_client(request.params, backend);
    Request {
        params: attributed(&request.method, params, backend),
        ..request
    }
}
