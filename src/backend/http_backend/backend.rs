//! The type that stands for one backend.
//!
//! Owns what all calls to it share: queues, retry budget, sessions and numbers of calls. These outlive a
//! change of the rules in the config, and end when no snapshot and no call has the backend any more.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::auth::Wanting;
use crate::backend::call::{self, Call, CallContext, Called, Queues};
use crate::backend::deadline::{Deadline, SharedPause};
use crate::backend::error::BackendError;
use crate::backend::http::AT_ONCE;
use crate::backend::retry::RetryBudget;
use crate::backend::session::{LevelGuard, Session, State};
use crate::backend::supervisor::{BackendContext, Sessions};
use crate::budget::FREE_BELOW;
use crate::call_report::{BackendId, RunningTally};
use crate::config::BackendConfig;
use crate::governance::{Health, Permit};
use crate::hex::hex;
use crate::observe::call_stats::{CallNumbers, CallStats};
use crate::protocol::{ClientProfile, Era, Kind, LogLevel, Outcome, RawJson};

/// One HTTP server, with what all calls to it share.
#[derive(Debug)]
pub struct HttpBackend {
    /// Its identity in this process.
    pub id: BackendId,
    /// Its entry of the config.
    pub config: Arc<BackendConfig>,
    /// What the ids that clients keep of its server begin with: its name, and a digest of its URL. So none
    /// is taken for that of another server when the URL has changed, and all hold in another run.
    pub(crate) id_prefix: Arc<str>,
    queues: Queues,
    shared: Arc<Shared>,
    /// Cancels [`Shared::unused`] when the last of those that share it is dropped.
    _in_use: Arc<DropGuard>,
}

/// What stays when only the rules in the config change.
#[derive(Debug)]
pub(super) struct Shared {
    retry_budget: RetryBudget,
    /// Stops the deadlines of all calls while a server request that belongs to no call is open.
    shared_pause: SharedPause,
    stats: CallStats,
    sessions: Sessions,
    /// Cancelled when no snapshot and no call has the backend any more.
    pub(super) unused: CancellationToken,
}

impl Shared {
    /// Ends the sessions and waits for the best-effort messages on their way.
    pub(super) async fn shutdown(&self) {
        join_all(self.sessions.all().map(|session| session.shut_down())).await;
        self.sessions.finish_renewal().await;
    }
}

impl HttpBackend {
    /// Not started yet.
    pub(super) fn new(config: Arc<BackendConfig>, context: BackendContext) -> Self {
        let unused = CancellationToken::new();
        Self {
            id: context.id,
            id_prefix: id_prefix(&config).into(),
            _in_use: Arc::new(unused.clone().drop_guard()),
            queues: Queues::new(&config),
            shared: Arc::new(Shared {
                retry_budget: RetryBudget::default(),
                shared_pause: context.shared_pause.clone(),
                stats: CallStats::new(),
                sessions: Sessions::new(Arc::clone(&config), context),
                unused,
            }),
            config,
        }
    }

    /// Starts its supervisor, for the client that comes first.
    pub(super) fn start(&self, client: watch::Receiver<Option<Arc<ClientProfile>>>) {
        self.shared.sessions.start(client);
    }

    /// What remains of it when nothing else has it any more.
    pub(super) fn into_shared(self: Arc<Self>) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// This backend under other rules: calls that began under the old ones end under them.
    pub(crate) fn with_rules(&self, config: Arc<BackendConfig>) -> Self {
        let unused = &self.shared.unused;
        Self {
            id: self.id,
            id_prefix: Arc::clone(&self.id_prefix),
            queues: self.queues.resized(&self.config, &config, unused),
            config,
            shared: Arc::clone(&self.shared),
            _in_use: Arc::clone(&self._in_use),
        }
    }

    /// Files and commands with secrets are read again, and where there is no connection one is made.
    pub(crate) fn read_secrets_again(&self) {
        self.shared.sessions.read_secrets_again();
    }

    /// A backend that is never connected.
    #[cfg(test)]
    pub(crate) fn unsupervised(config: Arc<BackendConfig>, id: BackendId) -> Self {
        let context = BackendContext::unsupervised(&config, id);
        Self::new(config, context)
    }

    /// Bytes that are charged to it.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.shared.sessions.budget().held()
    }

    /// Does work of a size that the server has chosen on a thread of its own, one at a time, or here if
    /// there can be none. A panic there is one here.
    pub(crate) async fn off_loop<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let done = self.shared.sessions.turns().off_loop(work).await;
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Does work on this many bytes of the server: here, or as [`off_loop`](Self::off_loop) does if they
    /// are many.
    pub(crate) async fn sized<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        match bytes {
            ..=AT_ONCE => work(),
            // Rare, and a large future.
            _ => Box::pin(self.off_loop(work)).await,
        }
    }

    /// Edits an outcome of a size that the server has chosen, as [`sized`](Self::sized) does.
    pub(crate) async fn edited(
        &self,
        outcome: Outcome,
        edit: impl FnOnce(Outcome) -> Outcome + Send + 'static,
    ) -> Outcome {
        let source = outcome.text().clone();
        let edited = self.sized(source.as_bytes().len(), move || edit(outcome));
        match edited.await {
            Outcome::Result(result) => Outcome::Result(self.charged(&source, result)),
            Outcome::Error(error) => Outcome::Error(self.charged(&source, error)),
        }
    }

    /// A text made of one of this backend, which is charged to it as the source is. A part of the
    /// source is charged already.
    pub(crate) fn charged(&self, source: &RawJson, made: RawJson) -> RawJson {
        match made.is_part_of(source) {
            true => made,
            false => made.in_buffer(|bytes| self.shared.sessions.budget().charge_unchecked(bytes)),
        }
    }

    /// A text for the client in which this many bytes are of this backend, which is charged for them.
    pub(crate) fn charged_part(&self, bytes: usize, made: RawJson) -> RawJson {
        let mut charge = self.shared.sessions.budget().charge();
        if bytes > FREE_BELOW {
            charge.add_unchecked(bytes);
        }
        made.in_buffer(|text| charge.attach_to(text))
    }

    /// Its name in the config.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The session that lists, subscribes and reports.
    pub(super) fn primary(&self) -> &Arc<Session> {
        &self.shared.sessions.primary
    }

    /// The state of its connection now.
    pub fn state(&self) -> State {
        self.primary().state()
    }

    /// The era of its connection, if it is connected now.
    pub(crate) fn known_era(&self) -> Option<Era> {
        self.primary().known_era()
    }

    /// The era of its connection; waits until there is one.
    ///
    /// # Errors
    /// When none can be made.
    pub async fn era(&self) -> Result<Era, BackendError> {
        let connection = self.primary().connection().await;
        connection.map(|connection| connection.era)
    }

    /// What a sign-in by a person begins with; `None` where none is wanted.
    pub(crate) fn wanting(&self) -> Option<Wanting> {
        self.shared.sessions.wanting()
    }

    /// Is cancelled when no snapshot and no call has the backend any more.
    pub(crate) fn unused(&self) -> &CancellationToken {
        &self.shared.unused
    }

    /// After a sign-in: resolves when it is connected, or the attempt with the new token has failed.
    pub(crate) async fn signed_in(&self) {
        let _ = self.primary().next_connection().await;
    }

    /// The value at this path of its capabilities, if it is connected and declared one.
    pub fn capability(&self, path: &[&str]) -> Option<RawJson> {
        self.primary().capability(path)
    }

    /// In one line, why it is not connected; `None` if it is.
    pub fn why_down(&self) -> Option<String> {
        self.primary().why_down()
    }

    /// In one line, why this list of its could not be fetched whole; `None` if it was, or is to come.
    pub(crate) fn list_error(&self, kind: Kind) -> Option<String> {
        self.primary().list_error(kind)
    }

    /// Failed attempts to connect since the last success.
    pub(crate) fn failures(&self) -> u64 {
        self.primary().failures()
    }

    /// Resolves when an attempt to connect has failed and none is running.
    pub async fn is_down(&self) {
        self.primary().wait_down().await;
    }

    /// Fetches the lists now. The number of the listing when it has been fetched and
    /// [`BackendEvent::Listed`] has been sent, however long that takes: the caller has a deadline.
    /// `None` when the gateway ends.
    pub async fn refresh_lists(&self) -> Option<u64> {
        self.primary().refresh_lists().await
    }

    /// The gateway has panicked on what this server sent: it is down with this reason, and tried again.
    pub(crate) fn fail(&self, why: &str) {
        self.primary().fail(why);
    }

    /// Forwards a notification of the legacy client, in the session initialized for it.
    pub fn notify(&self, method: &'static str) {
        for session in self.shared.sessions.all() {
            if let Some(connection) = session.ready()
                && connection.era == Era::Legacy
                && session.client_era() == Era::Legacy
            {
                connection.notify_in_background(method, None);
            }
        }
    }

    /// Sends `tasks/cancel` with these params in the session for clients of this era, without waiting.
    pub(crate) fn cancel_task(&self, era: Era, params: RawJson) {
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let all = || self.shared.sessions.all();
        let session = all().find(|session| session.client_era() == era);
        let Some(session) = session.or_else(|| all().next()).cloned() else {
            return;
        };
        let background = session.background.clone();
        background.spawn(async move {
            if let Some(connection) = session.ready() {
                connection
                    .request_best_effort("tasks/cancel", &params)
                    .await;
            }
        });
    }

    /// Forwards a notification of an extension that the server declares, as the legacy client wrote it.
    pub(crate) fn notify_of_extension(&self, method: &str, params: Option<RawJson>) {
        for session in self.shared.sessions.all() {
            if let Some(connection) = session.ready()
                && connection.era == Era::Legacy
                && session.client_era() == Era::Legacy
                && session.declares_method(method)
            {
                connection.notify_in_background(method.to_owned(), params.clone());
            }
        }
    }

    /// The log level of the client of the handshake, now and after every reconnect.
    pub fn set_log_level(&self, level: LogLevel) {
        for session in self.shared.sessions.all() {
            session.set_log_level(level);
        }
    }

    /// The log level of one modern request, while the guard is held. When this resolves, a legacy
    /// server has been told, or two seconds or `limit` have passed.
    pub async fn want_log_level(&self, level: LogLevel, limit: Duration) -> LevelGuard {
        self.shared
            .sessions
            .of_modern_clients()
            .want_log_level(level, limit)
            .await
    }

    /// The deadline of a call that has `begun`.
    pub fn deadline(&self, begun: Instant, limit: Duration) -> Deadline {
        Deadline::since(begun, limit, self.shared.shared_pause.clone())
    }

    /// Calls the backend: waits for a permit and for the connection, sends, and sends again where
    /// that is allowed, all within the call's deadline. An error of the backend's own is an
    /// [`Outcome`](crate::protocol::Outcome), not a failure.
    pub async fn call(&self, call: &Call<'_>) -> Called {
        self.call_for(call, None).await
    }

    /// Calls the backend, as [`call`](Self::call) says. `dropped` gets the report of a call that is
    /// dropped before its end, if it adds reports up.
    async fn call_for(&self, call: &Call<'_>, dropped: Option<&RunningTally>) -> Called {
        let context = CallContext {
            backend: self.id,
            config: &self.config,
            queues: &self.queues,
            retry_budget: &self.shared.retry_budget,
            stats: &self.shared.stats,
        };
        let called = call::run(call, &context, &self.shared.sessions, dropped).await;
        self.shared.stats.record(&called.report, || {
            let error = called.result.as_ref().err();
            let why = error.map(|error| error.explain(&self.config.shown_url));
            let why = why.unwrap_or_default();
            self.config.scrubber.message(&why).into_owned()
        });
        called
    }

    /// What became of its calls, in numbers.
    pub(crate) fn call_numbers(&self) -> CallNumbers {
        self.shared.stats.numbers()
    }

    /// Makes a call that was admitted, and settles the permit with what the call shows of the
    /// backend's health. An error of a tool is a response too. `dropped` gets the report of a call that
    /// is dropped before its end.
    pub(crate) async fn call_admitted(
        &self,
        permit: Permit,
        call: &Call<'_>,
        dropped: Option<&RunningTally>,
    ) -> Called {
        let called = self.call_for(call, dropped).await;
        let failure = called.result.as_ref().err();
        permit.settle(failure.map_or(Health::Success, BackendError::health));
        called
    }

    /// Ends its sessions and waits for the best-effort messages on their way.
    pub async fn shutdown(&self) {
        self.shared.shutdown().await;
    }
}

/// The name has no dot.
fn id_prefix(config: &BackendConfig) -> String {
    let url = config.url.as_ref().map_or("", |url| url.as_str());
    let digest = Sha256::digest(url);
    format!("{}.{}", config.name, hex(&digest[..4]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Overrides, load};

    fn backend() -> Arc<HttpBackend> {
        let flags = Overrides {
            backends: vec![("one".into(), "http://127.0.0.1:9/".into())],
            ..Overrides::default()
        };
        let config = load(&flags, &Environment::new("no-such-folder")).unwrap();
        let config = Arc::clone(&config.backends[0]);
        Arc::new(HttpBackend::unsupervised(config, BackendId::new(1)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_waits_for_lists_has_the_connection_made_again() {
        let backend = backend();
        let waiting = Arc::clone(&backend);
        let waiting = tokio::spawn(async move { waiting.refresh_lists().await });
        let session = backend.primary();
        for failures in 1..4 {
            let wanted =
                tokio::time::timeout(Duration::from_secs(1), session.connect_now.notified());
            assert!(wanted.await.is_ok(), "after {failures} failures it waits");
            let error = BackendError::BadReply("no".into());
            session.set_state(State::Down { error, failures });
        }
        session.list_refresh.take().done(7);
        assert_eq!(waiting.await.unwrap(), Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_call_limits_how_long_it_waits_for_lists() {
        let backend = backend();
        let waiting = Arc::clone(&backend);
        let waiting = tokio::spawn(async move { waiting.refresh_lists().await });
        // A busy machine, a slow server, or lists that change again and again.
        tokio::time::sleep(Duration::from_secs(3600)).await;
        backend.primary().list_refresh.take().done(7);
        assert_eq!(waiting.await.unwrap(), Some(7));
    }
}
