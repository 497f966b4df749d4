//! The integration tests, in one binary, so that shared code is compiled and linked once.
//!
//! Each folder named below is a module. `cargo test --test gateway_integration_test pool::` runs
//! those of one folder.
//!
//! All tests here share a process: none may set environment variables, a panic hook, the working
//! directory or a global logger, nor measure process-wide values. Tests that do have their own
//! binary, and each says why.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the bans are about the gateway's runtime"
)]
// Helpers of tests may unwrap as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod common;

mod architecture;
mod cli;
mod commands;
mod config;
mod docs;
mod era_matrix;
mod field;
mod fuzz;
mod gateway;
mod harness;
mod install;
mod notifications;
mod packaging;
mod papers;
mod pitfalls;
mod pool;
mod requirements;
mod sdk;
mod search;
mod sign_in;
mod state;
