//! The client's subscriptions.
//!
//! Owns the open `subscriptions/listen` requests of the modern era, the subscriptions of the legacy
//! client, and the lines that are sent for each. It must not know how a backend is subscribed to,
//! nor whether a listen request is still in flight.

use std::collections::{BTreeMap, HashMap};
use std::mem;

use bytes::Bytes;

use super::filter::{Filter, covers, updated};
use crate::backend::Subscription;
use crate::protocol::era::modern::{self, ResultStamp, key};
use crate::protocol::message;
use crate::protocol::{Id, Notification, Outcome, RawJson, RequestKey, task};

/// All open subscriptions.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    listens: BTreeMap<RequestKey, Listen>,
    /// The legacy client's, by URI.
    held: HashMap<String, Subscription>,
}

#[derive(Debug)]
struct Listen {
    /// Id of the listen request, as received; also the id of the subscription.
    id: Id,
    filter: Filter,
}

impl Subscriptions {
    /// Opens a subscription. Returns the line that acknowledges it, to be sent before its first
    /// notification.
    pub(crate) fn open(&mut self, key: RequestKey, id: Id, filter: Filter) -> Bytes {
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

    /// Stores the legacy client's subscription to a resource, or removes it (`None`).
    pub(crate) fn set(&mut self, uri: String, held: Option<Subscription>) {
        match held {
            Some(held) => self.held.insert(uri, held),
            None => self.held.remove(&uri),
        };
    }

    /// Whether the legacy client gets this notification: `resources/updated` only for resources
    /// that it has subscribed to, no states of tasks of the other era, all others always.
    pub(crate) fn concern_legacy_client(&self, notification: &Notification) -> bool {
        match updated(notification) {
            Some(uri) => self.held.keys().any(|wanted| covers(wanted, &uri)),
            None => notification.method != task::STATE,
        }
    }

    /// Closes the subscription of a listen request that has ended.
    pub(crate) fn close(&mut self, key: RequestKey) {
        self.listens.remove(&key);
    }

    /// Closes all listen requests. Returns for each the key of the request, the
    /// `notifications/cancelled` line and the result. The specification names the notification on
    /// one page and the result on another (MCP 2026-07-28, basic/patterns/cancellation and
    /// basic/patterns/subscriptions), so both are sent.
    pub(crate) fn close_all(&mut self, gateway: &RawJson) -> Vec<(RequestKey, Bytes, Outcome)> {
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

    /// A notification as lines, one for each subscription whose filter it passes, with its request.
    pub(crate) fn lines(&self, notification: &Notification) -> Vec<(RequestKey, Bytes)> {
        let listens = self.listens.iter();
        let wanting = listens.filter(|(_, listen)| listen.filter.wants(notification));
        let empty = RawJson::trusted("{}");
        let params = notification.params.as_ref().unwrap_or(&empty);
        let line = |listen: &Listen| {
            message::notification(&notification.method, Some(&listen.tagged(params)))
        };
        wanting.map(|(key, listen)| (*key, line(listen))).collect()
    }
}

impl Listen {
    /// Params with the subscription's id, which every message of a subscription has.
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
    fn every_message_of_a_subscription_has_the_id_of_its_request_as_written() {
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
