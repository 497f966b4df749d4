//! Notifications of a backend that wait behind one whose URIs are mapped on another thread.
//!
//! Owns their order: a task that is completed must not be reported as working. Pure; it must not know
//! what they say.

use std::collections::{HashMap, VecDeque};

use crate::call_report::BackendId;
use crate::protocol::Notification;

/// Most of one backend that wait; past them the oldest is dropped.
const MAX_HELD: usize = 1_024;

/// A notification for clients.
#[derive(Debug)]
pub(super) enum Notice {
    /// As its backend wrote it.
    OfBackend(Notification),
    /// Of a task that is kept for clients, with the URIs of the backend that has it.
    OfTask(Notification),
}

/// What waits, by the backends that have a notification on another thread.
#[derive(Debug, Default)]
pub(super) struct HeldNotices(HashMap<BackendId, VecDeque<Notice>>);

impl HeldNotices {
    /// The notification, unless it has to wait.
    pub(super) fn next(&mut self, backend: BackendId, notice: Notice) -> Option<Notice> {
        let Some(waiting) = self.0.get_mut(&backend) else {
            return Some(notice);
        };
        if waiting.len() >= MAX_HELD {
            waiting.pop_front();
            tracing::debug!("too much waits behind a large notification: one is dropped");
        }
        waiting.push_back(notice);
        None
    }

    /// One of this backend is on another thread; further ones wait.
    pub(super) fn begin(&mut self, backend: BackendId) {
        self.wait_again(backend, VecDeque::new());
    }

    /// It has come back. Returns what has waited, in order.
    pub(super) fn end(&mut self, backend: BackendId) -> VecDeque<Notice> {
        self.0.remove(&backend).unwrap_or_default()
    }

    /// The next large one is on another thread; these wait behind it.
    pub(super) fn wait_again(&mut self, backend: BackendId, waiting: VecDeque<Notice>) {
        self.0.insert(backend, waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_behind_a_large_notification_is_bounded() {
        let numbered = |number: usize| {
            Notice::OfBackend(Notification {
                method: number.to_string(),
                params: None,
            })
        };
        let (slow, other) = (BackendId::new(0), BackendId::new(1));
        let mut held = HeldNotices::default();
        held.begin(slow);
        for number in 0..2 * MAX_HELD {
            assert!(held.next(slow, numbered(number)).is_none());
        }
        assert!(held.next(other, numbered(0)).is_some());
        let waiting = held.end(slow);
        assert_eq!(waiting.len(), MAX_HELD);
        let Notice::OfBackend(first) = &waiting[0] else {
            panic!("a backend's")
        };
        assert_eq!(first.method, MAX_HELD.to_string());
    }
}
