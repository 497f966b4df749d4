//! Keeps the sessions of one backend connected.
//!
//! Owns when to connect, the listing of what the server offers, and the streams on which the
//! server speaks outside of calls. It must not know calls.

mod connection_handler;
mod context;
mod event;
mod get_stream;
mod listing;
mod pause;
mod sessions;
mod subscription_stream;
mod supervise;

pub(super) use context::BackendContext;
pub use event::BackendEvent;
pub(super) use sessions::Sessions;
