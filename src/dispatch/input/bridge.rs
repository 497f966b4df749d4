//! Chooses how a call is run that may return `input_required`, by the eras of client and backend.
//!
//! Owns that choice, and the requests of a modern client that belong to one call to a legacy backend:
//! the first, and its retries. It must not know how the call reached its backend.

use std::sync::Arc;

use tokio::sync::watch;

use super::detached_call::{CallHandle, DetachedCall, Ended};
use super::input_requests::{Needed, without_answers};
use super::parked_calls::ParkedCalls;
use super::request_state::{self, RequestFingerprint, RequestState};
use super::{legacy_client, urls};
use crate::backend::{Answer, BackendError, HttpBackend};
use crate::client::capabilities::{self, MissingCapability, URL};
use crate::dispatch::backend_call::BackendCall;
use crate::dispatch::exchange::Exchange;
use crate::protocol::era::modern::{self, ResultType};
use crate::protocol::error::{INVALID_PARAMS, is_tool_error};
use crate::protocol::{ClientProfile, Era, Outcome, RawJson, RpcError, Tally, task};

/// The answer of a parked call, and the backend that has run it, which the config may not have any more.
type Resumed = (Answer, Arc<HttpBackend>);

/// Runs a call to its result, which may be `input_required`. `params` are the client's own.
pub(in crate::dispatch) async fn forward(
    mut call: BackendCall,
    params: &RawJson,
    exchange: &Exchange,
    parked: &Arc<ParkedCalls>,
) -> Result<Answer, RpcError> {
    if exchange.client.era == Era::Legacy {
        return legacy_client::run_rounds(&call, exchange).await;
    }
    call.params = request_state::for_backend(&call.method, &call.params, &call.backend)?;
    if call.requires_task()
        && exchange.client.declares(&["extensions", task::EXTENSION])
        && call.needs_task().await
    {
        return Box::pin(as_task(call, params, exchange, parked)).await;
    }
    let same_era = call.backend.known_era() == Some(Era::Modern);
    if same_era || !modern::may_require_input(&call.method) {
        return within_era(&call, exchange).await;
    }
    // Boxed, as the largest of the three.
    Box::pin(detach(call, params, exchange, parked)).await
}

/// Resumes the parked call that this request is a retry of, at the backend that has it; `None` if it is no
/// such retry.
pub(in crate::dispatch) fn resumed<'a>(
    method: &'a str,
    params: &'a RawJson,
    exchange: &'a Exchange,
    parked: &'a Arc<ParkedCalls>,
) -> Option<impl Future<Output = Result<Resumed, RpcError>> + Send + use<'a>> {
    let request_state = match exchange.client.era {
        Era::Modern => RequestState::of(params)?,
        Era::Legacy => return None,
    };
    Some(resume(request_state, method, params, exchange, parked))
}

/// The input requests of a modern backend are passed on to a modern client as they are.
async fn within_era(call: &BackendCall, exchange: &Exchange) -> Result<Answer, RpcError> {
    let answer = call.send(&call.params, exchange).await?;
    fit(call, answer, &exchange.client).await
}

/// From a modern client to a backend that is, or may be, of the legacy era.
async fn detach(
    mut call: BackendCall,
    params: &RawJson,
    exchange: &Exchange,
    parked: &Arc<ParkedCalls>,
) -> Result<Answer, RpcError> {
    let mut declined = false;
    if without_answers(&call.params) != call.params {
        if era(&call).await? == Era::Modern {
            return within_era(&call, exchange).await;
        }
        // A legacy backend has no state, and this is none of ours that is known: the parked call
        // behind it is gone, and must not run again unasked.
        if params.get("requestState").is_some() {
            return Err(request_state::refusal(&call.method));
        }
        declined = urls::declined(params);
        call.params = without_answers(&call.params);
    }
    let method = call.method.clone();
    let handle = CallHandle::begin(call, exchange.clone());
    follow(handle, &method, params, exchange, parked, declined).await
}

/// A tool that runs only as a task, for a client that can have tasks: it is answered when the legacy
/// server has made one.
async fn as_task(
    call: BackendCall,
    params: &RawJson,
    exchange: &Exchange,
    parked: &Arc<ParkedCalls>,
) -> Result<Answer, RpcError> {
    let (say, mut said) = watch::channel(None);
    let call = call.outliving(say);
    let (method, backend) = (call.method.clone(), Arc::clone(&call.backend.config.name));
    let handle = CallHandle::begin(call, exchange.clone());
    let is_made = tokio::select! {
        biased;
        said = said.wait_for(Option::is_some) => said.is_ok(),
        () = handle.detached.needs_client() => false,
    };
    let handle = match is_made {
        true => match parked.tasks.keep(handle, said, exchange, finished) {
            Ok((result, tally)) => {
                return Ok(Answer {
                    outcome: Outcome::Result(result),
                    era: Era::Legacy,
                    result_type: ResultType::Task,
                    tally,
                    backend: Some(backend),
                });
            }
            Err(handle) => handle,
        },
        // It has failed, or asks for input first.
        false => handle,
    };
    follow(handle, &method, params, exchange, parked, false).await
}

/// Waits for the end of a call, or parks it with its next input requests.
async fn follow(
    mut handle: CallHandle,
    method: &str,
    params: &RawJson,
    exchange: &Exchange,
    parked: &Arc<ParkedCalls>,
    declined: bool,
) -> Result<Answer, RpcError> {
    loop {
        if let Some(ended) = handle.detached.next_event().await {
            let (call, client) = (&handle.detached.call, &exchange.client);
            let is_modern = ended.as_ref().is_ok_and(|answer| answer.era == Era::Modern);
            let answer = finished(&handle.detached, ended, client, declined)?;
            return match is_modern {
                true => fit(call, answer, client).await,
                false => Ok(answer),
            };
        }
        let fingerprint = RequestFingerprint::of(method, params);
        let call = &handle.detached.call;
        let (tally, backend) = (call.tally(), Arc::clone(&call.backend.config.name));
        match parked.park(handle, exchange.key, fingerprint) {
            Ok(result) => return Ok(input_required(result, tally, backend)),
            Err(unparked) => handle = unparked,
        }
    }
}

/// A retry is attached to its call, with the input responses that it brings.
async fn resume(
    request_state: RequestState,
    method: &str,
    params: &RawJson,
    exchange: &Exchange,
    parked: &Arc<ParkedCalls>,
) -> Result<Resumed, RpcError> {
    let responses = responses(params)
        .map_err(|why| RpcError::new(INVALID_PARAMS, format!("{method}: {why}")))?;
    let handle = parked.take(&request_state, &RequestFingerprint::of(method, params));
    let handle = handle.ok_or_else(|| request_state::refusal(method))?;
    if let Some(record) = &exchange.record {
        record.take_over(handle.detached.call.sums());
    }
    // Before the backend continues.
    let _level = handle.detached.call.hold_log_level(&exchange.client).await;
    let answer = |key: &str| {
        let mut there = responses.iter().filter(|(name, _)| name == key);
        there.next_back().map(|(_, answer)| answer.clone())
    };
    let token = params.at(&["_meta", "progressToken"]);
    handle.detached.attach(exchange.clone(), token, answer);
    let backend = Arc::clone(&handle.detached.call.backend);
    let answer = follow(handle, method, params, exchange, parked, false).await?;
    Ok((answer, backend))
}

fn responses(params: &RawJson) -> Result<Vec<(String, RawJson)>, &'static str> {
    let Some(responses) = params.get("inputResponses") else {
        return Ok(Vec::new());
    };
    let members = responses
        .members()
        .ok_or("inputResponses must be an object")?;
    let part = |(key, answer): (String, &_)| {
        let answer = responses.part(answer);
        match answer.is_object() {
            true => Ok((key, answer)),
            false => Err("every answer in inputResponses must be an object"),
        }
    };
    members.into_iter().map(part).collect()
}

/// The result of a call that ended, with what only the legacy era has translated.
fn finished(
    detached: &DetachedCall,
    ended: Ended,
    client: &ClientProfile,
    declined: bool,
) -> Result<Answer, RpcError> {
    let (call, answer) = (&detached.call, ended?);
    let missing = detached.missing(client);
    if !missing.is_empty() && has_failed(&answer.outcome) {
        let backend = call.backend.name();
        return Err(capabilities::missing_capability_error(
            &missing,
            client,
            backend,
            call.tally(),
        ));
    }
    let urls = match &answer.outcome {
        Outcome::Error(error) if answer.era == Era::Legacy && !declined => urls::asked(error),
        _ => None,
    };
    match urls {
        Some(_) if !client.declares(&["elicitation", "url"]) => {
            let backend = call.backend.name();
            Err(capabilities::missing_capability_error(
                &[URL],
                client,
                backend,
                call.tally(),
            ))
        }
        Some(result) => {
            call.expect_round();
            let backend = Arc::clone(&call.backend.config.name);
            Ok(input_required(result, call.tally(), backend))
        }
        None => Ok(answer),
    }
}

/// Whether the backend says that the call failed.
fn has_failed(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Result(result) => is_tool_error(result),
        Outcome::Error(_) => true,
    }
}

/// A modern backend may ask only for what the request declared (F-M-12).
async fn fit(
    call: &BackendCall,
    answer: Answer,
    client: &ClientProfile,
) -> Result<Answer, RpcError> {
    let result = match &answer.outcome {
        Outcome::Result(result) if answer.result_type == ResultType::InputRequired => result,
        _ => return Ok(answer),
    };
    let needed = Needed::of(call, result).await?;
    let missing: Vec<MissingCapability> = needed
        .input_requests
        .iter()
        .filter_map(|q| capabilities::missing(client, &q.method, q.params.as_ref()))
        .collect();
    if missing.is_empty() {
        call.expect_round();
        if needed.state.is_none() {
            return Ok(answer);
        }
        let prefix = Arc::clone(&call.backend.id_prefix);
        let binding = move |outcome| match outcome {
            Outcome::Result(result) => Outcome::Result(request_state::for_client(result, &prefix)),
            error @ Outcome::Error(_) => error,
        };
        // A large future.
        let outcome = Box::pin(call.backend.edited(answer.outcome, binding)).await;
        return Ok(Answer { outcome, ..answer });
    }
    let backend = call.backend.name();
    Err(capabilities::missing_capability_error(
        &missing,
        client,
        backend,
        call.tally(),
    ))
}

/// The backend's era, as soon as it is known.
async fn era(call: &BackendCall) -> Result<Era, RpcError> {
    let limit = call.deadline.limit();
    let known = call.deadline.run(call.backend.era()).await;
    let known = known.unwrap_or(Err(BackendError::Deadline { sent: false, limit }));
    known.map_err(|error| call.explain(&error))
}

fn input_required(result: RawJson, tally: Tally, backend: Arc<str>) -> Answer {
    Answer {
        outcome: Outcome::Result(result),
        era: Era::Modern,
        result_type: ResultType::InputRequired,
        tally,
        backend: Some(backend),
    }
}
