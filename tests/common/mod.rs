//! Helpers that the integration tests share.
//!
//! Owns the fake backends, which fail on command, and the test client, which checks every line of
//! the gateway against the protocol. No helper sleeps to wait for an event: each waits for the event
//! itself, and fails after [`PATIENCE`] with what it saw until then. It must not know any test.

// Each test binary uses only some of these helpers.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub mod authorization_server;
pub mod balancer;
pub mod beside;
pub mod blackhole;
pub mod body;
pub mod canary;
pub mod chaos_proxy;
pub mod collector;
pub mod duration;
pub mod fake;
pub mod gate;
pub mod gateway;
pub mod gateway_log;
pub mod h2;
pub mod headers;
mod http_sse;
pub mod live_stream;
pub mod malformed;
pub mod message;
mod modern;
pub mod modern_client;
pub mod process;
pub mod protocol_checker;
pub mod proxy;
#[cfg(unix)]
pub mod pseudo_terminal;
pub mod reply;
pub mod rng;
mod server;
pub mod streams;
mod task_group;
pub mod tls;
pub mod wire;

use std::time::Duration;

/// The limit for every wait: longer than any passing step takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(10);
