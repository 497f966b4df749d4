//! What integration tests share: backends that misbehave on command, and a gateway that is
//! watched for breaking the protocol. Nothing here sleeps to wait for a thing; every wait is for
//! the thing itself, and gives up after [`PATIENCE`] with what was seen so far.

// Each test binary uses its own part of this.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub mod blackhole;
pub mod canary;
pub mod chaos_proxy;
pub mod fake;
pub mod gate;
pub mod gateway;
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
pub mod reply;
pub mod rng;
mod server;
pub mod streams;
mod task_group;
pub mod tls;
pub mod wire;

use std::time::Duration;

/// Longer than anything takes that works, on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(10);
