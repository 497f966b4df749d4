//! Reads a response whose status is not 2xx.
//!
//! Owns what such a response proves about the request, and about session and era. It must not know
//! whether the request may be sent again.

use bytes::Bytes;
use memchr::memmem;
use reqwest::StatusCode;

use super::ResponseReader;
use super::item::MessageResponse;
use crate::backend::error::BackendError;
use crate::backend::http::{Beginning, Media, Response};
use crate::backend::stream::messages::{Unreadable, messages};
use crate::backend::stream::session_lost::says_session_lost;
use crate::backend::stream::sse::Decoder;
use crate::protocol::error::{HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION, code_of};
use crate::protocol::{Era, Id, Inbound, Outcome, RawJson};

/// The body of such a response, as far as it is read.
pub(in crate::backend) struct RefusalBody {
    beginning: Beginning,
    responses: Vec<MessageResponse>,
    /// Whether all responses in it have been read.
    is_whole: bool,
}

impl ResponseReader<'_> {
    /// A status other than 2xx. A JSON-RPC response under our id is the answer whatever the status,
    /// but for an error where the status itself decides.
    pub(super) async fn refusal(&self, mut response: Response) -> Result<Outcome, BackendError> {
        let status = response.status();
        let headers = response.headers().clone();
        let mut body = RefusalBody::read(&mut response).await;
        let status_decides = matches!(status.as_u16(), 401 | 403 | 413 | 429 | 503);
        let ours = match self.ours_in(&mut body.responses) {
            Some(Ok(Outcome::Error(_))) if status_decides => None,
            Some(Ok(Outcome::Error(error))) => Some(error),
            None => None,
            // Only who took the request has a result.
            Some(answer) => return answer,
        };
        if self.in_session && status == StatusCode::NOT_FOUND && ours.is_none() {
            return Err(BackendError::SessionLost {
                by_status: body.is_whole,
            });
        }
        let of_others = body.error().filter(|_| !status_decides);
        if ours
            .iter()
            .chain(of_others)
            .any(|error| self.speaks_other_era(error))
        {
            return Err(BackendError::EraChanged { answer: None });
        }
        let session_lost = self.in_session
            && match status.as_u16() {
                410 => true,
                400 | 401 | 403 | 404 => says_session_lost(body.bytes()),
                _ => false,
            };
        if session_lost && !matches!(status.as_u16(), 401 | 403) {
            return Err(BackendError::SessionLost { by_status: false });
        }
        if let Some(error) = ours {
            return Ok(Outcome::Error(error));
        }
        let is_answer = self.probing || !status_decides && self.sink.only().is_some();
        let of_nobody = body.error_of_nobody().filter(|_| is_answer);
        // A modern server refuses with a JSON-RPC error under our id (MCP 2026-07-28,
        // basic/transports/streamable-http).
        let may_be_legacy = self.era == Era::Modern
            && !self.probing
            && matches!(status.as_u16(), 400 | 404 | 405)
            && !of_nobody.as_ref().is_some_and(is_modern);
        if may_be_legacy {
            return Err(BackendError::EraChanged { answer: of_nobody });
        }
        if let Some(error) = of_nobody {
            if let Some(trace) = self.trace {
                trace.mark_without_id();
            }
            return Ok(Outcome::Error(error));
        }
        let mut error = self.endpoint.refusal(status, &headers, body.bytes());
        if let BackendError::AuthRequired {
            session_lost: lost, ..
        } = &mut error
        {
            *lost = session_lost;
        }
        Err(error)
    }

    /// Takes the response under our id out of these.
    fn ours_in(
        &self,
        responses: &mut Vec<MessageResponse>,
    ) -> Option<Result<Outcome, BackendError>> {
        let is_ours = |response: &MessageResponse| {
            let id = response.id.as_ref()?;
            let own = self.sink.only().filter(|own| own.is_value_of(id));
            self.sink
                .response(own.unwrap_or(id), response.answer.clone())
        };
        let (at, answer) = (responses.iter().enumerate())
            .find_map(|(at, response)| Some((at, is_ours(response)?)))?;
        responses.remove(at);
        Some(answer)
    }

    /// Whether a server that was legacy at the handshake answers with an error of the modern era.
    fn speaks_other_era(&self, error: &RawJson) -> bool {
        self.era == Era::Legacy && is_modern(error)
    }
}

/// Whether only a server of the modern era answers with this error.
fn is_modern(error: &RawJson) -> bool {
    let modern = [HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION];
    code_of(error).is_some_and(|code| modern.contains(&code))
}

/// Whether this text has a member `id`, or an escape that may spell one.
fn names_an_id(text: &[u8]) -> bool {
    [&b"\"id\""[..], b"\\u00"]
        .iter()
        .any(|part| memmem::find(text, part).is_some())
}

impl RefusalBody {
    /// Reads it: at most 64 KiB.
    pub(in crate::backend) async fn read(response: &mut Response) -> Self {
        let is_stream = matches!(Media::of(response), Media::EventStream);
        let beginning = response.beginning().await;
        let mut is_whole = beginning.is_whole;
        let texts = if is_stream {
            let mut decoder = Decoder::new(beginning.bytes.len());
            decoder.push(beginning.bytes.clone());
            let events = decoder.by_ref().map_while(Result::ok);
            let texts: Vec<Bytes> = events.map(|event| event.data).collect();
            is_whole &= decoder.held() == 0;
            texts
        } else {
            vec![beginning.bytes.clone()]
        };
        let mut responses = Vec::new();
        for text in &texts {
            match messages(text, response.turn()).await {
                Ok(messages) => responses.extend(messages.filter_map(|message| match message {
                    Ok(Inbound::Response(response)) => Some(response.into()),
                    Ok(_) => None,
                    Err(malformed) => Some(malformed.into()),
                })),
                // A proxy's page holds none; broken JSON with an id may be one.
                Err(Unreadable::NotJson(_)) => is_whole &= !names_an_id(text),
                Err(Unreadable::TooMany) => is_whole = false,
            }
        }
        Self {
            beginning,
            responses,
            is_whole,
        }
    }

    /// As much of the body as is read.
    pub(in crate::backend) fn bytes(&self) -> &[u8] {
        &self.beginning.bytes
    }

    /// Whether it is known to hold no response to a request.
    pub(in crate::backend) fn has_no_response(&self) -> bool {
        self.is_whole && self.responses.iter().all(|response| response.id.is_none())
    }

    /// The response to the request with this id, if it can be read.
    pub(in crate::backend) fn answer_to(&self, id: &Id) -> Option<Outcome> {
        let own = |response: &&MessageResponse| response.id.as_ref() == Some(id);
        let own = self.responses.iter().find(own)?;
        own.answer.clone().ok()
    }

    /// The first JSON-RPC error in it.
    pub(in crate::backend) fn error(&self) -> Option<&RawJson> {
        self.errors(|_| true).next()
    }

    /// The first without an id.
    fn error_of_nobody(&self) -> Option<RawJson> {
        self.errors(|response| response.id.is_none())
            .next()
            .cloned()
    }

    fn errors(&self, which: impl Fn(&MessageResponse) -> bool) -> impl Iterator<Item = &RawJson> {
        let responses = self
            .responses
            .iter()
            .filter(move |response| which(response));
        responses.filter_map(|response| match &response.answer {
            Ok(Outcome::Error(error)) => Some(error),
            _ => None,
        })
    }
}
