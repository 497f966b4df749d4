//! The log on stderr, and shutdown requests from the operating system.

mod line_limit;
pub(crate) mod log_gate;
pub mod logs;
#[cfg(unix)]
mod orphan;
pub(crate) mod request_span;
pub(crate) mod signals;
