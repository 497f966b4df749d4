//! Which unsolicited notifications may be dropped or coalesced for a slow client.
//!
//! Owns that policy, by method and source. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;

use crate::protocol::era::extension::is_foreign;
use crate::protocol::{Notification, RequestKey, task};
use crate::transport::stdio::{DropPolicy, NoticeSource};

/// The policy for a notification from this source, which is of this subscription if of any. The same
/// change twice is coalesced.
pub(super) fn of_notification(
    source: NoticeSource,
    notification: &Notification,
    listen: Option<RequestKey>,
    line: &Bytes,
) -> DropPolicy {
    let method = notification.method.as_str();
    if method == "notifications/message" {
        return DropPolicy::BestEffort;
    }
    // What waits is counted by source, so a line never takes the place of another source's.
    let mut hasher = DefaultHasher::new();
    source.hash(&mut hasher);
    match task::of_notification(notification) {
        // The newest state of a task is the one that counts, and clients may wait for it alone.
        Some(id) => {
            (method, id, listen.map(RequestKey::number)).hash(&mut hasher);
            return DropPolicy::Newest(hasher.finish());
        }
        // Of an extension's, the newest of a method is enough: what it means is not known.
        None if is_foreign(method) => method.hash(&mut hasher),
        None => line.hash(&mut hasher),
    }
    DropPolicy::Coalesce(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Id, Incoming, RawJson};

    #[test]
    fn equal_notifications_are_coalesced() {
        let policy = |method: &str, params: &str, listen| {
            let notification = Notification {
                method: method.into(),
                params: Some(RawJson::trusted(params.to_owned())),
            };
            let line = Bytes::from(params.to_owned());
            of_notification(NoticeSource::Calls, &notification, listen, &line)
        };
        let updated = |uri: &str| {
            let params = format!(r#"{{"uri":"{uri}"}}"#);
            policy("notifications/resources/updated", &params, None)
        };
        assert_eq!(updated("a"), updated("a"));
        assert_ne!(updated("a"), updated("b"));
        let custom = "notifications/x/changed";
        assert_eq!(policy(custom, "{}", None), policy(custom, "[]", None));
        assert_eq!(
            policy("notifications/message", "{}", None),
            DropPolicy::BestEffort
        );
        let mut in_flight = Incoming::default();
        let mut listen = |id: &'static str| {
            let id = Id::from_raw(RawJson::trusted(id)).unwrap();
            in_flight.begin(id, ())
        };
        let (one, two) = (listen("1"), listen("2"));
        let state = |id: &str, status: &str, listen| {
            let params = format!(r#"{{"taskId":"{id}","status":"{status}"}}"#);
            policy(task::STATE, &params, listen)
        };
        assert_eq!(state("a:1", "working", one), state("a:1", "completed", one));
        assert_ne!(state("a:1", "working", one), state("a:2", "working", one));
        assert_ne!(state("a:1", "working", one), state("a:1", "working", two));
        let from = |source| {
            let notification = Notification {
                method: custom.into(),
                params: None,
            };
            of_notification(source, &notification, None, &Bytes::new())
        };
        assert_ne!(from(NoticeSource::Calls), from(NoticeSource::Gateway));
    }
}
