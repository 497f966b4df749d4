//! Driving a party through calls, whichever way it is reached, and seeing that each call is answered once and whole.

use std::time::Duration;

use super::Result;
use super::call::{Call, Incoming};
use super::usage::Usage;

/// A party that answers calls.
pub(crate) trait Drive {
    /// Makes `count` calls, each after the answer to the one before: the time of each.
    fn one_by_one(&mut self, call: Call, count: usize) -> Result<Vec<Duration>>;

    /// Makes `count` calls, `width` of them open at any time.
    fn side_by_side(&mut self, call: Call, width: usize, count: usize) -> Result<Flood>;

    /// What the party's own process has cost so far, if it has one and the system tells.
    fn usage(&self) -> Option<Usage>;
}

/// Many calls side by side.
pub(crate) struct Flood {
    /// From the first call to the last answer.
    pub(crate) wall: Duration,
    /// Of each progress notification: from leaving the backend to being read.
    pub(crate) progress: Vec<Duration>,
}

/// The answers that a run of calls still waits for.
pub(crate) struct Expected {
    /// What each answer holds at least.
    bytes: usize,
    first: u64,
    answered: Vec<bool>,
    pub(crate) progress: Vec<Duration>,
}

impl Expected {
    pub(crate) fn new(call: Call, first: u64, count: usize) -> Self {
        Self {
            bytes: call.tool.bytes,
            first,
            answered: vec![false; count],
            progress: Vec::new(),
        }
    }

    /// Checks a message off; says whether it was an answer.
    pub(crate) fn take(&mut self, message: &[u8]) -> Result<bool> {
        let id = match Incoming::read(message)? {
            Incoming::Answer(id) => id,
            Incoming::Progress(delay) => {
                self.progress.push(delay);
                return Ok(false);
            }
            Incoming::Other => return Ok(false),
        };
        if message.len() < self.bytes {
            return Err(format!("the answer to {id} is cut: {} bytes", message.len()).into());
        }
        let index = id.checked_sub(self.first).map(|n| n as usize);
        match index.and_then(|n| self.answered.get_mut(n)) {
            Some(answered) if !*answered => *answered = true,
            Some(_) => return Err(format!("a second answer to {id}").into()),
            None => return Err(format!("an answer to {id}, which nobody asked").into()),
        }
        Ok(true)
    }
}
