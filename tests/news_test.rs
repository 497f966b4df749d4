//! What a backend says outside of calls, in either era and on every transport: streams of its own,
//! subscriptions, answers that come in pieces.

// What helpers unwrap is as much a test's affair as what tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod common;

#[path = "news/alone.rs"]
mod alone;
#[path = "news/get.rs"]
mod get;
#[path = "news/levels.rs"]
mod levels;
#[path = "news/listen.rs"]
mod listen;
#[path = "news/old_sse.rs"]
mod old_sse;
#[path = "news/resume.rs"]
mod resume;
#[path = "news/second.rs"]
mod second;
#[path = "news/subscriptions.rs"]
mod subscriptions;
