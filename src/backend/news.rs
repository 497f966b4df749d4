//! What a backend says outside of calls.
//!
//! Owns who hears it, and the stream of a legacy server for it (S25 `basic/transports`, "Listening
//! for Messages from the Server"); that of a modern one is [`super::listen`]'s. It must not know
//! what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::Response;
use tokio::sync::{Notify, mpsc, oneshot};

use super::Backend;
use super::error::BackendError;
use super::event::BackendEvent;
use super::listener::Listener;
use super::resume::{Place, Resume};
use super::retry::Reconnect;
use super::session::Link;
use crate::protocol::era::modern;
use crate::protocol::{Kind, Notification, Outcome, RawJson, Request, RpcError, error};

/// The longest wait that a server is granted before we ask again.
const LONGEST_RETRY: Duration = Duration::from_secs(3600);

/// Hears what belongs to no call.
#[derive(Debug, Clone)]
pub(super) struct Ear {
    pub(super) backend: Arc<Backend>,
}

impl Ear {
    /// Where it is told.
    pub(super) fn events(&self) -> &mpsc::UnboundedSender<BackendEvent> {
        &self.backend.means.events
    }
}

impl Listener for Ear {
    fn notification(&self, notification: Notification) {
        let method = notification.method.as_str();
        if Kind::ALL.iter().any(|kind| kind.list_changed() == method) {
            return self.backend.lists_changed.notify_one();
        }
        match method {
            "notifications/message"
            | "notifications/resources/updated"
            | "notifications/tasks/status"
            | "notifications/elicitation/complete"
                if self.backend.speaks_to_all() =>
            {
                let params = notification.params.as_ref().map(modern::unsubscribed);
                let _ = self.events().send(BackendEvent::Notice {
                    backend: self.backend.index,
                    notification: Notification {
                        params,
                        ..notification
                    },
                });
            }
            _ => tracing::debug!(
                backend = self.backend.name(),
                "a notification that is nobody's business is dropped"
            ),
        }
    }

    fn request(&self, request: Request) -> BoxFuture<'_, Outcome> {
        if request.method == "ping" {
            return futures_util::future::ready(Outcome::Result(RawJson::trusted("{}"))).boxed();
        }
        let (answer, answered) = oneshot::channel();
        let _ = self.events().send(BackendEvent::Asked {
            backend: self.backend.index,
            of: self.backend.introduced(),
            request,
            answer,
        });
        let still = self.backend.standstill.begin();
        async move {
            let _still = still;
            let nobody = || RpcError::new(error::METHOD_NOT_FOUND, "no client can answer here");
            answered.await.unwrap_or_else(|_| nobody().into())
        }
        .boxed()
    }
}

/// Hears a legacy server's stream for as long as the link has one; tells the backend when it
/// turns out that the session is lost. `asked` hears when the server has said whether it has one.
pub(super) async fn follow(link: &Arc<Link>, ear: &Ear, asked: &Notify) {
    let reopening = Reopening { link, ear };
    let first = link.news(None).await;
    asked.notify_one();
    let stream = match first {
        Err(error) if may_pass(&error) => reopening.open_again(&Place::default()).await,
        first => first,
    };
    let end = match stream {
        Ok(stream) => link.hear(stream, ear, &reopening).await,
        // Also where it says 404: a session that is lost so soon will be missed by the next call,
        // and a server that has no such address would have us begin anew for ever.
        Err(end) => {
            let backend = ear.backend.name();
            tracing::debug!(backend, %end, "the server has no stream of its own");
            return;
        }
    };
    match end {
        BackendError::SessionLost { .. } => ear.backend.lost(link),
        end => {
            let backend = ear.backend.name();
            tracing::debug!(backend, %end, "the server's own stream has ended");
        }
    }
}

struct Reopening<'a> {
    link: &'a Arc<Link>,
    ear: &'a Ear,
}

impl Reopening<'_> {
    async fn open(&self, place: &Place) -> Result<Response, BackendError> {
        match self.link.news(place.last_event_id.as_deref()).await {
            Err(error) if may_pass(&error) => self.open_again(place).await,
            opened => opened,
        }
    }

    /// After a failure: tries until there is a stream, or it is clear that there is none.
    async fn open_again(&self, place: &Place) -> Result<Response, BackendError> {
        let mut reconnect = Reconnect::after(place.barren.saturating_sub(1));
        loop {
            let delay = reconnect.next_delay(&mut rand::rng());
            tokio::time::sleep(delay).await;
            match self.link.news(place.last_event_id.as_deref()).await {
                Err(error) if may_pass(&error) => {}
                opened => {
                    // What changed while it could not be reached, nobody has told us.
                    self.ear.backend.lists_changed.notify_one();
                    return opened;
                }
            }
        }
    }
}

impl Resume for Reopening<'_> {
    fn resume<'a>(
        &'a self,
        place: &'a Place,
        broken: BackendError,
    ) -> BoxFuture<'a, Result<Response, BackendError>> {
        async move {
            tracing::debug!(backend = self.ear.backend.name(), %broken, "its stream is opened again");
            tokio::time::sleep(wait(place)).await;
            self.open(place).await
        }
        .boxed()
    }
}

/// What the server asked for; longer where streams end with nothing said.
fn wait(place: &Place) -> Duration {
    let backoff = Reconnect::after(place.barren.saturating_sub(1)).next_delay(&mut rand::rng());
    match place.retry.map(|asked| asked.min(LONGEST_RETRY)) {
        Some(asked) if place.barren <= 1 => asked,
        Some(asked) => asked.max(backoff),
        None => backoff,
    }
}

/// Whether the server may have a stream later, as far as this goes.
pub(super) fn may_pass(error: &BackendError) -> bool {
    match error {
        BackendError::ServerError { status, .. } => *status != 501,
        BackendError::Connect(_)
        | BackendError::OutOfResources(_)
        | BackendError::ConnectionLost(_)
        | BackendError::Unavailable { .. }
        | BackendError::RateLimited { .. } => true,
        _ => false,
    }
}
