//! Keeps the sessions of one backend connected.
//!
//! Owns when to connect, the listing of what the server offers, and the streams on which the
//! server speaks outside of calls. It must not know calls.

mod connection_handler;
mod context;
mod event;
mod get_stream;
mod listing;
mod lists;
mod pause;
mod sessions;
mod subscription_stream;
mod supervise;

pub(super) use context::{BackendContext, OneSlot};
pub use event::{BackendEvent, Incomplete};
pub(super) use sessions::Sessions;
