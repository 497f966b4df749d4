//! Handles the server's messages during one attempt.

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
        let members = params.members()?;
        let value = |key: &str| {
            members
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, raw)| *raw)
        };
        let token = value("progressToken")?;
        if Id::from_raw(params.part(token)).as_ref() != Some(self.id) {
            return None;
        }
        let progress: f64 = value("progress")?.get().parse().ok()?;
        if !client.reached.grows_to(progress) {
            return None;
        }
        let edit = (params.range_of(token), client.token.clone().into_bytes());
        Some(params.with_edits(vec![edit]))
    }
}
