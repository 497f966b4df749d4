//! What a task says to its client while a call is under way.
//!
//! Owns the exchange between one request in flight and the client: progress and logs on their way
//! out, questions of the backend (sampling, elicitation, roots) and the client's answers to them.
//! What goes out travels on the channel that the reply takes, so that none overtakes another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::subscribe::Filter;
use crate::backend::{Listener, Subscription};
use crate::protocol::error::{INTERNAL_ERROR, METHOD_NOT_FOUND};
use crate::protocol::message;
use crate::protocol::{ClientProfile, Era, LogLevel, Notification, Outcome, RawJson, Request};
use crate::protocol::{RpcError, Ticket};

/// How long a person or a model may take to answer a backend's question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);

/// What a task tells the loop.
#[derive(Debug)]
pub enum TaskEvent {
    /// A line for the client, if the request is still in flight.
    Say {
        /// Of the request.
        ticket: Ticket,
        /// The whole message.
        line: Bytes,
    },
    /// A `subscriptions/listen` has begun.
    Listening {
        /// Of its request.
        ticket: Ticket,
        /// What of it is honoured.
        filter: Filter,
    },
    /// The legacy client has subscribed to a resource, or no longer has.
    Subscribed {
        /// The resource's.
        uri: String,
        /// To be held for as long as it wants to hear.
        held: Option<Subscription>,
    },
    /// A resource has changed: for all who have subscribed to it.
    Updated {
        /// As the backend wrote it.
        notification: Notification,
    },
    /// A question for the client.
    Ask {
        /// Of the request it came up in.
        ticket: Ticket,
        /// Names it for [`TaskEvent::Withdraw`].
        question: Question,
        /// As the backend wrote it; its id stays with us.
        request: Request,
        /// Where the client's answer goes.
        answer: oneshot::Sender<Outcome>,
    },
    /// A question that needs no answer any more.
    Withdraw {
        /// Which.
        question: Question,
    },
    /// The answer to the request, and the last of its ticket.
    Done {
        /// Of the request.
        ticket: Ticket,
        /// The answer.
        outcome: Outcome,
    },
}

/// Names one question to the client within this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question(u64);

impl Question {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// One request in flight, as its task sees it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Of the request.
    pub ticket: Ticket,
    /// Who asked.
    pub client: Arc<ClientProfile>,
    /// To the loop.
    pub events: mpsc::UnboundedSender<TaskEvent>,
}

impl Listener for Exchange {
    fn notification(&self, notification: Notification) {
        if notification.method == "notifications/resources/updated" {
            // It concerns whoever has subscribed, not this call.
            let _ = self.events.send(TaskEvent::Updated { notification });
            return;
        }
        let Notification { method, params } = notification;
        if !self.relays(&method, params.as_ref()) {
            tracing::debug!(
                method,
                "a notification that is not the client's business is dropped"
            );
            return;
        }
        let line = message::notification(&method, params.as_ref());
        let _ = self.events.send(TaskEvent::Say {
            ticket: self.ticket,
            line,
        });
    }

    fn request(&self, request: Request) -> BoxFuture<'_, Outcome> {
        if self.client.era == Era::Legacy && is_offered(&self.client, &request) {
            return self.ask(request).boxed();
        }
        let why = format!("the client does not offer {}", request.method);
        futures_util::future::ready(RpcError::new(METHOD_NOT_FOUND, why).into()).boxed()
    }
}

impl Exchange {
    /// Notifications of a backend that are the client's business. Lists and cancellations are
    /// ours. A modern client hears log messages only where its request asked for them (F-M-08).
    fn relays(&self, method: &str, params: Option<&RawJson>) -> bool {
        match method {
            "notifications/message" if self.client.era == Era::Modern => {
                let level = params.and_then(|params| params.get("level")?.text());
                let level = level.and_then(|level| LogLevel::of(&level));
                level.is_some_and(|level| self.client.log_level.is_some_and(|least| level >= least))
            }
            "notifications/progress" | "notifications/message" => true,
            "notifications/elicitation/complete" => self.client.era == Era::Legacy,
            _ => false,
        }
    }

    async fn ask(&self, request: Request) -> Outcome {
        let method = request.method.clone();
        let (answer, answered) = oneshot::channel();
        let question = Question::new();
        let mut withdrawal = Withdrawal {
            exchange: self,
            question,
            needed: true,
        };
        let _ = self.events.send(TaskEvent::Ask {
            ticket: self.ticket,
            question,
            request,
            answer,
        });
        if let Ok(Ok(outcome)) = tokio::time::timeout(ANSWER_TIMEOUT, answered).await {
            withdrawal.needed = false;
            return outcome;
        }
        if method == "elicitation/create" {
            return Outcome::Result(RawJson::trusted(r#"{"action":"cancel"}"#));
        }
        RpcError::new(
            INTERNAL_ERROR,
            format!("the client did not answer {method}"),
        )
        .into()
    }
}

/// Takes the question back from the client when nobody waits for its answer any more.
struct Withdrawal<'a> {
    exchange: &'a Exchange,
    question: Question,
    needed: bool,
}

impl Drop for Withdrawal<'_> {
    fn drop(&mut self) {
        if self.needed {
            let _ = self.exchange.events.send(TaskEvent::Withdraw {
                question: self.question,
            });
        }
    }
}

/// Whether the client said that it can answer such a request (F-L-06).
fn is_offered(client: &ClientProfile, request: &Request) -> bool {
    match request.method.as_str() {
        "sampling/createMessage" => client.declares(&["sampling"]),
        "roots/list" => client.declares(&["roots"]),
        "elicitation/create" => elicits(client, request),
        _ => false,
    }
}

/// Elicitation by the mode asked for; a bare `{}` means form (S25 `client/elicitation`).
fn elicits(client: &ClientProfile, request: &Request) -> bool {
    let mode = request
        .params
        .as_ref()
        .and_then(|params| params.get("mode"));
    let url = client.declares(&["elicitation", "url"]);
    let form = client.declares(&["elicitation", "form"]);
    if mode.is_some_and(|mode| mode.as_str() == "\"url\"") {
        return url;
    }
    form || (client.declares(&["elicitation"]) && !url)
}
