//! Keeps one backend connected.
//!
//! Owns the life of its link: the first connection, the lists, the one re-initialize when a
//! session is lost, and the waits between tries when it is down. One task a backend, so that all
//! who need the link share the one attempt to get it. It must not know calls.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::error::BackendError;
use super::http::Endpoint;
use super::listing;
use super::pool::Pool;
use super::retry::Reconnect;
use super::session::Link;
use super::{Backend, State};
use crate::protocol::{ClientProfile, Kind, Listing};

/// Longest time for one handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// Changes that come within this are fetched once.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// What a keeper tells the rest of the gateway.
#[derive(Debug)]
pub enum BackendEvent {
    /// It is connected, and this is what it offers now.
    Listed {
        /// Its index in config order.
        backend: usize,
        /// All kinds; those that could not be had are as at last contact.
        listing: Arc<Listing>,
        /// The lists that could not be had now, and why.
        stale: Vec<(Kind, BackendError)>,
    },
    /// It can't be reached.
    Down {
        /// Its index in config order.
        backend: usize,
    },
}

/// Runs until the gateway drops the events' receiver. Waits for the client to introduce itself,
/// since a legacy server is told exactly what that client can do.
pub async fn keep(
    backend: Arc<Backend>,
    pool: Pool,
    max_message_bytes: usize,
    mut client: watch::Receiver<Option<Arc<ClientProfile>>>,
    events: mpsc::UnboundedSender<BackendEvent>,
) {
    let Ok(client) = client
        .wait_for(Option::is_some)
        .await
        .map(|client| client.clone())
    else {
        return;
    };
    let Some(client) = client else { return };
    let mut keeper = Keeper {
        backend,
        pool,
        max_message_bytes,
        client,
        events,
        listing: Arc::default(),
        reconnect: Reconnect::default(),
    };
    while !keeper.events.is_closed() {
        match keeper.connect().await {
            Ok(link) => keeper.serve(link).await,
            Err(error) => keeper.wait(error).await,
        }
    }
}

struct Keeper {
    backend: Arc<Backend>,
    pool: Pool,
    max_message_bytes: usize,
    client: Arc<ClientProfile>,
    events: mpsc::UnboundedSender<BackendEvent>,
    /// As of last contact.
    listing: Arc<Listing>,
    reconnect: Reconnect,
}

impl Keeper {
    async fn connect(&self) -> Result<Arc<Link>, BackendError> {
        let attempt = async {
            let endpoint =
                Endpoint::resolve(&self.backend.config, &self.pool, self.max_message_bytes).await?;
            let errands = self.backend.errands.clone();
            Link::initialize(Arc::new(endpoint), &self.client, errands).await
        };
        let limit = HANDSHAKE_TIMEOUT.min(self.backend.config.timeout);
        match tokio::time::timeout(limit, attempt).await {
            Ok(link) => link.map(Arc::new),
            Err(_) => Err(BackendError::Handshake(format!(
                "the server does not answer initialize within {} s",
                limit.as_secs()
            ))),
        }
    }

    /// Connected: fetch the lists, and again when they change, until the link is lost.
    async fn serve(&mut self, link: Arc<Link>) {
        let backend = Arc::clone(&self.backend);
        self.reconnect.reset();
        tracing::info!(
            backend = &*backend.config.name,
            server = link.server.name,
            server_version = link.server.version,
            protocol = link.version,
            "connected"
        );
        backend.restore(&link);
        backend.state.send_replace(State::Ready(Arc::clone(&link)));
        loop {
            let refetch = tokio::select! {
                () = backend.link_lost() => return,
                refetch = self.refresh(&link) => refetch,
            };
            tokio::select! {
                () = backend.link_lost() => return,
                () = self.events.closed() => return,
                () = sleep_if(refetch) => {}
                () = backend.lists_changed.notified() => tokio::time::sleep(DEBOUNCE).await,
            }
        }
    }

    /// Fetches all lists; says when to try again if some could not be had.
    async fn refresh(&mut self, link: &Arc<Link>) -> Option<Duration> {
        let retries = self.backend.config.retries;
        let (listing, stale) = listing::fetch(link, retries, &self.listing).await;
        for (kind, error) in &stale {
            tracing::warn!(
                backend = &*self.backend.config.name, list = kind.list_method(), %error,
                "a list can't be had; what was listed at last contact stays"
            );
        }
        self.listing = Arc::new(listing);
        let again = (!stale.is_empty()).then(|| self.reconnect.next_delay(&mut rand::rng()));
        if again.is_none() {
            self.reconnect.reset();
        }
        let listing = Arc::clone(&self.listing);
        let _ = self.events.send(BackendEvent::Listed {
            backend: self.backend.index,
            listing,
            stale,
        });
        again
    }

    /// Down: say so, and wait for the time to try again or for a call that needs it now.
    async fn wait(&mut self, error: BackendError) {
        let delay = self.reconnect.next_delay(&mut rand::rng());
        let backend = &self.backend;
        let why = error.explain(&backend.config.shown_url);
        tracing::warn!(
            backend = &*backend.config.name,
            error = why,
            retry_in_ms = delay.as_millis() as u64,
            "backend is down"
        );
        let failures = backend.failures() + 1;
        backend.state.send_replace(State::Down { error, failures });
        let _ = self.events.send(BackendEvent::Down {
            backend: backend.index,
        });
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = backend.needed.notified() => {}
            () = self.events.closed() => {}
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
