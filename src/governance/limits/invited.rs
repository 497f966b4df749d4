//! Calls whose clients were invited to make them again: the error -32042 (MCP 2025-11-25,
//! client/elicitation).
//!
//! Owns which call is such a repetition. The call that was invited to it has not run, so both are one
//! call to the user; a repetition that is answered in the same way invites to no other one, so that
//! a loop is still counted. It must not know what makes two calls the same.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use crate::sync::Mutex;

/// How long a repetition is awaited: a person visits a page first.
const AWAITED: Duration = Duration::from_secs(600);
/// Most calls that are remembered. A repetition of one more is counted.
const MAX_CALLS: usize = 1024;

/// Calls, each as a number that stands for it.
#[derive(Debug, Default)]
pub(super) struct InvitedRepeats {
    calls: Mutex<HashMap<u64, (Instant, Repeat)>>,
    /// There has been one.
    is_used: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Awaited,
    Came,
}

impl InvitedRepeats {
    /// Whether there has never been one. Cheap.
    pub(super) fn is_empty(&self) -> bool {
        !self.is_used.load(Relaxed)
    }

    /// A call was answered with the invitation.
    pub(super) fn invite(&self, call: u64) {
        let mut calls = self.calls.lock();
        calls.retain(|_, (since, _)| since.elapsed() < AWAITED);
        if calls.remove(&call).is_some() || calls.len() == MAX_CALLS {
            return;
        }
        calls.insert(call, (Instant::now(), Repeat::Awaited));
        self.is_used.store(true, Relaxed);
    }

    /// Whether this call is the repetition that was invited.
    pub(super) fn take(&self, call: u64) -> bool {
        let mut calls = self.calls.lock();
        match calls.get_mut(&call) {
            Some((since, repeat @ Repeat::Awaited)) if since.elapsed() < AWAITED => {
                *repeat = Repeat::Came;
                true
            }
            _ => {
                calls.remove(&call);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_repetition_is_invited_and_not_one_after_another() {
        let invited = InvitedRepeats::default();
        assert!(invited.is_empty() && !invited.take(7));
        for _ in 0..3 {
            invited.invite(7);
            assert!(!invited.take(8));
            assert!(invited.take(7));
            // Answered with the invitation again.
            invited.invite(7);
            assert!(!invited.take(7));
        }
        invited.invite(7);
        tokio::time::advance(AWAITED).await;
        assert!(!invited.take(7));
        for call in 0..2 * MAX_CALLS as u64 {
            invited.invite(call);
        }
        assert_eq!(invited.calls.lock().len(), MAX_CALLS);
    }
}
