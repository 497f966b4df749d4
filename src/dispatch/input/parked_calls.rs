//! Calls of modern clients to legacy backends that wait for input.
//!
//! Owns which retry resumes a parked call, and how long a call stays parked. A `requestState` is good
//! for one retry of the request that was answered with it. It must not know what is asked for.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::detached_call::CallHandle;
use super::input_requests::input_required;
use super::kept_tasks::KeptTasks;
use super::request_state::{RequestFingerprint, RequestState};
use super::sign_in::SignIns;
use crate::dispatch::exchange::ANSWER_TIMEOUT;
use crate::observe::request_span::RequestSpan;
use crate::protocol::{RawJson, RequestKey};
use crate::sync::Mutex;

/// The most calls that may be parked; further server requests get an error.
const MAX_PARKED: usize = 256;
/// How long a call may take to end after its server requests expired, before it is cancelled.
const EXPIRY_TIMEOUT: Duration = Duration::from_secs(2);

/// All calls that wait for their clients' input.
#[derive(Default)]
pub(crate) struct ParkedCalls {
    parked: Mutex<HashMap<RequestState, Parked>>,
    /// Calls may wait for a person who signs in, too.
    pub(in crate::dispatch) sign_ins: SignIns,
    /// Calls may go on as tasks.
    pub(in crate::dispatch) tasks: Arc<KeptTasks>,
}

/// A call that waits for its client's input.
struct Parked {
    call: CallHandle,
    fingerprint: RequestFingerprint,
    /// The request that was answered with the state.
    key: RequestKey,
    /// Ends the wait.
    timer: AbortOnDropHandle<()>,
}

impl ParkedCalls {
    /// Parks a call until a retry brings the input that it has asked for. The result is for the
    /// request `key`.
    ///
    /// # Errors
    /// The call itself, if it has no server request that can be passed on.
    pub(super) fn park(
        self: &Arc<Self>,
        call: CallHandle,
        key: RequestKey,
        fingerprint: RequestFingerprint,
    ) -> Result<RawJson, CallHandle> {
        let mut parked = self.parked.lock();
        if parked.len() >= MAX_PARKED {
            let why = format!("{MAX_PARKED} calls wait for their clients already");
            call.detached.refuse_all(&why);
            return Err(call);
        }
        let Some(input_requests) = call.detached.take_requests() else {
            return Err(call);
        };
        let handle = RequestState::new();
        let result = input_required(&input_requests, Some(handle.as_str()));
        let timer = self.expire_later(handle.clone());
        let waiting = Parked {
            call,
            fingerprint,
            key,
            timer,
        };
        parked.insert(handle, waiting);
        Ok(result)
    }

    /// Takes the call that is parked under this state for this very request.
    pub(super) fn take(
        &self,
        handle: &RequestState,
        fingerprint: &RequestFingerprint,
    ) -> Option<CallHandle> {
        let mut parked = self.parked.lock();
        if parked.get(handle)?.fingerprint != *fingerprint {
            return None;
        }
        parked.remove(handle).map(|parked| parked.call)
    }

    /// The response to this request was not sent: the call that it parked is cancelled.
    pub(crate) fn cancel_parked(&self, key: RequestKey) {
        self.parked.lock().retain(|_, parked| parked.key != key);
        self.tasks.cancel_unknown(key);
    }

    /// Cancels all parked calls, and waits until their tasks have ended.
    pub(crate) async fn close(&self) {
        self.sign_ins.close();
        let parked = std::mem::take(&mut *self.parked.lock());
        let parked = parked.into_values().map(|parked| parked.call);
        let calls: Vec<CallHandle> = parked.chain(self.tasks.close()).collect();
        for call in &calls {
            call.cancel();
        }
        for call in calls {
            call.ended().await;
        }
    }

    fn expire_later(self: &Arc<Self>, handle: RequestState) -> AbortOnDropHandle<()> {
        let parked_calls = Arc::downgrade(self);
        let expiring = async move {
            tokio::time::sleep(ANSWER_TIMEOUT).await;
            if let Some(parked_calls) = parked_calls.upgrade() {
                parked_calls.expire(&handle).await;
            }
        };
        AbortOnDropHandle::new(RequestSpan::spawn(RequestSpan::current(), expiring))
    }

    /// No retry came: the open server requests expire; then the call may end, and is cancelled.
    async fn expire(&self, handle: &RequestState) {
        let Some(parked) = self.parked.lock().remove(handle) else {
            return;
        };
        let Parked { call, timer, .. } = parked;
        // This task is the timer.
        timer.detach();
        let backend = call.detached.call.backend.name();
        tracing::warn!(
            backend,
            "a parked call expired without a retry: it is cancelled"
        );
        call.detached.close();
        let _ = tokio::time::timeout(EXPIRY_TIMEOUT, call.detached.ended()).await;
    }
}

impl fmt::Debug for ParkedCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParkedCalls")
            .field("parked", &self.parked.lock().len())
            .finish()
    }
}

#[cfg(test)]
mod tests;
