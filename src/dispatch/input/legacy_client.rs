//! A modern backend that wants to know something, before a legacy client (X-LM-02 to X-LM-06).
//!
//! Owns the rounds of one call: what the backend asks for becomes requests to the client, side by
//! side; the answers go back with the same call, until the backend is done. One deadline holds
//! over all rounds; it stands still while the client is asked.

use futures_util::future::try_join_all;

use super::capabilities::{self, MissingCapability};
use super::input_requests::{InputRequest, Needed, with_answers};
use super::{CANCELLED, ClientRequester, Exchange, MAX_ROUNDS};
use crate::backend::retry::backoff;
use crate::backend::{Answer, BackendError, Deadline, Failed};
use crate::dispatch::backend_call::BackendCall;
use crate::protocol::era::modern::ResultType;
use crate::protocol::raw::quoted;
use crate::protocol::{Era, Executed, Outcome, RawJson, RpcError};

/// Carries a call of a legacy client to its end.
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
            done => return Ok(done),
        };
        rounds += 1;
        if rounds > MAX_ROUNDS {
            let why = format!("it has asked for input {MAX_ROUNDS} times, and asks again");
            return Err(call.unusable(why));
        }
        let needed = Needed::read(result).map_err(|why| call.unusable(why))?;
        if needed.input_requests.is_empty() {
            wait(call, waits).await?;
            waits += 1;
        }
        let requester = exchange.requester();
        check(call, &requester, &needed.input_requests)?;
        let answers = match ask_all(&call.deadline, &requester, &needed.input_requests).await {
            Ok(answers) => answers,
            Err(refusal) => return Ok(ended(refusal)),
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

/// What is asked must be what the client offers, all of it.
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
    let (backend, executed) = (call.backend.name(), Executed::Unknown);
    Err(capabilities::missing_capability_error(
        &missing,
        &requester.client,
        backend,
        executed,
    ))
}

/// The client's answers, in the order of the questions; or the one refusal that ends the call.
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

/// The params of a question as the legacy era has them: a URL is visited under an id (X-LM-04).
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

/// The client's refusal as the end of the call, as it wrote it (X-LM-03).
fn ended(refusal: RawJson) -> Answer {
    Answer {
        outcome: Outcome::Error(refusal),
        era: Era::Legacy,
        result_type: ResultType::Complete,
    }
}

/// The backend wants to be asked again, and nothing else.
async fn wait(call: &BackendCall, waits: u32) -> Result<(), RpcError> {
    let delay = backoff(waits, &mut rand::rng());
    let waited = call.deadline.run(tokio::time::sleep(delay)).await;
    waited.map_err(|_| {
        let limit = call.deadline.limit();
        call.explain(&Failed {
            error: BackendError::Deadline { sent: true, limit },
            executed: Executed::Unknown,
            attempts: waits + 1,
        })
    })
}
