//! One call to a backend, if governance admits it.
//!
//! Owns the errors that a client gets for a call that failed or was refused. It must not know the
//! rules: [`crate::governance`] decides.

use std::fmt::Display;

use crate::backend::{Answer, BackendError, Call, HttpBackend, SubscribeError};
use crate::call_report::RunningTally;
use crate::governance::{Admission, ClientCall, Refusal};
use crate::protocol::error::{INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND};
use crate::protocol::{Class, Executed, GatewayData, RawJson, RpcError, Tally};

/// Makes the call, its retries included. `is_tool`: it is part of a client's call of a tool; `counted`
/// is what the client asks for, where limits have not counted it yet; `tally` is that of the client's
/// request, to which the call is added.
pub(in crate::dispatch) async fn call(
    backend: &HttpBackend,
    admission: &Admission,
    call: &Call<'_>,
    is_tool: bool,
    counted: Option<ClientCall<'_>>,
    tally: &RunningTally,
) -> Result<Answer, RpcError> {
    let permit = admission
        .admit(backend.id, counted)
        .map_err(|refusal| refused(backend, &refusal, tally.so_far(), is_tool))?;
    let called = backend.call_admitted(permit, call, Some(tally)).await;
    tally.add(&called.report);
    match called.result {
        Ok(answer) => Ok(Answer {
            tally: tally.so_far(),
            ..answer
        }),
        Err(error) => Err(explain(backend, &error, tally.so_far(), is_tool)),
    }
}

/// The error that the client gets for a request that failed, after this tally.
pub(super) fn explain(
    backend: &HttpBackend,
    error: &BackendError,
    tally: Tally,
    is_tool: bool,
) -> RpcError {
    let class = error.class(tally.executed);
    let data = GatewayData::new(Some(backend.name()), class, tally);
    if let Some(advice) = error.advice() {
        let mut answer = to_client_error(backend, error, tally.executed, is_tool);
        // What a person copies stands at the end.
        answer.message = format!("{}. In a terminal: {}", answer.message, advice.command);
        return answer.with_data(data.with_sign_in(&advice.command, &advice.scopes));
    }
    let what = error.explain(&backend.config.shown_url);
    to_client_error(backend, &what, tally.executed, is_tool).with_data(data)
}

/// The error that the client gets for a request with what it has of a server at another URL, which the
/// config had for this backend before: a task, or a `requestState`. What that server did is not known here.
pub(in crate::dispatch) fn replaced(backend: &HttpBackend, what: &str, is_tool: bool) -> RpcError {
    let executed = Executed::Unknown;
    let tally = Tally {
        executed,
        ..Tally::NONE
    };
    let data = GatewayData::new(Some(backend.name()), Class::Refused, tally);
    let why = format!(
        "the config has another URL for this server now, and the {what} is of the server at the old one: \
         nothing was sent; what it was made for needs a new call"
    );
    let error = to_client_error(backend, &why, executed, is_tool).with_data(data);
    RpcError {
        code: INVALID_PARAMS,
        ..error
    }
}

/// The error that the client gets when there is no subscription to a resource.
pub(in crate::dispatch) fn not_subscribed(backend: &HttpBackend, error: SubscribeError) -> RawJson {
    let refusal = |code, why| RpcError::new(code, format!("{}: {why}", backend.name()));
    RawJson::of(&match error {
        SubscribeError::Refused(error) => return error,
        SubscribeError::NotOffered => refusal(
            METHOD_NOT_FOUND,
            "the server does not offer subscriptions to resources",
        ),
        SubscribeError::NotHonoured => refusal(INVALID_PARAMS, "the server does not support it"),
        SubscribeError::NotAdmitted(refused_by) => {
            refused(backend, &refused_by, Tally::NONE, false)
        }
        SubscribeError::Failed(failed) => explain(backend, &failed.0, failed.1, false),
    })
}

/// The error that the client gets for a request that is refused, after this tally.
fn refused(backend: &HttpBackend, refusal: &Refusal, tally: Tally, is_tool: bool) -> RpcError {
    let class = refusal.class();
    if class == Class::Refused {
        tracing::warn!(backend = backend.name(), "a limit is reached: {refusal}");
    }
    let data = GatewayData::new(Some(backend.name()), class, tally);
    let data = data.with_retry_after(refusal.retry_after);
    to_client_error(backend, refusal, tally.executed, is_tool).with_data(data)
}

/// The message must suffice: clients drop `data`.
fn to_client_error(
    backend: &HttpBackend,
    what: &dyn Display,
    executed: Executed,
    is_tool: bool,
) -> RpcError {
    let fate = match executed {
        _ if !is_tool => "",
        Executed::No => "; the tool did not run",
        Executed::Unknown => "; the tool MAY HAVE RUN: check before calling again",
        Executed::Yes => "; the tool has run",
    };
    RpcError::new(INTERNAL_ERROR, format!("{}: {what}{fate}", backend.name()))
}
