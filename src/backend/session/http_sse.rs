//! The HTTP with SSE transport (MCP 2024-11-05, basic/transports): one event stream for all
//! messages of the server, and an endpoint for POST.
//!
//! Owns the stream and the endpoint. It must not know what the messages mean.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::Url;
use tokio::task::AbortHandle;

use crate::backend::error::{BackendError, ConnectKind};
use crate::backend::http::{Endpoint, Response, is_event_stream};
use crate::backend::stream::sse::{Decoder, STEP_WORK, Step};
use crate::backend::stream::{
    PendingRequests, RefusalBody, ResponseReader, ServerMessageHandler, StreamRouter, Takes,
    deliver, open_get,
};
use crate::call_report::CallTrace;
use crate::protocol::{Era, Id, Outcome, message};
use crate::tasks;

/// How long the `endpoint` event may take.
const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(3);

/// Largest `endpoint` event, in bytes.
const ENDPOINT_BYTES: usize = 64 * 1024;

/// An open stream. It closes when this is dropped.
#[derive(Debug)]
pub(super) struct HttpSseTransport {
    post: Post,
    pending: Arc<PendingRequests>,
    reader: AbortHandle,
}

impl HttpSseTransport {
    /// Opens the stream and reads the `endpoint` event. Messages that are no responses go to
    /// `unsolicited`.
    ///
    /// # Errors
    /// When the server has no such stream; [`BackendError::Handshake`] when its endpoint has another
    /// origin.
    pub(super) async fn open(
        endpoint: &Arc<Endpoint>,
        unsolicited: Arc<dyn ServerMessageHandler>,
    ) -> Result<Self, BackendError> {
        let mut response = open_get(endpoint, endpoint.headers(), None).await?;
        if !is_event_stream(&response) {
            let status = response.status();
            let why = format!("no event stream (HTTP {})", status.as_u16());
            return Err(BackendError::BadReply(why));
        }
        let mut decoder = Decoder::new(endpoint.max_message_bytes);
        let first = first_event(&mut response, &mut decoder);
        let silent = || BackendError::BadReply("the stream names no endpoint".into());
        let target = tokio::time::timeout(ENDPOINT_TIMEOUT, first)
            .await
            .map_err(|_| silent())??;
        let url = endpoint.within_origin(response.url(), &target);
        let url = url.map_err(|other| {
            BackendError::Handshake(format!("the server wants its messages at {other}"))
        })?;
        let post = Post {
            endpoint: Arc::clone(endpoint),
            url,
        };
        let pending = Arc::new(PendingRequests::default());
        let reading = read(
            post.clone(),
            response,
            decoder,
            Arc::clone(&pending),
            unsolicited,
        );
        Ok(Self {
            post,
            reader: tasks::spawn(reading).abort_handle(),
            pending,
        })
    }

    /// Sends one request. Its response and progress come on the stream, and server requests that it
    /// takes. `trace` counts its redirects.
    ///
    /// # Errors
    /// When the POST fails, or the stream ends before the response.
    pub(super) async fn request(
        &self,
        id: &Id,
        body: Bytes,
        idle: Option<Duration>,
        handler: &dyn ServerMessageHandler,
        takes: Takes,
        trace: Option<&CallTrace>,
    ) -> Result<Outcome, BackendError> {
        if self.has_ended() {
            let why = "the server has closed its stream".to_owned();
            return Err(BackendError::connect(ConnectKind::Other, why));
        }
        let mut pending = self.pending.register(id, takes);
        let answer = {
            let mut posting = pin!(self.post.send(body, trace));
            let mut heard = pin!(pending.response(handler, idle));
            let mut posted = false;
            loop {
                tokio::select! {
                    biased;
                    answer = &mut heard => break answer,
                    sent = &mut posting, if !posted => match sent {
                        Ok(()) => posted = true,
                        Err(error) => break Err(error),
                    },
                }
            }
        };
        pending.over();
        answer?.unwrap_or_else(|| {
            let why = "the stream ended without the answer".to_owned();
            Err(BackendError::connection_lost(why))
        })
    }

    /// Sends a message that has no response.
    ///
    /// # Errors
    /// When the POST fails.
    pub(super) async fn post(&self, body: Bytes) -> Result<(), BackendError> {
        self.post.send(body, None).await
    }

    /// Closes the stream, which ends the session.
    pub(super) fn close(&self) {
        self.reader.abort();
        self.pending.close();
    }

    /// Whether the stream has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.pending.is_closed()
    }

    /// Resolves when the stream has ended.
    pub(super) async fn ended(&self) {
        self.pending.closed().await;
    }
}

impl Drop for HttpSseTransport {
    fn drop(&mut self) {
        self.close();
    }
}

/// The endpoint for messages to the server.
#[derive(Debug, Clone)]
struct Post {
    endpoint: Arc<Endpoint>,
    url: Url,
}

impl Post {
    async fn send(&self, body: Bytes, trace: Option<&CallTrace>) -> Result<(), BackendError> {
        let headers = self.endpoint.headers();
        let posted = self.endpoint.post_to(&self.url, headers, body, trace);
        let (mut response, _in_flight) = posted.await?;
        let (status, headers) = (response.status(), response.headers().clone());
        // Read the body, so that the connection can be reused.
        let body = RefusalBody::read(&mut response).await;
        match status.as_u16() {
            _ if status.is_success() => Ok(()),
            // The endpoint identifies the session.
            404 => Err(BackendError::SessionLost {
                by_status: body.has_no_response(),
            }),
            _ => Err(self.endpoint.refusal(status, &headers, body.bytes())),
        }
    }
}

async fn first_event(
    response: &mut Response,
    decoder: &mut Decoder,
) -> Result<String, BackendError> {
    loop {
        let step = decoder.step();
        let step = step.map_err(|error| BackendError::TooLarge { limit: error.limit })?;
        if step == Step::Pause {
            response.turn().spend(STEP_WORK).await;
            continue;
        }
        if let Step::Event(event) = step {
            let target = String::from_utf8_lossy(&event.data).trim().to_owned();
            return match event.event.as_deref() {
                Some(b"endpoint") => Ok(target),
                _ => Err(BackendError::BadReply(
                    "the stream does not begin with an endpoint".into(),
                )),
            };
        }
        if decoder.held() > ENDPOINT_BYTES {
            let why = "the stream begins with something too large for an endpoint";
            return Err(BackendError::BadReply(why.into()));
        }
        match response.chunk().await {
            Ok(Some(chunk)) => decoder.push(chunk),
            Ok(None) => {
                return Err(BackendError::BadReply(
                    "the stream ended before its first event".into(),
                ));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Reads the stream to its end, then closes all pending requests.
async fn read(
    post: Post,
    response: Response,
    decoder: Decoder,
    pending: Arc<PendingRequests>,
    unsolicited: Arc<dyn ServerMessageHandler>,
) {
    let router = StreamRouter {
        backend: post.endpoint.backend(),
        pending: &pending,
        other: &*unsolicited,
    };
    let responder = |id, outcome| answer(&post, id, outcome);
    let reading = ResponseReader {
        endpoint: &post.endpoint,
        sink: &*pending,
        era: Era::Legacy,
        probing: false,
        in_session: false,
        idle: None,
        handler: &router,
        responder: &responder,
        resume: None,
        trace: None,
    };
    let _closing = CloseOnDrop(&pending);
    let end = reading.events_from(response, decoder).await;
    tracing::debug!(
        backend = post.endpoint.backend(),
        ?end,
        "the stream of a backend has ended"
    );
}

/// Closes all pending requests, also after a panic.
struct CloseOnDrop<'a>(&'a PendingRequests);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn answer(post: &Post, id: Id, outcome: Outcome) -> BoxFuture<'_, Result<(), BackendError>> {
    let body = message::response(Some(&id), &outcome);
    deliver(&post.endpoint, post.send(body, None)).boxed()
}
