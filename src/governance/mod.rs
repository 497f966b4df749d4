//! Who may be called now.
//!
//! Owns the rules that turn a call away before it is sent. It must not know what a backend is,
//! how it is called, or what it lists.

pub mod breaker;
