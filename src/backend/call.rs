//! One call to one backend: its attempts, from the first to the answer.
//!
//! Owns the loop in which permits, deadline, connection and retry policy meet, the progress token
//! of each attempt, and the [`CallReport`](crate::call_report::CallReport). Whether a call may run
//! twice is decided before it comes here.

mod attempts;
mod handler;
mod progress;
mod queues;
mod request;

pub(super) use attempts::run;
pub use progress::{ProgressHighWater, ProgressToken};
pub(super) use queues::Queues;
pub(super) use request::CallContext;
pub use request::{Call, Called};
