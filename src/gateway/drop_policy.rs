//! Which unsolicited notifications may be dropped or coalesced for a slow client. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;

use crate::protocol::era::extension::is_foreign;
use crate::transport::stdio::DropPolicy;

/// The policy for a notification of this method. The same change twice is coalesced.
pub(super) fn of_notification(method: &str, line: &Bytes) -> DropPolicy {
    match method {
        "notifications/message" | "notifications/tasks/status" => DropPolicy::BestEffort,
        _ => {
            let mut hasher = DefaultHasher::new();
            // Of an extension's, the newest of a method is enough: what it means is not known.
            match is_foreign(method) {
                true => method.hash(&mut hasher),
                false => line.hash(&mut hasher),
            }
            DropPolicy::Coalesce(hasher.finish())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_notifications_are_coalesced() {
        let updated = "notifications/resources/updated";
        let line = |uri: &str| Bytes::from(format!(r#"{{"uri":"{uri}"}}"#));
        assert_eq!(
            of_notification(updated, &line("a")),
            of_notification(updated, &line("a"))
        );
        assert_ne!(
            of_notification(updated, &line("a")),
            of_notification(updated, &line("b"))
        );
        let custom = "notifications/x/changed";
        assert_eq!(
            of_notification(custom, &line("a")),
            of_notification(custom, &line("b"))
        );
        assert_eq!(
            of_notification("notifications/message", &line("a")),
            DropPolicy::BestEffort
        );
    }
}
