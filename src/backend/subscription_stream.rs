//! What a modern backend says outside of calls (S26 `basic/patterns/subscriptions`).
//!
//! Owns the one `subscriptions/listen` that the gateway has open with a backend, whoever wants to
//! hear what: its filter, opening the next before the last is closed, and opening it again when it
//! breaks. It must not know what becomes of what is heard.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::error::BackendError;
use super::get_stream::{ConnectionHandler, may_pass};
use super::handler::ServerMessageHandler;
use super::retry::Reconnect;
use super::session::{Attempt, Connection, fresh_id};
use super::subscriptions::{ACKNOWLEDGE_TIMEOUT, Acknowledged};
use crate::protocol::message::elements;
use crate::protocol::{ClientProfile, Kind, Notification, Outcome, RawJson, Request};

const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
/// Changes of what is wanted that come within this make one new subscription.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// A stream that lasted this long was no failure.
const GOOD_WHILE: Duration = Duration::from_secs(30);

/// Listens for as long as the link lasts, or until the server says that it has no such thing.
pub(super) async fn follow(
    connection: &Arc<Connection>,
    handler: &ConnectionHandler,
    client: &ClientProfile,
) {
    let listening = Listening {
        connection,
        handler,
        client,
    };
    let subscriptions = &handler.backend.subscriptions;
    subscriptions.set_acknowledged(Acknowledged::default());
    let mut reconnect = Reconnect::default();
    loop {
        let opened = Instant::now();
        if listening.read_until_end().await == Ended::Refused {
            tracing::debug!(
                backend = handler.backend.name(),
                "the server has no subscriptions"
            );
            subscriptions.set_acknowledged(Acknowledged {
                refused: true,
                ..Acknowledged::default()
            });
            return;
        }
        if opened.elapsed() > GOOD_WHILE {
            reconnect.reset();
        }
        let delay = reconnect.next_delay(&mut rand::rng());
        tokio::time::sleep(delay).await;
        // What changed in between, nobody has told us.
        handler.backend.lists_changed.notify_one();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// Another one may be had.
    Over,
    /// The server doesn't do this.
    Refused,
}

struct Listening<'a> {
    connection: &'a Arc<Connection>,
    handler: &'a ConnectionHandler,
    client: &'a ClientProfile,
}

/// One stream, and what it was opened for.
struct Stream<'a> {
    reading: BoxFuture<'a, Ended>,
    acknowledged: oneshot::Receiver<BTreeSet<String>>,
    uris: BTreeSet<String>,
}

impl<'a> Listening<'a> {
    /// One stream after the other, each for what is wanted then, until one ends by itself.
    async fn read_until_end(&self) -> Ended {
        let mut old: Option<Stream<'_>> = None;
        loop {
            let uris = self.uris();
            if uris.is_empty() && !self.wants_lists() {
                drop(old.take());
                self.report(uris, BTreeSet::new());
                self.handler.backend.subscriptions.changed().await;
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
                    // The wishes are too much for it: what it granted before stays.
                    Some(last) => {
                        let honoured = self.handler.backend.subscriptions.acknowledged().honoured;
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

    /// What is wanted, of a server that can tell.
    fn uris(&self) -> BTreeSet<String> {
        if self.connection.server.subscribes() {
            self.handler.backend.subscriptions.wanted()
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
            self.handler.backend.subscriptions.changed().await;
            tokio::time::sleep(DEBOUNCE).await;
            if self.uris() != *from {
                return;
            }
        }
    }

    fn report(&self, asked: BTreeSet<String>, honoured: BTreeSet<String>) {
        self.handler
            .backend
            .subscriptions
            .set_acknowledged(Acknowledged {
                asked,
                honoured,
                refused: false,
            });
    }

    fn open(&self, uris: BTreeSet<String>) -> Stream<'a> {
        let params = RawJson::of(&json!({ "notifications": self.filter(&uris) }));
        let (acknowledge, acknowledged) = oneshot::channel();
        let (connection, handler, client) = (self.connection, self.handler, self.client);
        let reading = async move {
            let (id, sent) = (fresh_id(), AtomicBool::new(false));
            let attempt = Attempt::plain(&id, "subscriptions/listen", Some(&params), client, &sent);
            let hearing = SubscriptionHandler {
                handler,
                acknowledge: Mutex::new(Some(acknowledge)),
            };
            let end = connection.listen(&attempt, &hearing).await;
            hearing.judge(end)
        };
        Stream {
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
    /// With the URIs that are honoured.
    Acknowledged(BTreeSet<String>),
    /// It is open, and says nothing of what it honours.
    Silent,
    Ended(Ended),
}

/// Waits until the new stream speaks, while the old one goes on.
async fn begin(new: &mut Stream<'_>, old: &mut Option<Stream<'_>>) -> Begun {
    let patience = Instant::now() + ACKNOWLEDGE_TIMEOUT;
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
            () = tokio::time::sleep_until(patience) => return Begun::Silent,
            _ = old_ends => *old = None,
        }
    }
}

/// Hears one stream.
struct SubscriptionHandler<'a> {
    handler: &'a ConnectionHandler,
    /// Taken when the server has acknowledged.
    acknowledge: Mutex<Option<oneshot::Sender<BTreeSet<String>>>>,
}

impl SubscriptionHandler<'_> {
    /// What the end of the stream means. A server that ends it before it has acknowledged, and
    /// calls that an answer, doesn't do this.
    fn judge(&self, end: Result<Outcome, BackendError>) -> Ended {
        let unacknowledged = self.sender().is_some();
        match end {
            Ok(Outcome::Result(_)) if !unacknowledged => Ended::Over,
            Err(error) if !unacknowledged || may_pass(&error) => Ended::Over,
            _ => Ended::Refused,
        }
    }

    fn sender(&self) -> Option<oneshot::Sender<BTreeSet<String>>> {
        let mut sender = self.acknowledge.lock();
        sender
            .as_mut()
            .unwrap_or_else(|poisoned| poisoned.get_mut())
            .take()
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
