//! The response that a client gets, in the form of its era.
//!
//! Owns the translation of a backend's result, and the form of the gateway's own errors. It must not
//! know how a result came about.

mod limited;

use std::sync::Arc;
use std::time::Duration;

use super::input;
use crate::backend::{Answer, HttpBackend};
use crate::config::ToolErrors;
use crate::protocol::era::modern::{ResultStamp, ResultType};
use crate::protocol::era::{legacy, modern};
use crate::protocol::error::{INTERNAL_ERROR, INVALID_PARAMS};
use crate::protocol::{Class, ClientProfile, Era, Executed, GatewayData, Outcome, RpcError, Tally};
use crate::snapshot::Snapshot;
pub(super) use limited::{Place, limit_later, limit_of_task, limited, page};

/// Why a request is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAccepted {
    /// `max_in_flight`.
    MaxInFlight,
    /// `max_buffered_bytes`.
    MaxBufferedBytes,
    /// The audit file, with `on_failure = "refuse"`.
    AuditFile,
}

impl NotAccepted {
    /// The class of the error.
    pub(crate) fn class(self) -> Class {
        match self {
            Self::MaxInFlight | Self::MaxBufferedBytes => Class::Overloaded,
            Self::AuditFile => Class::Refused,
        }
    }
}

/// The response to a request that is not accepted.
pub(super) fn not_accepted(
    why: NotAccepted,
    method: &str,
    era: Era,
    snapshot: &Snapshot,
) -> Outcome {
    let caps = &snapshot.config.gateway;
    let text = match why {
        NotAccepted::MaxInFlight => {
            let cap = caps.max_in_flight;
            format!("{cap} requests are in flight already (max_in_flight)")
        }
        NotAccepted::MaxBufferedBytes => {
            let cap = caps.max_buffered_bytes;
            format!(
                "it doesn't fit into the {cap} bytes for all calls together (max_buffered_bytes)"
            )
        }
        NotAccepted::AuditFile => {
            let file = snapshot.config.audit.file.as_ref();
            let file = file.map_or_else(String::new, |file| file.path.display().to_string());
            format!(
                "no record of it can be written to the audit file {file}, and on_failure is \"refuse\""
            )
        }
    };
    let message = format!("{text}; it was not sent");
    let data = GatewayData::new(None, why.class(), Tally::NONE);
    let error = RpcError::new(INTERNAL_ERROR, message).with_data(data);
    to_client_error(error, era, method, snapshot)
}

/// The response to a request that is still in flight when the gateway ends.
pub(crate) fn cut_off(method: &str, era: Era, snapshot: &Snapshot) -> Outcome {
    // What its task has done is not known here.
    let tally = Tally {
        executed: Executed::Unknown,
        ..Tally::NONE
    };
    let message = match method {
        "tools/call" => {
            "the gateway is shutting down; the tool MAY HAVE RUN: check before calling again"
        }
        _ => "the gateway is shutting down; no answer has come yet",
    };
    let data = GatewayData::new(None, Class::ShuttingDown, tally);
    let error = RpcError::new(INTERNAL_ERROR, message).with_data(data);
    to_client_error(error, era, method, snapshot)
}

/// The error for a list with a cursor: lists are one page, and give none.
pub(super) fn unknown_cursor(method: &str) -> RpcError {
    let message = format!("{method}: unknown cursor; the list is one page");
    RpcError::new(INVALID_PARAMS, message)
}

/// The error for a call that no backend could be found for within the longest deadline.
pub(super) fn not_settled(limit: Duration) -> RpcError {
    let seconds = limit.as_secs_f64();
    let message = format!(
        "the gateway's backends have neither connected nor failed within {seconds} s; nothing was sent"
    );
    let data = GatewayData::new(None, Class::Deadline, Tally::NONE);
    RpcError::new(INTERNAL_ERROR, message).with_data(data)
}

/// The error for a request that the gateway ends before it begins.
pub(super) fn shutting_down() -> RpcError {
    RpcError::new(INTERNAL_ERROR, "the gateway is shutting down")
}

/// An error of the gateway's own, in the form that the config chose for tools.
pub(super) fn to_client_error(
    error: RpcError,
    era: Era,
    method: &str,
    snapshot: &Snapshot,
) -> Outcome {
    match snapshot.config.gateway.tool_errors {
        ToolErrors::Result if method == "tools/call" => {
            let result = error.as_tool_result();
            Outcome::Result(match era {
                Era::Legacy => result,
                Era::Modern => {
                    modern::stamp_result(&result, ResultStamp::Complete, &snapshot.identity)
                }
            })
        }
        _ => error.into(),
    }
}

/// A backend's result as [`for_client`] makes it, on one line, for an answer of any size: a large
/// one of this backend is edited on a thread of its own, and a copy is charged to it.
pub(super) async fn sized_for_client(
    answer: Answer,
    backend: &HttpBackend,
    client: &Arc<ClientProfile>,
    method: &str,
    uri: Option<&str>,
    snapshot: &Arc<Snapshot>,
) -> Outcome {
    if answer.is_small() {
        return for_client(answer, client, method, uri, snapshot);
    }
    let (client, snapshot) = (Arc::clone(client), Arc::clone(snapshot));
    let (method, uri) = (method.to_owned(), uri.map(str::to_owned));
    let Answer {
        outcome,
        era,
        result_type,
        tally,
        backend: from,
    } = answer;
    let edit = move |outcome| {
        let answer = Answer {
            outcome,
            era,
            result_type,
            tally,
            backend: from,
        };
        for_client(answer, &client, &method, uri.as_deref(), &snapshot).on_one_line()
    };
    backend.edited(outcome, edit).await
}

/// A backend's result in the form of the client's era; `uri` is that of the resource it is about, if
/// it is about one. Within the legacy era no result is touched.
pub(super) fn for_client(
    answer: Answer,
    client: &ClientProfile,
    method: &str,
    uri: Option<&str>,
    snapshot: &Snapshot,
) -> Outcome {
    let cacheable = matches!(
        method,
        "resources/read" | "skills/get" | "resources/directory/read"
    );
    let outcome = match (answer.era, client.era) {
        (Era::Legacy, Era::Legacy) => return input::for_legacy_client(answer.outcome, client),
        (Era::Modern, Era::Legacy) => {
            return legacy::outcome_from_modern(answer.outcome, cacheable);
        }
        (Era::Modern, Era::Modern) => modern::outcome_for_client(answer.outcome),
        (Era::Legacy, Era::Modern) => legacy::outcome_for_modern(answer.outcome, uri),
    };
    match outcome {
        Outcome::Result(result) => {
            let stamp = match answer.result_type {
                ResultType::Complete if cacheable => ResultStamp::CompleteAndCacheable,
                ResultType::Complete => ResultStamp::Complete,
                ResultType::InputRequired | ResultType::Task => ResultStamp::Itself,
            };
            let gateway = &snapshot.identity;
            let Some(backend) = answer.backend else {
                return Outcome::Result(modern::stamp_result(&result, stamp, gateway));
            };
            let result = match method {
                "tasks/get" => modern::with_backend_inside(result, "result", &backend),
                _ => result,
            };
            let stamped = modern::stamp_backend_result(&result, stamp, gateway, &backend);
            Outcome::Result(stamped)
        }
        error @ Outcome::Error(_) => error,
    }
}
