//! Requests that a server sends on a stream, answered while the stream is read on.
//!
//! Owns the open requests of one stream and their cancellation by the server. It must not know who
//! answers, nor how an answer travels.

use std::future::Future;
use std::pin::pin;

use futures_util::future::{AbortHandle, Abortable, Aborted, BoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::handler::{Responder, ServerMessageHandler};
use crate::backend::error::BackendError;
use crate::protocol::{Id, Notification, Request};

/// Requests that one stream may have open. More are dropped without an answer.
const MAX_OPEN: usize = 256;

/// The open requests of one stream.
pub(super) struct ServerRequests<'a> {
    /// The backend's name, for the log.
    backend: &'a str,
    answers: FuturesUnordered<BoxFuture<'a, (Id, Result<(), BackendError>)>>,
    open: Vec<(Id, AbortHandle)>,
}

impl<'a> ServerRequests<'a> {
    pub(super) fn new(backend: &'a str) -> Self {
        Self {
            backend,
            answers: FuturesUnordered::new(),
            open: Vec::new(),
        }
    }

    /// Has a request answered.
    pub(super) fn add(
        &mut self,
        handler: &'a dyn ServerMessageHandler,
        responder: &'a Responder<'a>,
        request: Request,
    ) {
        if self.open.len() >= MAX_OPEN {
            tracing::warn!(
                backend = self.backend,
                "a request of the server is dropped: it has {MAX_OPEN} open ones"
            );
            return;
        }
        let id = request.id.clone();
        let (handle, registration) = AbortHandle::new_pair();
        self.open.push((id.clone(), handle));
        let answer = async move {
            let answered = Abortable::new(handler.request(request), registration).await;
            let sent = match answered {
                Ok(outcome) => responder(id.clone(), outcome).await,
                Err(Aborted) => Ok(()),
            };
            (id, sent)
        };
        self.answers.push(Box::pin(answer));
    }

    /// The server cancels a request of its own (MCP 2025-11-25, basic/utilities/cancellation).
    pub(super) fn cancel(&mut self, id: &Id) {
        for (_, handle) in self.open.iter().filter(|(open, _)| open == id) {
            handle.abort();
        }
    }

    /// Whether no request is open.
    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Resolves when the next request has been answered; never, while none is open.
    ///
    /// # Errors
    /// When the answer could not be sent because the session has ended.
    pub(super) async fn settled(&mut self) -> Result<(), BackendError> {
        match self.answers.next().await {
            Some((id, sent)) => {
                self.open.retain(|(open, _)| *open != id);
                sent
            }
            None => std::future::pending().await,
        }
    }

    /// Runs `work` while requests are being answered.
    pub(super) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                // An answer that can't be sent also shows in the work's result.
                _ = self.settled() => {}
                done = &mut work => return done,
            }
        }
    }
}

/// The id of the server's own request that this notification cancels, if it is a cancellation.
pub(super) fn cancelled_request(notification: &Notification) -> Option<Id> {
    if notification.method != "notifications/cancelled" {
        return None;
    }
    Id::from_raw(notification.params.as_ref()?.get("requestId")?)
}
