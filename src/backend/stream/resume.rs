//! Resuming an event stream that ended before its response (MCP 2025-11-25, basic/transports,
//! "Resumability and Redelivery").
//!
//! Owns the position in a stream and the waits between attempts to resume it. It must not know the
//! messages on the stream.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use tokio::time::Instant;

use super::sse::Decoder;
use crate::backend::backoff::{STEADY, Series, backoff, jitter};
use crate::backend::error::BackendError;
use crate::backend::http::{Endpoint, Response, is_event_stream};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The wait where the server sends no `retry`.
const DEFAULT_RETRY: Duration = Duration::from_secs(1);
/// Consecutive attempts that deliver nothing new.
const MAX_EMPTY_ATTEMPTS: u32 = 5;

/// The position in a stream.
#[derive(Debug)]
pub struct Cursor {
    /// The id of the last complete event, if events have ids.
    pub last_event_id: Option<String>,
    /// The server's last `retry`.
    pub retry: Option<Duration>,
    /// Consecutive reconnects that delivered no event.
    pub empty_attempts: u32,
    /// Consecutive responses that ended soon, with or without events.
    short_lived: u32,
    /// When the current response began.
    opened: Instant,
    /// Whether that is the first response, which belongs to the request alone.
    is_first: bool,
}

impl Cursor {
    /// A cursor at the beginning of a stream whose first response has begun.
    pub(in crate::backend) fn new() -> Self {
        Self {
            last_event_id: None,
            retry: None,
            empty_attempts: 0,
            short_lived: 0,
            opened: Instant::now(),
            is_first: true,
        }
    }

    /// The next response of the stream has begun.
    pub(super) fn reopened(&mut self) {
        self.opened = Instant::now();
        self.is_first = false;
    }

    /// Whether the first response is being read.
    pub(super) fn is_first(&self) -> bool {
        self.is_first
    }

    /// The least wait before the next response, whatever `retry` says: it grows while responses end
    /// soon.
    pub(in crate::backend) fn least_wait(&self) -> Duration {
        Series::STREAM.delay(self.short_lived.saturating_sub(1), &mut jitter())
    }

    /// A message was delivered.
    pub(super) fn delivered(&mut self) {
        self.empty_attempts = 0;
    }

    /// A response of this stream has ended.
    pub(super) fn ended(&mut self, decoder: &Decoder) {
        self.empty_attempts += 1;
        self.short_lived = match self.opened.elapsed() < STEADY {
            true => self.short_lived.saturating_add(1),
            false => 0,
        };
        self.retry = decoder.retry().or(self.retry);
        if let Some(id) = decoder.last_event_id()
            && self.last_event_id.as_deref() != Some(id)
        {
            self.last_event_id = Some(id.to_owned());
            // An id alone is progress: servers that let clients poll send nothing else.
            self.empty_attempts = 0;
        }
    }
}

/// How a stream that ended too early is resumed.
pub trait Resume: Send + Sync {
    /// The response to go on with; an error ends the stream.
    fn resume<'a>(
        &'a self,
        cursor: &'a Cursor,
        broken: BackendError,
    ) -> BoxFuture<'a, Result<Response, BackendError>>;
}

/// Resumes the response to a request with GET. The request itself is never sent again.
pub(in crate::backend) struct ResumeResponse<'a> {
    pub(in crate::backend) endpoint: &'a Endpoint,
    pub(in crate::backend) headers: &'a HeaderMap,
}

impl Resume for ResumeResponse<'_> {
    fn resume<'a>(
        &'a self,
        cursor: &'a Cursor,
        broken: BackendError,
    ) -> BoxFuture<'a, Result<Response, BackendError>> {
        async move {
            let resumable = matches!(broken, BackendError::ConnectionLost { .. });
            let Some(id) = cursor.last_event_id.as_deref().filter(|_| resumable) else {
                return Err(broken);
            };
            for attempt in cursor.empty_attempts..=MAX_EMPTY_ATTEMPTS {
                tokio::time::sleep(wait(cursor, attempt)).await;
                tracing::debug!(
                    backend = self.endpoint.backend(),
                    attempt,
                    "a stream ended before its answer: asking for the rest"
                );
                match open_get(self.endpoint, self.headers, Some(id)).await {
                    Ok(response) if is_event_stream(&response) => return Ok(response),
                    Ok(response) if may_pass(response.status()) => {}
                    Ok(_) => return Err(broken),
                    // The server may be restarting.
                    Err(_) => {}
                }
            }
            Err(broken)
        }
        .boxed()
    }
}

/// The server's `retry`, or longer after attempts that delivered nothing.
fn wait(cursor: &Cursor, attempt: u32) -> Duration {
    let asked = cursor.retry.unwrap_or(DEFAULT_RETRY);
    let asked = asked.max(cursor.least_wait());
    match attempt {
        0 | 1 => asked,
        more => asked.max(backoff(more - 2, &mut jitter())),
    }
}

fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// GETs a stream of a legacy server, from its beginning or after an event.
pub(in crate::backend) async fn open_get(
    endpoint: &Endpoint,
    headers: &HeaderMap,
    last_event_id: Option<&str>,
) -> Result<Response, BackendError> {
    let mut headers = headers.clone();
    headers.remove(CONTENT_TYPE);
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    // An id that no header can carry is left out.
    let id = last_event_id.and_then(|id| HeaderValue::from_str(id).ok());
    headers.extend(id.map(|id| (LAST_EVENT_ID, id)));
    endpoint.get(&headers).await
}
