//! Calls of modern clients that were answered with a sign-in.
//!
//! Owns what a retry needs of the request before: it was sent nothing that must not be lost, such as
//! the answers to earlier rounds. A state is good for one retry of the request that it was made for.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use tokio::time::Instant;

use super::super::input_requests::without_answers;
use super::super::request_state::{RequestFingerprint, RequestState};
use super::under_way::{Attended, UnderWay};
use crate::dispatch::exchange::ANSWER_TIMEOUT;
use crate::protocol::{RawJson, RpcError, Tally};
use crate::sync::Mutex;

/// The most calls that are held.
const MAX_HELD: usize = 256;

/// A call that a retry continues.
pub(super) struct HeldCall {
    pub(super) fingerprint: RequestFingerprint,
    /// Of the request that needed a sign-in.
    pub(super) params: RawJson,
    /// What the client gets if there is none.
    pub(super) error: RpcError,
    pub(super) tally: Tally,
    pub(super) under_way: Arc<UnderWay>,
    /// It waits for the person.
    pub(super) _attended: Attended,
}

/// All of them.
#[derive(Default)]
pub(super) struct HeldCalls {
    held: Mutex<HashMap<RequestState, (Instant, HeldCall)>>,
    /// There has been one.
    is_used: AtomicBool,
}

impl HeldCalls {
    /// Whether no call has ever been held. Cheap.
    pub(super) fn is_empty(&self) -> bool {
        !self.is_used.load(Relaxed)
    }

    /// Holds a call for ten minutes; `None` if there are too many.
    pub(super) fn hold(&self, call: HeldCall) -> Option<RequestState> {
        let mut held = self.held.lock();
        held.retain(|_, (since, _)| since.elapsed() < ANSWER_TIMEOUT);
        if held.len() >= MAX_HELD {
            return None;
        }
        let state = RequestState::new();
        held.insert(state.clone(), (Instant::now(), call));
        self.is_used.store(true, Relaxed);
        Some(state)
    }

    /// Takes the call that this very request is a retry of.
    pub(super) fn take(
        &self,
        state: &RequestState,
        fingerprint: &RequestFingerprint,
    ) -> Option<HeldCall> {
        let mut held = self.held.lock();
        if held.get(state)?.1.fingerprint != *fingerprint {
            return None;
        }
        held.remove(state).map(|(_, call)| call)
    }
}

impl HeldCall {
    /// The params of the retry, with what the request before had of earlier rounds.
    pub(super) fn resumed(&self, retry: &RawJson) -> RawJson {
        let earlier = ["inputResponses", "requestState"]
            .into_iter()
            .filter_map(|key| Some((key, self.params.get(key)?.into_bytes())));
        let earlier: Vec<(&str, Bytes)> = earlier.collect();
        without_answers(retry).with_members(&earlier, &[])
    }
}
