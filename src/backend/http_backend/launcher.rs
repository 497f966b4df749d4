//! Starts backends, and ends those that a new config leaves out.
//!
//! Owns what all backends share, and the ids of backends, each of which is given once. It must not
//! know why a backend comes or goes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::backend::HttpBackend;
use crate::backend::deadline::SharedPause;
use crate::backend::http::{Credentials, SideRequests, Turns};
use crate::backend::supervisor::{BackendContext, BackendEvent, OneSlot};
use crate::budget::Budget;
use crate::call_report::BackendId;
use crate::config::{BackendConfig, Config};
use crate::observe::call_stats::SessionBook;
use crate::protocol::ClientProfile;
use crate::state::Contacts;
use crate::telemetry::Telemetry;
use crate::transport::http::Pool;

/// Time for all backends together to end their sessions.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// Starts backends, whose events all come on one channel.
#[derive(Debug)]
pub struct Launcher {
    client: watch::Receiver<Option<Arc<ClientProfile>>>,
    budget: Budget,
    contacts: Contacts,
    max_message_bytes: usize,
    pool: Pool,
    telemetry: Option<Telemetry>,
    sessions: SessionBook,
    events: mpsc::UnboundedSender<BackendEvent>,
    next: u32,
    /// The backends that wait for their last call.
    retired: TaskTracker,
    ending: CancellationToken,
}

impl Launcher {
    /// Starts none yet. `client` yields the client that sessions are initialized for, `contacts` says
    /// how each backend was connected in an earlier run.
    pub fn new(
        config: &Config,
        client: &watch::Receiver<Option<Arc<ClientProfile>>>,
        budget: &Budget,
        contacts: &Contacts,
    ) -> (Self, mpsc::UnboundedReceiver<BackendEvent>) {
        let (events, received) = mpsc::unbounded_channel();
        let launcher = Self {
            client: client.clone(),
            budget: budget.clone(),
            contacts: contacts.clone(),
            max_message_bytes: config.gateway.max_message_bytes,
            pool: Pool::default(),
            telemetry: None,
            sessions: SessionBook::default(),
            events,
            next: 0,
            retired: TaskTracker::new(),
            ending: CancellationToken::new(),
        };
        (launcher, received)
    }

    /// How long sessions last is reported to a collector, if there is one.
    pub(crate) fn with_telemetry(self, telemetry: Option<Telemetry>) -> Self {
        Self { telemetry, ..self }
    }

    /// How long the sessions lasted that have ended.
    pub(crate) fn sessions(&self) -> SessionBook {
        self.sessions.clone()
    }

    /// Starts a backend with its supervisor.
    pub fn start(&mut self, entry: &Arc<BackendConfig>) -> Arc<HttpBackend> {
        let (url, telemetry) = (entry.url.clone().ok(), self.telemetry.clone());
        let session_times = self.sessions.of(&entry.name, url, telemetry);
        let context = BackendContext {
            id: BackendId::new(self.next),
            pool: self.pool.clone(),
            credentials: Arc::new(Credentials::new(Arc::clone(entry), &self.pool)),
            side_requests: Arc::new(SideRequests::new()),
            turns: Turns::new(),
            max_message_bytes: self.max_message_bytes,
            budget: self.budget.backend_share(),
            shared_pause: SharedPause::default(),
            contacts: self.contacts.clone(),
            one_slot: OneSlot::default(),
            events: self.events.clone(),
            session_times,
        };
        self.next += 1;
        let backend = HttpBackend::new(Arc::clone(entry), context);
        backend.start(self.client.clone());
        Arc::new(backend)
    }

    /// Ends the sessions of a backend once its last call is over.
    pub(crate) fn retire(&self, backend: Arc<HttpBackend>) {
        let limit = backend.config.longest_timeout();
        let ending = self.ending.clone();
        let shared = backend.into_shared();
        self.retired.spawn(async move {
            tokio::select! {
                () = shared.unused.cancelled() => {}
                () = ending.cancelled() => {}
                () = tokio::time::sleep(limit) => {}
            }
            let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, shared.shutdown()).await;
        });
    }

    /// Ends the sessions of the backends that are retired.
    pub(crate) async fn finish(&self) {
        self.ending.cancel();
        self.retired.close();
        let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, self.retired.wait()).await;
    }
}

/// Starts every backend of a config; see [`Launcher::new`].
pub fn start_all(
    config: &Config,
    client: &watch::Receiver<Option<Arc<ClientProfile>>>,
    budget: &Budget,
    contacts: &Contacts,
) -> (Vec<Arc<HttpBackend>>, mpsc::UnboundedReceiver<BackendEvent>) {
    let (mut launcher, received) = Launcher::new(config, client, budget, contacts);
    let backends = config.backends.iter().map(|entry| launcher.start(entry));
    (backends.collect(), received)
}

/// Ends the sessions of all of them, within a second in all.
pub async fn shutdown_all(backends: impl IntoIterator<Item = &Arc<HttpBackend>>) {
    let all = backends.into_iter().map(|backend| backend.shutdown());
    let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, join_all(all)).await;
}
