//! Lines that belong to no request, for a client that reads late.
//!
//! Owns their order, and how many bytes each source may have waiting: a backend says as much as it
//! likes, and no request depends on it. It must not know what a line contains.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use crate::call_report::BackendId;

/// Most bytes that wait from one source, unless it is one line.
pub(super) const MAX_WAITING: usize = 256 * 1024;

/// Where a notice comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum NoticeSource {
    /// The gateway itself, which has few to give.
    Gateway,
    /// The stream of some call.
    Calls,
    /// A backend, outside of calls.
    Backend(BackendId),
}

/// A line that waits.
#[derive(Debug)]
struct Notice {
    source: NoticeSource,
    key: Option<u64>,
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

    /// Bytes of all lines, without their ends.
    pub(super) fn bytes(&self) -> usize {
        self.waiting.values().sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a line, or puts it in the place of the last one with this key: if `replaces` is set, or where
    /// the source may not have both within `most` bytes. Returns whether there was room.
    pub(super) fn push(
        &mut self,
        source: NoticeSource,
        key: Option<u64>,
        line: Bytes,
        replaces: bool,
        most: usize,
    ) -> bool {
        let at = key.and_then(|key| self.latest.get(&key)?.checked_sub(self.taken));
        let earlier = at.and_then(|at| self.lines.get_mut(at));
        let waiting = self.waiting.entry(source).or_default();
        let has_room = |others: usize| {
            source == NoticeSource::Gateway || others == 0 || others + line.len() <= most
        };
        if let Some(earlier) = earlier.filter(|_| replaces || !has_room(*waiting)) {
            let others = *waiting - earlier.line.len();
            if !has_room(others) {
                return false;
            }
            *waiting = others + line.len();
            earlier.line = line;
            return true;
        }
        if !has_room(*waiting) {
            return false;
        }
        *waiting += line.len();
        if let Some(key) = key {
            self.latest.insert(key, self.taken + self.lines.len());
        }
        self.lines.push_back(Notice { source, key, line });
        true
    }

    /// The oldest one.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let Notice { source, key, line } = self.lines.pop_front()?;
        if let Some(key) = key.filter(|key| self.latest.get(key) == Some(&self.taken)) {
            self.latest.remove(&key);
        }
        self.taken += 1;
        if let Some(waiting) = self.waiting.get_mut(&source) {
            *waiting -= line.len();
        }
        if self.lines.is_empty() {
            self.waiting.clear();
        }
        Some(line)
    }
}
