//! What one message of a response is.
//!
//! Owns which response counts as that to our request, and what makes a response invalid. It must not
//! know where the message came from.

use super::ResponseReader;
use crate::backend::error::BackendError;
use crate::backend::stream::messages::Message;
use crate::protocol::message::Malformed;
use crate::protocol::{self, Era, Id, Inbound, Notification, Outcome, Request};

/// What becomes of a message.
pub(super) enum ReaderItem {
    Answer(Result<Outcome, BackendError>),
    Notification(Notification),
    Request(Request),
    Nothing,
}

impl ResponseReader<'_> {
    /// What a message is. `only` is the request whose response this is, where there can be no other:
    /// then its id is not taken to the letter.
    pub(super) fn classify(&self, message: Message, only: Option<&Id>) -> ReaderItem {
        let MessageResponse { id, answer } = match message {
            Ok(Inbound::Notification(notification)) => {
                return ReaderItem::Notification(notification);
            }
            Ok(Inbound::Request(request)) if self.era == Era::Modern => {
                tracing::warn!(
                    backend = self.endpoint.backend(),
                    method = self.endpoint.snippet(request.method.as_bytes()),
                    "a request is dropped: a modern server must not send requests"
                );
                return ReaderItem::Nothing;
            }
            Ok(Inbound::Request(request)) => return ReaderItem::Request(request),
            Ok(Inbound::Response(response)) => response.into(),
            Err(malformed) => {
                tracing::warn!(
                    backend = self.endpoint.backend(),
                    error = malformed.error.message,
                    "a message is dropped: it is not JSON-RPC"
                );
                malformed.into()
            }
        };
        let own = only.filter(|own| match (&id, &answer) {
            // Nearly always equal, which costs least.
            (Some(id), _) => *own != id && own.is_value_of(id),
            (None, Ok(Outcome::Error(_))) => true,
            (None, _) => false,
        });
        if let (None, Some(_), Some(trace)) = (&id, own, self.trace) {
            trace.mark_without_id();
        }
        match own
            .or(id.as_ref())
            .and_then(|id| self.sink.response(id, answer))
        {
            Some(answer) => ReaderItem::Answer(answer),
            None => {
                tracing::debug!(
                    backend = self.endpoint.backend(),
                    "a response to no pending request is dropped"
                );
                ReaderItem::Nothing
            }
        }
    }
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
