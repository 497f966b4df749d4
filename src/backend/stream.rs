//! Reading what a backend answers, message by message.
//!
//! Owns the way from an HTTP response to the one answer it holds: a JSON body, or an event stream
//! on which notifications and requests of the server come before (or beside) it. The answer
//! counts the moment its event is complete, whether or not the stream is closed. It must not know
//! about retries or about clients; what else is heard goes to a [`Listener`].

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, StatusCode};

use super::error::BackendError;
use super::http::Endpoint;
use super::sse::{Decoder, TooLarge};
use crate::protocol::message::{elements, parse, response_at_once};
use crate::protocol::{Era, Id, Inbound, Notification, Outcome, RawJson, Request};

/// Hears what a backend says besides the answer.
pub trait Listener: Send + Sync {
    /// A notification came. It must not wait.
    fn notification(&self, notification: Notification);

    /// The server asks something in the middle of our call. Dropping the future withdraws it.
    fn request(&self, request: Request) -> BoxFuture<'_, Outcome>;
}

/// Sends our answer to a request of the server: its id and what we say.
pub type Answering<'a> = dyn Fn(Id, Outcome) -> BoxFuture<'a, ()> + Send + Sync + 'a;

/// One response that is being read.
pub struct Reading<'a> {
    /// Whose response it is.
    pub endpoint: &'a Endpoint,
    /// The id we asked under.
    pub id: &'a Id,
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
    pub listener: &'a dyn Listener,
    /// How our answers get back to the server.
    pub answering: &'a Answering<'a>,
}

impl<'a> Reading<'a> {
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
        let outcome = match media_type(&response).as_str() {
            "application/json" => self.json_answer(&mut response).await?,
            "text/event-stream" => self.event_answer(&mut response).await?,
            other => {
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
            && (answer.id.as_ref() == Some(self.id) || (self.probing && answer.id.is_none()))
            && matches!(answer.outcome, Outcome::Error(_))
        {
            return Ok(answer.outcome);
        }
        Err(self.endpoint.refusal(status, &headers, &body))
    }

    async fn json_answer(&self, response: &mut Response) -> Result<Outcome, BackendError> {
        let body = self.body(response).await?;
        if let Some(outcome) = self.at_once(&body) {
            return Ok(outcome);
        }
        let not_ours = || BackendError::BadReply("it answers another request".into());
        for message in messages(&body).map_err(|why| {
            BackendError::BadReply(format!("{why}: {}", self.endpoint.snippet(&body)))
        })? {
            match self.understand(&message) {
                Heard::Answer(outcome) => return Ok(outcome),
                Heard::Nonsense(why) => return Err(BackendError::BadReply(why)),
                Heard::Notification(notification) => self.listener.notification(notification),
                Heard::Request(_) | Heard::Nothing => {}
            }
        }
        Err(not_ours())
    }

    async fn event_answer(&self, response: &mut Response) -> Result<Outcome, BackendError> {
        let mut decoder = Decoder::new(self.endpoint.max_message_bytes);
        let mut asked = Asked::default();
        loop {
            let quiet = asked.answers.is_empty();
            let chunk = tokio::select! {
                biased;
                Some(()) = asked.answers.next() => continue,
                chunk = self.chunk(response, quiet) => chunk?,
            };
            let Some(chunk) = chunk else {
                let why = "the stream ended without the answer".to_owned();
                return Err(BackendError::ConnectionLost(why));
            };
            decoder.push(chunk);
            for event in decoder.by_ref() {
                let event = event.map_err(|TooLarge { limit }| BackendError::TooLarge { limit })?;
                if event.data.is_empty() {
                    continue;
                }
                if let Some(outcome) = self.at_once(&event.data) {
                    return Ok(outcome);
                }
                let Ok(messages) = messages(&event.data) else {
                    tracing::warn!(
                        data = self.endpoint.snippet(&event.data),
                        "an event that is not JSON is skipped"
                    );
                    continue;
                };
                for message in messages {
                    match self.understand(&message) {
                        Heard::Answer(outcome) => return Ok(outcome),
                        Heard::Nonsense(why) => return Err(BackendError::BadReply(why)),
                        Heard::Notification(notification) => match withdrawn(&notification) {
                            Some(id) => asked.withdraw(&id),
                            None => self.listener.notification(notification),
                        },
                        Heard::Request(request) => {
                            asked.add(self.listener, self.answering, request)
                        }
                        Heard::Nothing => {}
                    }
                }
            }
        }
    }

    /// The answer, if that is all the text holds: the common case, in one pass.
    fn at_once(&self, text: &Bytes) -> Option<Outcome> {
        let response = response_at_once(text)?;
        (response.id.as_ref() == Some(self.id) && is_answer(&response.outcome))
            .then_some(response.outcome)
    }

    fn understand(&self, message: &RawJson) -> Heard {
        match parse(message) {
            Ok(Inbound::Response(response)) if response.id.as_ref() == Some(self.id) => {
                if is_answer(&response.outcome) {
                    Heard::Answer(response.outcome)
                } else {
                    Heard::Nonsense("the result must be an object".into())
                }
            }
            Ok(Inbound::Notification(notification)) => Heard::Notification(notification),
            Ok(Inbound::Request(request)) if self.era == Era::Modern => {
                tracing::warn!(
                    method = self.endpoint.snippet(request.method.as_bytes()),
                    "a modern server must not send requests: it is dropped"
                );
                Heard::Nothing
            }
            Ok(Inbound::Request(request)) => Heard::Request(request),
            Ok(Inbound::Response(_)) => {
                tracing::debug!("a response to another request is dropped");
                Heard::Nothing
            }
            Err(malformed) if malformed.id.as_ref() == Some(self.id) => {
                Heard::Nonsense(malformed.error.message)
            }
            Err(malformed) => {
                tracing::warn!(
                    error = malformed.error.message,
                    "a message that is no JSON-RPC is skipped"
                );
                Heard::Nothing
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
        let Some(first) = self.chunk(response, true).await? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.chunk(response, true).await? else {
            return if first.len() > limit {
                Err(BackendError::TooLarge { limit })
            } else {
                Ok(first)
            };
        };
        let mut body = BytesMut::with_capacity(announced.unwrap_or(first.len() + second.len()));
        body.extend_from_slice(&first);
        body.extend_from_slice(&second);
        while body.len() <= limit {
            match self.chunk(response, true).await? {
                Some(chunk) => body.extend_from_slice(&chunk),
                None => return Ok(body.freeze()),
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
        chunk.map_err(|error| self.endpoint.broken(&error))
    }
}

enum Heard {
    Answer(Outcome),
    Notification(Notification),
    Request(Request),
    /// Under our id, but neither a result nor an error.
    Nonsense(String),
    Nothing,
}

/// Requests of the server that are being answered while the stream is read on.
#[derive(Default)]
struct Asked<'a> {
    answers: FuturesUnordered<BoxFuture<'a, ()>>,
    withdrawals: Vec<(Id, AbortHandle)>,
}

impl<'a> Asked<'a> {
    fn add(&mut self, listener: &'a dyn Listener, answering: &'a Answering<'a>, request: Request) {
        let id = request.id.clone();
        let (handle, registration) = AbortHandle::new_pair();
        self.withdrawals.push((id.clone(), handle));
        let answer = async move {
            if let Ok(outcome) = Abortable::new(listener.request(request), registration).await {
                answering(id, outcome).await;
            }
        };
        self.answers.push(Box::pin(answer));
    }

    fn withdraw(&mut self, id: &Id) {
        self.withdrawals.retain(|(asked, handle)| {
            let hit = asked == id;
            if hit {
                handle.abort();
            }
            !hit
        });
    }
}

/// Every MCP result is an object.
fn is_answer(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Result(result) => result.as_bytes().starts_with(b"{"),
        Outcome::Error(_) => true,
    }
}

/// The server's own request that it cancels, if that's what the notification says.
fn withdrawn(notification: &Notification) -> Option<Id> {
    if notification.method != "notifications/cancelled" {
        return None;
    }
    Id::from_raw(notification.params.as_ref()?.get("requestId")?)
}

/// The messages of a body or an event: one, an array of them (2025-03-26), or one a line.
fn messages(text: &Bytes) -> Result<Vec<RawJson>, String> {
    match RawJson::parse(text.clone()) {
        Ok(message) => Ok(match elements(&message) {
            Some(batch) => batch,
            None => vec![message],
        }),
        Err(error) => {
            let lines: Option<Vec<RawJson>> = text
                .split(|byte| *byte == b'\n')
                .map(<[u8]>::trim_ascii)
                .filter(|line| !line.is_empty())
                .map(|line| RawJson::parse(text.slice_ref(line)).ok())
                .collect();
            lines
                .filter(|lines| lines.len() > 1)
                .ok_or_else(|| format!("not JSON ({error})"))
        }
    }
}

fn media_type(response: &Response) -> String {
    let value = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    value
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

fn says_session_lost(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    let gone = [
        "not found",
        "invalid",
        "expired",
        "unknown",
        "no valid",
        "does not exist",
        "missing",
    ];
    text.contains("server not initialized")
        || (text.contains("session") && gone.iter().any(|word| text.contains(word)))
}

/// With HTTP 200 a tool's own error may speak of sessions too: only the codes that servers use
/// for their transport count.
fn error_says_session_lost(error: &RawJson) -> bool {
    let code = error
        .get("code")
        .and_then(|code| code.as_str().parse::<i64>().ok());
    let transport = matches!(code, Some(-32099..=-32000 | -32600));
    let message = error.get("message");
    transport
        && message.is_some_and(|message| {
            message.as_bytes().len() < 80 && says_session_lost(message.as_bytes())
        })
}
