//! One backend: its sessions, its calls, its subscriptions.

mod backend;
mod subscription;

pub use backend::{HttpBackend, shutdown_all, start_all};
pub use subscription::{SubscribeError, Subscription};
