//! Reading responses, and streams that answer no request.
//!
//! Owns where the response to a request may come from: its own POST, its resumed stream, or, with some
//! legacy servers, the standalone GET stream. Exactly one of them counts.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use tokio::time::timeout;

use super::{Attempt, Connection};
use crate::backend::error::BackendError;
use crate::backend::http::{Response, is_event_stream};
use crate::backend::stream::{
    NoResponse, Responder, ResponseReader, Resume, ResumeResponse, ServerMessageHandler,
    StreamRouter, open_get,
};
use crate::protocol::{Era, Outcome, message};

/// How long the answer of a POST itself is waited for once the GET stream has brought one.
const OWN_ANSWER_WAIT: Duration = Duration::from_secs(1);

impl Connection {
    /// One POST and its response, resumed if its stream ends early.
    pub(super) async fn exchange(
        &self,
        attempt: &Attempt<'_>,
        headers: &HeaderMap,
        body: Bytes,
        handler: &dyn ServerMessageHandler,
    ) -> Result<Outcome, BackendError> {
        let trace = Some(attempt.trace);
        let waiting = self.waits.begin();
        let posted = self.endpoint.post(headers, body, trace).await;
        drop(waiting);
        let (response, _in_flight) = posted?;
        if !response.status().is_success() {
            self.waits.fail();
        }
        attempt.trace.mark_first_byte(response.status().as_u16());
        let rest = ResumeResponse {
            endpoint: &self.endpoint,
            headers: &self.headers,
        };
        let responder = |id, outcome| self.answer(id, outcome);
        let reading = ResponseReader {
            sink: attempt.id,
            idle: attempt.idle,
            in_session: self.endpoint.in_session(),
            trace,
            // Streams of the modern era can't be resumed (B-M-06).
            resume: (self.era == Era::Legacy).then_some(&rest),
            ..self.reading(handler, &responder)
        };
        reading.answer(response).await
    }

    /// One POST in a legacy session and its response, which may also come on the standalone GET
    /// stream: some servers write it there if that stream was opened after the request came, others
    /// always, and answer the POST with 202 or 204. One that comes there first counts where the
    /// POST says so, fails, or brings no answer of its own.
    pub(super) async fn exchange_or_get_stream(
        &self,
        attempt: &Attempt<'_>,
        headers: &HeaderMap,
        body: Bytes,
        handler: &dyn ServerMessageHandler,
    ) -> Result<Outcome, BackendError> {
        let mut pending = self.pending.register(attempt.id, attempt.takes());
        let own_stream = pending.own_stream(handler);
        let answer = {
            let heard = async {
                match pending.response(handler, None).await {
                    Ok(Some(answer)) => answer,
                    // Its own stream still is there.
                    Ok(None) => std::future::pending().await,
                    Err(idle) => Err(idle),
                }
            };
            let mut heard = std::pin::pin!(heard);
            let mut own = std::pin::pin!(self.exchange(attempt, headers, body, &own_stream));
            tokio::select! {
                biased;
                answer = &mut own => match answer {
                    Err(error) if matches!(attempt.trace.status(), Some(202 | 204)) => tokio::select! {
                        biased;
                        answer = heard => answer,
                        () = self.pending.unread() => Err(error),
                    },
                    answer => answer,
                },
                early = &mut heard => match timeout(OWN_ANSWER_WAIT, own).await {
                    Ok(Ok(answer)) => Ok(answer),
                    Ok(Err(_)) | Err(_) => early,
                },
            }
        };
        pending.over();
        answer
    }

    /// A reader of a stream of this server that answers no request.
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
            trace: None,
        }
    }

    /// Opens the standalone GET stream of a legacy server, from its beginning or after an event.
    ///
    /// # Errors
    /// When the server has none, or none now.
    pub(in crate::backend) async fn open_get_stream(
        &self,
        after_event: Option<&str>,
    ) -> Result<Response, BackendError> {
        let mut response = open_get(&self.endpoint, &self.headers, after_event).await?;
        if is_event_stream(&response) {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.beginning().await;
        Err(match status.as_u16() {
            404 if self.endpoint.in_session() => BackendError::SessionLost { by_status: true },
            410 if self.endpoint.in_session() => BackendError::SessionLost { by_status: false },
            200..300 => BackendError::BadReply("no event stream".into()),
            _ => self.endpoint.refusal(status, &headers, &body.bytes),
        })
    }

    /// Reads such a stream for as long as `resume` resumes it. Returns why that ended.
    pub(in crate::backend) async fn read_stream(
        &self,
        stream: Response,
        handler: &dyn ServerMessageHandler,
        resume: &dyn Resume,
    ) -> BackendError {
        let responder = |id, outcome| self.answer(id, outcome);
        let router = StreamRouter {
            backend: self.backend(),
            pending: &self.pending,
            other: handler,
        };
        let reading = ResponseReader {
            sink: &self.pending,
            resume: Some(resume),
            ..self.reading(&router, &responder)
        };
        let _read = self.pending.read();
        match reading.events(stream).await {
            Err(end) => end,
            Ok(_) => BackendError::BadReply("a response to no pending request".into()),
        }
    }

    /// Sends a request answered by a long-lived stream, and reads it to its end.
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

    /// Resolves when the transport of 2024-11-05 has lost its stream; never for another transport.
    pub(in crate::backend) async fn ended(&self) {
        match &self.http_sse {
            Some(http_sse) => http_sse.ended().await,
            None => std::future::pending().await,
        }
    }

    /// Whether the server may have a standalone GET stream.
    pub(in crate::backend) fn may_have_get_stream(&self) -> bool {
        self.era == Era::Legacy && self.http_sse.is_none()
    }
}
