//! The state of the client.
//!
//! Owns the client's handshake ([`Lifecycle`]), its subscriptions ([`Subscriptions`]), the
//! capabilities that server requests need ([`capabilities`]), the words that name their backend
//! ([`attribution`]), and those requests that wait until it is initialized ([`PreInitQueue`]). It must not know how a request is served, nor how
//! lines are written to the client.

pub(crate) mod attribution;
pub(crate) mod capabilities;
mod filter;
mod lifecycle;
mod pre_init;
mod subscriptions;

pub(crate) use filter::Filter;
pub(crate) use lifecycle::{Lifecycle, discovered};
pub(crate) use pre_init::{PreInitQueue, UnsolicitedRequest};
pub(crate) use subscriptions::Subscriptions;
