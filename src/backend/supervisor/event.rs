//! Events of a backend outside of calls.
//!
//! Owns [`BackendEvent`], all that the gateway's loop learns of a backend but the results of calls.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::backend::error::BackendError;
use crate::call_report::BackendId;
use crate::protocol::{Era, Kind, Kinds, Listing, Notification, Outcome, Request};

/// A list that could not be fetched whole.
#[derive(Debug, Clone)]
pub struct Incomplete {
    /// Which list.
    pub kind: Kind,
    /// Some pages were read; the rest is as at last contact.
    pub is_partial: bool,
    /// Why the rest could not be fetched.
    pub error: BackendError,
}

impl Incomplete {
    /// The reason in one line; `url` is the backend's, without secrets.
    pub fn explain(&self, url: &str) -> String {
        let (list, why) = (self.kind.list_method(), self.error.explain(url));
        match self.is_partial {
            true => format!("{list} is not whole: {why}"),
            false => format!("{list} failed: {why}"),
        }
    }
}

/// Something that happened with a backend outside of calls.
#[derive(Debug)]
pub enum BackendEvent {
    /// It is connected, and some of its lists have come.
    Listed {
        /// Which backend.
        backend: BackendId,
        /// Which listing of its primary session, counted from 1.
        number: u64,
        /// All kinds; those that failed or are still to come are as at last contact.
        listing: Arc<Listing>,
        /// The lists that came since the last event, whole or not.
        came: Kinds,
        /// The lists of which the first pages have come; the rest is to come, and as at last contact.
        coming: Kinds,
        /// Those of them that are not whole, and why.
        incomplete: Vec<Incomplete>,
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
