//! What a link reads: answers, and streams that answer nobody.

use bytes::Bytes;
use reqwest::Response;
use reqwest::header::HeaderMap;

use super::{Attempt, Connection};
use crate::backend::error::BackendError;
use crate::backend::handler::{NoResponse, Responder, ServerMessageHandler};
use crate::backend::http::{Endpoint, is_event_stream};
use crate::backend::http_sse::HttpSseTransport;
use crate::backend::pending::{StreamItem, StreamRouter};
use crate::backend::resume::{self, Resume, ResumeResponse};
use crate::backend::stream::ResponseReader;
use crate::protocol::{Era, Outcome, message};

impl Connection {
    /// One POST and what answers it, also where that comes in pieces.
    pub(super) async fn exchange(
        &self,
        attempt: &Attempt<'_>,
        headers: &HeaderMap,
        body: Bytes,
        handler: &dyn ServerMessageHandler,
    ) -> Result<Outcome, BackendError> {
        let (response, _in_flight) = self.endpoint.post(headers, body).await?;
        let rest = ResumeResponse {
            endpoint: &self.endpoint,
            headers: &self.headers,
        };
        let responder = |id, outcome| self.answer(id, outcome);
        let reading = ResponseReader {
            sink: attempt.id,
            idle: attempt.idle,
            in_session: self.in_session,
            // Streams of the modern era can't be gone on with (B-M-06).
            resume: (self.era == Era::Legacy).then_some(&rest),
            ..self.reading(handler, &responder)
        };
        reading.answer(response).await
    }

    /// The same within a legacy session: some servers write an answer on the session's own stream
    /// where that was opened after the request came. It is for the one that asked, wherever it is
    /// heard.
    pub(super) async fn exchange_or_hear(
        &self,
        attempt: &Attempt<'_>,
        body: Bytes,
        handler: &dyn ServerMessageHandler,
    ) -> Result<Outcome, BackendError> {
        let mut pending = self.pending.register(attempt.id);
        let heard = async {
            while let Some(item) = pending.recv().await {
                match item {
                    StreamItem::Answer(answer) => return answer,
                    StreamItem::Notification(notification) => handler.notification(notification),
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            biased;
            answer = heard => answer,
            answer = self.exchange(attempt, &self.headers, body, handler) => answer,
        }
    }

    /// Reading something of this server that answers nobody.
    fn reading<'a>(
        &'a self,
        handler: &'a dyn ServerMessageHandler,
        responder: &'a Responder<'a>,
    ) -> ResponseReader<'a> {
        ResponseReader {
            endpoint: &self.endpoint,
            sink: &NoResponse,
            era: self.era,
            probing: false,
            in_session: false,
            idle: None,
            handler,
            responder,
            resume: None,
        }
    }

    /// Opens the stream of a legacy server on which it speaks of its own accord, at its beginning
    /// or behind an event.
    ///
    /// # Errors
    /// When it has none, or has none now.
    pub(in crate::backend) async fn news(
        &self,
        after_event: Option<&str>,
    ) -> Result<Response, BackendError> {
        let mut response = resume::get(&self.endpoint, &self.headers, after_event).await?;
        if is_event_stream(&response) {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let body = Endpoint::beginning(&mut response).await;
        Err(match status.as_u16() {
            404 if self.in_session => BackendError::SessionLost { by_status: true },
            200..300 => BackendError::BadReply("no event stream".into()),
            _ => self.endpoint.refusal(status, &headers, &body),
        })
    }

    /// Reads such a stream for as long as `resume` goes on with it, and says why it no longer
    /// does.
    pub(in crate::backend) async fn recv(
        &self,
        stream: Response,
        handler: &dyn ServerMessageHandler,
        resume: &dyn Resume,
    ) -> BackendError {
        let responder = |id, outcome| self.answer(id, outcome);
        let sorting = StreamRouter {
            pending: &self.pending,
            other: handler,
        };
        let reading = ResponseReader {
            sink: &self.pending,
            resume: Some(resume),
            ..self.reading(&sorting, &responder)
        };
        match reading.events(stream).await {
            Err(end) => end,
            Ok(_) => BackendError::BadReply("an answer that nobody waits for".into()),
        }
    }

    /// Sends a request whose answer is a stream that stays open, and reads it to its end.
    ///
    /// # Errors
    /// When there is no stream, or it breaks.
    pub(in crate::backend) async fn listen(
        &self,
        attempt: &Attempt<'_>,
        handler: &dyn ServerMessageHandler,
    ) -> Result<Outcome, BackendError> {
        let (headers, params) = self.encode_request(attempt);
        let body = message::request(attempt.id, attempt.method, params.as_ref());
        let response = self.endpoint.post_long_lived(&headers, body).await?;
        let responder = |id, outcome| self.answer(id, outcome);
        let reading = ResponseReader {
            sink: attempt.id,
            ..self.reading(handler, &responder)
        };
        reading.answer(response).await
    }

    /// Resolves when the link itself has broken, which only one of the old transport can.
    pub(in crate::backend) async fn ended(&self) {
        match &self.http_sse {
            Some(http_sse) => http_sse.ended().await,
            None => std::future::pending().await,
        }
    }

    /// Whether it has.
    pub(in crate::backend) fn has_ended(&self) -> bool {
        self.http_sse
            .as_ref()
            .is_some_and(HttpSseTransport::has_ended)
    }

    /// Whether GET may open a stream beside the calls.
    pub(in crate::backend) fn has_news(&self) -> bool {
        self.era == Era::Legacy && self.http_sse.is_none()
    }
}
