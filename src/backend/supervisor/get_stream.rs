//! The standalone GET stream of a legacy server (MCP 2025-11-25, basic/transports, "Listening for
//! Messages from the Server").
//!
//! Owns opening it, and opening it again when it ends. It must not know what becomes of the
//! messages on it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

mod one_slot;

use super::connection_handler::ConnectionHandler;
use crate::backend::backoff::{Backoff, Series, jitter};
use crate::backend::error::BackendError;
use crate::backend::http::Response;
use crate::backend::session::Connection;
use crate::backend::stream::{Cursor, Resume};

/// Longest `retry` that is honoured.
const LONGEST_RETRY: Duration = Duration::from_secs(3600);

/// Reads a legacy server's stream for as long as the connection has one; disconnects the session
/// when the stream shows that it is lost. `opened` is notified when the server has said whether it
/// has one.
pub(super) async fn run(
    connection: &Arc<Connection>,
    handler: &ConnectionHandler,
    opened: &Notify,
) {
    let reopening = Reopening {
        connection,
        handler,
    };
    let first = connection.open_get_stream(None).await;
    opened.notify_one();
    let mut stream = match first {
        Err(error) if may_pass(&error) => reopening.reopen(&Cursor::new()).await,
        first => first,
    };
    let (backend, one_slot) = (handler.session.name(), &handler.context.one_slot);
    let mut trusting = false;
    let end = loop {
        let response = match stream {
            Ok(response) => response,
            // Also on 404: the next call notices a session that is lost so soon, while a server
            // without such an address would make us reconnect without end.
            Err(end) => {
                tracing::debug!(backend, %end, "the server has no stream of its own");
                return;
            }
        };
        let pause = &handler.context.shared_pause;
        let blocked = tokio::select! {
            biased;
            end = connection.read_stream(response, handler, &reopening) => break end,
            blocked = one_slot::blocked(connection, one_slot, pause, trusting) => blocked,
        };
        // The stream is closed.
        trusting = !blocked.freed(connection, one_slot).await;
        if one_slot.is_certain() {
            tracing::warn!(
                backend,
                "the server serves nothing else while its GET stream is open, so that stays closed: what the server says of its own accord is not heard (server_stream = \"never\" spares the search)"
            );
            return;
        }
        stream = reopening.open(&Cursor::new()).await;
        // Changes that came meanwhile were not announced to us.
        handler.session.lists_changed.notify_one();
    };
    match end {
        BackendError::SessionLost { .. } => handler.session.disconnected(connection),
        end => tracing::debug!(backend, %end, "the server's own stream has ended"),
    }
}

struct Reopening<'a> {
    connection: &'a Arc<Connection>,
    handler: &'a ConnectionHandler,
}

impl Reopening<'_> {
    async fn open(&self, cursor: &Cursor) -> Result<Response, BackendError> {
        match self
            .connection
            .open_get_stream(cursor.last_event_id.as_deref())
            .await
        {
            Err(error) if may_pass(&error) => self.reopen(cursor).await,
            opened => opened,
        }
    }

    /// After a failure: tries until there is a stream, or the server says that it has none.
    async fn reopen(&self, cursor: &Cursor) -> Result<Response, BackendError> {
        let empty = cursor.empty_attempts.saturating_sub(1);
        let mut reconnect = Backoff::after(Series::RECONNECT, empty);
        loop {
            let delay = reconnect.next_delay(&mut jitter());
            tokio::time::sleep(delay).await;
            match self
                .connection
                .open_get_stream(cursor.last_event_id.as_deref())
                .await
            {
                Err(error) if may_pass(&error) => {}
                opened => {
                    // Changes that came meanwhile were not announced to us.
                    self.handler.session.lists_changed.notify_one();
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
            tracing::debug!(backend = self.handler.session.name(), %broken, "its stream is opened again");
            tokio::time::sleep(wait(cursor)).await;
            self.open(cursor).await
        }
        .boxed()
    }
}

/// The server's `retry`, or longer where streams end soon or without an event.
fn wait(cursor: &Cursor) -> Duration {
    let backoff = Series::RECONNECT.delay(cursor.empty_attempts.saturating_sub(1), &mut jitter());
    let wait = match cursor.retry.map(|asked| asked.min(LONGEST_RETRY)) {
        Some(asked) if cursor.empty_attempts <= 1 => asked,
        Some(asked) => asked.max(backoff),
        None => backoff,
    };
    wait.max(cursor.least_wait())
}

/// Whether the server may have a stream later, as far as this error says.
pub(super) fn may_pass(error: &BackendError) -> bool {
    match error {
        BackendError::ServerError { status, .. } => *status != 501,
        BackendError::Connect { .. }
        | BackendError::OutOfResources(_)
        | BackendError::ConnectionLost { .. }
        | BackendError::Unavailable { .. }
        | BackendError::RateLimited { .. } => true,
        _ => false,
    }
}
