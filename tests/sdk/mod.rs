//! The official Rust SDK as an independent peer of the gateway: its server behind it, its client in
//! front of it. Nothing here is written by us but the tools, so where a test passes, the gateway
//! speaks the protocol as somebody else reads it.

pub(crate) mod client;
pub(crate) mod server;

use std::time::Duration;

/// Awaits something that must happen.
///
/// # Panics
/// It hasn't happened within half a minute.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .unwrap_or_else(|_| panic!("still waiting for {what}"))
}
