//! One attempt at a request, and its answer.
//!
//! Owns both as data: [`Attempt`], what a connection needs to send a request once, and [`Answer`], a
//! response with the era that it is written in.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderName;

use crate::backend::stream::Takes;
use crate::budget::FREE_BELOW;
use crate::call_report::CallTrace;
use crate::protocol::era::modern::{self, ResultType};
use crate::protocol::{ClientProfile, Era, Id, Outcome, RawJson, Tally};
use crate::telemetry::AttemptTrace;

/// One attempt at a request.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// The id, made by [`fresh_id`](crate::backend::stream::fresh_id).
    pub id: &'a Id,
    /// E.g. `tools/call`.
    pub method: &'a str,
    /// The params, with the backend's own names.
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
    /// Its span, whose context the server gets.
    pub(crate) span: Option<&'a AttemptTrace<'a>>,
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
            span: None,
        }
    }

    /// Which server requests outside of its own stream may belong to it.
    pub(super) fn takes(&self) -> Takes {
        match (self.method, self.caller.era) {
            // Of a modern client it is a part of a call, which the client can be asked for.
            ("tasks/result", _) => {
                let task = self.params.and_then(|params| params.get("taskId"));
                Takes::Named(task.and_then(|task| task.text()))
            }
            (method, Era::Modern) if modern::may_require_input(method) => Takes::WhenAlone,
            (_, Era::Modern) => Takes::Nothing,
            (method, Era::Legacy) if modern::may_require_input(method) => Takes::WhenAloneBeside,
            (_, Era::Legacy) => Takes::Named(None),
        }
    }
}

/// A response that can be passed on.
#[derive(Debug)]
pub struct Answer {
    /// The result or the error, as the server wrote it.
    pub outcome: Outcome,
    /// The era it is written in.
    pub era: Era,
    /// Always [`ResultType::Complete`] in the legacy era, and for errors.
    pub result_type: ResultType,
    /// The requests that it took, and whether the tool ran.
    pub tally: Tally,
    /// The name in the config of the backend that it is from; `None` where it is the gateway's own.
    pub(crate) backend: Option<Arc<str>>,
}

impl Answer {
    /// Whether it is so small that its bytes are not counted.
    pub(crate) fn is_small(&self) -> bool {
        self.outcome.text().as_bytes().len() <= FREE_BELOW
    }
}
