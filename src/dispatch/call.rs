//! `tools/call`, `prompts/get`, `resources/read`, `completion/complete`: one call, start to end.
//!
//! Owns finding the backend, and putting what comes back into the words of the client's era. Reads
//! of the params only what it routes on; the rest stays the client's bytes.

use std::sync::Arc;

use super::outgoing::Outgoing;
use super::subject::Subject;
use super::{Exchange, Snapshot, Snapshots, input, settled};
use crate::backend::Answer;
use crate::config::ToolErrors;
use crate::protocol::era::modern::ResultType;
use crate::protocol::era::{legacy, modern};
use crate::protocol::error::{HEADER_MISMATCH, INTERNAL_ERROR, INVALID_PARAMS, code_of};
use crate::protocol::{Class, ClientProfile, Era, Executed, GatewayData, Kind, Outcome, RawJson};
use crate::protocol::{Request, RpcError};

/// Serves one call.
pub async fn call(request: Request, mut snapshots: Snapshots, exchange: Exchange) -> Outcome {
    let mut snapshot = match settled(snapshots.clone()).await {
        Ok(snapshot) => snapshot,
        Err(error) => return error.into(),
    };
    let method = request.method;
    let params = request.params.unwrap_or_else(|| RawJson::trusted("{}"));
    let subject = match Subject::read(&method, &params) {
        Ok(subject) => subject,
        Err(why) => return RpcError::new(INVALID_PARAMS, format!("{method}: {why}")).into(),
    };
    let mut answer = carry(&method, &params, &subject, &snapshot, &exchange).await;
    if is_header_mismatch(&answer)
        && let Some(fresh) = refetched(&subject, &snapshot, &mut snapshots).await
    {
        snapshot = fresh;
        answer = carry(&method, &params, &subject, &snapshot, &exchange).await;
    }
    match answer {
        Ok(answer) => {
            let uri = (subject.kind == Kind::Resource).then_some(subject.name.as_str());
            for_client(answer, &exchange.client, &method, uri, &snapshot)
        }
        Err(error) => told(error, exchange.client.era, &method, &snapshot),
    }
}

async fn carry(
    method: &str,
    params: &RawJson,
    subject: &Subject,
    snapshot: &Snapshot,
    exchange: &Exchange,
) -> Result<Answer, RpcError> {
    if let Some(resumed) = input::resumed(method, params, exchange) {
        return resumed.await;
    }
    let caller = Arc::clone(&exchange.client);
    let Some(route) = subject.route(snapshot) else {
        return Err(subject.unknown(snapshot, caller.era));
    };
    let call = Outgoing::new(method.to_owned(), params.clone(), subject, &route, caller);
    input::carry(call, params, exchange).await
}

/// Whether a modern backend has refused the headers of a call: it may want other parameters
/// repeated than its definition of last contact says.
fn is_header_mismatch(answer: &Result<Answer, RpcError>) -> bool {
    match answer {
        Ok(Answer {
            outcome: Outcome::Error(error),
            era: Era::Modern,
            ..
        }) => code_of(error) == Some(HEADER_MISMATCH),
        _ => false,
    }
}

/// The snapshot after the backend was asked for its lists anew (B-M-04).
async fn refetched(
    subject: &Subject,
    snapshot: &Snapshot,
    snapshots: &mut Snapshots,
) -> Option<Arc<Snapshot>> {
    let backend = subject.route(snapshot)?.backend;
    snapshots.mark_unchanged();
    backend.refetch_lists().await.then_some(())?;
    snapshots.changed().await.ok()?;
    Some(Arc::clone(&snapshots.borrow()))
}

/// The answer where the gateway has no room for another call.
pub fn overloaded(method: &str, era: Era, snapshot: &Snapshot) -> Outcome {
    let cap = snapshot.config.gateway.max_in_flight;
    let message = format!("{cap} requests are in flight already (max_in_flight); it was not sent");
    let data = GatewayData::new(None, Class::Overloaded, Executed::No, 0);
    let error = RpcError::new(INTERNAL_ERROR, message).with_data(data);
    told(error, era, method, snapshot)
}

/// The answer to a call that the end of the gateway cuts off.
pub fn cut_off(method: &str, era: Era, snapshot: &Snapshot) -> Outcome {
    let message = "the gateway is shutting down; the tool MAY HAVE RUN: check before calling again";
    let data = GatewayData::new(None, Class::ShuttingDown, Executed::Unknown, 0);
    let error = RpcError::new(INTERNAL_ERROR, message).with_data(data);
    told(error, era, method, snapshot)
}

/// An error of our own, in the form the user chose for tools.
pub(super) fn told(error: RpcError, era: Era, method: &str, snapshot: &Snapshot) -> Outcome {
    match snapshot.config.gateway.tool_errors {
        ToolErrors::Result if method == "tools/call" => {
            let result = error.as_tool_result();
            Outcome::Result(match era {
                Era::Legacy => result,
                Era::Modern => {
                    modern::signed(&modern::complete(&result, false), &snapshot.identity)
                }
            })
        }
        _ => error.into(),
    }
}

/// A backend's answer in the words of the client's era; `uri` of the resource it is about, if it
/// is about one. Within the legacy era no result is touched.
pub(super) fn for_client(
    answer: Answer,
    client: &ClientProfile,
    method: &str,
    uri: Option<&str>,
    snapshot: &Snapshot,
) -> Outcome {
    let cacheable = method == "resources/read";
    let outcome = match (answer.era, client.era) {
        (Era::Legacy, Era::Legacy) => return input::for_legacy_client(answer.outcome, client),
        (Era::Modern, Era::Legacy) => {
            return legacy::outcome_from_modern(answer.outcome, cacheable);
        }
        (Era::Modern, Era::Modern) => modern::outcome_for_client(answer.outcome),
        (Era::Legacy, Era::Modern) => legacy::outcome_for_modern(answer.outcome, cacheable, uri),
    };
    match outcome {
        Outcome::Result(result) => {
            let result = match answer.result_type {
                ResultType::Complete => modern::complete(&result, cacheable),
                ResultType::InputRequired | ResultType::Task => result,
            };
            Outcome::Result(modern::signed(&result, &snapshot.identity))
        }
        error @ Outcome::Error(_) => error,
    }
}
