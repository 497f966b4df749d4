//! Batches of protocol version 2025-03-26: requests that come in one array, and whose responses go out
//! in one.
//!
//! Owns the responses of a batch until it is complete. It must not know the requests.

use std::collections::HashMap;

use bytes::Bytes;

use crate::budget::{Budget, Charge};
use crate::protocol::message::Written;

/// How a message came in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    /// The byte budget was exhausted when its line was read.
    pub(super) over_budget: bool,
    /// The batch that it was part of.
    pub(super) batch: Option<u64>,
}

impl Origin {
    /// A message on a line of its own, within the byte budget.
    pub(super) const ALONE: Self = Self {
        over_budget: false,
        batch: None,
    };
}

/// The batches that are open.
#[derive(Debug)]
pub(super) struct Batches {
    open: HashMap<u64, Batch>,
    issued: u64,
    budget: Budget,
}

#[derive(Debug)]
struct Batch {
    missing: usize,
    /// The responses so far, in parts, each with the comma or bracket before it. A large result is not
    /// copied, so that it stays charged to its backend.
    answers: Vec<Bytes>,
    /// All of them, also what is too small to be charged alone: there may be 10,000.
    charge: Charge,
}

impl Batch {
    fn add(&mut self, answer: Written) {
        let before = if self.answers.is_empty() { "[" } else { "," };
        let first = self.answers.len();
        self.answers.push(Bytes::from_static(before.as_bytes()));
        match answer {
            Written::Whole(line) => self.answers.push(line),
            Written::Parts(parts) => self.answers.extend(parts),
        }
        let added = self.answers[first..].iter();
        let bytes: usize = added.map(|part| part.len() + size_of::<Bytes>()).sum();
        self.charge.add_unchecked(bytes);
    }
}

impl Batches {
    /// A table without batches. What they hold is charged to this budget.
    pub(super) fn new(budget: Budget) -> Self {
        Self {
            open: HashMap::new(),
            issued: 0,
            budget,
        }
    }

    /// Opens a batch with one part that stays missing until all are read, so that early responses
    /// don't complete it: [`close_part`](Self::close_part) without a response ends the reading.
    pub(super) fn open(&mut self) -> u64 {
        self.issued += 1;
        let batch = Batch {
            missing: 1,
            answers: Vec::new(),
            charge: self.budget.charge(),
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
                batch.add(Written::Whole(answer));
                None
            }
            None => Some(answer),
        }
    }

    /// One part is done; the last one returns the line with all responses, in parts.
    pub(super) fn close_part(
        &mut self,
        number: u64,
        answer: Option<Written>,
    ) -> Option<Vec<Bytes>> {
        let batch = self.open.get_mut(&number)?;
        if let Some(answer) = answer {
            batch.add(answer);
        }
        batch.missing -= 1;
        if batch.missing > 0 {
            return None;
        }
        let mut answers = self.open.remove(&number)?.answers;
        if answers.is_empty() {
            return None;
        }
        answers.push(Bytes::from_static(b"]"));
        Some(answers)
    }
}
