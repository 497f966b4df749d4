//! Input requests of a modern backend for a legacy client (X-LM-02 to X-LM-06).
//!
//! Owns the rounds of one call: input requests become concurrent server requests to the client, whose
//! responses are sent with a retry of the call, until the backend has a result. One deadline holds
//! over all rounds, and is paused while the client is asked. It must not know modern clients.

use futures_util::future::try_join_all;

use super::input_requests::{InputRequest, MAX_ROUNDS, Needed, with_answers};
use super::urls;
use crate::backend::retry::{backoff, jitter};
use crate::backend::{Answer, BackendError, Deadline};
use crate::client::capabilities::{self, MissingCapability};
use crate::dispatch::backend_call::BackendCall;
use crate::dispatch::exchange::{CANCELLED, ClientRequester, Exchange};
use crate::protocol::era::modern::ResultType;
use crate::protocol::raw::quoted;
use crate::protocol::{Era, Outcome, RawJson, RpcError, Tally};

/// Runs a call of a legacy client to its end.
pub(super) async fn run_rounds(
    call: &BackendCall,
    exchange: &Exchange,
) -> Result<Answer, RpcError> {
    let mut params = call.params.clone();
    let (mut rounds, mut waits) = (0, 0);
    loop {
        let answer = call.send(&params, exchange).await?;
        let result = match answer {
            Answer {
                outcome: Outcome::Result(ref result),
                result_type: ResultType::InputRequired,
                ..
            } => result,
            done => {
                if urls::invites(&done.outcome, &exchange.client) {
                    call.expect_repeat();
                }
                return Ok(done);
            }
        };
        rounds += 1;
        if rounds > MAX_ROUNDS {
            let why = format!("it has asked for input {MAX_ROUNDS} times, and asks again");
            return Err(call.unusable(why));
        }
        let needed = Needed::of(call, result).await?;
        if needed.input_requests.is_empty() {
            wait(call, waits).await?;
            waits += 1;
        }
        let requester = exchange.requester();
        check(call, &requester, &needed.input_requests)?;
        let answers = match ask_all(&call.deadline, &requester, &needed.input_requests).await {
            Ok(answers) => answers,
            Err(refusal) => return Ok(ended(refusal, call.tally())),
        };
        let answers: Vec<_> = needed
            .input_requests
            .iter()
            .zip(answers)
            .map(|(input_request, answer)| (&*input_request.key, answer.into_bytes()))
            .collect();
        params = with_answers(&call.params, &answers, needed.state.as_ref());
    }
}

/// The client must have all capabilities that the input requests need.
fn check(
    call: &BackendCall,
    requester: &ClientRequester,
    input_requests: &[InputRequest],
) -> Result<(), RpcError> {
    let missing: Vec<MissingCapability> = input_requests
        .iter()
        .filter_map(|q| capabilities::missing(&requester.client, &q.method, q.params.as_ref()))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(capabilities::missing_capability_error(
        &missing,
        &requester.client,
        call.backend.name(),
        call.tally(),
    ))
}

/// The client's results in the order of the input requests, or the one error that ends the call.
async fn ask_all(
    deadline: &Deadline,
    requester: &ClientRequester,
    input_requests: &[InputRequest],
) -> Result<Vec<RawJson>, RawJson> {
    if input_requests.is_empty() {
        return Ok(Vec::new());
    }
    let _pause = deadline.pause();
    let answers = input_requests.iter().map(|input_request| async {
        let params = for_legacy(input_request);
        match requester.ask(input_request.method.clone(), params).await {
            Outcome::Result(answer) => Ok(answer),
            Outcome::Error(_) if input_request.method == "elicitation/create" => {
                Ok(RawJson::trusted(CANCELLED))
            }
            Outcome::Error(error) => Err(error),
        }
    });
    try_join_all(answers).await
}

/// The params of an input request as the legacy era has them: a URL has an `elicitationId`
/// (X-LM-04).
fn for_legacy(input_request: &InputRequest) -> Option<RawJson> {
    let params = input_request.params.clone()?;
    let needs_id = params
        .get("mode")
        .is_some_and(|mode| mode.as_str() == "\"url\"")
        && params.get("elicitationId").is_none();
    if !needs_id {
        return Some(params);
    }
    let id = format!("{:032x}", rand::random::<u128>());
    Some(params.with_members(&[("elicitationId", quoted(&id))], &[]))
}

/// The client's error as the end of the call, as it wrote it (X-LM-03).
fn ended(refusal: RawJson, tally: Tally) -> Answer {
    Answer {
        outcome: Outcome::Error(refusal),
        era: Era::Legacy,
        result_type: ResultType::Complete,
        tally,
        backend: None,
    }
}

/// The backend wants a retry without input: a delay before it.
async fn wait(call: &BackendCall, waits: u32) -> Result<(), RpcError> {
    let delay = backoff(waits, &mut jitter());
    let waited = call.deadline.run(tokio::time::sleep(delay)).await;
    waited.map_err(|_| {
        let limit = call.deadline.limit();
        let error = BackendError::Deadline { sent: true, limit };
        call.explain(&error)
    })
}
