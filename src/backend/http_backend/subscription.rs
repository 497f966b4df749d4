//! Subscriptions to single resources of a backend (MCP 2025-11-25, server/resources), and to its tasks
//! (extension `io.modelcontextprotocol/tasks`).
//!
//! Owns how each era is asked for one, how long its answer may take, and the guard whose drop ends it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::backend::HttpBackend;
use crate::backend::call::Call;
use crate::backend::deadline::{Deadline, Expired};
use crate::backend::error::BackendError;
use crate::backend::retry::Replay;
use crate::backend::session::{ACKNOWLEDGE_TIMEOUT, Session};
use crate::backend::session::{Acknowledged, Demands, Subject};
use crate::backend::stream::NoopHandler;
use crate::governance::{Admission, Health, Permit, Refusal};
use crate::protocol::{ClientProfile, Era, Outcome, RawJson, Tally};

/// Time for a legacy server to answer `resources/subscribe`.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no subscription.
#[derive(Debug)]
pub enum SubscribeError {
    /// Governance does not admit the request.
    NotAdmitted(Refusal),
    /// The server offers no such subscriptions.
    NotOffered,
    /// The server offers them, but not to this resource or task.
    NotHonoured,
    /// The error object of the server.
    Refused(RawJson),
    /// The request failed.
    Failed(Box<(BackendError, Tally)>),
}

/// One subscription to a resource or a task. It ends when this is dropped.
#[derive(Debug)]
pub struct Subscription {
    session: Arc<Session>,
    subject: Subject,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let Some(lock) = self.session.demands.remove(&self.subject) else {
            return;
        };
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let (session, subject) = (Arc::clone(&self.session), self.subject.clone());
        self.session.background.spawn(async move {
            let _lock = lock.lock().await;
            // Another subscription may have been made meanwhile.
            if session.demands.forget(&subject)
                && let Subject::Resource(uri) = &subject
                && let Some(connection) = session.ready()
                && connection.era == Era::Legacy
            {
                let params = Demands::params(uri);
                connection
                    .request_best_effort("resources/unsubscribe", &params)
                    .await;
            }
        });
    }
}

impl HttpBackend {
    /// Subscribes to a resource, now and after every reconnect, for as long as the subscription is
    /// held. A backend that is down is told when it is connected.
    ///
    /// # Errors
    /// When the server is connected and doesn't take it, or `admission` refuses the request to it.
    pub async fn subscribe(
        &self,
        uri: &str,
        admission: &Admission,
    ) -> Result<Subscription, SubscribeError> {
        let subject = Subject::Resource(uri.to_owned());
        self.subscribe_to(subject, admission).await
    }

    /// Subscribes to a task by the server's own id of it, for as long as the subscription is held.
    ///
    /// # Errors
    /// Those of [`subscribe`](Self::subscribe).
    pub(crate) async fn subscribe_to_task(
        &self,
        id: &str,
        admission: &Admission,
    ) -> Result<Subscription, SubscribeError> {
        let subject = Subject::Task(id.to_owned());
        self.subscribe_to(subject, admission).await
    }

    async fn subscribe_to(
        &self,
        subject: Subject,
        admission: &Admission,
    ) -> Result<Subscription, SubscribeError> {
        let session = self.primary();
        let Some(connection) = session.ready() else {
            session.demands.add(&subject);
            return Ok(self.subscription(subject));
        };
        let is_offered = match subject {
            Subject::Resource(_) => connection.server.subscribes(),
            Subject::Task(_) => connection.era == Era::Modern && connection.server.has_tasks(),
        };
        if !is_offered {
            return Err(SubscribeError::NotOffered);
        }
        let lock = session.demands.add(&subject);
        let subscription = self.subscription(subject);
        let subject = &subscription.subject;
        match (connection.era, subject) {
            (Era::Legacy, Subject::Resource(uri)) => {
                let limit = self.config.timeout.min(SUBSCRIBE_TIMEOUT);
                let deadline = self.deadline(Instant::now(), limit);
                let _lock = deadline
                    .run(lock.lock())
                    .await
                    .map_err(|Expired| out_of_time(limit))?;
                if !session.demands.is_subscribed(subject) {
                    self.request_subscription(uri, admission, &deadline).await?;
                    session.demands.set_subscribed(subject);
                }
            }
            _ => {
                let permit = self.admit(admission)?;
                let acknowledged = self.wait_for_acknowledgement(subject).await;
                // An answer either way, or none in time, which is no failure of the server's.
                permit.settle(match &acknowledged {
                    Ok(true) | Err(_) => Health::Success,
                    Ok(false) => Health::Neutral,
                });
                acknowledged?;
            }
        }
        Ok(subscription)
    }

    fn subscription(&self, subject: Subject) -> Subscription {
        Subscription {
            session: Arc::clone(self.primary()),
            subject,
        }
    }

    async fn request_subscription(
        &self,
        uri: &str,
        admission: &Admission,
        deadline: &Deadline,
    ) -> Result<(), SubscribeError> {
        let permit = self.admit(admission)?;
        let params = Demands::params(uri);
        // One session subscribes, whichever client asks.
        let caller = ClientProfile {
            era: self.primary().client_era(),
            ..ClientProfile::ourselves()
        };
        let call = Call {
            method: "resources/subscribe",
            params: Some(&params),
            progress: None,
            replay: Replay::Safe,
            deadline,
            caller: &caller,
            target: None,
            param_headers: &[],
            request: None,
            handler: &NoopHandler,
        };
        let called = self.call_admitted(permit, &call, None).await;
        match called.result {
            Ok(answer) => match answer.outcome {
                Outcome::Result(_) => Ok(()),
                Outcome::Error(error) => Err(SubscribeError::Refused(error)),
            },
            Err(error) => Err(SubscribeError::Failed(Box::new((
                error,
                called.report.tally,
            )))),
        }
    }

    fn admit(&self, admission: &Admission) -> Result<Permit, SubscribeError> {
        let admitted = admission.admit(self.id, None);
        admitted.map_err(SubscribeError::NotAdmitted)
    }

    /// Whether the server has acknowledged the subscription in time.
    async fn wait_for_acknowledgement(&self, subject: &Subject) -> Result<bool, SubscribeError> {
        let mut acknowledged = self.primary().demands.watch_acknowledged();
        let answered = |said: &Acknowledged| said.refused || said.requested.contains(subject);
        let limit = self.config.timeout.min(ACKNOWLEDGE_TIMEOUT);
        let answer = tokio::time::timeout(limit, acknowledged.wait_for(answered)).await;
        match answer {
            Ok(Ok(said)) if said.refused || !said.honoured.contains(subject) => {
                Err(SubscribeError::NotHonoured)
            }
            Ok(Ok(_)) => Ok(true),
            // A later acknowledgement takes effect all the same.
            _ => Ok(false),
        }
    }
}

/// Another subscription to the same resource has taken all the time.
fn out_of_time(limit: Duration) -> SubscribeError {
    let error = BackendError::Deadline { sent: false, limit };
    SubscribeError::Failed(Box::new((error, Tally::NONE)))
}
