//! What the gateway tells of itself while it runs, and how it is asked to stop.
//!
//! Owns the log, the record and the numbers of calls, and shutdown requests from the operating system. It must
//! not know what is logged.

pub(crate) mod audit;
pub(crate) mod call_stats;
mod line_limit;
mod line_writer;
pub(crate) mod log_file;
pub(crate) mod log_gate;
pub mod logs;
#[cfg(unix)]
mod orphan;
pub(crate) mod request_span;
pub(crate) mod signals;

pub(crate) use line_writer::LineCounts;
