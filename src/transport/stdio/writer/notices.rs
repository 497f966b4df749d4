//! Lines that belong to no request, for a client that reads late.
//!
//! Owns their order, and how many of them each source may have waiting: a backend says as many as it
//! likes, and no request depends on them. It must not know what a line contains.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use crate::call_report::BackendId;

/// Most bytes that wait from one source.
const MAX_WAITING: usize = 256 * 1024;

/// Where a notice comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum NoticeSource {
    /// The gateway itself, which has few to give.
    Gateway,
    /// The stream of some call.
    Calls,
    /// A backend, of its own accord.
    Backend(BackendId),
}

/// A line that waits.
#[derive(Debug)]
struct Notice {
    source: NoticeSource,
    line: Bytes,
}

/// The lines that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct Notices {
    lines: VecDeque<Notice>,
    /// Number of lines ever taken, which is the number of the first one.
    taken: usize,
    /// The number of the last line of each key.
    latest: HashMap<u64, usize>,
    /// Bytes that wait from each source.
    waiting: HashMap<NoticeSource, usize>,
}

impl Notices {
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a line; `key` is that of lines it may replace, if it may. Returns whether there was room.
    pub(super) fn push(&mut self, source: NoticeSource, key: Option<u64>, line: Bytes) -> bool {
        if let Some(number) = key.and_then(|key| self.latest.get(&key))
            && let Some(at) = number.checked_sub(self.taken)
            && let Some(earlier) = self.lines.get_mut(at)
            && earlier.line == line
        {
            return true;
        }
        let waiting = self.waiting.entry(source).or_default();
        let after = *waiting + line.len();
        if source != NoticeSource::Gateway && after > MAX_WAITING {
            return false;
        }
        *waiting = after;
        if let Some(key) = key {
            self.latest.insert(key, self.taken + self.lines.len());
        }
        self.lines.push_back(Notice { source, line });
        true
    }

    /// The oldest one.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let Notice { source, line } = self.lines.pop_front()?;
        self.taken += 1;
        if let Some(waiting) = self.waiting.get_mut(&source) {
            *waiting -= line.len();
        }
        if self.lines.is_empty() {
            self.latest.clear();
            self.waiting.clear();
        }
        Some(line)
    }
}
