//! What a backend says outside of calls, in either era and on every transport: streams of its own,
//! subscriptions, answers that come in pieces.

mod alone;
mod get;
mod levels;
mod listen;
mod old_sse;
mod resume;
mod second;
mod subscriptions;
