//! The log on stderr, and shutdown requests from the operating system.

pub mod logs;
pub(crate) mod request_span;
pub(crate) mod signals;
