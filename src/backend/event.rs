//! What a backend tells the rest of the gateway.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::error::BackendError;
use crate::protocol::{Era, Kind, Listing, Notification, Outcome, Request};

/// Something that has happened with a backend outside of calls.
#[derive(Debug)]
pub enum BackendEvent {
    /// It is connected, and this is what it offers now.
    Listed {
        /// Its index in config order.
        backend: usize,
        /// All kinds; those that could not be had are as at last contact.
        listing: Arc<Listing>,
        /// The lists that could not be had now, and why.
        stale: Vec<(Kind, BackendError)>,
    },
    /// It says something that belongs to no call: `notifications/message`,
    /// `notifications/resources/updated` and the like.
    Notice {
        /// Its index in config order.
        backend: usize,
        /// As it wrote it.
        notification: Notification,
    },
    /// It asks the client something that belongs to no call.
    Asked {
        /// Its index in config order.
        backend: usize,
        /// The era of the client that the session it asks in is introduced to.
        of: Era,
        /// As it wrote it; its id stays with the backend.
        request: Request,
        /// Where the answer goes. Dropped: nobody will answer.
        answer: oneshot::Sender<Outcome>,
    },
    /// It can't be reached.
    Down {
        /// Its index in config order.
        backend: usize,
    },
}
