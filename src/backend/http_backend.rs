//! One backend as the rest of the gateway uses it.
//!
//! Owns [`HttpBackend`] with its sessions, calls and subscriptions, and starting and ending backends. It
//! is at the top of `backend/`: no other module of it knows this one.

mod backend;
mod launcher;
mod subscription;

pub use backend::HttpBackend;
pub use launcher::{Launcher, shutdown_all, start_all};
pub use subscription::{SubscribeError, Subscription};
