//! Connects all backends of a config once, for the commands that report on them.
//!
//! Owns starting the backends, waiting until each has connected or failed, and closing sessions. It
//! must not know what is printed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};

use super::terminal::Status;
use crate::backend::session::Connection;
use crate::backend::{BackendError, BackendEvent, HttpBackend, State, shutdown_all, start_all};
use crate::budget::Budget;
use crate::call_report::BackendId;
use crate::catalog::{BackendListing, Built, Catalog, Findings, Names, Pins, Source};
use crate::config::{Config, Subject};
use crate::protocol::{ClientProfile, Kind};
use crate::state::ListingCache;

/// Longest wait for all backends. A handshake has its own timeout; this one bounds slow lists.
const SURVEY_TIMEOUT: Duration = Duration::from_secs(60);

/// The state of all backends, and the catalog built from their listings.
pub(super) struct BackendSurvey {
    /// In config order.
    pub(super) members: Vec<SurveyedBackend>,
    /// The catalog as listed to clients, and the rejected items.
    pub(super) built: Built,
}

/// One backend and its state.
pub(super) struct SurveyedBackend {
    pub(super) backend: Arc<HttpBackend>,
    /// Its connection, or one line on why it is down and what to do.
    pub(super) connection: Result<Arc<Connection>, String>,
    /// Its listing; if it is down, that of the last contact.
    listing: Option<BackendListing>,
    /// If it is down and its listing is from the cache: time of the last contact.
    pub(super) last_contact: Option<SystemTime>,
    /// Whether it gave instructions, also if they are withheld.
    has_instructions: bool,
    /// New and changed tools compared to the lock.
    pub(super) findings: Findings,
    /// The lists that failed.
    failed_lists: Vec<(Kind, BackendError)>,
}

impl BackendSurvey {
    /// Connects all backends, fetches their lists and closes the sessions.
    pub(super) async fn connect_all(config: Config) -> Self {
        let config = Arc::new(config);
        let cache = ListingCache::of(&config);
        // Kept until the end: supervisors run while the sender exists.
        let (_sender, introduction) = watch::channel(Some(Arc::new(ClientProfile::ourselves())));
        let budget = Budget::new(config.gateway.max_buffered_bytes);
        let (backends, mut events) = start_all(&config, &introduction, &budget);
        let mut members: Vec<SurveyedBackend> =
            backends.into_iter().map(SurveyedBackend::pending).collect();

        let status = Status::new(format!("connecting to {} backends", members.len()));
        let _ = tokio::time::timeout(SURVEY_TIMEOUT, receive_all(&mut members, &mut events)).await;
        // Supervisors stop reconnecting when the receiver is closed.
        events.close();
        shutdown_all(members.iter().map(|surveyed| &surveyed.backend)).await;
        drop(status);

        let mut pins = Pins::new(Arc::clone(&config.lock.lock));
        for surveyed in &mut members {
            surveyed.use_cached_listing(cache.as_ref());
            surveyed.compare_pins(&mut pins);
        }
        let sources: Vec<Source<'_>> = members.iter().map(SurveyedBackend::source).collect();
        let built = Catalog::build(&config.gateway, &sources, &Names::recorded(&config));
        Self { members, built }
    }

    /// The backend with this id.
    pub(super) fn member(&self, id: BackendId) -> Option<&SurveyedBackend> {
        let mut members = self.members.iter();
        members.find(|surveyed| surveyed.backend.id == id)
    }

    /// The backends that are down, each with the reason.
    pub(super) fn down(&self) -> impl Iterator<Item = (&SurveyedBackend, &str)> {
        self.members
            .iter()
            .filter_map(|surveyed| Some((surveyed, surveyed.connection.as_ref().err()?.as_str())))
    }
}

impl SurveyedBackend {
    fn pending(backend: Arc<HttpBackend>) -> Self {
        let why = format!("no answer within {} s", SURVEY_TIMEOUT.as_secs());
        Self {
            backend,
            connection: Err(why),
            listing: None,
            last_contact: None,
            has_instructions: false,
            findings: Findings::default(),
            failed_lists: Vec::new(),
        }
    }

    fn receive(&mut self, event: BackendEvent) {
        match (event, self.backend.state()) {
            (BackendEvent::Listed { listing, stale, .. }, State::Ready(connection)) => {
                self.connection = Ok(connection);
                self.listing = Some(BackendListing::read(&self.backend.config, &listing));
                self.failed_lists = stale;
            }
            _ => {
                let why = self.backend.why_down();
                self.connection = Err(why.unwrap_or_else(|| "the connection does not last".into()));
            }
        }
    }

    /// If it is down, takes the listing of the last contact, as the gateway does.
    fn use_cached_listing(&mut self, cache: Option<&ListingCache>) {
        if self.listing.is_some() {
            return;
        }
        let config = &self.backend.config;
        if let Some(cached) = cache.and_then(|cache| cache.cached_listing(config)) {
            self.listing = Some(BackendListing::read(config, &cached.listing));
            self.last_contact = Some(cached.at);
        }
    }

    fn compare_pins(&mut self, pins: &mut Pins) {
        if let Some(listing) = &mut self.listing {
            self.has_instructions = listing.instructions().is_some();
            self.findings = pins.compare(&self.backend.config, listing);
        }
    }

    /// Whether it has what is pinned so.
    pub(super) fn has(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Tool(own) => self.has_tool(own),
            Subject::Instructions => self.has_instructions,
        }
    }

    /// Whether it lists a tool of this own name.
    pub(super) fn has_tool(&self, own: &str) -> bool {
        self.listing
            .as_ref()
            .is_some_and(|listing| listing.has_tool(own))
    }

    /// The lists that failed, each with one line on why.
    pub(super) fn failed_lists(&self) -> impl Iterator<Item = (Kind, String)> {
        let url = &self.backend.config.shown_url;
        self.failed_lists.iter().map(move |(kind, error)| {
            let list = kind.list_method();
            (*kind, format!("{list} failed: {}", error.explain(url)))
        })
    }

    fn source(&self) -> Source<'_> {
        Source {
            id: self.backend.id,
            config: &self.backend.config,
            backend_listing: self.listing.as_ref(),
            confirmed: self.connection.is_ok(),
        }
    }
}

/// Returns when each backend has connected or failed once.
async fn receive_all(
    members: &mut [SurveyedBackend],
    events: &mut mpsc::UnboundedReceiver<BackendEvent>,
) {
    let mut seen = HashSet::new();
    while seen.len() < members.len() {
        let Some(event) = events.recv().await else {
            return;
        };
        if let BackendEvent::Listed { backend, .. } | BackendEvent::Down { backend } = event {
            let mut members = members.iter_mut();
            if let Some(surveyed) = members.find(|surveyed| surveyed.backend.id == backend) {
                seen.insert(backend);
                surveyed.receive(event);
            }
        }
    }
}
