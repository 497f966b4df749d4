//! A session with one server: its handshake, its connection, and its state.
//!
//! Owns how an era and a version are negotiated, what messages of a connection carry, and the
//! standing demands (log level, subscriptions) that a new connection gets again. It must not know
//! when to connect, nor other backends.

mod attempt;
mod connection;
mod demands;
mod handshake;
mod http_sse;
mod level_guard;
mod list_refresh;
mod log_levels;
mod server_profile;
mod state;

pub use attempt::{Answer, Attempt};
pub use connection::Connection;
pub(super) use connection::Waits;
pub(super) use demands::{ACKNOWLEDGE_TIMEOUT, Acknowledged, Demands, Subject};
pub(super) use handshake::Handshake;
pub use level_guard::LevelGuard;
pub(super) use list_refresh::ListsWaiting;
pub(super) use log_levels::LogLevels;
pub use server_profile::ServerProfile;
pub use state::{Session, State};
