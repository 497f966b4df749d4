//! Batches of protocol version 2025-03-26: requests that come in one array, and whose responses go out
//! in one.
//!
//! Owns the responses of a batch until it is complete. It must not know the requests.

use std::collections::HashMap;

use bytes::Bytes;

/// How a message came in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    /// The byte budget was exhausted when its line was read.
    pub(super) over_budget: bool,
    /// The batch that it was part of.
    pub(super) batch: Option<u64>,
}

impl Origin {
    /// On a line of its own, within the byte budget.
    pub(super) const ALONE: Self = Self {
        over_budget: false,
        batch: None,
    };
}

/// The batches that are open.
#[derive(Debug, Default)]
pub(super) struct Batches {
    open: HashMap<u64, Batch>,
    issued: u64,
}

#[derive(Debug, Default)]
struct Batch {
    missing: usize,
    answers: Vec<Bytes>,
}

impl Batches {
    /// Opens a batch with one part that stays missing until all are read, so that early responses
    /// don't complete it: [`close_part`](Self::close_part) without a response ends the reading.
    pub(super) fn open(&mut self) -> u64 {
        self.issued += 1;
        let batch = Batch {
            missing: 1,
            answers: Vec::new(),
        };
        self.open.insert(self.issued, batch);
        self.issued
    }

    /// A request of this batch, if it is part of one, will be answered.
    pub(super) fn expect_one_more(&mut self, number: Option<u64>) {
        if let Some(batch) = number.and_then(|number| self.open.get_mut(&number)) {
            batch.missing += 1;
        }
    }

    /// Takes a response to what never was in flight into its batch; returns it where there is none.
    pub(super) fn answer_at_once(&mut self, number: Option<u64>, answer: Bytes) -> Option<Bytes> {
        match number.and_then(|number| self.open.get_mut(&number)) {
            Some(batch) => {
                batch.answers.push(answer);
                None
            }
            None => Some(answer),
        }
    }

    /// One part is done; the last one returns the line with all responses.
    pub(super) fn close_part(&mut self, number: u64, answer: Option<Bytes>) -> Option<Bytes> {
        let batch = self.open.get_mut(&number)?;
        batch.answers.extend(answer);
        batch.missing -= 1;
        if batch.missing > 0 {
            return None;
        }
        let answers = self.open.remove(&number)?.answers;
        if answers.is_empty() {
            return None;
        }
        Some([&b"["[..], &answers.join(&b','), b"]"].concat().into())
    }
}
