//! Signing in to backends: OAuth 2.1 as a client (MCP 2026-07-28, basic/authorization).
//!
//! Owns how a backend's authorization server is found, how tokens are got, kept and renewed. `oauth`
//! is the protocol as data, pure. It must not know calls, sessions or what is printed.

pub mod oauth;
