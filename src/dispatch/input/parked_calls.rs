//! Calls of modern clients to legacy backends: those under way, and those that wait for an answer.
//!
//! Owns who may come back to a call that waits, and how long it waits. A handle is good for one
//! retry of the very request that was answered with it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::detached_call::{DetachedCall, RunGuard};
use super::input_requests::input_required;
use super::request_state::{RequestFingerprint, RequestState};
use super::{ANSWER_TIMEOUT, Exchange};
use crate::dispatch::backend_call::BackendCall;
use crate::protocol::{RawJson, RequestKey};

/// Calls that may wait at a time; a backend that asks past it is told that it can't.
const MAX_PARKED: usize = 256;
/// How long a backend may take to hear that nobody answers, before its call is cancelled.
const EXPIRY_TIMEOUT: Duration = Duration::from_secs(2);

/// All of them.
#[derive(Default)]
pub struct ParkedCalls {
    parked: Mutex<HashMap<RequestState, Parked>>,
    /// By the place of the talk in memory, with the index of its backend.
    running: Mutex<HashMap<usize, (usize, Weak<DetachedCall>)>>,
}

/// A call that runs beside the request it was made for. Dropping it cancels the call.
pub(super) struct CallHandle {
    pub(super) detached: Arc<DetachedCall>,
    task: AbortOnDropHandle<()>,
}

/// A call that waits for its client.
struct Parked {
    call: CallHandle,
    fingerprint: RequestFingerprint,
    /// Of the request that was answered with the handle.
    key: RequestKey,
    /// Ends the waiting.
    timer: AbortOnDropHandle<()>,
}

impl ParkedCalls {
    /// Makes a call on behalf of this request.
    pub(super) fn begin(self: &Arc<Self>, call: BackendCall, exchange: Exchange) -> CallHandle {
        let backend = call.backend.index;
        let detached = Arc::new(DetachedCall::new(call, exchange));
        let guard = IndexGuard {
            parked_calls: Arc::clone(self),
            key: Arc::as_ptr(&detached) as usize,
        };
        lock(&self.running).insert(guard.key, (backend, Arc::downgrade(&detached)));
        let run = RunGuard::new(&detached);
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            let _guard = guard;
            run.run().await;
        }));
        CallHandle { detached, task }
    }

    /// Lets a call wait for the answers to what it has asked. The result is for the request of
    /// this ticket.
    ///
    /// # Errors
    /// The call back, if there is nothing that can be asked.
    pub(super) fn park(
        self: &Arc<Self>,
        call: CallHandle,
        key: RequestKey,
        fingerprint: RequestFingerprint,
    ) -> Result<RawJson, CallHandle> {
        let mut parked = lock(&self.parked);
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

    /// The call that waits under this handle for this very request. Once.
    pub(super) fn take(
        &self,
        handle: &RequestState,
        fingerprint: &RequestFingerprint,
    ) -> Option<CallHandle> {
        let mut parked = lock(&self.parked);
        if parked.get(handle)?.fingerprint != *fingerprint {
            return None;
        }
        parked.remove(handle).map(|parked| parked.call)
    }

    /// The answer to this request reached nobody: a call that waits under it is cancelled.
    pub fn cancel_parked(&self, key: RequestKey) {
        lock(&self.parked).retain(|_, parked| parked.key != key);
    }

    /// The one call under way on this backend, if there is exactly one.
    pub(super) fn only_call_on(&self, backend: usize) -> Option<Arc<DetachedCall>> {
        let running = lock(&self.running);
        let mut there = running
            .values()
            .filter(|(at, _)| *at == backend)
            .filter_map(|(_, detached)| detached.upgrade());
        match (there.next(), there.next()) {
            (Some(detached), None) => Some(detached),
            _ => None,
        }
    }

    /// Cancels all that wait, and waits until their backends are being told.
    pub async fn close(&self) {
        let parked: Vec<Parked> = lock(&self.parked)
            .drain()
            .map(|(_, parked)| parked)
            .collect();
        for Parked { call, .. } in &parked {
            call.task.abort();
        }
        for Parked { call, .. } in parked {
            let _ = call.task.await;
        }
    }

    fn expire_later(self: &Arc<Self>, handle: RequestState) -> AbortOnDropHandle<()> {
        let parked_calls = Arc::downgrade(self);
        AbortOnDropHandle::new(tokio::spawn(async move {
            tokio::time::sleep(ANSWER_TIMEOUT).await;
            if let Some(parked_calls) = parked_calls.upgrade() {
                parked_calls.expire(&handle).await;
            }
        }))
    }

    /// Nobody came back: the backend is told so, and when it has heard it the call is cancelled.
    async fn expire(&self, handle: &RequestState) {
        let Some(parked) = lock(&self.parked).remove(handle) else {
            return;
        };
        let Parked { call, timer, .. } = parked;
        // This is the timer.
        timer.detach();
        let backend = call.detached.call.backend.name();
        tracing::warn!(
            backend,
            "nobody answered what a call has asked: it is cancelled"
        );
        call.detached.close();
        let _ = tokio::time::timeout(EXPIRY_TIMEOUT, call.detached.ended()).await;
    }
}

impl fmt::Debug for ParkedCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParkedCalls")
            .field("parked", &lock(&self.parked).len())
            .field("running", &lock(&self.running).len())
            .finish()
    }
}

/// Ends a talk's place among those under way.
struct IndexGuard {
    parked_calls: Arc<ParkedCalls>,
    key: usize,
}

impl Drop for IndexGuard {
    fn drop(&mut self) {
        lock(&self.parked_calls.running).remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
