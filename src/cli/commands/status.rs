//! `status` and `top`: what the gateways of this user that run now say of themselves.
//!
//! They need no config, so that a gateway can be looked at whose file has become a bad one.

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
