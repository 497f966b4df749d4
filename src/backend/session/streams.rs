//! What a link reads: answers, and streams that answer nobody.

use bytes::Bytes;
use reqwest::Response;
use reqwest::header::HeaderMap;

use super::{Attempt, Link};
use crate::backend::error::BackendError;
use crate::backend::http::{Endpoint, is_event_stream};
use crate::backend::listener::{Answering, Listener, Nobody};
use crate::backend::old_sse::Channel;
use crate::backend::resume::{self, RestOfAnswer, Resume};
use crate::backend::stream::Reading;
use crate::backend::waiters::{Said, Sorting};
use crate::protocol::{Era, Outcome, message};

impl Link {
    /// One POST and what answers it, also where that comes in pieces.
    pub(super) async fn exchange(
        &self,
        attempt: &Attempt<'_>,
        headers: &HeaderMap,
        body: Bytes,
        listener: &dyn Listener,
    ) -> Result<Outcome, BackendError> {
        let (response, _busy) = self.endpoint.post(headers, body).await?;
        let rest = RestOfAnswer {
            endpoint: &self.endpoint,
            headers: &self.headers,
        };
        let answering = |id, outcome| self.answer(id, outcome);
        let reading = Reading {
            addressee: attempt.id,
            idle: attempt.idle,
            in_session: self.in_session,
            // Streams of the modern era can't be gone on with (B-M-06).
            resume: (self.era == Era::Legacy).then_some(&rest),
            ..self.reading(listener, &answering)
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
        listener: &dyn Listener,
    ) -> Result<Outcome, BackendError> {
        let mut elsewhere = self.waiters.wait_for(attempt.id);
        let heard = async {
            while let Some(said) = elsewhere.hear().await {
                match said {
                    Said::Answer(answer) => return answer,
                    Said::Notification(notification) => listener.notification(notification),
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            biased;
            answer = heard => answer,
            answer = self.exchange(attempt, &self.headers, body, listener) => answer,
        }
    }

    /// Reading something of this server that answers nobody.
    fn reading<'a>(
        &'a self,
        listener: &'a dyn Listener,
        answering: &'a Answering<'a>,
    ) -> Reading<'a> {
        Reading {
            endpoint: &self.endpoint,
            addressee: &Nobody,
            era: self.era,
            probing: false,
            in_session: false,
            idle: None,
            listener,
            answering,
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
        behind: Option<&str>,
    ) -> Result<Response, BackendError> {
        let mut response = resume::get(&self.endpoint, &self.headers, behind).await?;
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
    pub(in crate::backend) async fn hear(
        &self,
        stream: Response,
        listener: &dyn Listener,
        resume: &dyn Resume,
    ) -> BackendError {
        let answering = |id, outcome| self.answer(id, outcome);
        let sorting = Sorting {
            waiters: &self.waiters,
            news: listener,
        };
        let reading = Reading {
            addressee: &self.waiters,
            resume: Some(resume),
            ..self.reading(&sorting, &answering)
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
        listener: &dyn Listener,
    ) -> Result<Outcome, BackendError> {
        let (headers, params) = self.dressed(attempt);
        let body = message::request(attempt.id, attempt.method, params.as_ref());
        let response = self.endpoint.post_apart(&headers, body).await?;
        let answering = |id, outcome| self.answer(id, outcome);
        let reading = Reading {
            addressee: attempt.id,
            ..self.reading(listener, &answering)
        };
        reading.answer(response).await
    }

    /// Resolves when the link itself has broken, which only one of the old transport can.
    pub(in crate::backend) async fn ended(&self) {
        match &self.channel {
            Some(channel) => channel.ended().await,
            None => std::future::pending().await,
        }
    }

    /// Whether it has.
    pub(in crate::backend) fn has_ended(&self) -> bool {
        self.channel.as_ref().is_some_and(Channel::has_ended)
    }

    /// Whether GET may open a stream beside the calls.
    pub(in crate::backend) fn has_news(&self) -> bool {
        self.era == Era::Legacy && self.channel.is_none()
    }
}
