//! Bytes in, bytes out. It must not know JSON-RPC.

pub mod http;
pub mod stdio;
