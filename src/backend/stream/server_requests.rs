//! What a server asks on a stream, while the stream is read on.
//!
//! Owns the questions that are open: having each answered, and taking back those that the server
//! withdraws. It must not know who answers, nor how an answer travels.

use std::future::Future;
use std::pin::pin;

use futures_util::future::{AbortHandle, Abortable, Aborted, BoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::handler::{Responder, ServerMessageHandler};
use crate::backend::error::BackendError;
use crate::protocol::{Id, Notification, Request};

/// Questions that one stream may have open. A server that asks more is not answered.
const MAX_OPEN: usize = 256;

/// The open questions of one stream.
#[derive(Default)]
pub(super) struct ServerRequests<'a> {
    answers: FuturesUnordered<BoxFuture<'a, (Id, Result<(), BackendError>)>>,
    open: Vec<(Id, AbortHandle)>,
}

impl<'a> ServerRequests<'a> {
    /// Begins to have a question answered.
    pub(super) fn add(
        &mut self,
        handler: &'a dyn ServerMessageHandler,
        responder: &'a Responder<'a>,
        request: Request,
    ) {
        if self.open.len() >= MAX_OPEN {
            tracing::warn!("a question is dropped: the server has {MAX_OPEN} open ones");
            return;
        }
        let id = request.id.clone();
        let (handle, registration) = AbortHandle::new_pair();
        self.open.push((id.clone(), handle));
        let answer = async move {
            let answered = Abortable::new(handler.request(request), registration).await;
            let said = match answered {
                Ok(outcome) => responder(id.clone(), outcome).await,
                Err(Aborted) => Ok(()),
            };
            (id, said)
        };
        self.answers.push(Box::pin(answer));
    }

    /// The server takes a question of its own back.
    pub(super) fn cancel(&mut self, id: &Id) {
        for (_, handle) in self
            .open
            .iter()
            .filter(|(server_requests, _)| server_requests == id)
        {
            handle.abort();
        }
    }

    /// Whether none is open.
    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Waits until one more has been answered; forever where none is open.
    ///
    /// # Errors
    /// When there is nobody any more who could hear the answer.
    pub(super) async fn settled(&mut self) -> Result<(), BackendError> {
        match self.answers.next().await {
            Some((id, said)) => {
                self.open
                    .retain(|(server_requests, _)| *server_requests != id);
                said
            }
            None => std::future::pending().await,
        }
    }

    /// Does something else while questions are being answered.
    pub(super) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                // What comes of the work says more.
                _ = self.settled() => {}
                done = &mut work => return done,
            }
        }
    }
}

/// The server's own request that it cancels, if that's what the notification says.
pub(super) fn cancelled_request(notification: &Notification) -> Option<Id> {
    if notification.method != "notifications/cancelled" {
        return None;
    }
    Id::from_raw(notification.params.as_ref()?.get("requestId")?)
}
