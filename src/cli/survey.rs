//! All backends of a config, connected once for a command that asks about them.
//!
//! Owns starting them, waiting until each has connected or failed, and leaving politely. It must
//! not know what is printed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};

use super::style::Status;
use crate::backend::session::Connection;
use crate::backend::{BackendError, BackendEvent, HttpBackend, State, shutdown_all, start_all};
use crate::budget::Budget;
use crate::call_report::BackendId;
use crate::catalog::{BackendListing, Built, Catalog, Findings, Names, Pins, Source};
use crate::config::Config;
use crate::protocol::{ClientProfile, Kind};
use crate::state::ListingCache;

/// Longest wait for all of them. A handshake has its own limit; this one is for endless lists.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was found: every backend, and what all of them make together.
pub(super) struct BackendSurvey {
    /// In config order.
    pub(super) members: Vec<SurveyedBackend>,
    /// What a client would be shown, and what would be kept from it.
    pub(super) built: Built,
}

/// One backend, and how it fares.
pub(super) struct SurveyedBackend {
    pub(super) backend: Arc<HttpBackend>,
    /// Its link, or in one line what is wrong and what to do.
    pub(super) link: Result<Arc<Connection>, String>,
    /// What it lists or, where it wasn't reached, listed at last contact.
    backend_listing: Option<BackendListing>,
    /// When that was, where it wasn't reached.
    pub(super) last_contact: Option<SystemTime>,
    /// What of its tools is new, and what has changed.
    pub(super) findings: Findings,
    /// The lists that could not be had, and why.
    stale: Vec<(Kind, BackendError)>,
}

impl BackendSurvey {
    /// Connects all backends, asks each for its lists, and leaves again.
    pub(super) async fn connect_all(config: Config) -> Self {
        let config = Arc::new(config);
        let last_good = ListingCache::of(&config);
        // Held until the end: keepers run while somebody may introduce a client.
        let (_client, introduction) = watch::channel(Some(Arc::new(ClientProfile::ourselves())));
        let budget = Budget::new(config.gateway.max_buffered_bytes);
        let (backends, mut news) = start_all(&config, &introduction, &budget);
        let mut members: Vec<SurveyedBackend> =
            backends.into_iter().map(SurveyedBackend::pending).collect();

        let status = Status::new(format!("connecting to {} backends", members.len()));
        let _ = tokio::time::timeout(PATIENCE, receive_all(&mut members, &mut news)).await;
        // No more tries: keepers end when nobody listens.
        news.close();
        shutdown_all(members.iter().map(|surveyed| &surveyed.backend)).await;
        drop(status);

        let mut pins = Pins::new(Arc::clone(&config.lock.lock));
        for surveyed in &mut members {
            surveyed.cached_listing(last_good.as_ref());
            surveyed.judge(&mut pins);
        }
        let sources: Vec<Source<'_>> = members.iter().map(SurveyedBackend::source).collect();
        let built = Catalog::build(&config.gateway, &sources, &Names::default());
        Self { members, built }
    }

    /// The backend with this id.
    pub(super) fn member(&self, id: BackendId) -> Option<&SurveyedBackend> {
        let mut members = self.members.iter();
        members.find(|surveyed| surveyed.backend.id == id)
    }

    /// Those that could not be reached.
    pub(super) fn down(&self) -> impl Iterator<Item = (&SurveyedBackend, &str)> {
        self.members
            .iter()
            .filter_map(|surveyed| Some((surveyed, surveyed.link.as_ref().err()?.as_str())))
    }
}

impl SurveyedBackend {
    fn pending(backend: Arc<HttpBackend>) -> Self {
        let why = format!("no answer within {} s", PATIENCE.as_secs());
        Self {
            backend,
            link: Err(why),
            backend_listing: None,
            last_contact: None,
            findings: Findings::default(),
            stale: Vec::new(),
        }
    }

    fn receive(&mut self, event: BackendEvent) {
        match (event, self.backend.state()) {
            (BackendEvent::Listed { listing, stale, .. }, State::Ready(link)) => {
                self.link = Ok(link);
                self.backend_listing = Some(BackendListing::read(&self.backend.config, &listing));
                self.stale = stale;
            }
            _ => {
                let why = self.backend.why_down();
                self.link = Err(why.unwrap_or_else(|| "the connection does not last".into()));
            }
        }
    }

    /// Where it wasn't reached, it is shown as a client would be: as it was at last contact.
    fn cached_listing(&mut self, last_good: Option<&ListingCache>) {
        if self.backend_listing.is_some() {
            return;
        }
        let config = &self.backend.config;
        if let Some(cached) = last_good.and_then(|last_good| last_good.cached_listing(config)) {
            self.backend_listing = Some(BackendListing::read(config, &cached.listing));
            self.last_contact = Some(cached.at);
        }
    }

    fn judge(&mut self, pins: &mut Pins) {
        if let Some(backend_listing) = &mut self.backend_listing {
            self.findings = pins.compare(&self.backend.config, backend_listing);
        }
    }

    /// The tools that it has.
    pub(super) fn has_tool(&self, own: &str) -> bool {
        self.backend_listing
            .as_ref()
            .is_some_and(|backend_listing| backend_listing.has_tool(own))
    }

    /// The lists that could not be had, each with a line on why.
    pub(super) fn lacks(&self) -> impl Iterator<Item = (Kind, String)> {
        let url = &self.backend.config.shown_url;
        self.stale.iter().map(move |(kind, error)| {
            let list = kind.list_method();
            (*kind, format!("{list} failed: {}", error.explain(url)))
        })
    }

    fn source(&self) -> Source<'_> {
        Source {
            id: self.backend.id,
            config: &self.backend.config,
            backend_listing: self.backend_listing.as_ref(),
            confirmed: self.link.is_ok(),
        }
    }
}

/// Ends when each has been heard once.
async fn receive_all(
    members: &mut [SurveyedBackend],
    news: &mut mpsc::UnboundedReceiver<BackendEvent>,
) {
    let mut heard = HashSet::new();
    while heard.len() < members.len() {
        let Some(event) = news.recv().await else {
            return;
        };
        if let BackendEvent::Listed { backend, .. } | BackendEvent::Down { backend } = event {
            let mut members = members.iter_mut();
            if let Some(surveyed) = members.find(|surveyed| surveyed.backend.id == backend) {
                heard.insert(backend);
                surveyed.receive(event);
            }
        }
    }
}
