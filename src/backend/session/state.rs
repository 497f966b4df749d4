//! The state of one session, shared by its supervisor and the calls in it.
//!
//! Owns [`State`] (connecting, ready, down) with the waits for it, the standing demands that a new
//! connection gets again, and the best-effort messages on their way. It must not know how to connect.

mod served;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use futures_util::stream::{self, StreamExt};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::demands::{Demands, Subject};
use super::list_refresh::ListRefresh;
use super::log_levels::LogLevels;
use crate::backend::error::{BackendError, ConnectKind};
use crate::config::BackendConfig;
use crate::protocol::{Era, Kind, RawJson};
use crate::sync::Mutex;
use served::Served;

/// Subscriptions that are made at once on a new connection.
const MAX_RESTORING: usize = 4;

/// One session with a backend. Its supervisor connects it; calls wait for the connection.
///
/// A legacy session is initialized for one client and has that client's capabilities until it ends.
/// If the gateway has clients of both eras, a legacy backend has two sessions
/// (X-ML-01).
#[derive(Debug)]
pub struct Session {
    pub(in crate::backend) config: Arc<BackendConfig>,
    state: watch::Sender<State>,
    pub(in crate::backend) served: Served,
    /// A call needs the connection, whatever the reconnect delay.
    pub(in crate::backend) connect_now: Notify,
    /// The server said that a list of its has changed.
    pub(in crate::backend) lists_changed: Notify,
    pub(in crate::backend) list_refresh: ListRefresh,
    /// The text of a panic about this server, until it is taken down.
    failure: Mutex<Option<String>>,
    has_failed: Notify,
    /// Why a list is not whole, by its kind.
    list_errors: Mutex<[Option<String>; Kind::ALL.len()]>,
    pub(in crate::backend) log_levels: LogLevels,
    pub(in crate::backend) demands: Demands,
    /// Best-effort messages on their way.
    pub(in crate::backend) background: TaskTracker,
    pub(in crate::backend) shutting_down: CancellationToken,
    /// The era of the client that the session is initialized for, once known.
    client_era: OnceLock<Era>,
    forwards_unsolicited: AtomicBool,
}

/// The state of a session's connection.
#[derive(Debug, Clone)]
pub enum State {
    /// A connection is being made.
    Connecting {
        /// Failed attempts so far.
        failures: u64,
    },
    /// It can be called.
    Ready(Arc<Connection>),
    /// The last attempt failed; another follows after a delay, or when a call needs it.
    Down {
        /// Why.
        error: BackendError,
        /// Failed attempts so far.
        failures: u64,
    },
}

impl Session {
    /// A session that is not connected yet; its supervisor connects it.
    pub(in crate::backend) fn new(config: Arc<BackendConfig>, log_levels: LogLevels) -> Self {
        Self {
            config,
            state: watch::Sender::new(State::Connecting { failures: 0 }),
            served: Served::default(),
            connect_now: Notify::new(),
            lists_changed: Notify::new(),
            list_refresh: ListRefresh::default(),
            failure: Mutex::default(),
            has_failed: Notify::new(),
            list_errors: Mutex::default(),
            log_levels,
            demands: Demands::default(),
            background: TaskTracker::new(),
            shutting_down: CancellationToken::new(),
            client_era: OnceLock::new(),
            forwards_unsolicited: AtomicBool::new(true),
        }
    }

    /// The backend's name in the config.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The state now.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// The connection, if there is one now.
    pub(in crate::backend) fn ready(&self) -> Option<Arc<Connection>> {
        match &*self.state.borrow() {
            State::Ready(connection) => Some(Arc::clone(connection)),
            State::Connecting { .. } | State::Down { .. } => None,
        }
    }

    pub(in crate::backend) fn set_state(&self, state: State) {
        if !matches!(state, State::Ready(_)) {
            self.served.end();
        }
        self.state.send_replace(state);
    }

    /// The era of the connection, if there is one now.
    pub(in crate::backend) fn known_era(&self) -> Option<Era> {
        match &*self.state.borrow() {
            State::Ready(connection) => Some(connection.era),
            State::Connecting { .. } | State::Down { .. } => None,
        }
    }

    /// The value at this path of the server's capabilities, if it is connected and declared one.
    pub(in crate::backend) fn capability(&self, path: &[&str]) -> Option<RawJson> {
        let declared = match &*self.state.borrow() {
            State::Ready(connection) => connection.server.capabilities.at(path),
            _ => None,
        };
        declared.filter(|value| value.as_str() != "null")
    }

    /// Whether the server declares the extension that a method belongs to, or the experimental capability
    /// where the config passes these on; `false` while it is not connected.
    pub(in crate::backend) fn declares_method(&self, method: &str) -> bool {
        self.served.declares(method, self.config.experimental)
    }

    /// In one line, why there is no connection; `None` if there is one.
    pub(in crate::backend) fn why_down(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Down { error, .. } => Some(error.explain(&self.config.shown_url)),
            State::Connecting { failures: 0 } => Some("not connected yet".into()),
            State::Connecting { .. } => Some("connecting again".into()),
            State::Ready(_) => None,
        }
    }

    /// In one line, why this list could not be fetched whole; `None` if it was, or is to come.
    pub(in crate::backend) fn list_error(&self, kind: Kind) -> Option<String> {
        self.list_errors.lock()[kind as usize].clone()
    }

    /// What became of the last fetch of this list.
    pub(in crate::backend) fn set_list_error(&self, kind: Kind, error: Option<String>) {
        self.list_errors.lock()[kind as usize] = error;
    }

    /// The era of the client that the session is initialized for.
    pub(in crate::backend) fn client_era(&self) -> Era {
        *self.client_era.get().unwrap_or(&Era::Legacy)
    }

    /// The session is initialized for a client of this era. The first counts.
    pub(in crate::backend) fn set_client_era(&self, era: Era) {
        self.client_era.get_or_init(|| era);
    }

    /// Whether this session's unsolicited messages are forwarded. With two sessions the modern
    /// one only duplicates the legacy one.
    pub(in crate::backend) fn forwards_unsolicited(&self) -> bool {
        self.forwards_unsolicited.load(Relaxed)
    }

    /// From now on this session's unsolicited messages are dropped.
    pub(in crate::backend) fn stop_forwarding_unsolicited(&self) {
        self.forwards_unsolicited.store(false, Relaxed);
    }

    /// Failed attempts to connect since the last success.
    pub(in crate::backend) fn failures(&self) -> u64 {
        match &*self.state.borrow() {
            State::Connecting { failures } | State::Down { failures, .. } => *failures,
            State::Ready(_) => 0,
        }
    }

    /// The connection can't be used any more; the supervisor makes a new one. Only the first call
    /// for a connection counts.
    pub(in crate::backend) fn disconnected(&self, connection: &Arc<Connection>) {
        self.state.send_if_modified(|state| match state {
            State::Ready(current) if Arc::ptr_eq(current, connection) => {
                *state = State::Connecting { failures: 0 };
                true
            }
            _ => false,
        });
    }

    /// Resolves when an attempt to connect has failed and none is running.
    pub(in crate::backend) async fn wait_down(&self) {
        self.wait_for(|state| matches!(state, State::Down { .. }))
            .await;
    }

    /// Resolves when there is a connection.
    pub(in crate::backend) async fn wait_ready(&self) {
        self.wait_for(|state| matches!(state, State::Ready(_)))
            .await;
    }

    /// Resolves when there is no connection.
    pub(in crate::backend) async fn wait_disconnected(&self) {
        self.wait_for(|state| !matches!(state, State::Ready(_)))
            .await;
    }

    async fn wait_for(&self, condition: impl FnMut(&State) -> bool) {
        // The sender is a field of ours: the wait can't fail.
        let _ = self.state.subscribe().wait_for(condition).await;
    }

    /// The connection; where there is none, waits for the attempt to make one.
    ///
    /// # Errors
    /// The reason, when the attempt fails.
    pub(in crate::backend) async fn connection(&self) -> Result<Arc<Connection>, BackendError> {
        if let State::Down { error, .. } = &*self.state.borrow()
            && error.awaits_sign_in()
        {
            // Only a person can change that.
            self.connect_now.notify_one();
            return Err(error.clone());
        }
        self.next_connection().await
    }

    /// The connection; where there is none, waits for the attempt to make one, also where a sign-in
    /// is awaited.
    ///
    /// # Errors
    /// The reason, when the attempt fails.
    pub(in crate::backend) async fn next_connection(
        &self,
    ) -> Result<Arc<Connection>, BackendError> {
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
                    self.connect_now.notify_one();
                }
                State::Connecting { failures } => {
                    seen = Some(*failures);
                    self.connect_now.notify_one();
                }
            }
            if state.changed().await.is_err() {
                let why = "the gateway is shutting down";
                return Err(BackendError::connect(ConnectKind::ShuttingDown, why));
            }
        }
    }

    /// Fetches the lists now. The number of the listing when it has been fetched and its event sent,
    /// however long that takes; `None` when the session is gone.
    pub(in crate::backend) async fn refresh_lists(&self) -> Option<u64> {
        tokio::select! {
            biased;
            number = self.list_refresh.wait() => number.ok(),
            () = self.want_connection() => None,
        }
    }

    /// Has a connection made, and made again, without the waits that end when a call needs one. Never
    /// resolves before the session is gone.
    async fn want_connection(&self) {
        let mut state = self.state.subscribe();
        loop {
            if !matches!(*state.borrow_and_update(), State::Ready(_)) {
                self.connect_now.notify_one();
            }
            if state.changed().await.is_err() {
                return;
            }
        }
    }

    /// The gateway has panicked about this server outside of its own tasks: it is taken down.
    pub(in crate::backend) fn fail(&self, why: &str) {
        *self.failure.lock() = Some(why.to_owned());
        self.has_failed.notify_one();
    }

    /// Resolves when that has happened, with the panic's text.
    pub(in crate::backend) async fn failed(&self) -> String {
        loop {
            let failure = self.failure.lock().take();
            match failure {
                Some(why) => return why,
                None => self.has_failed.notified().await,
            }
        }
    }

    /// Ends the session, after the best-effort messages on their way.
    pub(in crate::backend) async fn shut_down(&self) {
        self.shutting_down.cancel();
        self.background.close();
        self.background.wait().await;
        if let Some(connection) = self.ready() {
            connection.close().await;
        }
    }

    /// Sends the standing demands to a new connection.
    pub(in crate::backend) fn restore(self: &Arc<Self>, connection: &Arc<Connection>) {
        self.sync_level_in_background();
        if connection.era == Era::Legacy && connection.server.subscribes() {
            let wanted = self.demands.wanted();
            for subject in &wanted {
                self.demands.set_subscribed(subject);
            }
            let restoring = restore_subscriptions(Arc::clone(self), Arc::clone(connection), wanted);
            self.background.spawn(restoring);
        }
    }

    /// Sets the log level on a legacy server, if it differs from the last. One at a time, so that
    /// the last level set is the right one.
    pub(in crate::backend) async fn sync_level(&self, connection: &Arc<Connection>) {
        if connection.era != Era::Legacy || !connection.server.offers("logging") {
            return;
        }
        let _ordered = self.log_levels.order().await;
        // Without any demand left, the level from before the first one is unknown: it stays.
        if let Some(level) = self.log_levels.lowest()
            && connection.level.lock().replace(level) != Some(level)
        {
            let params = RawJson::trusted(format!(r#"{{"level":"{}"}}"#, level.name()));
            connection
                .request_best_effort("logging/setLevel", &params)
                .await;
        }
    }

    /// Sets the log level on a legacy server in the background, if it differs from the last.
    pub(in crate::backend) fn sync_level_in_background(self: &Arc<Self>) {
        if let Some(connection) = self.ready()
            && tokio::runtime::Handle::try_current().is_ok()
        {
            let session = Arc::clone(self);
            self.background
                .spawn(async move { session.sync_level(&connection).await });
        }
    }
}

/// Subscribes to resources on a new connection, for as long as it is the current one.
async fn restore_subscriptions(
    session: Arc<Session>,
    connection: Arc<Connection>,
    wanted: BTreeSet<Subject>,
) {
    let restoring = wanted.into_iter().map(|subject| {
        let (session, connection) = (&session, &connection);
        async move {
            let current = session.ready();
            let is_current = current.is_some_and(|current| Arc::ptr_eq(&current, connection));
            if is_current
                && session.demands.is_subscribed(&subject)
                && let Subject::Resource(uri) = &subject
            {
                let params = Demands::params(uri);
                connection
                    .request_best_effort("resources/subscribe", &params)
                    .await;
            }
        }
    });
    let mut restoring = stream::iter(restoring).buffer_unordered(MAX_RESTORING);
    while restoring.next().await.is_some() {}
}
