//! `tools/call`, `prompts/get`, `resources/read`, `completion/complete`: one call, start to end.
//!
//! Owns the steps: read what it is about, find whose that is, send, tell the client. Reads of the
//! params only what it routes on; the rest stays the client's bytes.

use std::sync::Arc;

use super::answer::{for_client, told};
use super::outgoing::Outgoing;
use super::subject::Subject;
use super::{Exchange, Snapshot, Snapshots, input, settled};
use crate::backend::Answer;
use crate::protocol::error::{HEADER_MISMATCH, INVALID_PARAMS, code_of};
use crate::protocol::{Era, Kind, Outcome, RawJson, Request, RpcError};

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
    let breaker = snapshot.breaker_of(route.backend);
    let call = Outgoing::new(
        method.to_owned(),
        params.clone(),
        subject,
        &route,
        breaker,
        caller,
    );
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
