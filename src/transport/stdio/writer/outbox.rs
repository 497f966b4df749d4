//! The way into the queue.
//!
//! Owns which lines are kept, replaced or dropped while the client reads slowly, and when the queue is
//! stuck. It must not know how lines are written.

use std::mem::take;
use std::sync::Arc;

use bytes::Bytes;

use super::notices::{MAX_WAITING, NoticeSource, Notices};
use super::queued::{Queue, State, line_end};
use crate::budget::Budget;

/// With more bytes than this queued, or more than a quarter of the budget, the client reads slowly.
pub(super) const SLOW: usize = 1024 * 1024;

/// What happens to a line if the client reads slowly. Without room in the budget a line with a
/// policy is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DropPolicy {
    /// It is queued.
    Keep,
    /// It replaces the last line with the same key that is still queued.
    Coalesce(u64),
    /// It does, and is queued as long as its source has its share of the budget left.
    Newest(u64),
    /// It is dropped.
    BestEffort,
}

/// The queue of lines to the client, written in order by the writer thread.
#[derive(Clone)]
pub(crate) struct Outbox {
    pub(super) queue: Arc<Queue>,
}

impl Outbox {
    /// Queues one line, given without its end. Never waits. The line is written after the next
    /// [`flush`](Self::flush) at the latest.
    pub(crate) fn push(&self, line: Bytes) {
        self.push_parts([line]);
    }

    /// Queues one line given in parts, so that a large one need not be concatenated.
    pub(crate) fn push_parts<const N: usize>(&self, parts: [Bytes; N]) {
        self.change(|state| {
            for (at, text) in parts.into_iter().enumerate() {
                state.add(text, at + 1 == N);
            }
        });
    }

    /// Queues one line given in any number of parts.
    pub(crate) fn push_all(&self, parts: Vec<Bytes>) {
        self.change(|state| {
            let last = parts.len();
            for (at, text) in (1..).zip(parts) {
                state.add(text, at == last);
            }
        });
    }

    /// Queues one line that belongs to no request, behind all that do; returns whether there was room
    /// for it. Of lines with the same key only the newest is queued while the client reads slowly, or
    /// where there is no room for both.
    pub(crate) fn notify(&self, source: NoticeSource, line: Bytes, policy: DropPolicy) -> bool {
        let budget = &self.queue.budget;
        let slow = SLOW.min(budget.limit() / 4);
        let mut kept = false;
        self.change(|state| {
            let is_slow = state.bytes + line.len() > slow;
            let (key, most) = match policy {
                DropPolicy::BestEffort if is_slow => return,
                DropPolicy::BestEffort | DropPolicy::Keep => (None, MAX_WAITING),
                DropPolicy::Coalesce(key) => (Some(key), MAX_WAITING),
                DropPolicy::Newest(key) => (Some(key), MAX_WAITING.max(budget.limit() / 16)),
            };
            let size = |notices: &Notices| notices.bytes() + notices.len() * line_end(true).len();
            let before = size(&state.notices);
            kept = budget.fits(line.len() + line_end(true).len())
                && state.notices.push(source, key, line, is_slow, most);
            state.bytes = state.bytes + size(&state.notices) - before;
        });
        kept
    }

    /// Queues one line that may be replaced or dropped; returns whether it was queued.
    pub(crate) fn push_with_policy(&self, line: Bytes, policy: DropPolicy) -> bool {
        let budget = &self.queue.budget;
        let slow = SLOW.min(budget.limit() / 4);
        let mut kept = true;
        self.change(|state| match policy {
            _ if !budget.fits(line.len()) => kept = false,
            DropPolicy::BestEffort if state.bytes > slow => kept = false,
            DropPolicy::BestEffort | DropPolicy::Keep => state.add(line, true),
            DropPolicy::Coalesce(key) | DropPolicy::Newest(key) => state.put(key, line, slow),
        });
        kept
    }

    /// Drops what belongs to no request and is not written yet.
    pub(crate) fn drop_notices(&self) {
        self.change(|state| {
            while let Some(line) = state.notices.pop() {
                state.bytes -= line.len() + line_end(true).len();
            }
        });
    }

    /// Where what is queued is counted.
    pub(crate) fn budget(&self) -> Budget {
        self.queue.budget.clone()
    }

    /// Wakes the writer if it waits. Call it once for several lines: each wake-up costs system
    /// calls here, in the writer and in the client.
    pub(crate) fn flush(&self) {
        let mut state = self.queue.lock();
        if !state.is_empty() && take(&mut state.idle) {
            drop(state);
            self.queue.ready.notify_one();
        }
    }

    /// Accepts no more lines. The writer ends after writing what is queued.
    pub(crate) fn close(&self) {
        self.queue.lock().closed = true;
        self.queue.ready.notify_one();
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.queue.lock();
        if state.closed {
            return;
        }
        change(&mut state);
        self.queue.budget.set_waiting(state.bytes);
        let queue = &self.queue;
        let hangs = || queue.progress.lock().at.elapsed() > queue.timeout;
        let stuck = state.bytes > queue.budget.limit() || state.is_writing && hangs();
        if stuck && let Some(report) = state.stuck.take() {
            let _ = report.send(state.bytes);
        }
    }
}
