//! `status` and `top`: what the gateways of this user that run now say of themselves.
//!
//! Owns that they need no config, so that a gateway can be looked at whose file has become a bad one, and
//! which of the two forms this system has: with private sockets, or without.

#[cfg(unix)]
mod text;
#[cfg(unix)]
mod top;
#[cfg(unix)]
mod unix;
#[cfg(not(unix))]
mod without_sockets;
#[cfg(unix)]
mod words;

#[cfg(unix)]
pub(super) use unix::{status, top};
#[cfg(not(unix))]
pub(super) use without_sockets::{status, top};
