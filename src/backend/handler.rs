//! Who hears what a backend says.
//!
//! Owns the seams between reading a stream and those that it is read for: who hears what is said
//! beside an answer, who waits for one, and how an answer of ours gets back.

use futures_util::future::BoxFuture;

use super::error::BackendError;
use crate::protocol::{Id, Notification, Outcome, Request};

/// Hears what a backend says besides the answer.
pub trait ServerMessageHandler: Send + Sync {
    /// A notification came. It must not wait.
    fn notification(&self, notification: Notification);

    /// The server asks something in the middle of our call. Dropping the future withdraws it.
    fn request(&self, request: Request) -> BoxFuture<'_, Outcome>;

    /// Whether the call may be sent again as far as what was heard so far goes: who was asked
    /// something for a call can't be asked again for another.
    fn may_be_replayed(&self) -> bool {
        true
    }
}

/// Sends our answer to a request of the server: its id and what we say. An error says that there
/// is nobody any more to whom it could be said.
pub type Responder<'a> =
    dyn Fn(Id, Outcome) -> BoxFuture<'a, Result<(), BackendError>> + Send + Sync + 'a;

/// Who waits for the responses that a stream brings.
pub trait ResponseSink: Send + Sync {
    /// A response came under this id, or what should have been one. What is returned is what the
    /// stream was read for.
    fn response(
        &self,
        id: &Id,
        answer: Result<Outcome, BackendError>,
    ) -> Option<Result<Outcome, BackendError>>;
}

/// The id we asked under.
impl ResponseSink for Id {
    fn response(
        &self,
        id: &Id,
        answer: Result<Outcome, BackendError>,
    ) -> Option<Result<Outcome, BackendError>> {
        (id == self).then_some(answer)
    }
}

/// No request was sent: whatever is answered on this stream is nobody's.
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

/// Whether an answer to the server may have been heard; if not, nobody is there to hear it.
pub(super) fn delivered(posted: Result<(), BackendError>) -> Result<(), BackendError> {
    match posted {
        Err(error) => {
            tracing::warn!(%error, "an answer to the server was not taken");
            if error.ends_connection() {
                Err(error)
            } else {
                Ok(())
            }
        }
        Ok(()) => Ok(()),
    }
}
