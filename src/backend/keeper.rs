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
use super::handshake::{self, PROBE_TIMEOUT, Probed};
use super::http::Endpoint;
use super::listen;
use super::listing;
use super::news::{self, Ear};
use super::retry::Reconnect;
use super::session::Link;
use super::{Backend, State};
use crate::config::Protocol;
use crate::protocol::{ClientProfile, Era, Listing, MODERN_VERSION};

/// Longest time for one handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// A server that asks on a stream of its own loses what it asks before that is open: it gets this
/// long to say whether it has one, before the first call goes out.
const NEWS_TIMEOUT: Duration = Duration::from_millis(500);
/// A link that ends by itself within this is a failure, after which there is a wait.
const TOO_SHORT: Duration = Duration::from_secs(1);
/// Changes that come within this are fetched once.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// Runs until the gateway takes its leave, or drops the events' receiver.
pub async fn keep(backend: Arc<Backend>, client: watch::Receiver<Option<Arc<ClientProfile>>>) {
    let mut keeper = Keeper {
        // A backend has a second session in this era alone.
        era: backend.is_second.then_some(Era::Legacy),
        ear: Ear { backend },
        client,
        listing: Arc::default(),
        reconnect: Reconnect::default(),
    };
    let leaving = keeper.ear.backend.leaving.clone();
    tokio::select! {
        () = leaving.cancelled() => {}
        () = keeper.run() => {}
    }
}

struct Keeper {
    /// The backend, and where what happens is told.
    ear: Ear,
    client: watch::Receiver<Option<Arc<ClientProfile>>>,
    /// What the server was found to speak, so that a reconnect need not ask again.
    era: Option<Era>,
    /// As of last contact.
    listing: Arc<Listing>,
    reconnect: Reconnect,
}

impl Keeper {
    async fn run(&mut self) {
        while !self.ear.events().is_closed() {
            match self.connect().await {
                Ok(link) => match self.introduced().await {
                    Some(client) => {
                        let begun = Instant::now();
                        self.serve(&link, &client).await;
                        if link.has_ended() && begun.elapsed() < TOO_SHORT {
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
    async fn connect(&mut self) -> Result<Arc<Link>, BackendError> {
        let config = Arc::clone(&self.ear.backend.config);
        let means = self.ear.backend.means.clone();
        let (limit, budget) = (means.max_message_bytes, means.budget);
        let resolving = Endpoint::resolve(&config, &means.pool, limit, budget);
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
                link => return link,
            }
        }
        let probed = self.probe(&endpoint, PROBE_TIMEOUT).await?;
        match probed {
            Probed::Modern(link) => Ok(link),
            _ if config.protocol == Protocol::Modern => Err(BackendError::Handshake(format!(
                "the server does not speak {MODERN_VERSION}: leave out protocol = \"modern\""
            ))),
            Probed::Legacy => self.initialize(&endpoint).await,
            Probed::Silent => match self.initialize(&endpoint).await {
                Ok(link) => {
                    // It was too slow to say what it is: a reconnect asks again.
                    self.era = None;
                    Ok(link)
                }
                Err(error) => match self.probe(&endpoint, HANDSHAKE_TIMEOUT).await {
                    Ok(Probed::Modern(link)) => Ok(link),
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
        let errands = self.ear.backend.errands.clone();
        let probing = handshake::probe(endpoint, &errands, patience);
        let probed = self.limited("answer server/discover", probing).await?;
        self.era = matches!(probed, Probed::Modern(_)).then_some(Era::Modern);
        Ok(probed)
    }

    async fn initialize(&mut self, endpoint: &Arc<Endpoint>) -> Result<Arc<Link>, BackendError> {
        let Some(client) = self.introduced().await else {
            return Err(BackendError::Connect("the gateway is shutting down".into()));
        };
        let errands = self.ear.backend.errands.clone();
        let news = Arc::new(self.ear.clone());
        let shaking = handshake::initialize(endpoint, &client, &errands, news);
        let link = self.limited("answer initialize", shaking).await;
        // What was found out may not be true any more.
        self.era = link.is_ok().then_some(Era::Legacy);
        link.map(Arc::new)
    }

    async fn introduced(&mut self) -> Option<Arc<ClientProfile>> {
        let client = self.client.wait_for(Option::is_some).await;
        let client = client.ok().and_then(|client| client.clone());
        if let Some(client) = &client {
            self.ear.backend.introduced.get_or_init(|| client.era);
        }
        client
    }

    async fn limited<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let limit = HANDSHAKE_TIMEOUT.min(self.ear.backend.config.timeout);
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
            let within = limit.as_secs();
            let why = format!("the server does not {what} within {within} s");
            Err(BackendError::Silent(why))
        })
    }

    /// Connected: keep the lists and hear what the backend says, until the link is lost.
    async fn serve(&mut self, link: &Arc<Link>, client: &ClientProfile) {
        let ear = self.ear.clone();
        let backend = &ear.backend;
        self.reconnect.reset();
        tracing::info!(
            backend = &*backend.config.name,
            server = link.server.name,
            server_version = link.server.version,
            era = link.era.name(),
            protocol = link.version,
            "connected"
        );
        let asked = Notify::new();
        let up = async {
            if link.has_news() {
                let _ = tokio::time::timeout(NEWS_TIMEOUT, asked.notified()).await;
            }
            backend.state.send_replace(State::Ready(Arc::clone(link)));
            backend.restore(link);
            backend.link_lost().await;
        };
        let news = async {
            match link.era {
                Era::Modern => listen::follow(link, &ear, client).await,
                Era::Legacy if link.has_news() => news::follow(link, &ear, &asked).await,
                Era::Legacy => {}
            }
            // It has no news, or the link is lost.
            std::future::pending().await
        };
        tokio::select! {
            biased;
            () = up => {}
            () = ear.events().closed() => {}
            () = link.ended() => backend.lost(link),
            () = news => {}
            () = self.keep_lists(link, client) => {}
        }
    }

    /// Fetches the lists, and again when they change.
    async fn keep_lists(&mut self, link: &Arc<Link>, client: &ClientProfile) {
        let backend = Arc::clone(&self.ear.backend);
        if backend.is_second {
            return std::future::pending().await;
        }
        loop {
            let waiting = backend.refetch.take();
            let refetch = self.refresh(link, client).await;
            for fetched in waiting {
                let _ = fetched.send(());
            }
            tokio::select! {
                () = sleep_if(refetch) => {}
                () = backend.refetch.needed() => {}
                () = backend.lists_changed.notified() => {
                    tokio::time::sleep(DEBOUNCE).await;
                    // What came meanwhile is covered by the fetch that follows.
                    let _ = backend.lists_changed.notified().now_or_never();
                }
            }
        }
    }

    /// Fetches all lists; says when to try again if some could not be had.
    async fn refresh(&mut self, link: &Arc<Link>, client: &ClientProfile) -> Option<Duration> {
        let retries = self.ear.backend.config.retries;
        let (listing, stale) = listing::fetch(link, client, retries, &self.listing).await;
        // Who hears that there is a list may call at once.
        self.ear.backend.is_up().await;
        for (kind, error) in &stale {
            tracing::warn!(
                backend = &*self.ear.backend.config.name, list = kind.list_method(), %error,
                "a list can't be had; what was listed at last contact stays"
            );
        }
        self.listing = Arc::new(listing);
        let again = (!stale.is_empty()).then(|| self.reconnect.next_delay(&mut rand::rng()));
        if again.is_none() {
            self.reconnect.reset();
        }
        let listing = Arc::clone(&self.listing);
        let _ = self.ear.events().send(BackendEvent::Listed {
            backend: self.ear.backend.index,
            listing,
            stale,
        });
        again
    }

    /// Down: say so, and wait for the time to try again or for a call that needs it now.
    async fn wait(&mut self, error: BackendError) {
        let delay = self.reconnect.next_delay(&mut rand::rng());
        let backend = &self.ear.backend;
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
            let _ = self.ear.events().send(BackendEvent::Down {
                backend: backend.index,
            });
        }
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = backend.needed.notified() => {}
            () = self.ear.events().closed() => {}
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
