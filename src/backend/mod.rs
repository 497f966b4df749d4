//! One backend: its connection, its calls, its retries.
//!
//! Owns everything between "this call goes to that backend" and its outcome. From the bottom up:
//! [`sse`] decodes, [`http`] sends, [`stream`] reads an answer, [`session`] is the agreed relation,
//! [`handshake`] makes one, [`supervisor`] keeps it alive, [`call`] makes a call of attempts as
//! [`retry`] allows. What a backend says outside of calls is heard by [`news`] and [`listen`]. It
//! must not know the client's ids, the catalogue, or that there are other backends.

pub mod call;
pub mod credentials;
pub mod deadline;
pub mod error;
pub mod event;
mod files;
mod get_stream;
pub mod handler;
pub mod handshake;
pub mod http;
mod http_sse;
mod levels;
mod list_refresh;
pub mod listing;
mod pending;
pub mod pool;
pub mod resume;
pub mod retry;
mod scrub;
mod server_requests;
pub mod session;
mod sessions;
pub mod sse;
pub mod stream;
mod subscription_stream;
mod subscriptions;
pub mod supervisor;
mod transport_error;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use call::{Call, Failed, ProgressHighWater, ProgressToken};
pub use deadline::Deadline;
pub use error::BackendError;
pub use event::BackendEvent;
pub use handler::ServerMessageHandler;
pub use levels::LevelGuard;
pub use pool::Pool;
pub use session::Answer;
pub use subscriptions::Subscription;
pub use supervisor::keep;

use crate::budget::Budget;
use crate::config::{BackendConfig, Config};
use crate::protocol::{ClientProfile, Era, RawJson};
use session::Connection;
use sessions::BackendContext;

/// How long backends may take to hear that we are leaving.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// One backend, shared by its keeper and all calls to it.
#[derive(Debug)]
pub struct HttpBackend {
    /// Its entry of the config.
    pub config: Arc<BackendConfig>,
    /// Its place in config order.
    pub index: usize,
    state: watch::Sender<State>,
    /// A call needs the link now, whatever the wait.
    needed: Notify,
    /// The backend said that a list of its has changed.
    lists_changed: Notify,
    /// `max_in_flight`, first come first served.
    permits: Semaphore,
    budget: retry::RetryBudget,
    list_refresh: list_refresh::ListRefresh,
    /// While it has a question open that belongs to no call.
    shared_pause: deadline::SharedPause,
    levels: levels::Levels,
    subscriptions: subscriptions::Subscriptions,
    /// Messages on their way that nobody waits for.
    background: TaskTracker,
    /// The gateway takes its leave: nothing is kept up any more.
    shutting_down: CancellationToken,
    /// Of the client that its session is introduced to.
    client_era: OnceLock<Era>,
    /// It is the second session of a backend: it lists nothing, and being down is no news.
    is_second: bool,
    second: OnceLock<Arc<HttpBackend>>,
    context: BackendContext,
}

/// Makes every backend of a config, each with its keeper, and the way to hear from them.
pub fn start_all(
    config: &Config,
    client: &watch::Receiver<Option<Arc<ClientProfile>>>,
    budget: &Budget,
) -> (Vec<Arc<HttpBackend>>, mpsc::UnboundedReceiver<BackendEvent>) {
    let (events, news) = mpsc::unbounded_channel();
    let context = BackendContext {
        pool: Pool::default(),
        max_message_bytes: config.gateway.max_message_bytes,
        budget: budget.clone(),
        events,
    };
    let start = |(index, entry): (usize, &Arc<BackendConfig>)| {
        let context = BackendContext {
            budget: budget.backend_share(),
            ..context.clone()
        };
        let backend = Arc::new(HttpBackend::new(Arc::clone(entry), index, context));
        tokio::spawn(keep(Arc::clone(&backend), client.clone()));
        backend
    };
    (
        config.backends.iter().enumerate().map(start).collect(),
        news,
    )
}

/// Takes leave of all of them, which together may take a second to hear it.
pub async fn shutdown_all(backends: impl IntoIterator<Item = &Arc<HttpBackend>>) {
    let farewells = backends.into_iter().map(|backend| backend.shutdown());
    let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, join_all(farewells)).await;
}

/// Where the link to a backend stands.
#[derive(Debug, Clone)]
pub enum State {
    /// A connection is being made.
    Connecting {
        /// How often it failed so far.
        failures: u64,
    },
    /// It can be called.
    Ready(Arc<Connection>),
    /// The last attempt failed; another follows in time, or when a call needs it.
    Down {
        /// Why.
        error: BackendError,
        /// How often it failed so far.
        failures: u64,
    },
}

impl HttpBackend {
    /// A backend that nobody has connected yet; [`keep`] does.
    fn new(config: Arc<BackendConfig>, index: usize, context: BackendContext) -> Self {
        Self {
            permits: Semaphore::new(config.max_in_flight),
            budget: retry::RetryBudget::default(),
            state: watch::Sender::new(State::Connecting { failures: 0 }),
            needed: Notify::new(),
            lists_changed: Notify::new(),
            list_refresh: list_refresh::ListRefresh::default(),
            shared_pause: deadline::SharedPause::default(),
            levels: levels::Levels::default(),
            subscriptions: subscriptions::Subscriptions::default(),
            background: TaskTracker::new(),
            shutting_down: CancellationToken::new(),
            client_era: OnceLock::new(),
            is_second: false,
            second: OnceLock::new(),
            context,
            config,
            index,
        }
    }

    /// One that nobody keeps connected.
    #[cfg(test)]
    pub(crate) fn unsupervised(config: Arc<BackendConfig>, index: usize) -> Self {
        let context = BackendContext {
            pool: Pool::default(),
            max_message_bytes: usize::MAX,
            budget: Budget::new(usize::MAX),
            events: mpsc::unbounded_channel().0,
        };
        Self::new(config, index, context)
    }

    /// Its name in the config.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Where it stands now.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// The era it is spoken to in, if it is connected now.
    pub fn known_era(&self) -> Option<Era> {
        match &*self.state.borrow() {
            State::Ready(connection) => Some(connection.era),
            State::Connecting { .. } | State::Down { .. } => None,
        }
    }

    /// The same, waiting for the connection.
    ///
    /// # Errors
    /// When none could be made.
    pub async fn era(&self) -> Result<Era, BackendError> {
        self.connection().await.map(|connection| connection.era)
    }

    /// What it declared at the end of this path of its capabilities, if it is connected.
    pub fn capability(&self, path: &[&str]) -> Option<RawJson> {
        let declared = match &*self.state.borrow() {
            State::Ready(connection) => connection.server.capabilities.at(path),
            _ => None,
        };
        declared.filter(|value| value.as_str() != "null")
    }

    /// In one line, why it is down; `None` if it isn't.
    pub fn why_down(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Down { error, .. } => Some(error.explain(&self.config.shown_url)),
            State::Connecting { failures: 0 } => Some("not connected yet".into()),
            State::Connecting { .. } => Some("connecting again".into()),
            State::Ready(_) => None,
        }
    }

    /// Passes on a notification of the legacy client, in the session that knows this client.
    pub fn notify(self: &Arc<Self>, method: &'static str) {
        for session in self.sessions() {
            if let State::Ready(connection) = session.state()
                && connection.era == Era::Legacy
                && session.client_era() == Era::Legacy
            {
                connection.notify_in_background(method, None);
            }
        }
    }

    /// Ends its sessions and waits for the messages still on their way.
    pub async fn shutdown(self: &Arc<Self>) {
        join_all(self.sessions().map(|session| session.shut_down())).await;
    }

    async fn shut_down(&self) {
        self.shutting_down.cancel();
        self.background.close();
        self.background.wait().await;
        if let State::Ready(connection) = self.state() {
            connection.close().await;
        }
    }

    /// Tells a fresh link what was asked for on an earlier one.
    fn restore(self: &Arc<Self>, connection: &Arc<Connection>) {
        self.sync_level_in_background();
        self.resubscribe(connection);
    }

    /// The link is gone; the keeper makes a new one. Only the first to notice counts.
    fn disconnected(&self, connection: &Arc<Connection>) {
        self.state.send_if_modified(|state| match state {
            State::Ready(current) if Arc::ptr_eq(current, connection) => {
                *state = State::Connecting { failures: 0 };
                true
            }
            _ => false,
        });
    }

    /// Resolves when an attempt to connect it has failed and none is under way.
    pub async fn is_down(&self) {
        let mut state = self.state.subscribe();
        let _ = state
            .wait_for(|state| matches!(state, State::Down { .. }))
            .await;
    }

    async fn is_up(&self) {
        let mut state = self.state.subscribe();
        let _ = state
            .wait_for(|state| matches!(state, State::Ready(_)))
            .await;
    }

    async fn connection_lost(&self) {
        let mut state = self.state.subscribe();
        let _ = state
            .wait_for(|state| !matches!(state, State::Ready(_)))
            .await;
    }

    fn failures(&self) -> u64 {
        match &*self.state.borrow() {
            State::Connecting { failures } | State::Down { failures, .. } => *failures,
            State::Ready(_) => 0,
        }
    }

    /// The link, waiting for the attempt to get one if there is none.
    async fn connection(&self) -> Result<Arc<Connection>, BackendError> {
        let mut state = self.state.subscribe();
        let mut seen = None;
        loop {
            match &*state.borrow_and_update() {
                State::Ready(connection) => return Ok(Arc::clone(connection)),
                State::Down { error, failures } if seen.is_some_and(|seen| seen != *failures) => {
                    return Err(error.clone());
                }
                State::Down { failures, .. } => {
                    seen = Some(*failures);
                    self.needed.notify_one();
                }
                State::Connecting { failures } => seen = Some(*failures),
            }
            if state.changed().await.is_err() {
                return Err(BackendError::Connect("the gateway is shutting down".into()));
            }
        }
    }
}
