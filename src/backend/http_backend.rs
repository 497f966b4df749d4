//! One backend: its sessions, its calls, its subscriptions; and starting and ending backends.

mod backend;
mod launcher;
mod subscription;

pub use backend::HttpBackend;
pub use launcher::{Launcher, shutdown_all, start_all};
pub use subscription::{SubscribeError, Subscription};
