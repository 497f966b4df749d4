//! Reads an HTTP response up to the JSON-RPC response in it.
//!
//! Owns reading a JSON body, or an event stream on which the server's notifications and requests
//! come before the response (MCP 2025-11-25, basic/transports, "Sending Messages to the Server").
//! The response counts as soon as its event is complete, whether or not the stream is closed. A
//! GET stream, which has no response, is read in the same way. It must not know about retries or
//! clients; other messages go to a [`ServerMessageHandler`].

mod body;
mod item;
mod refusal;

use std::time::Duration;

use reqwest::StatusCode;

use super::handler::{Responder, ResponseSink, ServerMessageHandler};
use super::messages::{Message, Unreadable, messages};
use super::resume::{Cursor, Resume};
use super::server_requests::{ServerRequests, cancelled_request};
use super::session_lost::error_says_session_lost;
use super::sse::{Decoder, Event};
use crate::backend::error::BackendError;
use crate::backend::http::{EACH, Endpoint, Media, Response, Turn};
use crate::call_report::CallTrace;
use crate::protocol::{Era, Id, Inbound, Notification, Outcome};
use item::{MessageResponse, ReaderItem};
pub(in crate::backend) use refusal::RefusalBody;

/// Most bytes of a notification's params.
const MAX_NOTIFICATION: usize = 1024 * 1024;
/// Largest params of a cancellation, in bytes: an id and a reason.
const MAX_CANCELLATION: usize = 64 * 1024;
/// The work of a notification or a request, in bytes: others have work with it after its reader.
const PASSED_ON: usize = 8 * EACH;

/// One response that is being read.
pub struct ResponseReader<'a> {
    /// Whose response it is.
    pub endpoint: &'a Endpoint,
    /// Takes JSON-RPC responses.
    pub sink: &'a dyn ResponseSink,
    /// The era of the request. A modern server must not send requests on this stream.
    pub era: Era,
    /// Whether this is `server/discover` to find out the era. Then an error without an id is an answer
    /// whatever the status: servers don't echo the id of a request that they don't understand.
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
            return Box::pin(self.refusal(response)).await;
        }
        if matches!(status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT) {
            let why = format!(
                "it took the request but gave no answer (HTTP {})",
                status.as_u16()
            );
            return Err(BackendError::BadReply(why));
        }
        // What is not the most frequent answer is boxed: its larger future takes no room in every call.
        let outcome = match Media::of(&response) {
            Media::Json => self.json_answer(&mut response).await?,
            Media::EventStream => Box::pin(self.events(response)).await?,
            Media::Other(other) => Box::pin(self.odd_answer(&mut response, &other)).await?,
        };
        match &outcome {
            Outcome::Error(error) if self.in_session && error_says_session_lost(error) => {
                Err(BackendError::SessionLost { by_status: false })
            }
            _ => Ok(outcome),
        }
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
        let (mut server_requests, mut cursor) =
            (ServerRequests::new(self.endpoint.backend()), Cursor::new());
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
            cursor.reopened();
            decoder = self.decoder();
        }
    }

    fn decoder(&self) -> Decoder {
        Decoder::new(self.endpoint.max_message_bytes)
    }

    async fn json_answer(&self, response: &mut Response) -> Result<Outcome, BackendError> {
        let body = self.body(response).await?;
        let messages = messages(&body, response.turn()).await.map_err(|why| {
            BackendError::BadReply(format!("{why}: {}", self.endpoint.snippet(&body)))
        })?;
        for message in messages {
            match self.classify(message, self.sink.only()) {
                ReaderItem::Answer(answer) => return answer,
                ReaderItem::Notification(notification) => self.notification(notification, None),
                ReaderItem::Request(_) | ReaderItem::Nothing => {}
            }
            response.turn().spend(PASSED_ON).await;
        }
        Err(BackendError::BadReply("it answers another request".into()))
    }

    /// A body of another type: what is a JSON-RPC response counts all the same.
    async fn odd_answer(
        &self,
        response: &mut Response,
        media_type: &str,
    ) -> Result<Outcome, BackendError> {
        let body = self.body(response).await?;
        let messages = messages(&body, response.turn()).await;
        for message in messages.into_iter().flatten() {
            if matches!(message, Ok(Inbound::Response(_)))
                && let ReaderItem::Answer(answer) = self.classify(message, self.sink.only())
            {
                return answer;
            }
            response.turn().spend(EACH).await;
        }
        let kind = match media_type {
            "" => "no content type".to_owned(),
            other => format!(
                "content type \"{}\"",
                self.endpoint.snippet(other.as_bytes())
            ),
        };
        let snippet = self.endpoint.snippet(&body);
        Err(BackendError::BadReply(format!(
            "{kind} instead of JSON or an event stream: {snippet}"
        )))
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
            loop {
                let turn = response.turn();
                let event = match self.next_event(decoder, turn, &mut charge).await {
                    Ok(Some(event)) => event,
                    Ok(None) => break,
                    Err(error) => return StreamEnd::Broken(error),
                };
                if event.data.is_empty() {
                    continue;
                }
                cursor.delivered();
                let only = self.sink.only().filter(|_| cursor.is_first());
                if let Some(answer) = self.event(&event, server_requests, only, turn).await {
                    return StreamEnd::Read(answer);
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
                    if cursor.is_first()
                        && let Some(answer) = self.unterminated(decoder, response.turn()).await
                    {
                        return StreamEnd::Read(answer);
                    }
                    let why = "the stream ended without the answer".to_owned();
                    return StreamEnd::Broken(BackendError::connection_lost(why));
                }
                Err(error) => return StreamEnd::Broken(error),
            }
        }
    }

    /// The response in an event that the stream's end has cut off before its blank line: servers that
    /// forget that line mean it. Nothing but a whole response is taken (B-C-10).
    async fn unterminated(
        &self,
        decoder: &mut Decoder,
        turn: &mut Turn,
    ) -> Option<Result<Outcome, BackendError>> {
        let only = self.sink.only()?;
        let data = decoder.cut_off()?.data;
        let data = self.endpoint.budget.charge_bytes(data).ok()?;
        let all = messages(&data, turn).await.ok()?;
        let mut responses = all.filter(|one| matches!(one, Ok(Inbound::Response(_))));
        responses.find_map(|one| match self.classify(one, Some(only)) {
            ReaderItem::Answer(answer) => Some(answer),
            _ => None,
        })
    }

    /// Handles the messages of one event. Returns the response if it is among them, or what ends the
    /// request without one; `only` is the request that the stream answers, and nothing else, so that
    /// an error without an id is its response, and an event without JSON a broken one.
    async fn event(
        &self,
        event: &Event,
        server_requests: &mut ServerRequests<'a>,
        only: Option<&Id>,
        turn: &mut Turn,
    ) -> Option<Result<Outcome, BackendError>> {
        let messages = match messages(&event.data, turn).await {
            Ok(messages) => messages,
            Err(why) => {
                // An event of another type than `message` need not be JSON.
                if event.event.is_none() {
                    let data = self.endpoint.snippet(&event.data);
                    // Handshakes and subscriptions, which have no trace, are read on.
                    if only.is_some()
                        && self.trace.is_some()
                        && matches!(why, Unreadable::NotJson(_))
                    {
                        let why = format!("an event is {why}: {data}");
                        return Some(Err(BackendError::BadReply(why)));
                    }
                    tracing::warn!(
                        backend = self.endpoint.backend(),
                        %why,
                        data,
                        "an event is skipped"
                    );
                }
                return None;
            }
        };
        for message in messages {
            let mut work = EACH;
            match self.classify(message, only) {
                ReaderItem::Answer(answer) => return Some(answer),
                ReaderItem::Notification(notification) => {
                    self.notification(notification, Some(server_requests));
                    work = PASSED_ON;
                }
                ReaderItem::Request(request) => {
                    server_requests.add(self.handler, self.responder, request);
                    work = PASSED_ON;
                }
                ReaderItem::Nothing => {}
            }
            turn.spend(work).await;
        }
        None
    }

    /// Passes on a notification, or takes it as a cancellation. A larger one would keep the loop for
    /// longer than a turn, and nobody has asked for it.
    fn notification(
        &self,
        notification: Notification,
        server_requests: Option<&mut ServerRequests<'_>>,
    ) {
        let params = notification.params.as_ref();
        let length = params.map_or(0, |params| params.as_bytes().len());
        let most = match notification.method.as_str() {
            "notifications/cancelled" => MAX_CANCELLATION,
            _ => MAX_NOTIFICATION,
        };
        if length <= most {
            return match (server_requests, cancelled_request(&notification)) {
                (Some(server_requests), Some(id)) => server_requests.cancel(&id),
                _ => self.handler.notification(notification),
            };
        }
        tracing::warn!(
            backend = self.endpoint.backend(),
            method = self.endpoint.snippet(notification.method.as_bytes()),
            length,
            "a notification is dropped: it is larger than {most} bytes"
        );
    }

    /// What a message is. `only` is the request whose response this is, where there can be no other:
    /// then its id need not be the same to the byte.
    fn classify(&self, message: Message, only: Option<&Id>) -> ReaderItem {
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
            .or(id.as_ref().filter(|id| !id.is_long()))
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

/// How one HTTP response of a stream ended.
enum StreamEnd {
    /// It ended with the JSON-RPC response.
    Read(Result<Outcome, BackendError>),
    /// It ended before the JSON-RPC response.
    Broken(BackendError),
}
