//! One attempt at a request, and its answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::HeaderName;

use crate::call_report::CallTrace;
use crate::protocol::era::modern::ResultType;
use crate::protocol::{ClientProfile, Era, Id, Outcome, RawJson, Tally};

/// One attempt at a request.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// From [`fresh_id`].
    pub id: &'a Id,
    /// E.g. `tools/call`.
    pub method: &'a str,
    /// With the backend's own names.
    pub params: Option<&'a RawJson>,
    /// The longest silence allowed.
    pub idle: Option<Duration>,
    /// Notes what the attempt does, and when.
    pub trace: &'a CallTrace,
    /// The client that sends it; modern servers get its profile with every request.
    pub caller: &'a ClientProfile,
    /// The backend's own name or URI of the target, for the `Mcp-Name` header.
    pub target: Option<&'a str>,
    /// Headers that repeat parameters, for a modern server (`x-mcp-header`).
    pub param_headers: &'a [(HeaderName, String)],
}

impl<'a> Attempt<'a> {
    /// An attempt without a target, such as a list.
    pub fn plain(
        id: &'a Id,
        method: &'a str,
        params: Option<&'a RawJson>,
        caller: &'a ClientProfile,
        trace: &'a CallTrace,
    ) -> Self {
        Self {
            id,
            method,
            params,
            idle: None,
            trace,
            caller,
            target: None,
            param_headers: &[],
        }
    }
}

/// A response that can be passed on.
#[derive(Debug)]
pub struct Answer {
    /// As the server wrote it.
    pub outcome: Outcome,
    /// The era it is written in.
    pub era: Era,
    /// Always [`ResultType::Complete`] in the legacy era, and for errors.
    pub result_type: ResultType,
    /// The requests that it took, and whether the tool ran.
    pub tally: Tally,
}

/// A request id that no other request of this process has.
pub fn fresh_id() -> Id {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Id::number(NEXT.fetch_add(1, Ordering::Relaxed))
}
