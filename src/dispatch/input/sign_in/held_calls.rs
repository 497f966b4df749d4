//! Calls of modern clients that were answered with a sign-in.
//!
//! Owns what a retry needs of the request before: it was sent nothing that must not be lost, such as
//! the answers to earlier rounds. A state is good for one retry of the request that it was made for, in
//! ten minutes; then the call is dropped.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::super::input_requests::without_answers;
use super::super::request_state::{RequestFingerprint, RequestState};
use super::under_way::{Attended, UnderWay};
use crate::dispatch::exchange::ANSWER_TIMEOUT;
use crate::protocol::{RawJson, RpcError, Tally};
use crate::sync::Mutex;
use crate::tasks;

/// The most calls that are held.
const MAX_HELD: usize = 256;

/// A call that a retry continues.
pub(super) struct HeldCall {
    /// The params of the request that needed a sign-in.
    pub(super) params: RawJson,
    /// What the client gets if there is none.
    pub(super) error: RpcError,
    pub(super) tally: Tally,
    pub(super) under_way: Arc<UnderWay>,
    /// It waits for the person.
    pub(super) _attended: Attended,
}

/// All calls that are held.
pub(super) struct HeldCalls<T = HeldCall> {
    held: Arc<Mutex<Held<T>>>,
    /// There has been one.
    is_used: AtomicBool,
}

struct Held<T> {
    calls: HashMap<RequestState, (Instant, RequestFingerprint, T)>,
    /// A task drops those whose time is over.
    is_swept: bool,
}

impl<T> Default for HeldCalls<T> {
    fn default() -> Self {
        let held = Held {
            calls: HashMap::new(),
            is_swept: false,
        };
        Self {
            held: Arc::new(Mutex::new(held)),
            is_used: AtomicBool::new(false),
        }
    }
}

impl<T: Send + 'static> HeldCalls<T> {
    /// Whether no call has ever been held. Cheap.
    pub(super) fn is_empty(&self) -> bool {
        !self.is_used.load(Relaxed)
    }

    /// Holds a call of the request with this fingerprint; `None` if there are too many.
    pub(super) fn hold(&self, fingerprint: RequestFingerprint, call: T) -> Option<RequestState> {
        let mut held = self.held.lock();
        if held.calls.len() >= MAX_HELD {
            return None;
        }
        let state = RequestState::new();
        let until = Instant::now() + ANSWER_TIMEOUT;
        held.calls.insert(state.clone(), (until, fingerprint, call));
        self.is_used.store(true, Relaxed);
        if !std::mem::replace(&mut held.is_swept, true) {
            tasks::spawn(sweep(Arc::downgrade(&self.held), until));
        }
        Some(state)
    }

    /// Takes the call that this very request is a retry of.
    pub(super) fn take(&self, state: &RequestState, fingerprint: &RequestFingerprint) -> Option<T> {
        let mut held = self.held.lock();
        if held.calls.get(state)?.1 != *fingerprint {
            return None;
        }
        held.calls.remove(state).map(|(_, _, call)| call)
    }
}

/// Drops calls whose time is over, until there is none.
async fn sweep<T>(held: Weak<Mutex<Held<T>>>, mut next: Instant) {
    loop {
        sleep_until(next).await;
        let Some(held) = held.upgrade() else { return };
        let mut held = held.lock();
        let now = Instant::now();
        held.calls.retain(|_, (until, ..)| *until > now);
        match held.calls.values().map(|(until, ..)| *until).min() {
            Some(until) => next = until,
            None => {
                held.is_swept = false;
                return;
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_is_dropped_when_its_time_is_over() {
        let calls = HeldCalls::default();
        let fingerprint = |name: &str| {
            let params = RawJson::of(&serde_json::json!({ "name": name }));
            RequestFingerprint::of("tools/call", &params)
        };
        let (first, second) = (Arc::new(()), Arc::new(()));
        let state = calls.hold(fingerprint("a"), Arc::clone(&first)).unwrap();
        tokio::time::sleep(ANSWER_TIMEOUT / 2).await;
        let later = calls.hold(fingerprint("b"), Arc::clone(&second)).unwrap();
        assert!(calls.take(&state, &fingerprint("b")).is_none());
        assert_eq!(Arc::strong_count(&first), 2);
        tokio::time::sleep(ANSWER_TIMEOUT * 3 / 4).await;
        assert_eq!(
            Arc::strong_count(&first),
            1,
            "nothing else was held meanwhile"
        );
        assert!(calls.take(&state, &fingerprint("a")).is_none());
        assert!(calls.take(&later, &fingerprint("b")).is_some());
        assert_eq!(Arc::strong_count(&second), 1);
        // And so is one after a time without any.
        calls.hold(fingerprint("a"), Arc::clone(&first)).unwrap();
        tokio::time::sleep(ANSWER_TIMEOUT + ANSWER_TIMEOUT / 100).await;
        assert_eq!(Arc::strong_count(&first), 1);
        let state = calls.hold(fingerprint("a"), Arc::clone(&first)).unwrap();
        assert!(calls.take(&state, &fingerprint("a")).is_some());
    }
}
