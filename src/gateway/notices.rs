//! Notifications that backends send outside of calls: who gets them, and when.
//!
//! Owns no state. It must not know what they say.

use std::sync::Arc;

use super::held_notices::Notice;
use super::state::Gateway;
use crate::call_report::BackendId;
use crate::dispatch::{TaskEvent, large_notice_for_client, notice_for_client, state_for_client};
use crate::protocol::era::extension::is_foreign;
use crate::protocol::{Notification, message};
use crate::transport::stdio::NoticeSource;

impl Gateway {
    /// There is a notification about a backend.
    pub(super) fn notice_of(&mut self, backend: BackendId, notice: Notice) {
        if let Some(notice) = self.held_notices.next(backend, notice)
            && self.send_or_map(backend, notice)
        {
            self.held_notices.begin(backend);
        }
    }

    /// One that was mapped on another thread, `None` if that has panicked; those behind it follow.
    pub(super) fn mapped_notice(&mut self, backend: BackendId, mapped: Option<Notification>) {
        if let Some(notification) = mapped {
            self.notice(NoticeSource::Backend(backend), &notification);
        }
        let mut waiting = self.held_notices.end(backend);
        while let Some(notice) = waiting.pop_front() {
            if self.send_or_map(backend, notice) {
                self.held_notices.wait_again(backend, waiting);
                return;
            }
        }
    }

    /// Sends a notification about a backend in the client's terms, or has it mapped on another thread.
    /// Returns whether it has.
    fn send_or_map(&mut self, id: BackendId, notice: Notice) -> bool {
        let snapshot = self.snapshot();
        let Some(backend) = snapshot.backends.get(id) else {
            return false;
        };
        let for_client = match notice {
            Notice::OfBackend(notification) => notice_for_client(notification, backend, &snapshot),
            Notice::OfTask(notification) => state_for_client(notification, backend, &snapshot),
        };
        match for_client {
            Ok(notification) if self.waits_for_client(&notification) => {
                self.pre_init.keep(id, notification);
            }
            Ok(notification) => self.notice(NoticeSource::Backend(id), &notification),
            Err(large) => {
                let backend = Arc::clone(backend);
                let mapping =
                    async move { large_notice_for_client(large, &backend, &snapshot).await };
                self.elsewhere(mapping, move |notification| {
                    Some(TaskEvent::Notice {
                        backend: id,
                        notification,
                    })
                });
                return true;
            }
        }
        false
    }

    /// Whether it is one of an extension, for a client that has said `initialize` and may not be sent it
    /// yet: nothing else tells what it says.
    fn waits_for_client(&self, notification: &Notification) -> bool {
        self.lifecycle.client().is_some()
            && !self.lifecycle.may_receive(notification)
            && is_foreign(&notification.method)
    }

    /// A notification that belongs to no call, for all who want it.
    pub(super) fn notice(&mut self, source: NoticeSource, notification: &Notification) {
        if self.lifecycle.may_receive(notification)
            && self.subscriptions.concern_legacy_client(notification)
        {
            let params = notification.params.as_ref();
            let line = message::notification(&notification.method, params);
            self.replies.notify(source, notification, None, line);
        }
        for (listen, line) in self.subscriptions.lines(notification) {
            self.replies
                .notify(source, notification, Some(listen), line);
        }
    }
}
