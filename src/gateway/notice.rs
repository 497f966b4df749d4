//! What a client that reads late may miss of all that nobody has asked for.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;

use crate::transport::stdio::Matters;

/// How much this line of that method matters. That the same thing has changed need not be heard
/// twice.
pub(super) fn matters(method: &str, line: &Bytes) -> Matters {
    match method {
        "notifications/message" | "notifications/tasks/status" => Matters::Little,
        _ => {
            let mut hasher = DefaultHasher::new();
            line.hash(&mut hasher);
            Matters::UntilNext(hasher.finish())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_change_takes_its_own_place_and_no_others() {
        let updated = "notifications/resources/updated";
        let line = |uri: &str| Bytes::from(format!(r#"{{"uri":"{uri}"}}"#));
        assert_eq!(matters(updated, &line("a")), matters(updated, &line("a")));
        assert_ne!(matters(updated, &line("a")), matters(updated, &line("b")));
        assert_eq!(
            matters("notifications/message", &line("a")),
            Matters::Little
        );
    }
}
