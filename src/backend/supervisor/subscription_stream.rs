//! The subscription stream of a modern server (MCP 2026-07-28, basic/patterns/subscriptions).
//!
//! Owns the one `subscriptions/listen` that the gateway keeps open with a server: its filter,
//! opening the next stream before the last is closed, and opening it again when it breaks. It must
//! not know what becomes of the notifications on it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::connection_handler::ConnectionHandler;
use super::get_stream::may_pass;
use crate::backend::backoff::{Backoff, Series, jitter};
use crate::backend::error::BackendError;
use crate::backend::session::{ACKNOWLEDGE_TIMEOUT, Acknowledged, Attempt, Connection, Subject};
use crate::backend::stream::{ServerMessageHandler, fresh_id};
use crate::call_report::CallTrace;
use crate::protocol::era::modern::with_tasks;
use crate::protocol::message::elements;
use crate::protocol::{ClientProfile, Kind, Notification, Outcome, RawJson, Request};
use crate::sync::Mutex;

const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
/// Members of a filter that name what is subscribed to.
const RESOURCES: &str = "resourceSubscriptions";
const TASKS: &str = "taskIds";
/// Changes of the filter within this time make one new subscription.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// Keeps the stream open for as long as the connection lasts, or until the server refuses it.
pub(super) async fn run(
    connection: &Arc<Connection>,
    handler: &ConnectionHandler,
    client: &ClientProfile,
) {
    let stream = SubscriptionStream {
        connection,
        handler,
        client,
    };
    let subscriptions = &handler.session.demands;
    subscriptions.set_acknowledged(Acknowledged::default());
    let mut reconnect = Backoff::new(Series::RECONNECT);
    loop {
        let opened = Instant::now();
        if stream.read_until_end().await == Ended::Refused {
            tracing::debug!(
                backend = handler.session.name(),
                "the server has no subscriptions"
            );
            subscriptions.set_acknowledged(Acknowledged {
                refused: true,
                ..Acknowledged::default()
            });
            return;
        }
        reconnect.lasted(opened.elapsed());
        let delay = reconnect.next_delay(&mut jitter());
        tokio::time::sleep(delay).await;
        // Changes that came meanwhile were not announced to us.
        handler.session.lists_changed.notify_one();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// It may be opened again.
    Over,
    /// The server has no such stream.
    Refused,
}

struct SubscriptionStream<'a> {
    connection: &'a Arc<Connection>,
    handler: &'a ConnectionHandler,
    client: &'a ClientProfile,
}

/// One open stream and its filter.
struct OpenStream<'a> {
    reading: BoxFuture<'a, Ended>,
    acknowledged: oneshot::Receiver<BTreeSet<Subject>>,
    subjects: BTreeSet<Subject>,
}

impl<'a> SubscriptionStream<'a> {
    /// Reads one stream after the other, each with the filter of its time, until one ends by itself.
    async fn read_until_end(&self) -> Ended {
        let mut old: Option<OpenStream<'_>> = None;
        let mut refused = BTreeSet::new();
        loop {
            let subjects = self.wanted();
            if subjects.is_empty() && !self.wants_lists() {
                drop(old.take());
                self.report(subjects, BTreeSet::new());
                self.handler.session.demands.changed().await;
                continue;
            }
            let asked = match subjects == refused {
                true => BTreeSet::new(),
                false => subjects.clone(),
            };
            let is_bare = asked.is_empty();
            let mut stream = self.open(asked, subjects);
            match begin(&mut stream, &mut old).await {
                Begun::Acknowledged(honoured) => {
                    drop(old.take());
                    self.report(stream.subjects.clone(), honoured);
                }
                Begun::Silent => drop(old.take()),
                Begun::Ended(Ended::Refused) => match old.take() {
                    // The server refuses the larger filter: the last one stays.
                    Some(last) => {
                        let honoured = self.handler.session.demands.acknowledged().honoured;
                        self.report(stream.subjects.clone(), honoured);
                        stream.reading = last.reading;
                    }
                    // It may refuse what the filter names, and not the stream.
                    None if !is_bare && self.wants_lists() => {
                        refused = stream.subjects;
                        continue;
                    }
                    None => return Ended::Refused,
                },
                Begun::Ended(Ended::Over) => return Ended::Over,
            }
            tokio::select! {
                ended = &mut stream.reading => return ended,
                () = self.filter_changes(&stream.subjects) => old = Some(stream),
            }
        }
    }

    /// What is wanted of that which the server offers.
    fn wanted(&self) -> BTreeSet<Subject> {
        let server = &self.connection.server;
        let mut wanted = self.handler.session.demands.wanted();
        wanted.retain(|subject| match subject {
            Subject::Resource(_) => server.subscribes(),
            Subject::Task(_) => server.has_tasks(),
        });
        wanted
    }

    fn wants_lists(&self) -> bool {
        Kind::ALL
            .iter()
            .any(|kind| self.connection.server.lists(*kind))
    }

    async fn filter_changes(&self, from: &BTreeSet<Subject>) {
        loop {
            self.handler.session.demands.changed().await;
            tokio::time::sleep(DEBOUNCE).await;
            if self.wanted() != *from {
                return;
            }
        }
    }

    fn report(&self, requested: BTreeSet<Subject>, honoured: BTreeSet<Subject>) {
        self.handler.session.demands.set_acknowledged(Acknowledged {
            requested,
            honoured,
            refused: false,
        });
    }

    /// Opens a stream that asks for a part of `subjects`, which it answers about.
    fn open(&self, asked: BTreeSet<Subject>, subjects: BTreeSet<Subject>) -> OpenStream<'a> {
        let params = RawJson::of(&json!({ "notifications": self.filter(&asked) }));
        let (acknowledge, acknowledged) = oneshot::channel();
        let (connection, handler) = (self.connection, self.handler);
        let has_tasks = asked.iter().any(|one| matches!(one, Subject::Task(_)));
        let client = match has_tasks {
            true => with_tasks(self.client),
            false => self.client.clone(),
        };
        let reading = async move {
            let (id, trace) = (fresh_id(), CallTrace::start());
            let attempt =
                Attempt::plain(&id, "subscriptions/listen", Some(&params), &client, &trace);
            let subscription = SubscriptionHandler {
                handler,
                acknowledge: Mutex::new(Some(acknowledge)),
            };
            let end = connection.listen(&attempt, &subscription).await;
            subscription.end(end)
        };
        OpenStream {
            reading: Box::pin(reading),
            acknowledged,
            subjects,
        }
    }

    fn filter(&self, subjects: &BTreeSet<Subject>) -> Value {
        let mut filter = json!({});
        for (kind, flag) in [
            (Kind::Tool, "toolsListChanged"),
            (Kind::Prompt, "promptsListChanged"),
            (Kind::Resource, "resourcesListChanged"),
        ] {
            if self.connection.server.lists(kind) {
                filter[flag] = json!(true);
            }
        }
        for subject in subjects {
            let (member, name) = match subject {
                Subject::Resource(uri) => (RESOURCES, uri),
                Subject::Task(id) => (TASKS, id),
            };
            match filter[member].as_array_mut() {
                Some(names) => names.push(json!(name)),
                None => filter[member] = json!([name]),
            }
        }
        filter
    }
}

enum Begun {
    /// The server has acknowledged it, and honours these.
    Acknowledged(BTreeSet<Subject>),
    /// It is open, and the server acknowledges nothing.
    Silent,
    Ended(Ended),
}

/// Waits for the new stream's first message, while the old one is read on.
async fn begin(new: &mut OpenStream<'_>, old: &mut Option<OpenStream<'_>>) -> Begun {
    let until = Instant::now() + ACKNOWLEDGE_TIMEOUT;
    loop {
        let old_ends = async {
            match old.as_mut() {
                Some(old) => (&mut old.reading).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Ok(honoured) = &mut new.acknowledged => return Begun::Acknowledged(honoured),
            ended = &mut new.reading => return Begun::Ended(ended),
            () = tokio::time::sleep_until(until) => return Begun::Silent,
            _ = old_ends => *old = None,
        }
    }
}

/// Handles the messages of one stream.
struct SubscriptionHandler<'a> {
    handler: &'a ConnectionHandler,
    /// Taken when the server has acknowledged.
    acknowledge: Mutex<Option<oneshot::Sender<BTreeSet<Subject>>>>,
}

impl SubscriptionHandler<'_> {
    /// The meaning of the stream's end. A server that ends it with a result before it has
    /// acknowledged has no such stream.
    fn end(&self, end: Result<Outcome, BackendError>) -> Ended {
        let unacknowledged = self.sender().is_some();
        match end {
            Ok(Outcome::Result(_)) if !unacknowledged => Ended::Over,
            Err(error) if !unacknowledged || may_pass(&error) => Ended::Over,
            _ => Ended::Refused,
        }
    }

    fn sender(&self) -> Option<oneshot::Sender<BTreeSet<Subject>>> {
        self.acknowledge.lock().take()
    }
}

impl ServerMessageHandler for SubscriptionHandler<'_> {
    fn notification(&self, notification: Notification) {
        if notification.method != ACKNOWLEDGED {
            return self.handler.notification(notification);
        }
        let names = |member| {
            let params = notification.params.as_ref();
            let names = params.and_then(|params| params.at(&["notifications", member]));
            let names = names.and_then(|names| elements(&names)).unwrap_or_default();
            names.into_iter().filter_map(|name| name.text())
        };
        if let Some(acknowledge) = self.sender() {
            let honoured = names(RESOURCES).map(Subject::Resource);
            let _ = acknowledge.send(honoured.chain(names(TASKS).map(Subject::Task)).collect());
        }
    }

    fn request(&self, request: Request) -> BoxFuture<'_, Outcome> {
        self.handler.request(request)
    }
}
