//! Keeps one session connected.
//!
//! Owns the life of its connection: the first one, the lists, and the one re-initialize when a session
//! is lost. One task a session, so that all calls share the one attempt to connect. It must not know
//! calls.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use super::connection_handler::ConnectionHandler;
use super::context::BackendContext;
use super::event::BackendEvent;
use super::pause::Pauses;
use super::{get_stream, listing, subscription_stream};
use crate::backend::backoff::{Backoff, Series, jitter};
use crate::backend::error::{BackendError, ConnectKind};
use crate::backend::http::Endpoint;
use crate::backend::session::{Connection, Handshake, Session, State};
use crate::observe::logs::panic_text;
use crate::protocol::{ClientProfile, Contact, Era, Listing};

/// Longest time for one step of a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a server to say whether it has a GET stream, before the first call goes out: requests
/// that it sends there earlier are lost.
const GET_STREAM_TIMEOUT: Duration = Duration::from_millis(500);

/// The wait after a panic if waiting panics too.
const AFTER_TWO_PANICS: Duration = Duration::from_secs(60);

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It lists, and its outages are reported.
    Primary,
    /// A second session with a legacy server, for calls of clients of the other era.
    OtherEra,
}

/// Keeps a session connected until it shuts down, or the receiver of its events is dropped.
/// `client` yields the client that the session is initialized for.
pub(super) async fn supervise(
    session: Arc<Session>,
    context: BackendContext,
    role: Role,
    client: watch::Receiver<Option<Arc<ClientProfile>>>,
) {
    let shutting_down = session.shutting_down.clone();
    let mut supervisor = Supervisor {
        // The second session is one with a legacy server.
        contact: (role == Role::OtherEra).then(Contact::default),
        is_first: role == Role::Primary,
        role,
        handler: ConnectionHandler { session, context },
        client,
        listing: Arc::default(),
        listings: 0,
        pauses: Pauses::new(role == Role::Primary),
        failed_lists: Backoff::new(Series::RECONNECT),
        changes: Backoff::new(Series::LISTS),
    };
    tokio::select! {
        // What the end interrupts is not reported.
        biased;
        () = shutting_down.cancelled() => {}
        () = supervisor.run_despite_panics() => {}
    }
}

struct Supervisor {
    role: Role,
    /// The session, and where its unsolicited messages go.
    handler: ConnectionHandler,
    client: watch::Receiver<Option<Arc<ClientProfile>>>,
    /// How the server was connected the last time, so that a reconnect need not search.
    contact: Option<Contact>,
    /// No connection was attempted yet.
    is_first: bool,
    /// As of last contact.
    listing: Arc<Listing>,
    /// How many there were.
    listings: u64,
    pauses: Pauses,
    /// Between fetches of lists of which some failed.
    failed_lists: Backoff,
    /// Between fetches of lists that change.
    changes: Backoff,
}

impl Supervisor {
    /// A panic takes the backend down like any other failure, and it is tried again.
    async fn run_despite_panics(&mut self) {
        while let Err(panic) = AssertUnwindSafe(self.run()).catch_unwind().await {
            let why = panic_text(&*panic);
            let pause = self.pauses.after_panic(&self.handler, why);
            if AssertUnwindSafe(pause).catch_unwind().await.is_err() {
                tokio::time::sleep(AFTER_TWO_PANICS).await;
            }
        }
    }

    async fn run(&mut self) {
        while !self.handler.context.events.is_closed() {
            match self.connect().await {
                Ok(connection) => match self.client().await {
                    Some(client) => match self.serve(&connection, &client).await {
                        Some(why) => self.pauses.after_panic(&self.handler, &why).await,
                        None => self.pauses.after_loss(&self.handler).await,
                    },
                    // The gateway is gone.
                    None => return,
                },
                Err(BackendError::Connect {
                    kind: ConnectKind::ShuttingDown,
                    ..
                }) => return,
                Err(error) => self.pauses.after_failure(&self.handler, error).await,
            }
        }
    }

    /// Makes a connection: the handshake begins with what worked the last time.
    async fn connect(&mut self) -> Result<Arc<Connection>, BackendError> {
        let config = Arc::clone(&self.handler.session.config);
        let context = self.handler.context.clone();
        let resolving = Endpoint::resolve(
            &config,
            context.credentials,
            &context.pool,
            context.max_message_bytes,
            context.budget,
        );
        let endpoint = self.limited("give its secrets", resolving).await?;
        let endpoint = Arc::new(endpoint.sharing(context.side_requests));
        if std::mem::take(&mut self.is_first) {
            self.contact = context.contacts.of(&config.name).await;
        }
        let handshake = Handshake {
            endpoint: &endpoint,
            background: &self.handler.session.background,
            unsolicited: Arc::new(self.handler.clone()),
            protocol: config.protocol,
            limit: HANDSHAKE_TIMEOUT.min(config.timeout),
            remembered: self.contact.as_ref(),
        };
        let connection = handshake.run(&mut self.client).await;
        match &connection {
            Ok(connection) => self.contact.clone_from(&connection.contact),
            // It says nothing about how to begin.
            Err(BackendError::Connect { .. }) => {}
            Err(_) => self.contact = None,
        }
        connection.map(Arc::new)
    }

    async fn client(&mut self) -> Option<Arc<ClientProfile>> {
        let client = self.client.wait_for(Option::is_some).await;
        let client = client.ok().and_then(|client| client.clone());
        if let Some(client) = &client {
            self.handler.session.set_client_era(client.era);
        }
        client
    }

    async fn limited<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let limit = HANDSHAKE_TIMEOUT.min(self.handler.session.config.timeout);
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
            let within = limit.as_secs();
            let why = format!("the server does not {what} within {within} s");
            Err(BackendError::Silent(why))
        })
    }

    /// While connected: keeps the lists and reads what the server sends, until the connection ends.
    /// Returns the text of a panic elsewhere in the gateway, if that ends it.
    async fn serve(
        &mut self,
        connection: &Arc<Connection>,
        client: &ClientProfile,
    ) -> Option<String> {
        let handler = self.handler.clone();
        let session = &handler.session;
        self.pauses.connected();
        tracing::info!(
            backend = session.name(),
            server = connection.server.name,
            server_version = connection.server.version,
            era = connection.era.name(),
            protocol = connection.version,
            "connected"
        );
        let opened = Notify::new();
        let up = async {
            if connection.may_have_get_stream() {
                let _ = tokio::time::timeout(GET_STREAM_TIMEOUT, opened.notified()).await;
            }
            session.set_state(State::Ready(Arc::clone(connection)));
            session.restore(connection);
            session.wait_disconnected().await;
        };
        let server_stream = async {
            match connection.era {
                Era::Modern => subscription_stream::run(connection, &handler, client).await,
                Era::Legacy if connection.may_have_get_stream() => {
                    get_stream::run(connection, &handler, &opened).await
                }
                Era::Legacy => {}
            }
            // It has no such stream, or the connection has ended.
            std::future::pending().await
        };
        tokio::select! {
            biased;
            () = up => {}
            () = handler.context.events.closed() => {}
            () = connection.ended() => session.disconnected(connection),
            why = session.failed() => return Some(why),
            () = server_stream => {}
            () = self.refresh_lists_on_change(connection, client) => {}
        }
        None
    }

    /// Fetches the lists, and again when they change.
    async fn refresh_lists_on_change(
        &mut self,
        connection: &Arc<Connection>,
        client: &ClientProfile,
    ) {
        let session = Arc::clone(&self.handler.session);
        if self.role == Role::OtherEra {
            return std::future::pending().await;
        }
        loop {
            let waiting = session.list_refresh.take();
            let (retry_in, taken) = self.refresh(connection, client).await;
            waiting.done(self.listings);
            // The lists are not fetched again before those are in use: no more than these two are kept.
            let _ = taken.await;
            let fetched = Instant::now();
            tokio::select! {
                () = sleep_if(retry_in) => continue,
                // A call waits for it: the first is fetched at once.
                () = session.list_refresh.needed() => {
                    self.changes.lasted(fetched.elapsed());
                    match self.changes.waits() {
                        0 => self.changes.count(),
                        _ => self.wait_for_more_changes().await,
                    }
                }
                () = session.lists_changed.notified() => {
                    self.changes.lasted(fetched.elapsed());
                    self.wait_for_more_changes().await;
                }
            }
            // The fetch that follows covers changes that came meanwhile.
            let _ = session.lists_changed.notified().now_or_never();
        }
    }

    /// Changes that come together are fetched once; while they go on, less and less often.
    async fn wait_for_more_changes(&mut self) {
        let delay = self.changes.next_delay(&mut jitter());
        tokio::time::sleep(delay).await;
    }

    /// Fetches all lists; returns when to try again if some failed, and what resolves when the listing
    /// is in use.
    async fn refresh(
        &mut self,
        connection: &Arc<Connection>,
        client: &ClientProfile,
    ) -> (Option<Duration>, oneshot::Receiver<()>) {
        let retries = self.handler.session.config.retries;
        let (listing, stale) = listing::fetch(connection, client, retries, &self.listing).await;
        // A client may call as soon as it sees the list.
        self.handler.session.wait_ready().await;
        for (kind, error) in &stale {
            tracing::warn!(
                backend = self.handler.session.name(), list = kind.list_method(), %error,
                "a list could not be fetched: the previous listing is kept"
            );
        }
        self.listing = Arc::new(listing);
        let again = (!stale.is_empty()).then(|| self.failed_lists.next_delay(&mut jitter()));
        if again.is_none() {
            self.failed_lists.reset();
        }
        self.listings += 1;
        let (taken, in_use) = oneshot::channel();
        let _ = self.handler.context.events.send(BackendEvent::Listed {
            backend: self.handler.context.id,
            number: self.listings,
            listing: Arc::clone(&self.listing),
            stale,
            taken,
        });
        (again, in_use)
    }
}

async fn sleep_if(delay: Option<Duration>) {
    match delay {
        Some(delay) => tokio::time::sleep_until(Instant::now() + delay).await,
        None => std::future::pending().await,
    }
}
