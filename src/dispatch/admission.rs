//! A call to a backend, if its breaker lets it.
//!
//! Owns what a call has shown of its backend's health, and the words for one that failed or was
//! not made. The breaker itself knows no backend, and the backend no breaker.

use std::fmt::Display;
use std::sync::Arc;

use crate::backend::{Answer, BackendError, Call, Failed, HttpBackend};
use crate::governance::breaker::{Breaker, Health, Refusal};
use crate::protocol::error::INTERNAL_ERROR;
use crate::protocol::{Class, Executed, GatewayData, RpcError};

/// Makes the call, its retries included.
pub(super) async fn call(
    backend: &HttpBackend,
    breaker: &Arc<Breaker>,
    call: &Call<'_>,
    is_tool: bool,
) -> Result<Answer, RpcError> {
    let permit = breaker
        .admit()
        .map_err(|refusal| refused(backend, &refusal, is_tool))?;
    let answer = backend.call(call).await;
    permit.settle(match &answer {
        // Also where a tool of its failed: that is the tool's affair.
        Ok(_) => Health::Success,
        Err(failed) => health_of(failed),
    });
    answer.map_err(|failed| explain(backend, &failed, is_tool))
}

/// What a failure says: only transport and 5xx are about the health of a backend. One that says no,
/// or says nonsense, is there.
fn health_of(failed: &Failed) -> Health {
    match &failed.error {
        BackendError::Connect(_)
        | BackendError::Certificate(_)
        | BackendError::ConnectionLost(_)
        | BackendError::ServerError { .. }
        | BackendError::Unavailable { .. } => Health::Failure(failed.error.to_string()),
        // Our own affair, or a call that takes too long.
        BackendError::Misconfigured(_)
        | BackendError::OutOfResources(_)
        | BackendError::BudgetExceeded { .. }
        | BackendError::Deadline { .. }
        | BackendError::Idle { .. }
        | BackendError::Silent(_) => Health::Neutral,
        BackendError::RateLimited { .. }
        | BackendError::AuthRequired { .. }
        | BackendError::Refused { .. }
        | BackendError::Redirected { .. }
        | BackendError::SessionLost { .. }
        | BackendError::EraChanged
        | BackendError::BadReply(_)
        | BackendError::TooLarge { .. }
        | BackendError::RequestTooLarge
        | BackendError::Handshake(_) => Health::Success,
    }
}

/// The error that reaches the client.
pub(super) fn explain(backend: &HttpBackend, failed: &Failed, is_tool: bool) -> RpcError {
    let what = failed.error.explain(&backend.config.shown_url);
    let class = failed.error.class();
    let data = GatewayData::new(
        Some(backend.name()),
        class,
        failed.executed,
        failed.attempts,
    );
    to_client_error(backend, &what, failed.executed, is_tool).with_data(data)
}

fn refused(backend: &HttpBackend, refusal: &Refusal, is_tool: bool) -> RpcError {
    let data = GatewayData::new(Some(backend.name()), Class::Unreachable, Executed::No, 0);
    to_client_error(backend, refusal, Executed::No, is_tool).with_data(data)
}

/// The message alone must serve: clients drop `data`.
fn to_client_error(
    backend: &HttpBackend,
    what: &dyn Display,
    executed: Executed,
    is_tool: bool,
) -> RpcError {
    let fate = match executed {
        _ if !is_tool => "",
        Executed::No => "; the tool did not run",
        Executed::Unknown => "; the tool MAY HAVE RUN: check before calling again",
        Executed::Yes => "; the tool has run",
    };
    RpcError::new(INTERNAL_ERROR, format!("{}: {what}{fate}", backend.name()))
}
