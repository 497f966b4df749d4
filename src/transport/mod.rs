//! Bytes in, bytes out. Knows lines, not JSON-RPC.

pub mod stdio;
