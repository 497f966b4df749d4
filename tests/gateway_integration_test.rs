//! Whole paths in memory: a client, the gateway, and backends that misbehave on command.
//!
//! A test named `fault_NN_…` shows row NN of the fault catalogue. Whatever a test is about, the
//! harness besides judges every line of the gateway and that nothing stays pending.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

#[path = "gateway/breaker.rs"]
mod breaker;
#[path = "gateway/input.rs"]
mod input;
#[path = "gateway/lifecycle.rs"]
mod lifecycle;
#[path = "gateway/listing.rs"]
mod listing;
#[path = "gateway/load.rs"]
mod load;
#[path = "gateway/parked.rs"]
mod parked;
#[path = "gateway/relay.rs"]
mod relay;
#[path = "gateway/replies.rs"]
mod replies;
#[path = "gateway/retry.rs"]
mod retry;
#[path = "gateway/rounds.rs"]
mod rounds;
#[path = "gateway/rules.rs"]
mod rules;
#[path = "gateway/strays.rs"]
mod strays;
