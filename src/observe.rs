//! The log, the record of each call, and shutdown requests from the operating system.

pub(crate) mod audit;
mod line_limit;
mod line_writer;
pub(crate) mod log_file;
pub(crate) mod log_gate;
pub mod logs;
#[cfg(unix)]
mod orphan;
pub(crate) mod request_span;
pub(crate) mod signals;
