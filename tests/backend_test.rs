//! What a backend can do wrong, fault by fault, and what comes of it.
//!
//! A fault's number is that of its row in the fault catalogue, and every test's name carries it.
//! Beside every fault another backend is at work, and must not notice: see [`rig`].
//!
//! A binary of its own so that the backend tests can be built and run by this name alone.

// What helpers unwrap is as much a test's affair as what tests do.
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
#[path = "backend/http.rs"]
mod http;
#[path = "backend/rig.rs"]
mod rig;
#[path = "backend/statuses.rs"]
mod statuses;
