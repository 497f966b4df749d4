//! Going on with an event stream that ended too early (S25 `basic/transports`, "Resumability and
//! Redelivery"; SEP-1699).
//!
//! Owns where a stream stands, and how long to wait before asking for the rest. It must not know
//! what is read on the stream.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Response, StatusCode};

use super::error::BackendError;
use super::http::{Endpoint, is_event_stream};
use super::retry;
use super::sse::Decoder;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The wait where the server doesn't say how long.
const DEFAULT_RETRY: Duration = Duration::from_secs(1);
/// The least wait, so that a server can't make us run in circles.
const LEAST_RETRY: Duration = Duration::from_millis(10);
/// Tries in a row that brought nothing new.
const MAX_BARREN: u32 = 5;

/// Where a stream stands.
#[derive(Debug, Default)]
pub struct Cursor {
    /// The last event that was seen whole, if events have ids.
    pub last_event_id: Option<String>,
    /// How long the server last asked to wait.
    pub retry: Option<Duration>,
    /// Ends in a row with nothing heard before them.
    pub empty_attempts: u32,
}

impl Cursor {
    /// A message was heard.
    pub(super) fn heard(&mut self) {
        self.empty_attempts = 0;
    }

    /// One more response of this stream has ended.
    pub(super) fn ended(&mut self, decoder: &Decoder) {
        self.empty_attempts += 1;
        self.retry = decoder.retry().or(self.retry);
        if let Some(id) = decoder.last_event_id()
            && self.last_event_id.as_deref() != Some(id)
        {
            self.last_event_id = Some(id.to_owned());
            // A mere id is news too: servers that let clients poll send nothing else.
            self.empty_attempts = 0;
        }
    }
}

/// How a stream that ended too early is gone on with.
pub trait Resume: Send + Sync {
    /// The response to read on from; an error is the end of it.
    fn resume<'a>(
        &'a self,
        cursor: &'a Cursor,
        broken: BackendError,
    ) -> BoxFuture<'a, Result<Response, BackendError>>;
}

/// Asks with GET for the rest of what answers a request. The request is never sent again.
pub(super) struct ResumeResponse<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) headers: &'a HeaderMap,
}

impl Resume for ResumeResponse<'_> {
    fn resume<'a>(
        &'a self,
        cursor: &'a Cursor,
        broken: BackendError,
    ) -> BoxFuture<'a, Result<Response, BackendError>> {
        async move {
            let resumable = matches!(broken, BackendError::ConnectionLost(_));
            let Some(id) = cursor.last_event_id.as_deref().filter(|_| resumable) else {
                return Err(broken);
            };
            for tried in cursor.empty_attempts..=MAX_BARREN {
                tokio::time::sleep(wait(cursor, tried)).await;
                tracing::debug!(
                    tried,
                    "a stream ended before its answer: asking for the rest"
                );
                match get(self.endpoint, self.headers, Some(id)).await {
                    Ok(response) if is_event_stream(&response) => return Ok(response),
                    Ok(response) if may_pass(response.status()) => {}
                    Ok(_) => return Err(broken),
                    // It may be on its way back.
                    Err(_) => {}
                }
            }
            Err(broken)
        }
        .boxed()
    }
}

/// What the server asked for, and longer if that has led to nothing.
fn wait(cursor: &Cursor, tried: u32) -> Duration {
    let asked = cursor.retry.unwrap_or(DEFAULT_RETRY).max(LEAST_RETRY);
    match tried {
        0 | 1 => asked,
        more => asked.max(retry::backoff(more - 2, &mut rand::rng())),
    }
}

fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// Opens a stream of a legacy server, at its beginning or behind an event.
pub(super) async fn get(
    endpoint: &Endpoint,
    headers: &HeaderMap,
    last_event_id: Option<&str>,
) -> Result<Response, BackendError> {
    let mut headers = headers.clone();
    headers.remove(CONTENT_TYPE);
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    // One that can't stand in a header can't be sent back as it was.
    let id = last_event_id.and_then(|id| HeaderValue::from_str(id).ok());
    headers.extend(id.map(|id| (LAST_EVENT_ID, id)));
    endpoint.get(&headers).await
}
