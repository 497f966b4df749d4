//! The attempts of one call.
//!
//! Owns the loop over them: queue, connection, send, and the wait before the next one, all within the
//! call's deadline. Every call leaves a report, also one that is cancelled.

use std::sync::Arc;

use tokio::time::sleep;

use super::handler::CallHandler;
use super::request::{Call, CallContext, Called};
use crate::backend::backoff::jitter;
use crate::backend::deadline::Expired;
use crate::backend::error::BackendError;
use crate::backend::http::Renewal;
use crate::backend::retry::{Attempts, Replay, RetryDecision};
use crate::backend::session::{Answer, Attempt, Connection};
use crate::backend::stream::fresh_id;
use crate::backend::supervisor::Sessions;
use crate::call_report::{CallTrace, RunningTally};
use crate::observe::request_span::RequestSpan;
use crate::protocol::era::modern::ResultType;
use crate::protocol::error::{code_of, is_tool_error};
use crate::protocol::{Era, Executed, Id, Kind, Outcome, Tally};
use crate::telemetry::{AttemptEnd, AttemptTrace, Peer, TOOL_ERROR};

/// Makes a call: waits for a permit and for the connection, sends, and sends again where that is
/// allowed, all within the call's deadline. `dropped` gets the report of a call that is dropped before
/// its end, if it adds reports up.
pub(in crate::backend) async fn run(
    call: &Call<'_>,
    context: &CallContext<'_>,
    sessions: &Sessions,
    dropped: Option<&RunningTally>,
) -> Called {
    let mut running = CallRun {
        call,
        context,
        sessions,
        trace: CallTrace::start(),
        executed: Executed::No,
        attempts: 0,
        dropped: dropped.filter(|tally| tally.sums().is_some()),
    };
    let result = running.run().await;
    running.dropped = None;
    let executed = match &result {
        Ok(answer) => running.executed.max(answer.tally.executed),
        Err(_) => running.executed,
    };
    let class = result.as_ref().err().map(|error| error.class(executed));
    let report = running
        .trace
        .finish(context.backend, class, executed, running.attempts);
    Called {
        result: result.map(|answer| Answer {
            tally: report.tally,
            backend: Some(Arc::clone(&context.config.name)),
            ..answer
        }),
        report,
    }
}

struct CallRun<'a> {
    call: &'a Call<'a>,
    context: &'a CallContext<'a>,
    sessions: &'a Sessions,
    trace: CallTrace,
    /// Whether any attempt so far may have run it.
    executed: Executed,
    attempts: u32,
    /// Gets the report where this is dropped.
    dropped: Option<&'a RunningTally>,
}

/// A cancelled call leaves a report as well.
impl Drop for CallRun<'_> {
    fn drop(&mut self) {
        if let Some(tally) = self.dropped {
            let now = match self.trace.is_sent() {
                true => Executed::Unknown,
                false => Executed::No,
            };
            let executed = self.executed.max(now);
            let report = (self.trace).finish(self.context.backend, None, executed, self.attempts);
            tally.add(&report);
        }
    }
}

impl<'a> CallRun<'a> {
    async fn run(&mut self) -> Result<Answer, BackendError> {
        let (call, context) = (self.call, self.context);
        let mut counted = context.stats.begin();
        let Ok(Some(_places)) = call.deadline.run(context.queues.enter(call.tool())).await else {
            return Err(self.out_of_time(false));
        };
        self.trace.mark_queued();
        counted.leave_queue();
        let mut attempts = Attempts::new(call.replay, context.config.retries, context.retry_budget);
        if call.replay == Replay::Unsafe {
            // Events that have arrived by now are handled first: a connection that its server has
            // closed must not be given a request that can't be sent again.
            tokio::task::yield_now().await;
        }
        loop {
            let error = match self.attempt().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let class = error.retry_class(self.trace.is_sent());
            let decision = match call.handler.may_be_replayed() {
                true => attempts.after(class, call.deadline.left(), &mut jitter()),
                false => RetryDecision::GiveUp,
            };
            let RetryDecision::Retry { delay } = decision else {
                return self.given_up(error);
            };
            tracing::warn!(
                backend = &*context.config.name,
                attempt = self.attempts,
                max_retries = context.config.retries,
                delay_ms = delay.as_millis() as u64,
                %error,
                "retrying after transient error"
            );
            if call.deadline.run(sleep(delay)).await.is_err() {
                return Err(self.out_of_time(false));
            }
        }
    }

    /// One attempt within the deadline.
    async fn attempt(&mut self) -> Result<Answer, BackendError> {
        self.attempts += 1;
        self.trace.begin_attempt();
        RequestSpan::set_attempt(self.attempts);
        let id = fresh_id();
        let mut span = self.span(&id);
        let attempt = (&id, span.as_ref());
        // Boxed here, so that calls that wait for a permit take no room for it.
        let sending = send(self.call, self.context, self.sessions, &self.trace, attempt);
        let result = match self.call.deadline.run(Box::pin(sending)).await {
            Ok(result) => result,
            Err(Expired) => Err(self.out_of_time(self.trace.is_sent())),
        };
        let executed = (result.as_ref().err()).map(|error| error.executed(self.trace.is_sent()));
        self.executed = self.executed.max(executed.unwrap_or(Executed::No));
        if let Some(span) = &mut span {
            end_span(span, &result, self.executed);
        }
        result
    }

    /// The span of the current attempt, where the call is part of a trace.
    fn span(&self, id: &Id) -> Option<AttemptTrace<'a>> {
        let (call, config) = (self.call, self.context.config);
        let kind = match call.method {
            "tools/call" => Some(Kind::Tool),
            "prompts/get" => Some(Kind::Prompt),
            _ => None,
        };
        let peer = Peer {
            backend: &config.name,
            url: config.url.as_ref().ok(),
            method: call.method,
            target: kind.zip(call.target),
            attempt: self.attempts,
        };
        call.request.map(|request| request.attempt(id, peer))
    }

    /// The end of a call that is not sent again: the server's own words, where it has answered.
    fn given_up(&self, error: BackendError) -> Result<Answer, BackendError> {
        let BackendError::EraChanged {
            answer: Some(words),
        } = error
        else {
            return Err(error);
        };
        Ok(Answer {
            outcome: Outcome::Error(words),
            era: Era::Modern,
            result_type: ResultType::Complete,
            tally: Tally {
                attempts: 1,
                executed: Executed::Unknown,
            },
            backend: None,
        })
    }

    /// The end of the call's time; `sent`: while a request was under way.
    fn out_of_time(&self, sent: bool) -> BackendError {
        BackendError::Deadline {
            sent: sent || self.executed != Executed::No,
            limit: self.call.deadline.limit(),
        }
    }
}

/// An attempt has ended with this result; the call may have run so far, or not.
fn end_span(
    span: &mut AttemptTrace<'_>,
    result: &Result<Answer, BackendError>,
    executed: Executed,
) {
    let (failure, code) = match result {
        Ok(answer) => match &answer.outcome {
            Outcome::Error(error) => (None, code_of(error)),
            Outcome::Result(result) => (is_tool_error(result).then_some(TOOL_ERROR), None),
        },
        Err(error) => (Some(error.class(executed).name()), None),
    };
    span.end(&AttemptEnd { code, failure });
}

/// Sends one attempt: its id, and its span.
async fn send(
    call: &Call<'_>,
    context: &CallContext<'_>,
    sessions: &Sessions,
    trace: &CallTrace,
    (id, span): (&Id, Option<&AttemptTrace<'_>>),
) -> Result<Answer, BackendError> {
    let (session, connection) = sessions.connection_for(call.caller).await?;
    let own_token = call
        .progress
        .as_ref()
        .zip(call.params)
        .map(|(progress, params)| {
            params.with_edits(vec![(progress.at.clone(), id.raw().clone().into_bytes())])
        });
    let params = own_token.as_ref().or(call.params);
    let traced = span.and_then(|span| {
        span.connected(connection.version);
        span.params(params)
    });
    let attempt = Attempt {
        id,
        method: call.method,
        params: traced.as_ref().or(params),
        idle: context.config.idle_timeout,
        trace,
        caller: call.caller,
        target: call.target,
        param_headers: call.param_headers,
        span,
    };
    let handler = CallHandler { session, call, id };
    let credentials = connection.credentials().generation();
    let mut answer = connection.request(&attempt, &handler).await;
    if let Err(error) = &mut answer {
        // Rare: boxed, it takes no room in every call.
        Box::pin(renew_credentials(error, &connection, credentials)).await;
        if error.ends_connection() {
            session.disconnected(&connection);
        }
    }
    answer
}

/// After a 401, reads the credentials again; `used` is the generation that the request carried. If
/// they are the same and the server speaks of a lost session, that is the error.
async fn renew_credentials(error: &mut BackendError, connection: &Connection, used: u64) {
    let BackendError::AuthRequired {
        status,
        renewed,
        session_lost,
        challenge,
        sign_in,
        ..
    } = error
    else {
        return;
    };
    let credentials = connection.credentials();
    if *status != 401 {
        match sign_in {
            Some(advice) => credentials.lacks(used, &advice.scopes).await,
            None if *session_lost => *error = BackendError::SessionLost { by_status: false },
            None => {}
        }
        return;
    }
    let renewal = credentials.renew(used, challenge.as_ref()).await;
    *renewed = matches!(renewal, Renewal::Renewed);
    match renewal {
        Renewal::Renewed => {}
        _ if *session_lost => *error = BackendError::SessionLost { by_status: false },
        Renewal::Same => *sign_in = credentials.advice(*status, challenge.as_ref()),
        Renewal::Impossible(why) => *error = why,
    }
}
