//! The connection on which a server may speak, and what it says before there is one.
//!
//! Owns which notifications wait until the server has answered `initialize`: on the HTTP with SSE
//! transport, and on the stream of that answer, it can speak before it has said what it declares. It
//! must not know who is told.

use std::sync::Arc;

use crate::backend::session::connection::Connection;
use crate::protocol::Notification;
use crate::protocol::era::extension;
use crate::sync::Mutex;

/// Most notifications that wait, and most bytes of their params; more are dropped.
const MAX_EARLY: usize = 64;
const MAX_EARLY_BYTES: usize = 256 * 1024;

#[derive(Debug, Default)]
pub(in crate::backend) struct Served(Mutex<State>);

#[derive(Debug)]
enum State {
    /// Not connected yet, with the notifications that may be of an extension of the server.
    NotYet(Vec<Notification>),
    /// Connected: from before the connection is ready until it has ended.
    On(Arc<Connection>),
}

impl Default for State {
    fn default() -> Self {
        Self::NotYet(Vec::new())
    }
}

impl Served {
    /// From now on the server may speak on this connection, which is not ready yet. Returns what it has
    /// said too early, in order.
    pub(in crate::backend) fn begin(&self, connection: &Arc<Connection>) -> Vec<Notification> {
        let serving = State::On(Arc::clone(connection));
        match std::mem::replace(&mut *self.0.lock(), serving) {
            State::NotYet(early) => early,
            State::On(_) => Vec::new(),
        }
    }

    /// There is no connection.
    pub(super) fn end(&self) {
        *self.0.lock() = State::default();
    }

    /// Keeps a notification that may be of an extension until it is known what the server declares;
    /// whether it does.
    pub(in crate::backend) fn keeps_early(&self, notification: &Notification) -> bool {
        let State::NotYet(early) = &mut *self.0.lock() else {
            return false;
        };
        if !extension::is_foreign(&notification.method) {
            return false;
        }
        let params = early.iter().chain([notification]);
        let params = params.filter_map(|early| early.params.as_ref());
        let bytes: usize = params.map(|params| params.as_bytes().len()).sum();
        let has_room = early.len() < MAX_EARLY && bytes <= MAX_EARLY_BYTES;
        if has_room {
            early.push(notification.clone());
        }
        has_room
    }

    /// Whether the server declares the extension that a method belongs to, or the experimental
    /// capability.
    pub(super) fn declares(&self, method: &str, with_experimental: bool) -> bool {
        match &*self.0.lock() {
            State::On(connection) => {
                let capabilities = &connection.server.capabilities;
                extension::is_declared(method, capabilities, with_experimental)
            }
            State::NotYet(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RawJson;

    #[test]
    fn what_is_said_too_early_is_bounded() {
        let said = |method: &str, bytes: usize| Notification {
            method: method.into(),
            params: Some(RawJson::trusted(format!("[{}]", "1".repeat(bytes)))),
        };
        let served = Served::default();
        assert!(!served.keeps_early(&said("notifications/message", 1)));
        for number in 0..2 * MAX_EARLY {
            assert_eq!(
                served.keeps_early(&said("notifications/x/y", 1)),
                number < MAX_EARLY
            );
        }
        served.end();
        assert!(!served.keeps_early(&said("notifications/x/y", MAX_EARLY_BYTES)));
        assert!(served.keeps_early(&said("notifications/x/y", MAX_EARLY_BYTES / 2)));
        assert!(!served.keeps_early(&said("notifications/x/y", MAX_EARLY_BYTES / 2)));
    }
}
