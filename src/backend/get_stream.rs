//! What a backend says outside of calls.
//!
//! Owns who hears it, and the stream of a legacy server for it (S25 `basic/transports`, "Listening
//! for Messages from the Server"); that of a modern one is [`super::subscription_stream`]'s. It must not know
//! what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::Response;
use tokio::sync::{Notify, mpsc, oneshot};

use super::HttpBackend;
use super::error::BackendError;
use super::event::BackendEvent;
use super::handler::ServerMessageHandler;
use super::resume::{Cursor, Resume};
use super::retry::Reconnect;
use super::session::Connection;
use crate::protocol::era::modern;
use crate::protocol::{Kind, Notification, Outcome, RawJson, Request, RpcError, error};

/// The longest wait that a server is granted before we ask again.
const LONGEST_RETRY: Duration = Duration::from_secs(3600);

/// Hears what belongs to no call.
#[derive(Debug, Clone)]
pub(super) struct ConnectionHandler {
    pub(super) backend: Arc<HttpBackend>,
}

impl ConnectionHandler {
    /// Where it is told.
    pub(super) fn events(&self) -> &mpsc::UnboundedSender<BackendEvent> {
        &self.backend.context.events
    }
}

impl ServerMessageHandler for ConnectionHandler {
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
                let params = notification
                    .params
                    .as_ref()
                    .map(modern::without_subscription_id);
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
            of: self.backend.client_era(),
            request,
            answer,
        });
        let still = self.backend.shared_pause.begin();
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
pub(super) async fn follow(
    connection: &Arc<Connection>,
    handler: &ConnectionHandler,
    asked: &Notify,
) {
    let reopening = Reopening {
        connection,
        handler,
    };
    let first = connection.news(None).await;
    asked.notify_one();
    let stream = match first {
        Err(error) if may_pass(&error) => reopening.reopen(&Cursor::default()).await,
        first => first,
    };
    let end = match stream {
        Ok(stream) => connection.recv(stream, handler, &reopening).await,
        // Also where it says 404: a session that is lost so soon will be missed by the next call,
        // and a server that has no such address would have us begin anew for ever.
        Err(end) => {
            let backend = handler.backend.name();
            tracing::debug!(backend, %end, "the server has no stream of its own");
            return;
        }
    };
    match end {
        BackendError::SessionLost { .. } => handler.backend.disconnected(connection),
        end => {
            let backend = handler.backend.name();
            tracing::debug!(backend, %end, "the server's own stream has ended");
        }
    }
}

struct Reopening<'a> {
    connection: &'a Arc<Connection>,
    handler: &'a ConnectionHandler,
}

impl Reopening<'_> {
    async fn open(&self, cursor: &Cursor) -> Result<Response, BackendError> {
        match self.connection.news(cursor.last_event_id.as_deref()).await {
            Err(error) if may_pass(&error) => self.reopen(cursor).await,
            opened => opened,
        }
    }

    /// After a failure: tries until there is a stream, or it is clear that there is none.
    async fn reopen(&self, cursor: &Cursor) -> Result<Response, BackendError> {
        let mut reconnect = Reconnect::after(cursor.empty_attempts.saturating_sub(1));
        loop {
            let delay = reconnect.next_delay(&mut rand::rng());
            tokio::time::sleep(delay).await;
            match self.connection.news(cursor.last_event_id.as_deref()).await {
                Err(error) if may_pass(&error) => {}
                opened => {
                    // What changed while it could not be reached, nobody has told us.
                    self.handler.backend.lists_changed.notify_one();
                    return opened;
                }
            }
        }
    }
}

impl Resume for Reopening<'_> {
    fn resume<'a>(
        &'a self,
        cursor: &'a Cursor,
        broken: BackendError,
    ) -> BoxFuture<'a, Result<Response, BackendError>> {
        async move {
            tracing::debug!(backend = self.handler.backend.name(), %broken, "its stream is opened again");
            tokio::time::sleep(wait(cursor)).await;
            self.open(cursor).await
        }
        .boxed()
    }
}

/// What the server asked for; longer where streams end with nothing said.
fn wait(cursor: &Cursor) -> Duration {
    let backoff =
        Reconnect::after(cursor.empty_attempts.saturating_sub(1)).next_delay(&mut rand::rng());
    match cursor.retry.map(|asked| asked.min(LONGEST_RETRY)) {
        Some(asked) if cursor.empty_attempts <= 1 => asked,
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
