//! The client's progress token, and the values passed on under it.
//!
//! Owns the highest value so far, over all attempts of a call and all requests that share the token.

use std::ops::Range;
use std::sync::Arc;

use crate::protocol::RawJson;
use crate::sync::Mutex;

/// The client's progress token and its place in the params. Each attempt gets a token of its own
/// instead, since two calls of the client may use the same (B-C-06).
#[derive(Debug, Clone)]
pub struct ProgressToken {
    /// The byte range of its value in the params.
    pub at: Range<usize>,
    /// The token as the client wrote it.
    pub token: RawJson,
    /// The highest value so far, over all attempts.
    pub reached: ProgressHighWater,
}

/// The highest progress passed on under one token of the client: values must grow (MCP 2025-11-25,
/// basic/utilities/progress), whichever attempt they come from. Clones share it.
#[derive(Debug, Clone)]
pub struct ProgressHighWater(Arc<Mutex<f64>>);

impl ProgressHighWater {
    /// Whether this is higher than all before; it is noted then.
    pub(super) fn grows_to(&self, progress: f64) -> bool {
        let mut highest = self.0.lock();
        let grows = progress > *highest;
        if grows {
            *highest = progress;
        }
        grows
    }
}

impl Default for ProgressHighWater {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(f64::NEG_INFINITY)))
    }
}
