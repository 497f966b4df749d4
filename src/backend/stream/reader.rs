//! Reading what a backend answers, message by message.
//!
//! Owns the way from an HTTP response to the one answer it holds: a JSON body, or an event stream
//! on which notifications and requests of the server come before (or beside) it. The answer
//! counts the moment its event is complete, whether or not the stream is closed. A stream that is
//! read for no answer, but for what else the server says, is read the same way. It must not know
//! about retries or about clients; what else is heard goes to a [`ServerMessageHandler`].

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{Response, StatusCode};
use tokio::task::coop;

use super::handler::{Responder, ResponseSink, ServerMessageHandler};
use super::messages::{Message, messages};
use super::resume::{Cursor, Resume};
use super::server_requests::{ServerRequests, cancelled_request};
use super::session_lost::{error_says_session_lost, says_session_lost};
use super::sse::{Decoder, Event, TooLarge};
use crate::backend::error::BackendError;
use crate::backend::http::classify;
use crate::backend::http::{Endpoint, Media};
use crate::budget::Charge;
use crate::call_report::CallTrace;
use crate::protocol::error::{HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION, code_of};
use crate::protocol::message::parse;
use crate::protocol::{Era, Inbound, Notification, Outcome, RawJson, Request};

/// One response that is being read.
pub struct ResponseReader<'a> {
    /// Whose response it is.
    pub endpoint: &'a Endpoint,
    /// Who waits for an answer.
    pub sink: &'a dyn ResponseSink,
    /// The era the request was sent in: a modern server asks nothing on this stream.
    pub era: Era,
    /// Whether we ask what the server is: then an error that names no request is an answer too,
    /// since servers don't echo the id of what they can't make sense of.
    pub probing: bool,
    /// Whether the request went out under a session id, so that a 404 means it is lost.
    pub in_session: bool,
    /// The longest silence allowed.
    pub idle: Option<Duration>,
    /// Who hears the rest.
    pub handler: &'a dyn ServerMessageHandler,
    /// How our answers get back to the server.
    pub responder: &'a Responder<'a>,
    /// How a stream that ends too early is resumed, where it can be.
    pub resume: Option<&'a dyn Resume>,
    /// Counts the bytes of the response, for a request that is a call.
    pub trace: Option<&'a CallTrace>,
}

impl<'a> ResponseReader<'a> {
    /// Reads up to the answer.
    ///
    /// # Errors
    /// When there is none: a refusal, a broken stream, or something that is no MCP answer.
    pub async fn answer(&self, mut response: Response) -> Result<Outcome, BackendError> {
        let status = response.status();
        if !status.is_success() {
            return self.refusal(response).await;
        }
        if matches!(status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT) {
            let why = format!(
                "it took the request but gave no answer (HTTP {})",
                status.as_u16()
            );
            return Err(BackendError::BadReply(why));
        }
        let outcome = match Media::of(&response) {
            Media::Json => self.json_answer(&mut response).await?,
            Media::EventStream => self.events(response).await?,
            Media::Other(other) => {
                let kind = if other.is_empty() {
                    "no content type".into()
                } else {
                    format!(
                        "content type \"{}\"",
                        self.endpoint.snippet(other.as_bytes())
                    )
                };
                let body = Endpoint::beginning(&mut response).await;
                let snippet = self.endpoint.snippet(&body);
                return Err(BackendError::BadReply(format!(
                    "{kind} instead of JSON or an event stream: {snippet}"
                )));
            }
        };
        match &outcome {
            Outcome::Error(error) if self.in_session && error_says_session_lost(error) => {
                Err(BackendError::SessionLost { by_status: false })
            }
            _ => Ok(outcome),
        }
    }

    /// Not 2xx: a JSON-RPC error with our id is an answer all the same, except where the status
    /// itself says what to do.
    async fn refusal(&self, mut response: Response) -> Result<Outcome, BackendError> {
        let status = response.status();
        let headers = response.headers().clone();
        let body = Endpoint::beginning(&mut response).await;
        if self.in_session && status == StatusCode::NOT_FOUND {
            return Err(BackendError::SessionLost { by_status: true });
        }
        if self.in_session && status == StatusCode::BAD_REQUEST && says_session_lost(&body) {
            return Err(BackendError::SessionLost { by_status: false });
        }
        if !matches!(status.as_u16(), 401 | 403 | 413 | 429 | 503)
            && let Ok(message) = RawJson::parse(body.clone().into())
            && let Ok(Inbound::Response(answer)) = parse(&message)
            && matches!(answer.outcome, Outcome::Error(_))
        {
            if self.speaks_other_era(&answer.outcome) {
                return Err(BackendError::EraChanged);
            }
            match answer.id {
                None if self.probing => return Ok(answer.outcome),
                None => {}
                Some(id) => {
                    if let Some(answer) = self.sink.response(&id, Ok(answer.outcome)) {
                        return answer;
                    }
                }
            }
        }
        // What a modern server refuses, it refuses with an error under our id (S26
        // `basic/transports/streamable-http`).
        if self.era == Era::Modern && !self.probing && matches!(status.as_u16(), 400 | 404 | 405) {
            return Err(BackendError::EraChanged);
        }
        Err(self.endpoint.refusal(status, &headers, &body))
    }

    /// Whether a refusal is one of the modern era, where we thought the server a legacy one.
    fn speaks_other_era(&self, refusal: &Outcome) -> bool {
        let Outcome::Error(error) = refusal else {
            return false;
        };
        let modern = [HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION];
        self.era == Era::Legacy && code_of(error).is_some_and(|code| modern.contains(&code))
    }

    /// Reads an event stream up to the answer, over as many responses as it takes.
    ///
    /// # Errors
    /// When it ends before and can't be gone on with.
    pub async fn events(&self, response: Response) -> Result<Outcome, BackendError> {
        self.events_from(response, self.decoder()).await
    }

    /// The same for a stream whose beginning has been read.
    ///
    /// # Errors
    /// As [`events`](Self::events).
    pub async fn events_from(
        &self,
        mut response: Response,
        mut decoder: Decoder,
    ) -> Result<Outcome, BackendError> {
        let (mut server_requests, mut cursor) = (ServerRequests::default(), Cursor::default());
        loop {
            let end = self
                .one_response(
                    &mut response,
                    &mut decoder,
                    &mut server_requests,
                    &mut cursor,
                )
                .await;
            let broken = match end {
                StreamEnd::Read(answer) => return answer,
                StreamEnd::Broken(error) => error,
            };
            cursor.ended(&decoder);
            response = match self.resume {
                Some(resume) => {
                    server_requests
                        .beside(resume.resume(&cursor, broken))
                        .await?
                }
                None => return Err(broken),
            };
            decoder = self.decoder();
        }
    }

    fn decoder(&self) -> Decoder {
        Decoder::new(self.endpoint.max_message_bytes)
    }

    async fn json_answer(&self, response: &mut Response) -> Result<Outcome, BackendError> {
        let body = self.body(response).await?;
        let messages = messages(&body).map_err(|why| {
            BackendError::BadReply(format!("{why}: {}", self.endpoint.snippet(&body)))
        })?;
        for message in messages {
            match self.understand(message) {
                ReaderItem::Answer(answer) => return answer,
                ReaderItem::Notification(notification) => self.handler.notification(notification),
                ReaderItem::Request(_) | ReaderItem::Nothing => {}
            }
        }
        Err(BackendError::BadReply("it answers another request".into()))
    }

    async fn one_response(
        &self,
        response: &mut Response,
        decoder: &mut Decoder,
        server_requests: &mut ServerRequests<'a>,
        cursor: &mut Cursor,
    ) -> StreamEnd {
        let mut charge = self.endpoint.budget.charge();
        loop {
            while let Some(event) = decoder.next() {
                match self.charged(event, decoder, &mut charge) {
                    Err(error) => return StreamEnd::Broken(error),
                    Ok(event) if event.data.is_empty() => {}
                    Ok(event) => {
                        cursor.delivered();
                        if let Some(answer) = self.event(&event, server_requests) {
                            return StreamEnd::Read(answer);
                        }
                        // Of one chunk thousands may come, and others have their turn in between.
                        coop::consume_budget().await;
                    }
                }
            }
            if let Err(error) = charge.cover(decoder.held()) {
                return StreamEnd::Broken(error.into());
            }
            let quiet = server_requests.is_empty();
            let chunk = tokio::select! {
                biased;
                said = server_requests.settled() => match said {
                    Ok(()) => continue,
                    // What waits for the answer waits in vain, and has run so far.
                    Err(_) => {
                        let why = "the session ended while the client was asked".to_owned();
                        return StreamEnd::Read(Err(BackendError::connection_lost(why)));
                    }
                },
                chunk = self.chunk(response, quiet) => chunk,
            };
            match chunk {
                Ok(Some(chunk)) => decoder.push(chunk),
                Ok(None) => {
                    let why = "the stream ended without the answer".to_owned();
                    return StreamEnd::Broken(BackendError::connection_lost(why));
                }
                Err(error) => return StreamEnd::Broken(error),
            }
        }
    }

    /// An event that takes its charge along; `charge` is left with that for what the decoder holds.
    fn charged(
        &self,
        event: Result<Event, TooLarge>,
        decoder: &Decoder,
        charge: &mut Charge,
    ) -> Result<Event, BackendError> {
        let event = event.map_err(|TooLarge { limit }| BackendError::TooLarge { limit })?;
        charge.cover(decoder.held())?;
        let data = self.endpoint.budget.hold(event.data)?;
        Ok(Event { data, ..event })
    }

    /// One event's messages; says the answer if it is among them.
    fn event(
        &self,
        event: &Event,
        server_requests: &mut ServerRequests<'a>,
    ) -> Option<Result<Outcome, BackendError>> {
        let messages = match messages(&event.data) {
            Ok(messages) => messages,
            Err(why) => {
                // One of another type than `message` need not be JSON.
                if event.event.is_none() {
                    let data = self.endpoint.snippet(&event.data);
                    tracing::warn!(why, data, "an event is skipped");
                }
                return None;
            }
        };
        for message in messages {
            match self.understand(message) {
                ReaderItem::Answer(answer) => return Some(answer),
                ReaderItem::Notification(notification) => match cancelled_request(&notification) {
                    Some(id) => server_requests.cancel(&id),
                    None => self.handler.notification(notification),
                },
                ReaderItem::Request(request) => {
                    server_requests.add(self.handler, self.responder, request)
                }
                ReaderItem::Nothing => {}
            }
        }
        None
    }

    fn understand(&self, message: Message) -> ReaderItem {
        let (id, answer) = match message {
            Ok(Inbound::Notification(notification)) => {
                return ReaderItem::Notification(notification);
            }
            Ok(Inbound::Request(request)) if self.era == Era::Modern => {
                tracing::warn!(
                    method = self.endpoint.snippet(request.method.as_bytes()),
                    "a modern server must not send requests: it is dropped"
                );
                return ReaderItem::Nothing;
            }
            Ok(Inbound::Request(request)) => return ReaderItem::Request(request),
            Ok(Inbound::Response(response)) => (response.id, check_result_object(response.outcome)),
            Err(malformed) => {
                tracing::warn!(
                    error = malformed.error.message,
                    "a message that is no JSON-RPC"
                );
                let answer = Err(BackendError::BadReply(malformed.error.message));
                (malformed.id, answer)
            }
        };
        match id.and_then(|id| self.sink.response(&id, answer)) {
            Some(answer) => ReaderItem::Answer(answer),
            None => {
                tracing::debug!("a response that nobody waits for is dropped");
                ReaderItem::Nothing
            }
        }
    }

    /// The whole body, capped. A body of one chunk is taken over as it is.
    async fn body(&self, response: &mut Response) -> Result<Bytes, BackendError> {
        let limit = self.endpoint.max_message_bytes;
        let announced = response
            .content_length()
            .and_then(|length| usize::try_from(length).ok());
        if announced.is_some_and(|length| length > limit) {
            return Err(BackendError::TooLarge { limit });
        }
        // Whoever finds room for the whole of it won't lose it half-way.
        let announced = announced.unwrap_or_default();
        let mut charge = self.endpoint.budget.charge();
        charge.cover(announced)?;
        let Some(first) = self.chunk(response, true).await? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.chunk(response, true).await? else {
            if first.len() > limit {
                return Err(BackendError::TooLarge { limit });
            }
            charge.cover(first.len())?;
            return Ok(charge.attach_to(first));
        };
        let mut body = BytesMut::with_capacity(announced.max(first.len() + second.len()));
        body.extend_from_slice(&first);
        body.extend_from_slice(&second);
        while body.len() <= limit {
            charge.cover(body.len().max(announced))?;
            match self.chunk(response, true).await? {
                Some(chunk) => body.extend_from_slice(&chunk),
                None => return Ok(charge.attach_to(body.freeze())),
            }
        }
        Err(BackendError::TooLarge { limit })
    }

    /// The next piece of the body. While the client is being asked, silence is not the server's.
    async fn chunk(
        &self,
        response: &mut Response,
        timed: bool,
    ) -> Result<Option<Bytes>, BackendError> {
        let chunk = response.chunk();
        let chunk = match self.idle {
            Some(limit) if timed => tokio::time::timeout(limit, chunk)
                .await
                .map_err(|_| BackendError::Idle { limit })?,
            _ => chunk.await,
        };
        let chunk = chunk.map_err(classify)?;
        if let (Some(trace), Some(chunk)) = (self.trace, &chunk) {
            trace.add_received(chunk.len());
        }
        Ok(chunk)
    }
}

/// How one response of a stream ended.
enum StreamEnd {
    /// With what it was read for.
    Read(Result<Outcome, BackendError>),
    /// Before that.
    Broken(BackendError),
}

enum ReaderItem {
    Answer(Result<Outcome, BackendError>),
    Notification(Notification),
    Request(Request),
    Nothing,
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
