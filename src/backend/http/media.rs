//! Media types of responses.
//!
//! Owns the reading of `Content-Type`, as far as it decides how a body is read. Its parameters and its
//! case do not matter.

use reqwest::header::CONTENT_TYPE;

use super::response::Response;

/// The media type of JSON, as nearly all servers write it.
const JSON: &str = "application/json";
/// The media type of server-sent events.
const EVENT_STREAM: &str = "text/event-stream";

/// `Content-Type` of a response, as far as it decides how the body is read.
pub(in crate::backend) enum Media {
    Json,
    EventStream,
    /// Another type, without parameters; empty where there is none.
    Other(String),
}

impl Media {
    pub(in crate::backend) fn of(response: &Response) -> Self {
        let value = response.headers().get(CONTENT_TYPE);
        if value.is_some_and(|value| value.as_bytes() == JSON.as_bytes()) {
            return Self::Json;
        }
        let value = value.and_then(|value| value.to_str().ok());
        let kind = value.and_then(|value| value.split(';').next());
        match kind.unwrap_or_default().trim() {
            kind if kind.eq_ignore_ascii_case(JSON) => Self::Json,
            kind if kind.eq_ignore_ascii_case(EVENT_STREAM) => Self::EventStream,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// Whether the response is a 2xx event stream.
pub(in crate::backend) fn is_event_stream(response: &Response) -> bool {
    response.status().is_success() && matches!(Media::of(response), Media::EventStream)
}
