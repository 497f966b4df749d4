//! Keeps one backend connected.
//!
//! Owns the life of its link: the first connection, the lists, the one re-initialize when a
//! session is lost, and the waits between tries when it is down. One task a backend, so that all
//! who need the link share the one attempt to get it. It must not know calls.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::error::BackendError;
use super::event::BackendEvent;
use super::get_stream::{self, ConnectionHandler};
use super::handshake::{self, PROBE_TIMEOUT, Probed};
use super::http::Endpoint;
use super::listing;
use super::retry::Reconnect;
use super::session::Connection;
use super::subscription_stream;
use super::{HttpBackend, State};
use crate::config::Protocol;
use crate::protocol::{ClientProfile, Era, Listing, MODERN_VERSION};

/// Longest time for one handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// A server that asks on a stream of its own loses what it asks before that is open: it gets this
/// long to say whether it has one, before the first call goes out.
const GET_STREAM_TIMEOUT: Duration = Duration::from_millis(500);
/// A link that ends by itself within this is a failure, after which there is a wait.
const MIN_CONNECTION_LIFE: Duration = Duration::from_secs(1);
/// Changes that come within this are fetched once.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// Runs until the gateway takes its leave, or drops the events' receiver.
pub async fn keep(backend: Arc<HttpBackend>, client: watch::Receiver<Option<Arc<ClientProfile>>>) {
    let mut supervisor = Supervisor {
        // A backend has a second session in this era alone.
        era: backend.is_second.then_some(Era::Legacy),
        handler: ConnectionHandler { backend },
        client,
        listing: Arc::default(),
        reconnect: Reconnect::default(),
    };
    let shutting_down = supervisor.handler.backend.shutting_down.clone();
    tokio::select! {
        () = shutting_down.cancelled() => {}
        () = supervisor.run() => {}
    }
}

struct Supervisor {
    /// The backend, and where what happens is told.
    handler: ConnectionHandler,
    client: watch::Receiver<Option<Arc<ClientProfile>>>,
    /// What the server was found to speak, so that a reconnect need not ask again.
    era: Option<Era>,
    /// As of last contact.
    listing: Arc<Listing>,
    reconnect: Reconnect,
}

impl Supervisor {
    async fn run(&mut self) {
        while !self.handler.events().is_closed() {
            match self.connect().await {
                Ok(connection) => match self.client_era().await {
                    Some(client) => {
                        let begun = Instant::now();
                        self.serve(&connection, &client).await;
                        if connection.has_ended() && begun.elapsed() < MIN_CONNECTION_LIFE {
                            let why = "the server closes its stream at once".into();
                            self.wait(BackendError::ConnectionLost(why)).await;
                        }
                    }
                    // Whoever introduces clients is gone: nobody will need this backend.
                    None => return,
                },
                Err(error) => self.wait(error).await,
            }
        }
    }

    /// Finds out what the server speaks, at once; the handshake of the legacy era then waits for
    /// the client, since a legacy server is told exactly what that client can do.
    async fn connect(&mut self) -> Result<Arc<Connection>, BackendError> {
        let config = Arc::clone(&self.handler.backend.config);
        let context = self.handler.backend.context.clone();
        let (limit, budget) = (context.max_message_bytes, context.budget);
        let resolving = Endpoint::resolve(&config, &context.pool, limit, budget);
        let endpoint = Arc::new(self.limited("give its secrets", resolving).await?);
        let known = match config.protocol {
            Protocol::Legacy => Some(Era::Legacy),
            Protocol::Auto => self.era,
            Protocol::Modern => None,
        };
        if known == Some(Era::Legacy) {
            match self.initialize(&endpoint).await {
                // It may be of the other era since.
                Err(error) if config.protocol == Protocol::Auto && error.is_refusal() => {}
                connection => return connection,
            }
        }
        let probed = self.probe(&endpoint, PROBE_TIMEOUT).await?;
        match probed {
            Probed::Modern(connection) => Ok(connection),
            _ if config.protocol == Protocol::Modern => Err(BackendError::Handshake(format!(
                "the server does not speak {MODERN_VERSION}: leave out protocol = \"modern\""
            ))),
            Probed::Legacy => self.initialize(&endpoint).await,
            Probed::Silent => match self.initialize(&endpoint).await {
                Ok(connection) => {
                    // It was too slow to say what it is: a reconnect asks again.
                    self.era = None;
                    Ok(connection)
                }
                Err(error) => match self.probe(&endpoint, HANDSHAKE_TIMEOUT).await {
                    Ok(Probed::Modern(connection)) => Ok(connection),
                    _ => Err(error),
                },
            },
        }
    }

    async fn probe(
        &mut self,
        endpoint: &Arc<Endpoint>,
        patience: Duration,
    ) -> Result<Probed, BackendError> {
        let background = self.handler.backend.background.clone();
        let probing = handshake::probe(endpoint, &background, patience);
        let probed = self.limited("answer server/discover", probing).await?;
        self.era = matches!(probed, Probed::Modern(_)).then_some(Era::Modern);
        Ok(probed)
    }

    async fn initialize(
        &mut self,
        endpoint: &Arc<Endpoint>,
    ) -> Result<Arc<Connection>, BackendError> {
        let Some(client) = self.client_era().await else {
            return Err(BackendError::Connect("the gateway is shutting down".into()));
        };
        let background = self.handler.backend.background.clone();
        let news = Arc::new(self.handler.clone());
        let shaking = handshake::initialize(endpoint, &client, &background, news);
        let connection = self.limited("answer initialize", shaking).await;
        // What was found out may not be true any more.
        self.era = connection.is_ok().then_some(Era::Legacy);
        connection.map(Arc::new)
    }

    async fn client_era(&mut self) -> Option<Arc<ClientProfile>> {
        let client = self.client.wait_for(Option::is_some).await;
        let client = client.ok().and_then(|client| client.clone());
        if let Some(client) = &client {
            self.handler.backend.client_era.get_or_init(|| client.era);
        }
        client
    }

    async fn limited<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let limit = HANDSHAKE_TIMEOUT.min(self.handler.backend.config.timeout);
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
            let within = limit.as_secs();
            let why = format!("the server does not {what} within {within} s");
            Err(BackendError::Silent(why))
        })
    }

    /// Connected: keep the lists and hear what the backend says, until the link is lost.
    async fn serve(&mut self, connection: &Arc<Connection>, client: &ClientProfile) {
        let handler = self.handler.clone();
        let backend = &handler.backend;
        self.reconnect.reset();
        tracing::info!(
            backend = &*backend.config.name,
            server = connection.server.name,
            server_version = connection.server.version,
            era = connection.era.name(),
            protocol = connection.version,
            "connected"
        );
        let asked = Notify::new();
        let up = async {
            if connection.has_news() {
                let _ = tokio::time::timeout(GET_STREAM_TIMEOUT, asked.notified()).await;
            }
            backend
                .state
                .send_replace(State::Ready(Arc::clone(connection)));
            backend.restore(connection);
            backend.connection_lost().await;
        };
        let news = async {
            match connection.era {
                Era::Modern => subscription_stream::follow(connection, &handler, client).await,
                Era::Legacy if connection.has_news() => {
                    get_stream::follow(connection, &handler, &asked).await
                }
                Era::Legacy => {}
            }
            // It has no news, or the link is lost.
            std::future::pending().await
        };
        tokio::select! {
            biased;
            () = up => {}
            () = handler.events().closed() => {}
            () = connection.ended() => backend.disconnected(connection),
            () = news => {}
            () = self.refresh_lists_on_change(connection, client) => {}
        }
    }

    /// Fetches the lists, and again when they change.
    async fn refresh_lists_on_change(
        &mut self,
        connection: &Arc<Connection>,
        client: &ClientProfile,
    ) {
        let backend = Arc::clone(&self.handler.backend);
        if backend.is_second {
            return std::future::pending().await;
        }
        loop {
            let waiting = backend.list_refresh.take();
            let list_refresh = self.refresh(connection, client).await;
            for fetched in waiting {
                let _ = fetched.send(());
            }
            tokio::select! {
                () = sleep_if(list_refresh) => {}
                () = backend.list_refresh.needed() => {}
                () = backend.lists_changed.notified() => {
                    tokio::time::sleep(DEBOUNCE).await;
                    // What came meanwhile is covered by the fetch that follows.
                    let _ = backend.lists_changed.notified().now_or_never();
                }
            }
        }
    }

    /// Fetches all lists; says when to try again if some could not be had.
    async fn refresh(
        &mut self,
        connection: &Arc<Connection>,
        client: &ClientProfile,
    ) -> Option<Duration> {
        let retries = self.handler.backend.config.retries;
        let (listing, stale) = listing::fetch(connection, client, retries, &self.listing).await;
        // Who hears that there is a list may call at once.
        self.handler.backend.is_up().await;
        for (kind, error) in &stale {
            tracing::warn!(
                backend = &*self.handler.backend.config.name, list = kind.list_method(), %error,
                "a list can't be had; what was listed at last contact stays"
            );
        }
        self.listing = Arc::new(listing);
        let again = (!stale.is_empty()).then(|| self.reconnect.next_delay(&mut rand::rng()));
        if again.is_none() {
            self.reconnect.reset();
        }
        let listing = Arc::clone(&self.listing);
        let _ = self.handler.events().send(BackendEvent::Listed {
            backend: self.handler.backend.index,
            listing,
            stale,
        });
        again
    }

    /// Down: say so, and wait for the time to try again or for a call that needs it now.
    async fn wait(&mut self, error: BackendError) {
        let delay = self.reconnect.next_delay(&mut rand::rng());
        let backend = &self.handler.backend;
        let why = error.explain(&backend.config.shown_url);
        tracing::warn!(
            backend = &*backend.config.name,
            error = why,
            retry_in_ms = delay.as_millis() as u64,
            "backend is down"
        );
        let failures = backend.failures() + 1;
        backend.state.send_replace(State::Down { error, failures });
        if !backend.is_second {
            let _ = self.handler.events().send(BackendEvent::Down {
                backend: backend.index,
            });
        }
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = backend.needed.notified() => {}
            () = self.handler.events().closed() => {}
        }
        backend.state.send_replace(State::Connecting { failures });
    }
}

async fn sleep_if(delay: Option<Duration>) {
    match delay {
        Some(delay) => tokio::time::sleep_until(Instant::now() + delay).await,
        None => std::future::pending().await,
    }
}
