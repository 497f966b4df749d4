//! Who wants to hear of changes: `subscriptions/listen` of the modern era (S26
//! `basic/patterns/subscriptions`), and the client of the legacy era, which hears of lists unasked
//! and of resources that it has subscribed to.
//!
//! Owns the open subscriptions and the words of what goes to each. Which lists have changed is
//! found by [`super::refresh`]; who may still be told is for the loop to say.

use std::collections::{BTreeMap, HashMap};
use std::mem;

use bytes::Bytes;
use futures_util::future::join_all;

use super::call_target::CallTarget;
use super::filter::{Filter, covers, updated};
use super::{Exchange, Snapshot, Snapshots, TaskEvent, settled, tasks};
use crate::backend::Subscription;
use crate::protocol::era::modern::{self, ResultStamp, key};
use crate::protocol::error::INVALID_PARAMS;
use crate::protocol::message;
use crate::protocol::{
    Era, Id, Notification, Outcome, RawJson, Request, RequestKey, RpcError, task,
};

/// Serves one `subscriptions/listen`. It ends only with its subscription, so what this returns
/// is an error.
pub(super) async fn listen(request: Request, snapshots: Snapshots, exchange: Exchange) -> Outcome {
    let mut filter = match Filter::read(request.params.as_ref()) {
        Ok(filter) => filter,
        Err(why) => {
            let why = format!("subscriptions/listen: {why}");
            return RpcError::new(INVALID_PARAMS, why).into();
        }
    };
    if filter.tasks && !exchange.client.declares(&["extensions", task::EXTENSION]) {
        return tasks::undeclared("subscriptions/listen").into();
    }
    // Held for as long as this is waited for: dropped, they withdraw themselves.
    let mut held = Vec::new();
    if !filter.uris.is_empty()
        && let Ok(snapshot) = settled(snapshots).await
    {
        let uris = std::mem::take(&mut filter.uris);
        let asked = join_all(uris.iter().map(|uri| subscribe_to(uri, &snapshot))).await;
        for (uri, answer) in uris.into_iter().zip(asked) {
            if let Ok(subscription) = answer {
                filter.uris.push(uri);
                held.push(subscription);
            }
        }
    }
    let _ = exchange.events.send(TaskEvent::Listening {
        key: exchange.key,
        filter,
    });
    std::future::pending().await
}

/// Serves `resources/subscribe` of the legacy era (S25 `server/resources`).
pub(super) async fn subscribe(
    request: Request,
    snapshots: Snapshots,
    exchange: Exchange,
) -> Outcome {
    let (uri, snapshot) = match (uri_of(&request), settled(snapshots).await) {
        (Ok(uri), Ok(snapshot)) => (uri, snapshot),
        (Err(error), _) | (_, Err(error)) => return error.into(),
    };
    match subscribe_to(&uri, &snapshot).await {
        Ok(subscription) => {
            let held = Some(subscription);
            let _ = exchange.events.send(TaskEvent::Subscribed { uri, held });
            Outcome::Result(RawJson::trusted("{}"))
        }
        Err(refused) => Outcome::Error(refused),
    }
}

/// Serves `resources/unsubscribe` of the legacy era.
pub(super) async fn unsubscribe(request: Request, exchange: Exchange) -> Outcome {
    match uri_of(&request) {
        Ok(uri) => {
            let _ = exchange
                .events
                .send(TaskEvent::Subscribed { uri, held: None });
            Outcome::Result(RawJson::trusted("{}"))
        }
        Err(error) => error.into(),
    }
}

fn uri_of(request: &Request) -> Result<String, RpcError> {
    let uri = request
        .params
        .as_ref()
        .and_then(|params| params.get("uri")?.text());
    let method = &request.method;
    uri.ok_or_else(|| {
        RpcError::new(
            INVALID_PARAMS,
            format!("{method}: \"uri\" must be a string"),
        )
    })
}

async fn subscribe_to(uri: &str, snapshot: &Snapshot) -> Result<Subscription, RawJson> {
    let target = CallTarget::of_resource(uri);
    match target.route(snapshot) {
        Some(route) => route.backend.subscribe(uri).await,
        None => Err(RawJson::of(&target.unknown(snapshot, Era::Legacy))),
    }
}

/// The subscriptions that are open.
#[derive(Debug, Default)]
pub struct Subscriptions {
    listens: BTreeMap<RequestKey, Listen>,
    /// Of the legacy client, by URI.
    held: HashMap<String, Subscription>,
}

#[derive(Debug)]
struct Listen {
    /// Of its request, as the client wrote it: it names the subscription.
    id: Id,
    filter: Filter,
}

impl Subscriptions {
    /// Opens one; the line acknowledges it, and goes out before anything else of it.
    pub fn open(&mut self, key: RequestKey, id: Id, filter: Filter) -> Bytes {
        let notifications = filter.as_json();
        let listen = Listen { id, filter };
        let params = RawJson::trusted("{}")
            .with_members(&[("notifications", notifications.into_bytes())], &[]);
        let line = message::notification(
            "notifications/subscriptions/acknowledged",
            Some(&listen.tagged(&params)),
        );
        self.listens.insert(key, listen);
        line
    }

    /// The legacy client has subscribed to a resource, or no longer has.
    pub fn hold(&mut self, uri: String, held: Option<Subscription>) {
        match held {
            Some(held) => self.held.insert(uri, held),
            None => self.held.remove(&uri),
        };
    }

    /// Whether a legacy client is to hear of this: of single resources it hears if it asked to.
    pub fn concern_legacy_client(&self, notification: &Notification) -> bool {
        match updated(notification) {
            Some(uri) => self.held.keys().any(|wanted| covers(wanted, &uri)),
            None => true,
        }
    }

    /// Its request is over.
    pub fn close(&mut self, key: RequestKey) {
        self.listens.remove(&key);
    }

    /// Closes all: for each, its ticket, the line that says it is torn down and the result that
    /// ends it. The specification asks for the one on one page and for the other on another
    /// (S26 `basic/patterns/{cancellation,subscriptions}`); both together satisfy both.
    pub fn close_all(&mut self, gateway: &RawJson) -> Vec<(RequestKey, Bytes, Outcome)> {
        let end = |(key, listen): (RequestKey, Listen)| {
            let params = format!(
                r#"{{"requestId":{},"reason":"the gateway is shutting down"}}"#,
                listen.id.raw().as_str()
            );
            let params = RawJson::trusted(params);
            let line = message::notification("notifications/cancelled", Some(&params));
            let result = listen.tagged(&RawJson::trusted("{}"));
            let result = modern::stamp_result(&result, ResultStamp::Complete, gateway);
            (key, line, Outcome::Result(result))
        };
        mem::take(&mut self.listens).into_iter().map(end).collect()
    }

    /// A notification, as a line for each subscription that wants it.
    pub fn lines(&self, notification: &Notification) -> Vec<Bytes> {
        let listens = self.listens.values();
        let wanting = listens.filter(|listen| listen.filter.wants(notification));
        let empty = RawJson::trusted("{}");
        let params = notification.params.as_ref().unwrap_or(&empty);
        wanting
            .map(|listen| message::notification(&notification.method, Some(&listen.tagged(params))))
            .collect()
    }
}

impl Listen {
    /// With the subscription's id, as everything of a subscription has it.
    fn tagged(&self, params: &RawJson) -> RawJson {
        let meta = params.get("_meta").filter(RawJson::is_object);
        let meta = meta.unwrap_or_else(|| RawJson::trusted("{}"));
        let id = self.id.raw().clone().into_bytes();
        let meta = meta.with_members(&[(key::SUBSCRIPTION_ID, id)], &[]);
        params.with_members(&[("_meta", meta.into_bytes())], &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_of_a_subscription_bears_the_id_of_its_request_in_kind() {
        let mut subscriptions = Subscriptions::default();
        let mut in_flight = crate::protocol::Incoming::default();
        let id = Id::from_raw(RawJson::trusted("\"seven\"")).unwrap();
        let key = in_flight.begin(id.clone(), ()).unwrap();
        let wanted = RawJson::trusted(r#"{"notifications":{"toolsListChanged":true}}"#);
        let filter = Filter::read(Some(&wanted)).unwrap();
        let line = subscriptions.open(key, id, filter);
        let text = std::str::from_utf8(&line).unwrap();
        assert!(
            text.contains(r#""io.modelcontextprotocol/subscriptionId":"seven""#),
            "{text}"
        );
        let changed = |method: &str| Notification {
            method: method.into(),
            params: None,
        };
        assert_eq!(
            subscriptions
                .lines(&changed("notifications/prompts/list_changed"))
                .len(),
            0
        );
        assert_eq!(
            subscriptions
                .lines(&changed("notifications/tools/list_changed"))
                .len(),
            1
        );
        subscriptions.close(key);
        assert_eq!(
            subscriptions
                .lines(&changed("notifications/tools/list_changed"))
                .len(),
            0
        );
    }
}
