//! The token of one backend while the gateway runs.
//!
//! Owns which token requests carry, its renewal (one at a time in this process and on this machine),
//! and why a person has to sign in. Nothing runs while nobody calls, but a look at the file each
//! second while a sign-in is awaited. It must not know requests, and opens no browser and no port.

mod state;
mod work;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::exchange::now;
use super::http::Http;
use super::oauth::challenge::BearerChallenge;
use super::oauth::scopes;
use super::store::{Purpose, Store};
use crate::config::{BackendConfig, GrantKind, Secret, SignIn};
use crate::sync::Mutex;
use crate::transport::http::Pool;
pub use state::Advice;
pub(crate) use state::AuthError;
use state::State;

/// How often the file is looked at while a sign-in is awaited.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Longest wait for another process that changes the file.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// The tokens of one backend, shared by its sessions.
#[derive(Debug)]
pub(crate) struct Tokens {
    backend: Arc<BackendConfig>,
    sign_in: Arc<SignIn>,
    store: Store,
    pool: Pool,
    state: Mutex<State>,
    /// Held while the file is read or a token is got: once for all who wait.
    working: tokio::sync::Mutex<()>,
    /// A renewal goes on when the call that began it ends.
    tasks: TaskTracker,
}

/// A sign-in that is not enough for the server.
#[derive(Debug, Clone)]
pub(crate) struct Wanting {
    /// What the server said, if it has said something.
    pub(crate) challenge: Option<BearerChallenge>,
    /// The generation of the token; 0 where there is none.
    pub(crate) generation: u64,
    /// How often a person has signed in.
    pub(crate) sign_ins: u64,
    /// Whether it asked for what is lacking.
    pub(crate) is_in_vain: bool,
}

/// Why a token is asked for.
#[derive(Debug, Clone, Default)]
struct Cause {
    /// The token that the server refused with a 401, if requests carried one.
    refused: Option<Secret>,
    /// Whether there was a 401.
    after_401: bool,
    challenge: Option<BearerChallenge>,
}

impl Tokens {
    /// `None` where nobody can sign in to this backend.
    pub(crate) fn of(backend: &Arc<BackendConfig>, pool: &Pool) -> Option<Arc<Self>> {
        let sign_in = Arc::clone(backend.sign_in.as_ref()?);
        let url = backend.url.as_ref().ok()?;
        Some(Arc::new(Self {
            store: Store::of(&sign_in, &backend.name, url),
            backend: Arc::clone(backend),
            sign_in,
            pool: pool.clone(),
            state: Mutex::default(),
            working: tokio::sync::Mutex::default(),
            tasks: TaskTracker::new(),
        }))
    }

    /// The token for a connection that is made now; `None` where nobody has signed in.
    ///
    /// # Errors
    /// Why there is none that may be sent.
    pub(crate) async fn current(self: &Arc<Self>) -> Result<Option<Secret>, AuthError> {
        self.work(Cause::default()).await
    }

    /// Whether [`current`](Self::current) may have another token than before, or none: to be asked
    /// before each request. Cheap.
    pub(crate) fn is_due(&self) -> bool {
        let state = self.state.lock();
        state.is_refused() || state.awaits_more() || state.is_due(now(), self.is_for_itself())
    }

    /// After a 401 to a request that carried this token. Returns the one to send instead.
    ///
    /// # Errors
    /// Why there is no other.
    pub(crate) async fn renew(
        self: &Arc<Self>,
        refused: Option<Secret>,
        challenge: Option<BearerChallenge>,
    ) -> Result<Option<Secret>, AuthError> {
        self.work(Cause {
            refused,
            after_401: true,
            challenge,
        })
        .await
    }

    /// What a person can do about a 401 or 403 with this challenge.
    pub(crate) fn advice(
        &self,
        status: u16,
        challenge: Option<&BearerChallenge>,
    ) -> Option<Advice> {
        self.state.lock().note_challenge(challenge);
        if status == 403 {
            let challenge = challenge.filter(|challenge| challenge.is_insufficient_scope())?;
            let scopes = challenge.scope.clone().unwrap_or_default();
            return Some(self.missing_scopes(scopes));
        }
        let state = self.state.lock();
        let is_certain = challenge.is_some() || self.sign_in.is_configured || state.has_token();
        Some(Advice {
            why: state.why().unwrap_or_else(|| "needs a sign-in".to_owned()),
            command: self.sign_in.command.as_str().into(),
            scopes: Vec::new(),
            is_certain,
        })
    }

    /// What a sign-in by a person begins with; `None` where the token that is known now has not been found
    /// wanting.
    pub(crate) fn wanting(&self) -> Option<Wanting> {
        let state = self.state.lock();
        let is_wanting = !state.has_token() || state.is_refused() || state.awaits_more();
        is_wanting.then(|| Wanting {
            challenge: state.challenge().cloned(),
            generation: state.record().map_or(0, |record| record.generation),
            sign_ins: state.record().map_or(0, |record| record.sign_ins),
            is_in_vain: state.lacks_in_vain(),
        })
    }

    fn missing_scopes(&self, scopes: Vec<String>) -> Advice {
        let named = self.backend.scrubber.snippet(scopes.join(" ").as_bytes());
        let more = match self.state.lock().has_asked_for(&scopes) {
            true => ", which the last sign-in asked for and did not get",
            false => "",
        };
        Advice {
            why: format!("this wants more rights ({named}){more}"),
            command: self.sign_in.command.as_str().into(),
            scopes,
            is_certain: true,
        }
    }

    /// Calls have lacked these scopes: the next sign-in asks for them, too.
    pub(crate) async fn lacks(&self, lacked: &[String]) {
        self.state.lock().await_more(lacked);
        let keep = async {
            let held = self.store.lock(Purpose::Change, LOCK_TIMEOUT).await?;
            let Some(mut record) = self.store.read().await?.filter(|_| held.is_some()) else {
                return Ok(());
            };
            let pending = scopes::union(&record.pending, lacked.iter().map(String::as_str));
            if pending == record.pending || record.is_closed {
                return Ok(());
            }
            record.pending = pending;
            self.store.write(&record).await
        };
        let kept: Result<(), String> = keep.await;
        if let Err(why) = kept {
            tracing::warn!(
                backend = &*self.backend.name,
                why,
                "missing scopes can't be kept"
            );
        }
    }

    /// Resolves when the file has changed since it was last read, or `is_other` says that its token
    /// is in use already.
    pub(crate) async fn changed(&self, is_other: impl Fn() -> bool) {
        while !is_other() {
            tokio::time::sleep(LOOK_INTERVAL).await;
            if self.store.stamp().await != self.state.lock().stamp() {
                return;
            }
        }
    }

    /// Resolves when no renewal is under way.
    pub(crate) async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Whether the client signs in for itself, so that nobody is needed.
    fn is_for_itself(&self) -> bool {
        self.sign_in.grant == GrantKind::ClientCredentials
    }

    async fn http(&self) -> Result<Http, String> {
        Http::new(&self.pool, &self.backend, &self.sign_in).await
    }
}
