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
use crate::backend::session::{ACKNOWLEDGE_TIMEOUT, Acknowledged, Attempt, Connection, fresh_id};
use crate::backend::stream::ServerMessageHandler;
use crate::call_report::CallTrace;
use crate::protocol::message::elements;
use crate::protocol::{ClientProfile, Kind, Notification, Outcome, RawJson, Request};
use crate::sync::Mutex;

const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
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
    let subscriptions = &handler.session.resources;
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
    acknowledged: oneshot::Receiver<BTreeSet<String>>,
    uris: BTreeSet<String>,
}

impl<'a> SubscriptionStream<'a> {
    /// Reads one stream after the other, each with the filter of its time, until one ends by itself.
    async fn read_until_end(&self) -> Ended {
        let mut old: Option<OpenStream<'_>> = None;
        loop {
            let uris = self.uris();
            if uris.is_empty() && !self.wants_lists() {
                drop(old.take());
                self.report(uris, BTreeSet::new());
                self.handler.session.resources.changed().await;
                continue;
            }
            let mut stream = self.open(uris);
            match begin(&mut stream, &mut old).await {
                Begun::Acknowledged(honoured) => {
                    drop(old.take());
                    self.report(stream.uris.clone(), honoured);
                }
                Begun::Silent => drop(old.take()),
                Begun::Ended(Ended::Refused) => match old.take() {
                    // The server refuses the larger filter: the last one stays.
                    Some(last) => {
                        let honoured = self.handler.session.resources.acknowledged().honoured;
                        self.report(stream.uris.clone(), honoured);
                        stream.reading = last.reading;
                    }
                    None => return Ended::Refused,
                },
                Begun::Ended(Ended::Over) => return Ended::Over,
            }
            tokio::select! {
                ended = &mut stream.reading => return ended,
                () = self.filter_changes(&stream.uris) => old = Some(stream),
            }
        }
    }

    /// The wanted URIs, if the server has resource subscriptions.
    fn uris(&self) -> BTreeSet<String> {
        if self.connection.server.subscribes() {
            self.handler.session.resources.wanted()
        } else {
            BTreeSet::new()
        }
    }

    fn wants_lists(&self) -> bool {
        Kind::ALL
            .iter()
            .any(|kind| self.connection.server.lists(*kind))
    }

    async fn filter_changes(&self, from: &BTreeSet<String>) {
        loop {
            self.handler.session.resources.changed().await;
            tokio::time::sleep(DEBOUNCE).await;
            if self.uris() != *from {
                return;
            }
        }
    }

    fn report(&self, requested: BTreeSet<String>, honoured: BTreeSet<String>) {
        self.handler
            .session
            .resources
            .set_acknowledged(Acknowledged {
                requested,
                honoured,
                refused: false,
            });
    }

    fn open(&self, uris: BTreeSet<String>) -> OpenStream<'a> {
        let params = RawJson::of(&json!({ "notifications": self.filter(&uris) }));
        let (acknowledge, acknowledged) = oneshot::channel();
        let (connection, handler, client) = (self.connection, self.handler, self.client);
        let reading = async move {
            let (id, trace) = (fresh_id(), CallTrace::start());
            let attempt =
                Attempt::plain(&id, "subscriptions/listen", Some(&params), client, &trace);
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
            uris,
        }
    }

    fn filter(&self, uris: &BTreeSet<String>) -> Value {
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
        if !uris.is_empty() {
            filter["resourceSubscriptions"] = json!(uris);
        }
        filter
    }
}

enum Begun {
    /// With the honoured URIs.
    Acknowledged(BTreeSet<String>),
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
    acknowledge: Mutex<Option<oneshot::Sender<BTreeSet<String>>>>,
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

    fn sender(&self) -> Option<oneshot::Sender<BTreeSet<String>>> {
        self.acknowledge.lock().take()
    }
}

impl ServerMessageHandler for SubscriptionHandler<'_> {
    fn notification(&self, notification: Notification) {
        if notification.method != ACKNOWLEDGED {
            return self.handler.notification(notification);
        }
        let params = notification.params.as_ref();
        let uris = params.and_then(|params| params.at(&["notifications", "resourceSubscriptions"]));
        let uris = uris.and_then(|uris| elements(&uris)).unwrap_or_default();
        if let Some(acknowledge) = self.sender() {
            let _ = acknowledge.send(uris.iter().filter_map(RawJson::text).collect());
        }
    }

    fn request(&self, request: Request) -> BoxFuture<'_, Outcome> {
        self.handler.request(request)
    }
}
