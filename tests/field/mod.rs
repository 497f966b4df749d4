//! What servers and clients of the world say, and what comes of it: one row for each kind.
//!
//! The kinds are those of `.planning/FIELD.md`, which says why. `cargo test --test
//! gateway_integration_test field:: -- --nocapture` prints the table; `FIELD=1.03` checks that row
//! alone.

mod answers;
mod definitions;
mod generated;
mod handshake;
mod schema;
mod table;
