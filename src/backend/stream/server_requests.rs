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
use crate::protocol::error::INTERNAL_ERROR;
use crate::protocol::{Id, Notification, Request, RpcError};

/// Requests that one stream may have open. Further ones are answered with an error.
const MAX_OPEN: usize = 256;
/// Such errors on their way. Further requests are dropped.
const MAX_REFUSED: usize = 64;

/// The open requests of one stream.
pub(super) struct ServerRequests<'a> {
    /// The backend's name, for the log.
    backend: &'a str,
    answers: FuturesUnordered<BoxFuture<'a, Answered>>,
    open: Vec<OpenRequest>,
    /// Requests so far. Their ids are the server's, and cost what it likes to be compared.
    count: u64,
}

/// The number of a request, `None` for one that is refused, and whether the answer was sent.
type Answered = (Option<u64>, Result<(), BackendError>);

/// A request that is being answered.
struct OpenRequest {
    number: u64,
    id: Id,
    handle: AbortHandle,
}

impl<'a> ServerRequests<'a> {
    pub(super) fn new(backend: &'a str) -> Self {
        Self {
            backend,
            answers: FuturesUnordered::new(),
            open: Vec::new(),
            count: 0,
        }
    }

    /// Has a request answered.
    pub(super) fn add(
        &mut self,
        handler: &'a dyn ServerMessageHandler,
        responder: &'a Responder<'a>,
        request: Request,
    ) {
        let id = request.id.clone();
        if self.answers.len() >= MAX_OPEN {
            return self.refuse(responder, id);
        }
        let (handle, registration) = AbortHandle::new_pair();
        let number = self.count;
        self.count += 1;
        self.open.push(OpenRequest {
            number,
            id: id.clone(),
            handle,
        });
        let answer = async move {
            let answered = Abortable::new(handler.request(request), registration).await;
            let sent = match answered {
                Ok(outcome) => responder(id, outcome).await,
                Err(Aborted) => Ok(()),
            };
            (Some(number), sent)
        };
        self.answers.push(Box::pin(answer));
    }

    /// Answers a request with an error, if there are not too many of these either.
    fn refuse(&mut self, responder: &'a Responder<'a>, id: Id) {
        let is_dropped = self.answers.len() >= MAX_OPEN + MAX_REFUSED;
        tracing::warn!(
            backend = self.backend,
            is_dropped,
            "a request of the server is refused: it has {MAX_OPEN} open ones"
        );
        if !is_dropped {
            let why = format!("{MAX_OPEN} requests on this stream are open already");
            let refusal = RpcError::new(INTERNAL_ERROR, why).into();
            let answer = async move { (None, responder(id, refusal).await) };
            self.answers.push(Box::pin(answer));
        }
    }

    /// The server cancels a request of its own (MCP 2025-11-25, basic/utilities/cancellation).
    pub(super) fn cancel(&mut self, id: &Id) {
        for open in self.open.iter().filter(|open| open.id == *id) {
            open.handle.abort();
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
            Some((number, sent)) => {
                self.open.retain(|open| Some(open.number) != number);
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

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures_util::FutureExt;

    use super::*;
    use crate::protocol::{Outcome, RawJson};
    use crate::sync::Mutex;

    /// Never answers but `ping`.
    struct Silent;

    impl ServerMessageHandler for Silent {
        fn notification(&self, _: Notification) {}

        fn request(&self, request: Request) -> BoxFuture<'_, Outcome> {
            match request.method.as_str() {
                "ping" => {
                    let pong = Outcome::Result(RawJson::trusted("{}"));
                    futures_util::future::ready(pong).boxed()
                }
                _ => pending().boxed(),
            }
        }
    }

    fn request(number: u64, method: &str) -> Request {
        Request {
            id: Id::number(number),
            method: method.into(),
            params: None,
        }
    }

    #[tokio::test]
    async fn fault_94_requests_beyond_the_limit_get_an_error_and_far_beyond_are_dropped() {
        let sent = Mutex::new(Vec::new());
        let responder = |id: Id, outcome| {
            sent.lock().push((id, outcome));
            futures_util::future::ready(Ok(())).boxed()
        };
        let mut requests = ServerRequests::new("fake");
        for number in 0..1_000 {
            // All under one id: that must not make more of them fit.
            let id = if number < 500 { number } else { 7 };
            requests.add(&Silent, &responder, request(id, "roots/list"));
        }
        while let Some(settled) = requests.settled().now_or_never() {
            settled.unwrap();
        }
        let refused: Vec<_> = std::mem::take(&mut *sent.lock());
        assert_eq!(refused.len(), MAX_REFUSED);
        for (number, (id, outcome)) in (MAX_OPEN as u64..).zip(refused) {
            assert_eq!(id, Id::number(number));
            assert!(matches!(outcome, Outcome::Error(_)), "{outcome:?}");
        }
        // When the server cancels some, there is room again.
        requests.cancel(&Id::number(0));
        requests.settled().await.unwrap();
        requests.add(&Silent, &responder, request(2_000, "ping"));
        requests.settled().await.unwrap();
        assert!(matches!(&sent.lock()[..], [(id, Outcome::Result(_))] if *id == Id::number(2_000)));
    }
}
