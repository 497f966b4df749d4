//! JSON-RPC and MCP as data: pure, no tokio, no I/O.

pub mod raw;

pub use raw::RawJson;
