//! Which backend a call went to, and what became of it.
//!
//! Owns [`BackendId`], the identity of a backend within one process, and [`CallReport`], the one
//! record that [`HttpBackend::call`](crate::backend::HttpBackend::call) makes of every call. Pure
//! data: retry decisions, the breaker, client errors and logs are all made from it.

use std::time::Duration;

use crate::protocol::{Class, Executed};

/// Identity of a backend within one process. Never reused, and no index: backends may come and go
/// while the others keep theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendId(u32);

impl BackendId {
    /// The id with this number. Whoever creates backends issues the numbers, each once.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }
}

/// What became of one call to a backend, its retries included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallReport {
    /// Where it went.
    pub backend: BackendId,
    /// Requests that were sent, or would have been had there been a connection.
    pub attempts: u32,
    /// Whether any attempt may have run it.
    pub executed: Executed,
    /// Why there is no answer; `None` where there is one, be it an error of the backend's own.
    pub class: Option<Class>,
    /// Bytes of the request bodies, over all attempts.
    pub bytes_sent: u64,
    /// Bytes of the response bodies after decompression, over all attempts.
    pub bytes_received: u64,
    /// When what happened.
    pub times: CallTimes,
}

/// The steps of a call, each as the time since the call began.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct CallTimes {
    /// It left the queue of `max_in_flight`.
    pub queued: Duration,
    /// The last attempt was handed to the HTTP client; `None` where none was.
    pub sent: Option<Duration>,
    /// The headers of the last attempt's response came; `None` where none did.
    pub first_byte: Option<Duration>,
    /// The call was over.
    pub done: Duration,
}
