//! A request of an extension's method to one backend.
//!
//! Owns how it is sent: admitted, within the deadline that all requests of one method share, and counted for the
//! limits only where it is a call.

use std::sync::Arc;

use tokio::time::Instant;

use crate::backend::retry::Replay;
use crate::backend::{Answer, Call, Deadline, HttpBackend, ProgressHighWater};
use crate::call_report::RunningTally;
use crate::dispatch::backend_call::{RelayHandler, admission, attributed, progress_token};
use crate::dispatch::exchange::Exchange;
use crate::governance::{Admission, ClientCall};
use crate::observe::audit::OpenRecord;
use crate::protocol::{Outcome, RawJson, RpcError, Tally};
use crate::snapshot::Snapshot;

/// Requests to one backend, which share a deadline.
pub(super) struct ExtensionRequest<'a> {
    pub(super) backend: &'a Arc<HttpBackend>,
    admission: &'a Admission,
    exchange: &'a Exchange,
    deadline: Deadline,
    /// It is a call of the client's, for limits.
    is_call: bool,
}

impl<'a> ExtensionRequest<'a> {
    /// The deadline is that of the backend's calls, from `begun` on.
    pub(super) fn new(
        backend: &'a Arc<HttpBackend>,
        snapshot: &'a Snapshot,
        exchange: &'a Exchange,
        begun: Instant,
    ) -> Self {
        Self {
            backend,
            admission: &snapshot.admission,
            exchange,
            deadline: backend.deadline(begun, backend.config.timeout),
            is_call: false,
        }
    }

    /// These requests, as calls that limits count.
    pub(super) fn counted(self) -> Self {
        Self {
            is_call: true,
            ..self
        }
    }

    /// Sends one; `target` is the backend's own name of what it is about, for a header.
    pub(super) async fn send(
        &self,
        method: &str,
        params: &RawJson,
        target: Option<&str>,
        replay: Replay,
    ) -> Result<Answer, RpcError> {
        let call = Call {
            method,
            params: Some(params),
            progress: progress_token(params, &ProgressHighWater::default()),
            replay,
            deadline: &self.deadline,
            caller: &self.exchange.client,
            target,
            param_headers: &[],
            request: self.exchange.record.as_deref().and_then(OpenRecord::trace),
            handler: &RelayHandler {
                handler: self.exchange,
                backend: self.backend,
            },
        };
        let own: Option<Arc<str>> = target.map(Arc::from);
        self.exchange.note_backend(self.backend, own.as_ref());
        let record = self.exchange.record.as_deref();
        let tally = RunningTally::after(Tally::NONE).summed(record.map(OpenRecord::sums));
        let call_of_client = (self.is_call).then_some(ClientCall { tool: None, params });
        let (backend, admission) = (self.backend, self.admission);
        let mut answer =
            admission::call(backend, admission, &call, false, call_of_client, &tally).await;
        self.exchange.note(answer.as_ref());
        if let Ok(answer) = &mut answer
            && matches!(answer.outcome, Outcome::Error(_))
        {
            answer.outcome = attributed(backend, answer.outcome.clone()).await;
        }
        answer
    }
}
