//! The interfaces between reading a stream and those that it is read for.
//!
//! Owns three of them: [`ServerMessageHandler`] receives the server's notifications and requests,
//! [`ResponseSink`] its responses, and a [`Responder`] sends our response to a request of the server.

use std::future::Future;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::backend::error::BackendError;
use crate::backend::http::Endpoint;
use crate::protocol::{Id, Notification, Outcome, RawJson, Request, RpcError, error};

/// Time for a server to take our response to a request of its own.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Receives the server's notifications and requests.
pub trait ServerMessageHandler: Send + Sync {
    /// A notification came. Must not block.
    fn notification(&self, notification: Notification);

    /// The server sends a request; the future is our response. The future is dropped when the
    /// server cancels the request.
    fn request(&self, request: Request) -> BoxFuture<'_, Outcome>;

    /// Whether the call may still be sent again. Not after the client was asked for input: its
    /// response belongs to the first run.
    fn may_be_replayed(&self) -> bool {
        true
    }
}

/// Sends our response to a request of the server, under the server's id. An error says that the
/// session is gone.
pub type Responder<'a> =
    dyn Fn(Id, Outcome) -> BoxFuture<'a, Result<(), BackendError>> + Send + Sync + 'a;

/// Receives the responses that a stream delivers.
pub trait ResponseSink: Send + Sync {
    /// A response came under this id, or an unusable one. `Some` ends the reading with it.
    fn response(
        &self,
        id: &Id,
        answer: Result<Outcome, BackendError>,
    ) -> Option<Result<Outcome, BackendError>>;

    /// The only request that can be answered here; `None` where there may be several, and none.
    fn only(&self) -> Option<&Id> {
        None
    }
}

/// Takes the response to the one request with this id.
impl ResponseSink for Id {
    fn response(
        &self,
        id: &Id,
        answer: Result<Outcome, BackendError>,
    ) -> Option<Result<Outcome, BackendError>> {
        (id == self).then_some(answer)
    }

    fn only(&self) -> Option<&Id> {
        Some(self)
    }
}

/// Takes no response: no request was sent on this stream.
#[derive(Debug)]
pub struct NoResponse;

impl ResponseSink for NoResponse {
    fn response(
        &self,
        _: &Id,
        _: Result<Outcome, BackendError>,
    ) -> Option<Result<Outcome, BackendError>> {
        None
    }
}

/// Sends a response to a request of the server when it is its turn among the exchanges beside calls.
/// A response that can't be sent is dropped, which is logged.
///
/// # Errors
/// Only those that mean that the session is gone.
pub(in crate::backend) async fn deliver(
    endpoint: &Endpoint,
    post: impl Future<Output = Result<(), BackendError>>,
) -> Result<(), BackendError> {
    let backend = endpoint.backend();
    match endpoint.side_requests().run(RESPONSE_TIMEOUT, post).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            tracing::warn!(backend, %error, "an answer to the server was not taken");
            if error.ends_connection() {
                Err(error)
            } else {
                Ok(())
            }
        }
        Err(why) => {
            tracing::warn!(backend, %why, "an answer to the server is dropped");
            Ok(())
        }
    }
}

/// Ignores notifications, answers `ping`, and refuses every other request of the server.
#[derive(Debug)]
pub struct NoopHandler;

impl ServerMessageHandler for NoopHandler {
    fn notification(&self, _: Notification) {}

    fn request(&self, request: Request) -> BoxFuture<'_, Outcome> {
        let outcome = match request.method.as_str() {
            "ping" => Outcome::Result(RawJson::trusted("{}")),
            method => Outcome::from(RpcError::new(
                error::METHOD_NOT_FOUND,
                format!("the client can't answer {method} here"),
            )),
        };
        futures_util::future::ready(outcome).boxed()
    }
}
