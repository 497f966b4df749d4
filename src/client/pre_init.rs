//! Server requests that belong to no call, and notifications of extensions, that arrive before the
//! client is initialized.
//!
//! Owns the queues in which they wait. It must not know how they are answered.

use tokio::sync::oneshot;

use crate::call_report::BackendId;
use crate::protocol::{Notification, Outcome, Request};

/// Most notifications that wait, and most bytes of their params; more are dropped.
const MAX_NOTICES: usize = 64;
const MAX_NOTICE_BYTES: usize = 256 * 1024;

/// A server request that belongs to no call.
#[derive(Debug)]
pub(crate) struct UnsolicitedRequest {
    /// The name of the backend that sent it, for the log.
    pub(crate) backend: String,
    /// The request in the client's terms. Its id is the backend's, and is not sent to the client.
    pub(crate) request: Request,
    /// Receives the response. Dropped if there is none.
    pub(crate) answer: oneshot::Sender<Outcome>,
}

/// Requests that wait for `notifications/initialized` (MCP 2025-11-25, basic/lifecycle).
#[derive(Debug, Default)]
pub(crate) struct PreInitQueue {
    requests: Vec<UnsolicitedRequest>,
    notices: Vec<(BackendId, Notification)>,
    /// The bytes of the params of the notices.
    bytes: usize,
}

impl PreInitQueue {
    /// Queues a request, and drops requests that were cancelled meanwhile.
    pub(crate) fn push(&mut self, unsolicited: UnsolicitedRequest) {
        self.requests.retain(|queued| !queued.answer.is_closed());
        self.requests.push(unsolicited);
    }

    /// Takes all requests, in order of arrival. Called when the client is initialized.
    pub(crate) fn release(&mut self) -> impl Iterator<Item = UnsolicitedRequest> + use<> {
        std::mem::take(&mut self.requests).into_iter()
    }

    /// Keeps a notification, as clients know it, if there is room.
    pub(crate) fn keep(&mut self, backend: BackendId, notification: Notification) {
        let params = notification.params.as_ref();
        let bytes = self.bytes + params.map_or(0, |params| params.as_bytes().len());
        if self.notices.len() >= MAX_NOTICES || bytes > MAX_NOTICE_BYTES {
            let method = notification.method.as_str();
            return tracing::debug!(
                method,
                "too much waits for the client to be initialized: a notification is dropped"
            );
        }
        self.bytes = bytes;
        self.notices.push((backend, notification));
    }

    /// Takes all notifications, in order of arrival. Called when the client is initialized.
    pub(crate) fn release_notices(&mut self) -> Vec<(BackendId, Notification)> {
        self.bytes = 0;
        std::mem::take(&mut self.notices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RawJson;

    #[test]
    fn notifications_that_wait_are_bounded_and_come_in_order() {
        let notice = |number: usize, more: usize| Notification {
            method: "notifications/x".into(),
            params: Some(RawJson::trusted(format!(
                r#"[{number},"{}"]"#,
                "x".repeat(more)
            ))),
        };
        let mut queue = PreInitQueue::default();
        let backend = BackendId::new(0);
        for number in 0..2 * MAX_NOTICES {
            queue.keep(backend, notice(number, 0));
        }
        let released = queue.release_notices();
        assert_eq!(released.len(), MAX_NOTICES);
        let first = released
            .first()
            .and_then(|(_, notice)| notice.params.clone());
        assert_eq!(first.unwrap().as_str(), r#"[0,""]"#);
        for number in 0..4 {
            queue.keep(backend, notice(number, MAX_NOTICE_BYTES / 3));
        }
        assert_eq!(queue.release_notices().len(), 2);
        assert!(queue.release_notices().is_empty());
    }
}
