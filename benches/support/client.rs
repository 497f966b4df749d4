//! Clients of the benchmarks: over stdio and over HTTP.
//!
//! Owns how calls are made and their responses checked. It must not know what is measured.

pub(crate) mod direct;
pub(crate) mod driver;
pub(crate) mod http;
pub(crate) mod stdio;
