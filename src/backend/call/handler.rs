//! Handles the server's messages during one attempt.
//!
//! Owns which of them reach the client, and the client's progress token in place of the attempt's. A
//! progress value that does not grow is dropped.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::request::Call;
use crate::backend::session::Session;
use crate::backend::stream::ServerMessageHandler;
use crate::protocol::era::extension::is_foreign;
use crate::protocol::{Id, Kind, Notification, Outcome, RawJson, Request};

/// Passes on what concerns the client, and handles what concerns the backend.
pub(super) struct CallHandler<'a> {
    pub(super) session: &'a Session,
    pub(super) call: &'a Call<'a>,
    /// The id of the attempt, which is also its progress token.
    pub(super) id: &'a Id,
}

impl ServerMessageHandler for CallHandler<'_> {
    fn notification(&self, notification: Notification) {
        let method = notification.method.as_str();
        if Kind::ALL.iter().any(|kind| kind.list_changed() == method) {
            return self.session.lists_changed.notify_one();
        }
        if is_foreign(method) && !self.session.declares_method(method) {
            return tracing::debug!(
                backend = self.session.name(),
                "a notification of no extension that the server declares is dropped"
            );
        }
        if method != "notifications/progress" {
            return self.call.handler.notification(notification);
        }
        match self.progress(&notification) {
            Some(params) => self.call.handler.notification(Notification {
                params: Some(params),
                ..notification
            }),
            None => tracing::debug!(
                backend = self.session.name(),
                "progress of nothing is dropped"
            ),
        }
    }

    fn request(&self, request: Request) -> BoxFuture<'_, Outcome> {
        if request.method == "ping" {
            return futures_util::future::ready(Outcome::Result(RawJson::trusted("{}"))).boxed();
        }
        async move {
            let _pause = self.call.deadline.pause();
            self.call.handler.request(request).await
        }
        .boxed()
    }
}

impl CallHandler<'_> {
    /// The params with the client's token in place of ours; `None` if the token is not ours or
    /// the value does not grow.
    fn progress(&self, notification: &Notification) -> Option<RawJson> {
        let client = self.call.progress.as_ref()?;
        let params = notification.params.as_ref()?;
        // A key that stands twice would show some readers what is not checked here.
        let located = params.locate_members(["progressToken", "progress"]).ok()?;
        let [Some(token), Some(progress)] = located else {
            return None;
        };
        if Id::from_raw(params.slice(token.clone())).as_ref() != Some(self.id) {
            return None;
        }
        let progress: f64 = params.slice(progress).as_str().parse().ok()?;
        if !client.reached.grows_to(progress) {
            return None;
        }
        let edit = (token, client.token.clone().into_bytes());
        Some(params.with_edits(vec![edit]))
    }
}
