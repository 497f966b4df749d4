//! Whole paths in memory: a client, the gateway, and backends that misbehave on command.
//!
//! A test named `fault_NN_…` shows row NN of the fault catalogue. Whatever a test is about, the
//! harness besides judges every line of the gateway and that nothing stays pending.

mod breaker;
mod input;
mod lifecycle;
mod listing;
mod load;
mod log;
mod parked;
mod relay;
mod replies;
mod retry;
mod rounds;
mod rules;
mod strays;
