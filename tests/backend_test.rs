//! Backend faults, one by one, and the result of each.
//!
//! A fault's number is its row in the fault table (`tests/faults`), and the test's name contains it.
//! During every fault a second backend must work normally: see [`fixture`].
//!
//! A binary of its own so that the backend tests can be built and run by this name alone.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the bans are about the gateway's runtime"
)]
// The lints exempt only `#[test]` functions, not the helpers they call.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod common;

#[path = "backend/bodies.rs"]
mod bodies;
#[path = "backend/connect.rs"]
mod connect;
#[path = "backend/credentials.rs"]
mod credentials;
#[path = "backend/events.rs"]
mod events;
#[path = "backend/fixture.rs"]
mod fixture;
#[path = "backend/http.rs"]
mod http;
#[path = "backend/statuses.rs"]
mod statuses;
