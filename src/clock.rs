//! The wall clock.
//!
//! Owns the one place that reads it. Waits and deadlines use [`tokio::time::Instant`], which tests
//! can pause and which never jumps; the wall clock is for dates of other machines and of files.

use std::time::SystemTime;

/// The time of day now.
#[allow(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
pub fn wall() -> SystemTime {
    SystemTime::now()
}
