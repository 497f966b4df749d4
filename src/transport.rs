//! Byte transports.
//!
//! Owns lines over stdio ([`stdio`]) and the HTTP clients ([`http`]). It must not know backends, methods or
//! who sends a message.

pub(crate) mod address;
pub mod http;
pub(crate) mod stdio;
