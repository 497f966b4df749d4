//! The log on stderr, the numbers of calls, and shutdown requests from the operating system.

pub(crate) mod call_stats;
mod line_limit;
pub(crate) mod log_gate;
pub mod logs;
#[cfg(unix)]
mod orphan;
pub(crate) mod request_span;
pub(crate) mod signals;
