//! Reads a response whose status is not 2xx.
//!
//! Owns what such a response proves about the request, and about session and era. It must not know
//! whether the request may be sent again.

use bytes::Bytes;
use reqwest::StatusCode;

use super::ResponseReader;
use crate::backend::error::BackendError;
use crate::backend::http::{Endpoint, Response};
use crate::backend::stream::session_lost::says_session_lost;
use crate::protocol::error::{HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION, code_of};
use crate::protocol::message::parse;
use crate::protocol::{self, Era, Inbound, Outcome, RawJson};

impl ResponseReader<'_> {
    /// A status other than 2xx. A JSON-RPC error under our id in its body is a response too, except
    /// where the status itself decides.
    pub(super) async fn refusal(&self, mut response: Response) -> Result<Outcome, BackendError> {
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
