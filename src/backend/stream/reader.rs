//! Reads an HTTP response up to the JSON-RPC response in it.
//!
//! Owns reading a JSON body, or an event stream on which the server's notifications and requests
//! come before the response (MCP 2025-11-25, basic/transports, "Sending Messages to the Server").
//! The response counts as soon as its event is complete, whether or not the stream is closed. A
//! GET stream, which has no response, is read in the same way. It must not know about retries or
//! clients; other messages go to a [`ServerMessageHandler`].

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
use crate::protocol::{self, Era, Inbound, Notification, Outcome, RawJson, Request};

/// One response that is being read.
pub struct ResponseReader<'a> {
    /// Whose response it is.
    pub endpoint: &'a Endpoint,
    /// Takes JSON-RPC responses.
    pub sink: &'a dyn ResponseSink,
    /// The era of the request. A modern server must not send requests on this stream.
    pub era: Era,
    /// Whether this is `server/discover` to find out the era. Then an error without an id is an
    /// answer too, since servers don't echo the id of a request that they don't understand.
    pub probing: bool,
    /// Whether the request had a session id, so that 404 means that the session is lost.
    pub in_session: bool,
    /// The longest silence allowed.
    pub idle: Option<Duration>,
    /// Takes notifications and requests of the server.
    pub handler: &'a dyn ServerMessageHandler,
    /// Sends answers to the server's requests.
    pub responder: &'a Responder<'a>,
    /// Resumes a stream that ends before the response, where that is possible.
    pub resume: Option<&'a dyn Resume>,
    /// Counts the bytes of the response, for a request that is a call.
    pub trace: Option<&'a CallTrace>,
}

impl<'a> ResponseReader<'a> {
    /// Reads up to the JSON-RPC response.
    ///
    /// # Errors
    /// When there is none: an HTTP error, a broken stream, or a body that is no MCP response.
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

    /// A status other than 2xx. A JSON-RPC error under our id in its body is a response too, except
    /// where the status itself decides.
    async fn refusal(&self, mut response: Response) -> Result<Outcome, BackendError> {
        let status = response.status();
        let headers = response.headers().clone();
        let body = Endpoint::beginning(&mut response).await;
        let refused = match status.as_u16() {
            401 | 403 | 413 | 429 | 503 => None,
            _ => error_in(&body),
        };
        let ours = refused.as_ref().and_then(|refused| {
            let outcome = refused.outcome.clone();
            self.sink.response(refused.id.as_ref()?, Ok(outcome))
        });
        if self.in_session && status == StatusCode::NOT_FOUND && ours.is_none() {
            return Err(BackendError::SessionLost { by_status: true });
        }
        if refused
            .as_ref()
            .is_some_and(|refused| self.speaks_other_era(&refused.outcome))
        {
            return Err(BackendError::EraChanged);
        }
        let session_lost = self.in_session
            && match status.as_u16() {
                410 => true,
                400 | 401 | 403 | 404 => says_session_lost(&body),
                _ => false,
            };
        if session_lost && !matches!(status.as_u16(), 401 | 403) {
            return Err(BackendError::SessionLost { by_status: false });
        }
        match (ours, refused) {
            (Some(answer), _) => return answer,
            (None, Some(refused)) if self.probing && refused.id.is_none() => {
                return Ok(refused.outcome);
            }
            _ => {}
        }
        // A modern server refuses with a JSON-RPC error under our id (MCP 2026-07-28,
        // basic/transports/streamable-http).
        if self.era == Era::Modern && !self.probing && matches!(status.as_u16(), 400 | 404 | 405) {
            return Err(BackendError::EraChanged);
        }
        let mut error = self.endpoint.refusal(status, &headers, &body);
        if let BackendError::AuthRequired {
            session_lost: lost, ..
        } = &mut error
        {
            *lost = session_lost;
        }
        Err(error)
    }

    /// Whether a server that was legacy at the handshake answers with an error of the modern era.
    fn speaks_other_era(&self, refusal: &Outcome) -> bool {
        let Outcome::Error(error) = refusal else {
            return false;
        };
        let modern = [HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION];
        self.era == Era::Legacy && code_of(error).is_some_and(|code| modern.contains(&code))
    }

    /// Reads an event stream up to the JSON-RPC response, over as many HTTP responses as it takes.
    ///
    /// # Errors
    /// When it ends before and can't be resumed.
    pub async fn events(&self, response: Response) -> Result<Outcome, BackendError> {
        self.events_from(response, self.decoder()).await
    }

    /// Continues an event stream whose beginning has been read by `decoder`.
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
            match self.classify(message) {
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
                        // One chunk may hold thousands of events: other tasks run in between.
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
                sent = server_requests.settled() => match sent {
                    Ok(()) => continue,
                    // The tool can't get the answer that it needs, and has begun to run.
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

    /// The event with its own share of the byte budget; `charge` keeps what the decoder holds.
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

    /// Handles the messages of one event. Returns the response if it is among them.
    fn event(
        &self,
        event: &Event,
        server_requests: &mut ServerRequests<'a>,
    ) -> Option<Result<Outcome, BackendError>> {
        let messages = match messages(&event.data) {
            Ok(messages) => messages,
            Err(why) => {
                // An event of another type than `message` need not be JSON.
                if event.event.is_none() {
                    let data = self.endpoint.snippet(&event.data);
                    tracing::warn!(why, data, "an event is skipped");
                }
                return None;
            }
        };
        for message in messages {
            match self.classify(message) {
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

    fn classify(&self, message: Message) -> ReaderItem {
        let (id, answer) = match message {
            Ok(Inbound::Notification(notification)) => {
                return ReaderItem::Notification(notification);
            }
            Ok(Inbound::Request(request)) if self.era == Era::Modern => {
                tracing::warn!(
                    method = self.endpoint.snippet(request.method.as_bytes()),
                    "a request is dropped: a modern server must not send requests"
                );
                return ReaderItem::Nothing;
            }
            Ok(Inbound::Request(request)) => return ReaderItem::Request(request),
            Ok(Inbound::Response(response)) => (response.id, check_result_object(response.outcome)),
            Err(malformed) => {
                tracing::warn!(
                    error = malformed.error.message,
                    "a message is dropped: it is not JSON-RPC"
                );
                let answer = Err(BackendError::BadReply(malformed.error.message));
                (malformed.id, answer)
            }
        };
        match id.and_then(|id| self.sink.response(&id, answer)) {
            Some(answer) => ReaderItem::Answer(answer),
            None => {
                tracing::debug!("a response to no pending request is dropped");
                ReaderItem::Nothing
            }
        }
    }

    /// The whole body, at most `max_message_bytes`. A body of one chunk is not copied.
    async fn body(&self, response: &mut Response) -> Result<Bytes, BackendError> {
        let limit = self.endpoint.max_message_bytes;
        let announced = response
            .content_length()
            .and_then(|length| usize::try_from(length).ok());
        if announced.is_some_and(|length| length > limit) {
            return Err(BackendError::TooLarge { limit });
        }
        // Charge the announced length first: then the budget can't run out half-way.
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

    /// The next chunk of the body. `timed`: the idle limit applies, which is not so while the client
    /// answers a request of the server.
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

/// The JSON-RPC error that a body consists of.
pub(in crate::backend) fn error_in(body: &[u8]) -> Option<protocol::Response> {
    let message = RawJson::parse(Bytes::copy_from_slice(body)).ok()?;
    match parse(&message) {
        Ok(Inbound::Response(response)) if matches!(response.outcome, Outcome::Error(_)) => {
            Some(response)
        }
        _ => None,
    }
}

/// How one HTTP response of a stream ended.
enum StreamEnd {
    /// With the JSON-RPC response.
    Read(Result<Outcome, BackendError>),
    /// Before it.
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
