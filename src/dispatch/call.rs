//! `tools/call`, `prompts/get`, `resources/read`, `completion/complete`: one call, start to end.
//!
//! Owns finding the backend, and putting what comes back into the words of the client's era. Reads
//! of the params only what it routes on; the rest stays the client's bytes.

use std::sync::Arc;

use super::outgoing::Outgoing;
use super::subject::Subject;
use super::{Exchange, Snapshot, Snapshots, input};
use crate::backend::Answer;
use crate::config::ToolErrors;
use crate::protocol::era::{legacy, modern};
use crate::protocol::error::{INTERNAL_ERROR, INVALID_PARAMS};
use crate::protocol::{Class, ClientProfile, Era, Executed, GatewayData, Kind, Outcome, RawJson};
use crate::protocol::{Request, RpcError};

/// Serves one call.
pub async fn call(request: Request, mut snapshots: Snapshots, exchange: Exchange) -> Outcome {
    let settled = snapshots.wait_for(|snapshot| snapshot.settled).await;
    let Ok(snapshot) = settled.map(|snapshot| Arc::clone(&snapshot)) else {
        return RpcError::new(INTERNAL_ERROR, "the gateway is shutting down").into();
    };
    let method = request.method;
    let params = request.params.unwrap_or_else(|| RawJson::trusted("{}"));
    let era = exchange.client.era;
    let subject = match Subject::read(&method, &params) {
        Ok(subject) => subject,
        Err(why) => return RpcError::new(INVALID_PARAMS, format!("{method}: {why}")).into(),
    };
    let answer = match input::resumed(&method, &params, &exchange) {
        Some(resumed) => resumed.await,
        None => match subject.route(&snapshot) {
            Some(route) => {
                let caller = Arc::clone(&exchange.client);
                let sent = params.clone();
                let call = Outgoing::new(method.clone(), sent, &subject, &route, caller);
                input::carry(call, &params, &exchange).await
            }
            None => Err(subject.unknown(&snapshot, era)),
        },
    };
    match answer {
        Ok(answer) => {
            let uri = (subject.kind == Kind::Resource).then_some(subject.name.as_str());
            for_client(answer, &exchange.client, &method, uri, &snapshot)
        }
        Err(error) => told(error, era, &method, &snapshot),
    }
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
    let outcome = match (answer.era, client.era) {
        (Era::Legacy, Era::Legacy) => return input::for_legacy_client(answer.outcome, client),
        (Era::Modern, Era::Legacy) => {
            return legacy::outcome_from_modern(answer.outcome, method == "resources/read");
        }
        (Era::Modern, Era::Modern) => answer.outcome,
        (Era::Legacy, Era::Modern) => {
            legacy::outcome_for_modern(answer.outcome, method == "resources/read", uri)
        }
    };
    match outcome {
        Outcome::Result(result) => Outcome::Result(modern::signed(&result, &snapshot.identity)),
        error @ Outcome::Error(_) => error,
    }
}
