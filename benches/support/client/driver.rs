//! Makes calls, over any transport, and checks that each gets one complete response.

use std::time::Duration;

use crate::support::Result;
use crate::support::call::{Call, Incoming};
use crate::support::process::usage::Usage;

/// Makes calls over one route.
pub(crate) trait CallDriver {
    /// Makes `count` calls, each after the response to the previous one. Returns the time of each.
    fn sequential(&mut self, call: Call, count: usize) -> Result<Vec<Duration>>;

    /// Makes `count` calls, `width` of them in flight at any time.
    fn concurrent(&mut self, call: Call, width: usize, count: usize) -> Result<ConcurrentRun>;

    /// CPU time and memory of the process so far, if there is one and the system provides them.
    fn usage(&self) -> Option<Usage>;
}

/// The result of concurrent calls.
pub(crate) struct ConcurrentRun {
    /// From the first call to the last response.
    pub(crate) wall: Duration,
    /// Latency of each progress notification, from the backend to the driver.
    pub(crate) progress: Vec<Duration>,
}

/// The responses that a run of calls still waits for.
pub(crate) struct Expected {
    /// Least size of each response, in bytes.
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

    /// Checks a message; returns whether it was a response.
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
            return Err(
                format!("the response to {id} is truncated: {} bytes", message.len()).into(),
            );
        }
        let index = id.checked_sub(self.first).map(|n| n as usize);
        match index.and_then(|n| self.answered.get_mut(n)) {
            Some(answered) if !*answered => *answered = true,
            Some(_) => return Err(format!("a second response to {id}").into()),
            None => return Err(format!("a response to {id}, which was not requested").into()),
        }
        Ok(true)
    }
}
