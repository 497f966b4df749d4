//! A call to a backend, if its breaker lets it.
//!
//! Owns what a call has shown of its backend's health, and the words for one that was not made.
//! The breaker itself knows no backend, and the backend no breaker.

use std::sync::Arc;

use super::outgoing::explain;
use crate::backend::{Answer, Backend, BackendError, Call, Failed};
use crate::governance::breaker::{Breaker, Refusal, Sign};
use crate::protocol::error::INTERNAL_ERROR;
use crate::protocol::{Class, Executed, GatewayData, RpcError};

/// Makes the call, its retries included.
pub(super) async fn call(
    backend: &Backend,
    breaker: &Arc<Breaker>,
    call: &Call<'_>,
    is_tool: bool,
) -> Result<Answer, RpcError> {
    let permit = breaker
        .admit()
        .map_err(|refusal| turned_away(backend, &refusal, is_tool))?;
    let answer = backend.call(call).await;
    permit.settle(match &answer {
        // Also where a tool of its failed: that is the tool's affair.
        Ok(_) => Sign::Alive,
        Err(failed) => sign(failed),
    });
    answer.map_err(|failed| explain(backend, &failed, is_tool))
}

/// What a failure says: only transport and 5xx are about the health of a backend. One that says no,
/// or says nonsense, is there.
fn sign(failed: &Failed) -> Sign {
    match &failed.error {
        BackendError::Connect(_)
        | BackendError::Certificate(_)
        | BackendError::ConnectionLost(_)
        | BackendError::ServerError { .. }
        | BackendError::Unavailable { .. } => Sign::Failing(failed.error.to_string()),
        // Our own affair, or a call that takes too long.
        BackendError::Misconfigured(_)
        | BackendError::OutOfResources(_)
        | BackendError::NoRoom { .. }
        | BackendError::Deadline { .. }
        | BackendError::Idle { .. }
        | BackendError::Silent(_) => Sign::Nothing,
        BackendError::RateLimited { .. }
        | BackendError::AuthRequired { .. }
        | BackendError::Refused { .. }
        | BackendError::Redirected { .. }
        | BackendError::SessionLost { .. }
        | BackendError::EraChanged
        | BackendError::BadReply(_)
        | BackendError::TooLarge { .. }
        | BackendError::RequestTooLarge
        | BackendError::Handshake(_) => Sign::Alive,
    }
}

fn turned_away(backend: &Backend, refusal: &Refusal, is_tool: bool) -> RpcError {
    let name = backend.name();
    let fate = if is_tool {
        "; the tool did not run"
    } else {
        ""
    };
    let data = GatewayData::new(Some(name), Class::Unreachable, Executed::No, 0);
    RpcError::new(INTERNAL_ERROR, format!("{name}: {refusal}{fate}")).with_data(data)
}
