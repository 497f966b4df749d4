//! Events of a backend outside of calls.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::backend::error::BackendError;
use crate::call_report::BackendId;
use crate::protocol::{Era, Kind, Listing, Notification, Outcome, Request};

/// Something that happened with a backend outside of calls.
#[derive(Debug)]
pub enum BackendEvent {
    /// It is connected and has listed.
    Listed {
        /// Which backend.
        backend: BackendId,
        /// Which listing of its primary session, counted from 1.
        number: u64,
        /// All kinds; those that failed are as at last contact.
        listing: Arc<Listing>,
        /// The lists that failed, and why.
        stale: Vec<(Kind, BackendError)>,
        /// To be dropped when the listing is in use, or never will be: the lists are not fetched again
        /// before.
        taken: oneshot::Sender<()>,
    },
    /// It sends a notification that belongs to no call: `notifications/message`,
    /// `notifications/resources/updated` and the like.
    Notice {
        /// Which backend.
        backend: BackendId,
        /// As it wrote it.
        notification: Notification,
    },
    /// It sends a request that belongs to no call.
    ServerRequest {
        /// Which backend.
        backend: BackendId,
        /// The era of the client that its session is initialized for.
        client_era: Era,
        /// As it wrote it; its id stays with the backend.
        request: Request,
        /// Where the response goes. Dropped: there will be none.
        answer: oneshot::Sender<Outcome>,
    },
    /// It can't be reached.
    Down {
        /// Which backend.
        backend: BackendId,
    },
}
