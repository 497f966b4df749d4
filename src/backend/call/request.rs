//! A call as it is given to a backend, and what became of it.
//!
//! Owns the types [`Call`] and [`Called`], and [`CallContext`], what all calls to one backend share. It
//! must not know how a call is made.

use reqwest::header::HeaderName;

use super::progress::ProgressToken;
use super::queues::Queues;
use crate::backend::deadline::Deadline;
use crate::backend::error::BackendError;
use crate::backend::retry::{Replay, RetryBudget};
use crate::backend::session::Answer;
use crate::backend::stream::ServerMessageHandler;
use crate::call_report::{BackendId, CallReport};
use crate::config::BackendConfig;
use crate::observe::call_stats::CallStats;
use crate::protocol::{ClientProfile, RawJson};
use crate::telemetry::RequestTrace;

/// A request to a backend, retries included.
pub struct Call<'a> {
    /// E.g. `tools/call`.
    pub method: &'a str,
    /// The params, with the backend's own names.
    pub params: Option<&'a RawJson>,
    /// The client's progress token, if it wants progress.
    pub progress: Option<ProgressToken>,
    /// Whether it may run twice.
    pub replay: Replay,
    /// The time it has in all. Several calls may share one.
    pub deadline: &'a Deadline,
    /// The client that sends it; modern backends get its profile with every request.
    pub caller: &'a ClientProfile,
    /// The backend's own name or URI of the target, if it has one.
    pub target: Option<&'a str>,
    /// Headers that repeat parameters, for a modern backend (`x-mcp-header`).
    pub param_headers: &'a [(HeaderName, String)],
    /// The trace that its attempts are part of, if there is one.
    pub request: Option<&'a RequestTrace>,
    /// Receives progress and logs, and answers requests of the server.
    pub handler: &'a dyn ServerMessageHandler,
}

impl Call<'_> {
    /// The backend's own name of the tool that it runs, if it runs one.
    pub(super) fn tool(&self) -> Option<&str> {
        self.target.filter(|_| self.method == "tools/call")
    }
}

/// What became of a call.
#[derive(Debug)]
pub struct Called {
    /// The answer, or why the last attempt failed when all that is allowed was tried. An error of
    /// the backend's own is an answer.
    pub result: Result<Answer, BackendError>,
    /// Attempts, bytes, times, and whether it may have run.
    pub report: CallReport,
}

/// What all calls to one backend share.
pub(in crate::backend) struct CallContext<'a> {
    pub(in crate::backend) backend: BackendId,
    pub(in crate::backend) config: &'a BackendConfig,
    pub(in crate::backend) queues: &'a Queues,
    pub(in crate::backend) retry_budget: &'a RetryBudget,
    pub(in crate::backend) stats: &'a CallStats,
}
