//! The wall clock.
//!
//! Owns the one place that reads it. Waits and deadlines use [`tokio::time::Instant`], which tests
//! can pause and which never jumps; the wall clock is for dates in files and from other machines.

use std::time::SystemTime;

/// The current time.
#[allow(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}
