//! What a message of a response is.
//!
//! Owns what makes a response invalid. It must not know which request it answers.

use crate::backend::error::BackendError;
use crate::protocol::message::Malformed;
use crate::protocol::{self, Id, Notification, Outcome, Request};

/// What becomes of a message.
pub(super) enum ReaderItem {
    Answer(Result<Outcome, BackendError>),
    Notification(Notification),
    Request(Request),
    Nothing,
}

/// A message as a response, valid or not.
pub(super) struct MessageResponse {
    pub(super) id: Option<Id>,
    pub(super) answer: Result<Outcome, BackendError>,
}

impl From<protocol::Response> for MessageResponse {
    fn from(response: protocol::Response) -> Self {
        Self {
            id: response.id,
            answer: check_result_object(response.outcome),
        }
    }
}

impl From<Malformed> for MessageResponse {
    fn from(malformed: Malformed) -> Self {
        Self {
            id: malformed.id,
            answer: Err(BackendError::BadReply(malformed.error.message)),
        }
    }
}

/// Every MCP result is an object.
fn check_result_object(outcome: Outcome) -> Result<Outcome, BackendError> {
    match &outcome {
        Outcome::Result(result) if !result.is_object() => Err(BackendError::BadReply(
            "the result must be an object".into(),
        )),
        _ => Ok(outcome),
    }
}
