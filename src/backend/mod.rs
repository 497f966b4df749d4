//! One backend: one attempt, one decoder, one policy of trying again.

pub mod retry;
pub mod sse;
