//! Where there are no private sockets, a running gateway can't be asked.
//!
//! Owns the server that does nothing there.

use std::path::PathBuf;

use super::gather::Facts;

/// Nothing listens.
#[derive(Debug)]
pub(crate) struct StatusServer;

impl StatusServer {
    /// Does nothing.
    pub(crate) fn start(_: Facts, _: Vec<PathBuf>) -> Self {
        Self
    }

    /// Does nothing.
    pub(crate) async fn finish(self) {}
}
