//! Connects all backends of a config once, for the commands that report on them.
//!
//! Owns starting the backends, waiting until each has connected or failed, and closing sessions. It
//! must not know what is printed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::terminal::Status;
use crate::auth::status::{Status as SignInStatus, status};
use crate::backend::error::Challenge;
use crate::backend::session::Connection;
use crate::backend::{
    BackendError, BackendEvent, Contacts, HttpBackend, Incomplete, State, shutdown_all, start_all,
};
use crate::budget::Budget;
use crate::call_report::BackendId;
use crate::catalog::{
    BackendListing, Built, Catalog, Findings, Names, Pins, Source, UnmatchedRule,
};
use crate::config::{Config, Subject};
use crate::protocol::{ClientProfile, Kind, Kinds};
use crate::state::ListingCache;

/// Most backends that the status names.
const MAX_NAMED: usize = 4;

/// The state of all backends, and the catalog built from their listings.
pub(super) struct BackendSurvey {
    pub(super) config: Arc<Config>,
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
    /// It is down, and a person can sign in.
    pub(super) awaits_sign_in: bool,
    /// Who is signed in to it; `None` where nobody can.
    pub(super) sign_in: Option<SignInStatus>,
    /// What a 401 or 403 said that took it down.
    refusal: Option<Option<Challenge>>,
    /// It has connected or failed, or its time is over.
    is_known: bool,
    /// Its listing; if it is down, that of the last contact.
    listing: Option<BackendListing>,
    /// If it is down and its listing is from the cache: time of the last contact.
    pub(super) last_contact: Option<SystemTime>,
    /// Whether it gave instructions, also if they are withheld.
    has_instructions: bool,
    /// New and changed tools compared to the lock.
    pub(super) findings: Findings,
    /// The lists that have come, whole or not.
    came: Kinds,
    /// Those of which the first pages have come.
    coming: Kinds,
    /// The lists that are not whole.
    incomplete: Vec<Incomplete>,
}

impl BackendSurvey {
    /// Connects all backends, fetches their lists and closes the sessions. Each backend has `timeout`.
    /// `changed` is called for each that is found to be up or down, and again if that changes.
    pub(super) async fn connect_all(
        config: Config,
        timeout: Duration,
        changed: impl FnMut(&Config, &SurveyedBackend),
    ) -> Self {
        Self::connect_all_as(ClientProfile::ourselves(), config, timeout, changed).await
    }

    /// Connects all backends as this client, in all else as [`connect_all`](Self::connect_all)
    /// does.
    pub(super) async fn connect_all_as(
        client: ClientProfile,
        config: Config,
        timeout: Duration,
        mut changed: impl FnMut(&Config, &SurveyedBackend),
    ) -> Self {
        let config = Arc::new(config);
        let cache = ListingCache::of(&config);
        // Kept until the end: supervisors run while the sender exists.
        let (_sender, introduction) = watch::channel(Some(Arc::new(client)));
        let budget = Budget::new(config.gateway.max_buffered_bytes);
        let (backends, mut events) = start_all(&config, &introduction, &budget, &Contacts::none());
        let members = backends.into_iter().map(SurveyedBackend::pending);
        let mut receiving = Receiving {
            config: &config,
            cache,
            members: members.collect(),
            status: Status::new("connecting"),
            changed: &mut changed,
        };
        let _ = tokio::time::timeout(timeout, receiving.run(&mut events)).await;
        receiving.give_up(timeout);
        // Supervisors stop reconnecting when the receiver is closed.
        events.close();
        let mut members = receiving.members;
        for surveyed in &mut members {
            surveyed.sign_in = status(&surveyed.backend.config).await;
        }
        shutdown_all(members.iter().map(|surveyed| &surveyed.backend)).await;

        let sources: Vec<Source<'_>> = members.iter().map(SurveyedBackend::source).collect();
        let built = Catalog::build(&config.gateway, &sources, &Names::recorded(&config));
        Self {
            config,
            members,
            built,
        }
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

/// The wait for all backends.
struct Receiving<'a> {
    config: &'a Config,
    cache: Option<ListingCache>,
    members: Vec<SurveyedBackend>,
    status: Status,
    changed: &'a mut dyn FnMut(&Config, &SurveyedBackend),
}

impl Receiving<'_> {
    /// Returns when each backend has connected or failed once.
    async fn run(&mut self, events: &mut mpsc::UnboundedReceiver<BackendEvent>) {
        let begun = Instant::now();
        let mut second = tokio::time::interval(Duration::from_secs(1));
        while self.missing().next().is_some() {
            self.show_missing(begun.elapsed());
            let event = tokio::select! {
                event = events.recv() => event,
                _ = second.tick(), if self.status.is_shown() => continue,
            };
            match event {
                Some(event) => self.receive(event),
                None => return,
            }
        }
    }

    fn missing(&self) -> impl Iterator<Item = &SurveyedBackend> {
        self.members.iter().filter(|surveyed| !surveyed.is_known)
    }

    fn receive(&mut self, event: BackendEvent) {
        let (BackendEvent::Listed { backend, .. } | BackendEvent::Down { backend }) = event else {
            return;
        };
        let mut members = self.members.iter_mut();
        let Some(surveyed) = members.find(|surveyed| surveyed.backend.id == backend) else {
            return;
        };
        let before = surveyed.is_known.then_some(surveyed.connection.is_ok());
        surveyed.receive(event);
        if surveyed.waits_for_lists() {
            return;
        }
        surveyed.complete(self.config, self.cache.as_ref());
        if before != Some(surveyed.connection.is_ok()) {
            self.status.above(|| (self.changed)(self.config, surveyed));
        }
    }

    /// The time is over: those that are missing are down for this reason.
    fn give_up(&mut self, timeout: Duration) {
        let missing = self.members.iter_mut();
        for surveyed in missing.filter(|surveyed| !surveyed.is_known) {
            let what = match surveyed.backend.state() {
                State::Ready(_) => "it is connected, but its lists have not come",
                State::Connecting { .. } | State::Down { .. } => "no answer",
            };
            let secs = timeout.as_secs();
            let why = format!("{what} within {secs} s: try a longer --timeout");
            match &surveyed.connection {
                Ok(_) => surveyed.miss_lists(secs),
                Err(_) => surveyed.connection = Err(why),
            }
            surveyed.complete(self.config, self.cache.as_ref());
            self.status.above(|| (self.changed)(self.config, surveyed));
        }
    }

    fn show_missing(&mut self, elapsed: Duration) {
        let names: Vec<&str> = self.missing().map(|m| m.backend.name()).collect();
        let shown = names[..names.len().min(MAX_NAMED)].join(", ");
        let more = match names.len().saturating_sub(MAX_NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let text = format!("waiting for {shown}{more} ({} s)", elapsed.as_secs());
        self.status.show(text);
    }
}

impl SurveyedBackend {
    fn pending(backend: Arc<HttpBackend>) -> Self {
        Self {
            backend,
            connection: Err(String::new()),
            awaits_sign_in: false,
            sign_in: None,
            refusal: None,
            is_known: false,
            listing: None,
            last_contact: None,
            has_instructions: false,
            findings: Findings::default(),
            came: Kinds::default(),
            coming: Kinds::default(),
            incomplete: Vec::new(),
        }
    }

    fn receive(&mut self, event: BackendEvent) {
        match (event, self.backend.state()) {
            (
                BackendEvent::Listed {
                    listing,
                    came,
                    coming,
                    incomplete,
                    ..
                },
                State::Ready(connection),
            ) => {
                self.connection = Ok(connection);
                self.awaits_sign_in = false;
                self.refusal = None;
                self.listing = Some(BackendListing::read(&self.backend.config, &listing));
                self.last_contact = None;
                self.incomplete.retain(|list| !came.has(list.kind));
                self.incomplete.extend(incomplete);
                self.came = self.came.or(came);
                self.coming = self.coming.or(coming);
            }
            (_, state) => {
                if let State::Down { error, .. } = &state {
                    self.awaits_sign_in = error.awaits_sign_in();
                    self.refusal = refused(error);
                }
                let why = self.backend.why_down();
                self.connection = Err(why.unwrap_or_else(|| "the connection does not last".into()));
            }
        }
    }

    /// With the listing of the last contact if there is none, and compared to the lock.
    fn complete(&mut self, config: &Config, cache: Option<&ListingCache>) {
        self.is_known = true;
        self.use_cached_listing(cache);
        if let Some(listing) = &mut self.listing {
            self.has_instructions = listing.instructions().is_some();
            let mut pins = Pins::new(Arc::clone(&config.lock.lock));
            self.findings = pins.compare(&self.backend.config, listing);
        }
    }

    /// Whether it is connected, and some of its lists are still to come.
    fn waits_for_lists(&self) -> bool {
        self.connection.is_ok() && !self.came.is_all()
    }

    /// The lists that have not come in this time are not whole.
    fn miss_lists(&mut self, secs: u64) {
        for kind in Kinds::ALL.without(self.came).iter() {
            let why = format!("no answer within {secs} s: try a longer --timeout");
            self.incomplete.push(Incomplete {
                kind,
                is_partial: self.coming.has(kind),
                error: BackendError::Silent(why),
            });
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

    /// The challenge of a 401 or 403 to its handshake or to one of its lists; `None` where there was
    /// no such refusal.
    pub(super) fn auth_challenge(&self) -> Option<Option<&Challenge>> {
        let of_lists = || {
            let mut incomplete = self.incomplete.iter();
            incomplete.find_map(|list| challenge_of(&list.error))
        };
        match &self.refusal {
            Some(challenge) => Some(challenge.as_ref()),
            None => of_lists(),
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

    /// The rules of the config that match none of its tools; empty where these aren't known.
    pub(super) fn unmatched_rules(&self) -> &[UnmatchedRule] {
        let mut incomplete = self.incomplete.iter();
        let is_known = self.connection.is_ok() && incomplete.all(|list| list.kind != Kind::Tool);
        let listing = self.listing.as_ref().filter(|_| is_known);
        listing.map_or(&[], BackendListing::unmatched_rules)
    }

    /// The lists that are not whole, each with one line on why.
    pub(super) fn failed_lists(&self) -> impl Iterator<Item = (Kind, String)> {
        let url = &self.backend.config.shown_url;
        let incomplete = self.incomplete.iter();
        incomplete.map(move |list| (list.kind, list.explain(url)))
    }

    /// As the catalog takes it.
    pub(super) fn source(&self) -> Source<'_> {
        Source {
            id: self.backend.id,
            config: &self.backend.config,
            backend_listing: self.listing.as_ref(),
            confirmed: self.connection.is_ok(),
        }
    }
}

fn refused(error: &BackendError) -> Option<Option<Challenge>> {
    challenge_of(error).map(|challenge| challenge.cloned())
}

fn challenge_of(error: &BackendError) -> Option<Option<&Challenge>> {
    match error {
        BackendError::AuthRequired { challenge, .. } => Some(challenge.as_ref()),
        _ => None,
    }
}
