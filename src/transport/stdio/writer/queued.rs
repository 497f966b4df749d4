//! What is queued for the client.
//!
//! Owns the order of lines, and which line replaces which. It must not know how they are written.

use std::collections::{HashMap, VecDeque};
use std::mem::take;
use std::sync::MutexGuard;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::notices::Notices;
use crate::budget::{Budget, FREE_BELOW};
use crate::sync::{Condvar, Mutex};

/// Texts below this size are gathered up to this size and written together; larger ones are written
/// without a copy. In bytes.
pub(super) const CHUNK: usize = 64 * 1024;
/// Bytes of one write to a client that reads slowly: a write to a pipe returns when all of it is taken.
pub(super) const SMALL_WRITE: usize = 4 * 1024;

/// The queue of both threads.
pub(super) struct Queue {
    pub(super) state: Mutex<State>,
    pub(super) ready: Condvar,
    pub(super) budget: Budget,
    pub(super) progress: Mutex<Progress>,
    /// Longest time in which the client takes nothing of what is being written.
    pub(super) timeout: Duration,
}

/// What the client has taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    /// Bytes so far.
    pub(super) taken: u64,
    /// When it last took some, or had nothing to take.
    pub(super) at: Instant,
}

impl Queue {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// What waits for the writer, and what it does.
#[derive(Default)]
pub(super) struct State {
    pub(super) pieces: VecDeque<Piece>,
    /// Written when there are no pieces.
    pub(super) notices: Notices,
    /// Number of pieces ever taken out, which is the number of the first queued piece.
    pub(super) taken: usize,
    /// The number of the last line of each key.
    pub(super) latest: HashMap<u64, usize>,
    /// Bytes not written yet, including those that the writer is writing.
    pub(super) bytes: usize,
    pub(super) is_writing: bool,
    /// The writer waits: only then it must be woken, which is a system call.
    pub(super) idle: bool,
    /// Sends the number of queued bytes once the client is found not to read.
    pub(super) stuck: Option<oneshot::Sender<usize>>,
    /// A written buffer, for reuse.
    pub(super) spare: Vec<u8>,
    pub(super) closed: bool,
}

/// An entry of the queue.
pub(super) enum Piece {
    /// Small lines and parts of lines, concatenated.
    Gathered(Vec<u8>),
    /// A line that another may replace, or a text that is too large to copy, or one with a charge,
    /// which its backend keeps until it is written.
    Alone { text: Bytes, ends_line: bool },
}

impl Piece {
    /// Length in bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Gathered(lines) => lines.len(),
            Self::Alone { text, ends_line } => text.len() + line_end(*ends_line).len(),
        }
    }
}

pub(super) fn line_end(ends_line: bool) -> &'static [u8] {
    if ends_line { b"\n" } else { b"" }
}

impl State {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.notices.is_empty()
    }

    /// Moves what is to be written next to `batch`, which is empty: notices only where nothing else
    /// waits, and few of them, so that an answer never waits for long.
    pub(super) fn take_next(&mut self, batch: &mut VecDeque<Piece>) {
        self.taken += self.pieces.len();
        self.latest.clear();
        std::mem::swap(&mut self.pieces, batch);
        if !batch.is_empty() {
            return;
        }
        let mut bytes = 0;
        while bytes < SMALL_WRITE
            && let Some(text) = self.notices.pop()
        {
            bytes += text.len();
            batch.push_back(Piece::Alone {
                text,
                ends_line: true,
            });
        }
    }

    pub(super) fn add(&mut self, text: Bytes, ends_line: bool) {
        if text.len() > FREE_BELOW {
            return self.add_alone(text, ends_line);
        }
        let mut lines = match self.pieces.pop_back() {
            Some(Piece::Gathered(lines)) if lines.len() + text.len() < CHUNK => lines,
            last => {
                let mut lines = take(&mut self.spare);
                // After a large part comes little more than the end of its line.
                if !matches!(last, Some(Piece::Alone { .. })) {
                    lines.reserve_exact(CHUNK);
                }
                self.pieces.extend(last);
                lines
            }
        };
        let before = lines.len();
        lines.extend_from_slice(&text);
        lines.extend_from_slice(line_end(ends_line));
        self.bytes += lines.len() - before;
        self.pieces.push_back(Piece::Gathered(lines));
    }

    fn add_alone(&mut self, text: Bytes, ends_line: bool) {
        let piece = Piece::Alone { text, ends_line };
        self.bytes += piece.len();
        self.pieces.push_back(piece);
    }

    /// Adds a line in place of the last one with its key; with at most `slow` bytes queued, both
    /// stay.
    pub(super) fn put(&mut self, key: u64, line: Bytes, slow: usize) {
        if let Some(waiting) = self.waiting(key) {
            let length = line.len();
            let before = std::mem::replace(waiting, line);
            self.bytes = self.bytes + length - before.len();
        } else if self.bytes + line.len() > slow {
            let number = self.taken + self.pieces.len();
            self.latest.insert(key, number);
            self.add_alone(line, true);
        } else {
            self.add(line, true);
        }
    }

    /// The last line with this key, if it is still queued.
    fn waiting(&mut self, key: u64) -> Option<&mut Bytes> {
        let number = self.latest.get(&key)?;
        match self.pieces.get_mut(number.checked_sub(self.taken)?)? {
            Piece::Alone { text, .. } => Some(text),
            Piece::Gathered(_) => None,
        }
    }
}
