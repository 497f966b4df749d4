//! A modern backend that wants to know something, before a legacy client (X-LM-02 to X-LM-06).
//!
//! Owns the rounds of one call: what the backend asks for becomes requests to the client, side by
//! side; the answers go back with the same call, until the backend is done. One deadline holds
//! over all rounds; it stands still while the client is asked.

use futures_util::future::try_join_all;

use super::offers::{self, Missing};
use super::requests::{Needed, Question, with_answers};
use super::{Asking, CANCELLED, Exchange, MAX_ROUNDS};
use crate::backend::retry::backoff;
use crate::backend::{Answer, BackendError, Deadline, Failed};
use crate::dispatch::outgoing::Outgoing;
use crate::protocol::era::modern::ResultType;
use crate::protocol::raw::quoted;
use crate::protocol::{Era, Executed, Outcome, RawJson, RpcError};

/// Carries a call of a legacy client to its end.
pub(super) async fn carry(call: &Outgoing, exchange: &Exchange) -> Result<Answer, RpcError> {
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
        if needed.questions.is_empty() {
            wait(call, waits).await?;
            waits += 1;
        }
        let asking = exchange.asking();
        check(call, &asking, &needed.questions)?;
        let answers = match ask_all(&call.deadline, &asking, &needed.questions).await {
            Ok(answers) => answers,
            Err(refusal) => return Ok(ended(refusal)),
        };
        let answers: Vec<_> = needed
            .questions
            .iter()
            .zip(answers)
            .map(|(question, answer)| (&*question.key, answer.into_bytes()))
            .collect();
        params = with_answers(&call.params, &answers, needed.state.as_ref());
    }
}

/// What is asked must be what the client offers, all of it.
fn check(call: &Outgoing, asking: &Asking, questions: &[Question]) -> Result<(), RpcError> {
    let missing: Vec<Missing> = questions
        .iter()
        .filter_map(|q| offers::missing(&asking.client, &q.method, q.params.as_ref()))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let (backend, executed) = (call.backend.name(), Executed::Unknown);
    Err(offers::out_of_reach(
        &missing,
        &asking.client,
        backend,
        executed,
    ))
}

/// The client's answers, in the order of the questions; or the one refusal that ends the call.
async fn ask_all(
    deadline: &Deadline,
    asking: &Asking,
    questions: &[Question],
) -> Result<Vec<RawJson>, RawJson> {
    if questions.is_empty() {
        return Ok(Vec::new());
    }
    let _pause = deadline.pause();
    let answers = questions.iter().map(|question| async {
        let params = for_legacy(question);
        match asking.ask(question.method.clone(), params).await {
            Outcome::Result(answer) => Ok(answer),
            Outcome::Error(_) if question.method == "elicitation/create" => {
                Ok(RawJson::trusted(CANCELLED))
            }
            Outcome::Error(error) => Err(error),
        }
    });
    try_join_all(answers).await
}

/// The params of a question as the legacy era has them: a URL is visited under an id (X-LM-04).
fn for_legacy(question: &Question) -> Option<RawJson> {
    let params = question.params.clone()?;
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
async fn wait(call: &Outgoing, waits: u32) -> Result<(), RpcError> {
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
