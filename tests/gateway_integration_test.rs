//! The integration tests, in one binary: what they share is compiled and linked once.
//!
//! Each folder named below is a module. `cargo test --test gateway_integration_test pool::` runs
//! those of one folder.
//!
//! What stands here shares a process: no test may set a variable of the environment, a hook for
//! panics, a folder to work in or a log of its own, nor count what the whole process has. Tests
//! that do are binaries of their own, and each says why.

// What helpers unwrap is as much a test's affair as what tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod common;

mod architecture;
mod cli;
mod commands;
mod config;
mod era_matrix;
mod fuzz;
mod gateway;
mod harness;
mod notifications;
mod papers;
mod pitfalls;
mod pool;
mod requirements;
mod sdk;
mod state;
