//! The wall clock, and deadlines for libraries that know nothing of the runtime's clock.
//!
//! Owns the one place that reads it. Waits and deadlines use [`tokio::time::Instant`], which tests
//! can pause and which never jumps; the wall clock is for dates in files and from other machines.

use std::time::{Duration, SystemTime};

/// The current time.
#[allow(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// The moment after this time, for a library that works until then; `None` if it is too far away.
#[allow(
    clippy::disallowed_types,
    reason = "the library takes no other, and the runtime's clock decides"
)]
pub(crate) fn std_deadline(time: Duration) -> Option<std::time::Instant> {
    tokio::time::Instant::now().into_std().checked_add(time)
}
