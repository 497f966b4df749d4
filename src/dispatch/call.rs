//! `tools/call`, `prompts/get`, `resources/read`, `completion/complete`: one call, start to end.
//!
//! Owns finding the backend, giving it its own name for the thing, and saying in plain words what
//! went wrong. Reads of the params only what it routes on; the rest stays the client's bytes.

use std::sync::Arc;

use reqwest::header::HeaderName;

use super::subject::{Route, Subject};
use super::tasks::Related;
use super::{Exchange, Snapshot, Snapshots};
use crate::backend::retry::Replay;
use crate::backend::{Answer, Backend, Call, Failed, ProgressToken};
use crate::catalog::Entry;
use crate::config::ToolErrors;
use crate::protocol::era::modern::ResultType;
use crate::protocol::era::{Mirror, legacy, modern};
use crate::protocol::error::{INTERNAL_ERROR, INVALID_PARAMS};
use crate::protocol::raw::quoted;
use crate::protocol::{Class, Era, Executed, GatewayData, Kind, Outcome, RawJson, Request};
use crate::protocol::{RpcError, task};

/// Serves one call.
pub async fn call(request: Request, mut snapshots: Snapshots, exchange: Exchange) -> Outcome {
    let settled = snapshots.wait_for(|snapshot| snapshot.settled).await;
    let Ok(snapshot) = settled.map(|snapshot| Arc::clone(&snapshot)) else {
        return RpcError::new(INTERNAL_ERROR, "the gateway is shutting down").into();
    };
    let method = request.method.as_str();
    let params = request.params.unwrap_or_else(|| RawJson::trusted("{}"));
    let era = exchange.client.era;
    let subject = match Subject::read(method, &params) {
        Ok(subject) => subject,
        Err(why) => return RpcError::new(INVALID_PARAMS, format!("{method}: {why}")).into(),
    };
    let answer = match subject.route(&snapshot) {
        Some(route) => forward(method, params, &subject, &route, &exchange).await,
        None => Err(subject.unknown(&snapshot, era)),
    };
    match answer {
        Ok(answer) => {
            let uri = (subject.kind == Kind::Resource).then_some(subject.name.as_str());
            for_client(answer, era, method, uri, &snapshot)
        }
        Err(error) => told(error, era, method, &snapshot),
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
/// is about one. Within the legacy era it is not touched.
pub(super) fn for_client(
    answer: Answer,
    era: Era,
    method: &str,
    uri: Option<&str>,
    snapshot: &Snapshot,
) -> Outcome {
    let outcome = match (answer.era, era) {
        (Era::Legacy, Era::Legacy) => return answer.outcome,
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

async fn forward(
    method: &str,
    params: RawJson,
    subject: &Subject,
    route: &Route<'_>,
    exchange: &Exchange,
) -> Result<Answer, RpcError> {
    let backend = route.backend;
    let own_name = route.entry.map(|entry| &*entry.own_name);
    let params = match own_name {
        Some(own_name) if *own_name != *subject.name => {
            params.with_edits(vec![(subject.at.clone(), quoted(own_name))])
        }
        _ => params,
    };
    let tool = route.entry.filter(|_| subject.kind == Kind::Tool);
    let named = method != "completion/complete";
    let call = Call {
        method,
        params: Some(&params),
        progress: progress_token(&params),
        replay: tool.map_or(Replay::Safe, |tool| replay(backend, tool)),
        timeout: tool.map_or(backend.config.timeout, |tool| {
            backend.config.timeout_of(&tool.own_name)
        }),
        caller: &exchange.client,
        target: named.then(|| own_name.unwrap_or(&subject.name)),
        mirrored: tool.map_or_else(Vec::new, |tool| mirrored(tool, &params)),
        listener: &Related {
            listener: exchange,
            backend: backend.name(),
        },
    };
    let answer = backend.call(&call).await;
    let answer = answer.map_err(|failed| explain(backend, &failed, subject.kind == Kind::Tool))?;
    Ok(
        match answer.result_type == ResultType::Task || params.get("task").is_some() {
            true => Answer {
                outcome: task::outcome_for_client(answer.outcome, backend.name()),
                ..answer
            },
            false => answer,
        },
    )
}

/// The headers that repeat parameters of a call, as the tool's definition asks for.
fn mirrored(tool: &Entry, params: &RawJson) -> Vec<(HeaderName, String)> {
    if tool.mirrors.is_empty() {
        return Vec::new();
    }
    let arguments = params.get("arguments");
    let arguments = arguments.unwrap_or_else(|| RawJson::trusted("{}"));
    let header = |mirror: &Mirror| {
        let name = HeaderName::from_bytes(mirror.header.as_bytes()).ok()?;
        Some((name, mirror.value(&arguments)?))
    };
    tool.mirrors.iter().filter_map(header).collect()
}

/// Whether a tool may run twice: the user's word first, then the tool's own annotations.
fn replay(backend: &Backend, tool: &Entry) -> Replay {
    Replay::of_tool(backend.config.retry_of(&tool.own_name), tool.safe_to_repeat)
}

/// `_meta.progressToken` and its place, if the client wants progress.
pub(super) fn progress_token(params: &RawJson) -> Option<ProgressToken> {
    let meta = params.get("_meta")?;
    let members = meta.members()?;
    let (_, token) = members.iter().find(|(name, _)| name == "progressToken")?;
    Some(ProgressToken {
        at: params.range_of(token),
        token: meta.part(token),
    })
}

/// The error that reaches the client. The message alone must serve: clients drop `data`.
pub(super) fn explain(backend: &Backend, failed: &Failed, is_tool: bool) -> RpcError {
    let what = failed.error.explain(&backend.config.shown_url);
    let fate = match failed.executed {
        _ if !is_tool => "",
        Executed::No => "; the tool did not run",
        Executed::Unknown => "; the tool MAY HAVE RUN: check before calling again",
        Executed::Yes => "; the tool has run",
    };
    let (name, class) = (backend.name(), failed.error.class());
    let data = GatewayData::new(Some(name), class, failed.executed, failed.attempts);
    RpcError::new(INTERNAL_ERROR, format!("{name}: {what}{fate}")).with_data(data)
}
