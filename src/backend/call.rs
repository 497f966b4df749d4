//! One call to one backend: its attempts, from the first to the outcome.
//!
//! Owns the loop that retry policy, deadline, queue and link come together in, and the progress
//! token of each attempt. Whether the call may be sent again was decided before it came here.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::header::HeaderName;
use tokio::time::Instant;

use super::HttpBackend;
use super::deadline::{Deadline, Expired};
use super::error::BackendError;
use super::handler::ServerMessageHandler;
use super::retry::{Attempts, Replay, RetryDecision};
use super::session::{Answer, Attempt, fresh_id};
use crate::protocol::{ClientProfile, Executed, Id, Notification, Outcome, RawJson, Request};

/// What is to be called.
pub struct Call<'a> {
    /// E.g. `tools/call`.
    pub method: &'a str,
    /// With the backend's own names.
    pub params: Option<&'a RawJson>,
    /// The client's progress token, if it wants progress.
    pub progress: Option<ProgressToken>,
    /// Whether it may run twice.
    pub replay: Replay,
    /// The time it has in all; other calls that belong together may share it.
    pub deadline: &'a Deadline,
    /// Who asks: modern backends are told with every request.
    pub caller: &'a ClientProfile,
    /// The backend's own name or URI for what is called, if it has one.
    pub target: Option<&'a str>,
    /// Headers that repeat parameters, for a modern backend (`x-mcp-header`).
    pub param_headers: &'a [(HeaderName, String)],
    /// Hears progress and logs, and answers what the backend asks in between.
    pub handler: &'a dyn ServerMessageHandler,
}

/// The client's progress token and where it stands in the params. Each attempt gets one of its
/// own instead, since two calls of the client may use the same (B-C-06).
#[derive(Debug, Clone)]
pub struct ProgressToken {
    /// Its place in the params.
    pub at: Range<usize>,
    /// As the client wrote it.
    pub token: RawJson,
    /// How far it has come, over all attempts.
    pub reached: ProgressHighWater,
}

/// The highest progress that was passed on under one token of the client: values must grow,
/// whichever attempt they come from. Clones are the same.
#[derive(Debug, Clone)]
pub struct ProgressHighWater(Arc<Mutex<f64>>);

impl ProgressHighWater {
    /// Whether this is more than all before; it is noted then.
    fn grows_to(&self, progress: f64) -> bool {
        let mut highest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let grows = progress > *highest;
        if grows {
            *highest = progress;
        }
        grows
    }
}

impl Default for ProgressHighWater {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(f64::NEG_INFINITY)))
    }
}

/// A call that came to nothing.
#[derive(Debug)]
pub struct Failed {
    /// Why the last attempt failed.
    pub error: BackendError,
    /// Whether any of the attempts may have run it.
    pub executed: Executed,
    /// How many there were.
    pub attempts: u32,
}

impl HttpBackend {
    /// The clock of a call to it that has `begun`.
    pub fn deadline(&self, begun: Instant, limit: Duration) -> Deadline {
        Deadline::since(begun, limit, self.shared_pause.clone())
    }

    /// Calls the backend: waits for a place and for the link, sends, and sends again where that
    /// is allowed, all within the call's time.
    ///
    /// # Errors
    /// [`Failed`], when all that is allowed was tried. An error of the backend's own is an
    /// [`Outcome`], not a failure.
    pub async fn call(&self, call: &Call<'_>) -> Result<Answer, Failed> {
        let deadline = call.deadline;
        let out_of_time = |sent| BackendError::Deadline {
            sent,
            limit: deadline.limit(),
        };
        let mut executed = Executed::No;
        let mut attempts_made = 0;
        let failed = |error, executed, attempts| Failed {
            error,
            executed,
            attempts,
        };

        let Ok(Ok(_permit)) = deadline.run(self.permits.acquire()).await else {
            return Err(failed(out_of_time(false), executed, attempts_made));
        };
        let mut attempts = Attempts::new(call.replay, self.config.retries, &self.budget);
        if call.replay == Replay::Unsafe {
            // What has arrived by now is seen first: a connection that its server has closed must
            // not be given a request that can't be sent again.
            tokio::task::yield_now().await;
        }
        loop {
            attempts_made += 1;
            let sent = AtomicBool::new(false);
            // Made when it is its turn: calls that wait for their place don't hold room for it.
            let attempt = Box::pin(self.attempt(call, &sent));
            let error = match deadline.run(attempt).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => error,
                Err(Expired) => out_of_time(sent.load(Ordering::Relaxed)),
            };
            if error.executed() != Executed::No {
                executed = error.executed();
            }
            let decision = match call.handler.may_be_replayed() {
                true => attempts.after(error.retry_class(), deadline.left(), &mut rand::rng()),
                false => RetryDecision::GiveUp,
            };
            match decision {
                RetryDecision::Retry { delay } => {
                    tracing::warn!(
                        backend = self.name(), attempt = attempts_made, max_retries = self.config.retries,
                        delay_ms = delay.as_millis() as u64, %error,
                        "retrying after transient error"
                    );
                    if deadline.run(tokio::time::sleep(delay)).await.is_err() {
                        return Err(failed(out_of_time(false), executed, attempts_made));
                    }
                }
                RetryDecision::GiveUp => return Err(failed(error, executed, attempts_made)),
            }
        }
    }

    async fn attempt(&self, call: &Call<'_>, sent: &AtomicBool) -> Result<Answer, BackendError> {
        let (session, connection) = self.connection_for(call.caller).await?;
        let id = fresh_id();
        let own_token = call
            .progress
            .as_ref()
            .zip(call.params)
            .map(|(progress, params)| {
                params.with_edits(vec![(progress.at.clone(), id.raw().clone().into_bytes())])
            });
        let attempt = Attempt {
            id: &id,
            method: call.method,
            params: own_token.as_ref().or(call.params),
            idle: self.config.idle_timeout,
            sent,
            caller: call.caller,
            target: call.target,
            param_headers: call.param_headers,
        };
        let handler = CallHandler {
            backend: self,
            call,
            id: &id,
        };
        let answer = connection.request(&attempt, &handler).await;
        if answer.as_ref().is_err_and(BackendError::ends_connection) {
            session.disconnected(&connection);
        }
        answer
    }
}

/// Hears one attempt: passes on what is the client's business, keeps what is the backend's.
struct CallHandler<'a> {
    backend: &'a HttpBackend,
    call: &'a Call<'a>,
    /// Of the attempt, and its progress token.
    id: &'a Id,
}

impl ServerMessageHandler for CallHandler<'_> {
    fn notification(&self, notification: Notification) {
        match notification.method.as_str() {
            "notifications/progress" => match self.progress(&notification) {
                Some(params) => self.call.handler.notification(Notification {
                    params: Some(params),
                    ..notification
                }),
                None => tracing::debug!(
                    backend = self.backend.name(),
                    "progress of nothing is dropped"
                ),
            },
            "notifications/tools/list_changed"
            | "notifications/prompts/list_changed"
            | "notifications/resources/list_changed" => self.backend.lists_changed.notify_one(),
            _ => self.call.handler.notification(notification),
        }
    }

    fn request(&self, request: Request) -> BoxFuture<'_, Outcome> {
        if request.method == "ping" {
            return futures_util::future::ready(Outcome::Result(RawJson::trusted("{}"))).boxed();
        }
        async move {
            let _pause = self.call.deadline.pause();
            self.call.handler.request(request).await
        }
        .boxed()
    }
}

impl CallHandler<'_> {
    /// The params with the client's token in place of ours; `None` if the token is not ours or
    /// the value does not grow.
    fn progress(&self, notification: &Notification) -> Option<RawJson> {
        let client = self.call.progress.as_ref()?;
        let params = notification.params.as_ref()?;
        let members = params.members()?;
        let value = |key: &str| {
            members
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, raw)| *raw)
        };
        let token = value("progressToken")?;
        if Id::from_raw(params.part(token)).as_ref() != Some(self.id) {
            return None;
        }
        let progress: f64 = value("progress")?.get().parse().ok()?;
        if !client.reached.grows_to(progress) {
            return None;
        }
        let edit = (params.range_of(token), client.token.clone().into_bytes());
        Some(params.with_edits(vec![edit]))
    }
}
