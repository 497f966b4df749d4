//! Resolves credentials into request headers.
//!
//! Owns the secrets of one backend while the process runs: reading them from their sources, attaching them to each
//! request, and reading them again after a 401. Values are marked sensitive, and the scrubber learns each.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::auth::secrets::{first_line, run};
use crate::auth::{Advice, AuthError, Tokens};
use crate::backend::backoff::{Backoff, Series, jitter};
use crate::backend::error::{BackendError, Challenge};
use crate::config::{BackendConfig, Secret, SecretSource};
use crate::sync::Mutex;
use crate::text::Reach;
use crate::transport::http::Pool;

/// The result of a command holds at least this long across reconnects, and that of one that fails
/// again and again longer; a 401 reads secrets again at most once in this time.
const MIN_AGE: Duration = Duration::from_secs(10);

/// Fewest bytes of a cookie's value that is a secret, and most values that are learned.
const MIN_COOKIE: usize = 8;
const MAX_COOKIES: usize = 64;

/// The credentials of one backend, shared by its sessions.
#[derive(Debug)]
pub struct Credentials {
    config: Arc<BackendConfig>,
    /// Of a person's sign-in; `None` where nobody can sign in.
    pub(in crate::backend) tokens: Option<Arc<Tokens>>,
    current: Mutex<Current>,
    /// How many cookies were learned.
    cookies: AtomicUsize,
    /// Held while sources are read, so that they are read once for all who wait.
    reading: tokio::sync::Mutex<Commands>,
}

/// What requests carry now.
#[derive(Debug, Default)]
struct Current {
    /// `Authorization` and the configured headers.
    headers: HeaderMap,
    /// The token in them that a sign-in gave.
    token: Option<Secret>,
    /// Grows when the headers change.
    generation: u64,
    renewed_at: Option<Instant>,
}

/// The last run of each command.
#[derive(Debug, Default)]
struct Commands(HashMap<Vec<String>, LastRun>);

#[derive(Debug)]
struct LastRun {
    at: Instant,
    result: Result<Secret, String>,
    failures: Backoff,
    /// How long the result holds.
    holds: Duration,
}

/// Whether a command's last result may be used while it is younger than [`MIN_AGE`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum SecretAge {
    Cached,
    New,
}

impl Credentials {
    /// Nothing is read yet; [`resolve`](Self::resolve) does.
    pub fn new(config: Arc<BackendConfig>, pool: &Pool) -> Self {
        Self {
            tokens: Tokens::of(&config, pool),
            config,
            current: Mutex::default(),
            cookies: AtomicUsize::new(0),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// Reads all secrets, before a connection is made. A command runs at most once in 10 s, one that
    /// fails less and less often.
    ///
    /// # Errors
    /// Which secret can't be read and why, or what a person has to do.
    pub async fn resolve(&self) -> Result<(), BackendError> {
        let token = match &self.tokens {
            Some(tokens) => tokens.current().await.map_err(without_token)?,
            None => None,
        };
        let mut commands = self.reading.lock().await;
        let read = self.read(&mut commands, SecretAge::Cached).await;
        let mut headers = read.map_err(BackendError::Misconfigured)?;
        if self.tokens.is_some() {
            set_token(&mut headers, token.as_ref());
        }
        self.replace(headers);
        self.current.lock().token = token;
        Ok(())
    }

    /// Before a request: the token is renewed if it ends soon, and one that the server has refused is
    /// not sent again.
    ///
    /// # Errors
    /// Why there is no token to send.
    pub(super) async fn ready(&self) -> Result<(), BackendError> {
        if let Some(tokens) = self.tokens.as_ref().filter(|tokens| tokens.is_due()) {
            let token = tokens.current().await.map_err(without_token)?;
            self.replace_token(token.as_ref());
        }
        Ok(())
    }

    /// Whether the config has any for this backend.
    pub(super) fn are_configured(&self) -> bool {
        self.config.has_credentials
    }

    /// The backend's name in the config.
    pub(super) fn backend(&self) -> &str {
        &self.config.name
    }

    /// A number that changes whenever the credentials do.
    pub(crate) fn generation(&self) -> u64 {
        self.current.lock().generation
    }

    /// After a 401: renews the token of a sign-in, or reads files and commands again, at most once in
    /// 10 s, for all callers together. Returns whether the credentials now differ from those of
    /// generation `used`.
    pub(crate) async fn renew(&self, used: u64, challenge: Option<&Challenge>) -> Renewal {
        if let Some(tokens) = &self.tokens {
            return self.renew_token(tokens, used, challenge).await;
        }
        match self.read_again(used).await {
            true => Renewal::Renewed,
            false => Renewal::Same,
        }
    }

    async fn renew_token(
        &self,
        tokens: &Arc<Tokens>,
        used: u64,
        challenge: Option<&Challenge>,
    ) -> Renewal {
        let refused = {
            let current = self.current.lock();
            if current.generation != used {
                return Renewal::Renewed;
            }
            current.token.clone()
        };
        let challenge = challenge.and_then(Challenge::bearer);
        match tokens.renew(refused.clone(), challenge).await {
            Ok(token) => {
                self.replace_token(token.as_ref());
                // Another call may have replaced it meanwhile: what was sent is what counts.
                match token == refused {
                    true => Renewal::Same,
                    false => Renewal::Renewed,
                }
            }
            Err(error) => Renewal::Impossible(without_token(error)),
        }
    }

    /// What a person can do about a 401 or 403.
    pub(crate) fn advice(&self, status: u16, challenge: Option<&Challenge>) -> Option<Arc<Advice>> {
        let challenge = challenge.and_then(Challenge::bearer);
        let tokens = self.tokens.as_ref()?;
        tokens.advice(status, challenge.as_ref()).map(Arc::new)
    }

    /// A call with the credentials of generation `used` lacked these scopes. Newer ones may have them.
    pub(crate) async fn lacks(&self, used: u64, scopes: &[String]) {
        if let Some(tokens) = self.tokens.as_ref().filter(|_| self.generation() == used) {
            tokens.lacks(scopes).await;
        }
    }

    /// Resolves when a person has signed in or out since generation `used`; never where nobody can.
    pub(in crate::backend) async fn changed(&self, used: u64) {
        match &self.tokens {
            Some(tokens) => tokens.changed(|| self.generation() != used).await,
            None => std::future::pending().await,
        }
    }

    /// Resolves when no renewal is under way.
    pub(in crate::backend) async fn finish(&self) {
        if let Some(tokens) = &self.tokens {
            tokens.finish().await;
        }
    }

    /// Reads files and commands again, since the config has changed. What can't be read stays as it was.
    pub(in crate::backend) async fn reload(&self) {
        self.read_anew(&mut *self.reading.lock().await).await;
    }

    async fn read_again(&self, used: u64) -> bool {
        if !self.is_renewable() {
            return false;
        }
        let mut commands = self.reading.lock().await;
        {
            let current = self.current.lock();
            if current.generation != used {
                return true;
            }
            if current.renewed_at.is_some_and(|at| at.elapsed() < MIN_AGE) {
                return false;
            }
        }
        self.read_anew(&mut commands).await
    }

    /// Whether that has changed anything.
    async fn read_anew(&self, commands: &mut Commands) -> bool {
        let read = self.read(commands, SecretAge::New).await;
        self.current.lock().renewed_at = Some(Instant::now());
        match read {
            Ok(headers) => self.replace(headers),
            Err(why) => {
                let backend = &*self.config.name;
                tracing::warn!(backend, why, "the credentials can't be read again");
                false
            }
        }
    }

    /// Adds the credentials to a request's headers.
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.current.lock().headers {
            headers.append(name.clone(), value.clone());
        }
    }

    /// A cookie that the server has set is a secret of this session. Servers may set another one with
    /// each answer, so not all are learned; a short one is no secret.
    pub(super) fn learn_cookie(&self, value: &str) {
        let learned = &self.cookies;
        if value.len() >= MIN_COOKIE && learned.fetch_add(1, Relaxed) < MAX_COOKIES {
            self.config.scrubber.learn(value, Reach::Everywhere);
        }
    }

    /// The beginning of a text of the backend: short, escaped, without secrets.
    pub fn snippet(&self, text: &[u8]) -> String {
        self.config.scrubber.snippet(text)
    }

    /// Sends this token from now on.
    fn replace_token(&self, token: Option<&Secret>) {
        let mut headers = self.current.lock().headers.clone();
        set_token(&mut headers, token);
        self.replace(headers);
        self.current.lock().token = token.cloned();
    }

    /// Whether any of them is read from a file or a command.
    pub(in crate::backend) fn is_renewable(&self) -> bool {
        let bearer = self.config.bearer.iter();
        let headers = self.config.headers.iter().map(|(_, source)| source);
        bearer
            .chain(headers)
            .any(|source| matches!(source, SecretSource::File(_) | SecretSource::Command(_)))
    }

    /// Whether they differ from those before.
    fn replace(&self, headers: HeaderMap) -> bool {
        let mut current = self.current.lock();
        let changed = current.headers != headers;
        if changed {
            current.headers = headers;
            current.generation += 1;
        }
        changed
    }

    async fn read(
        &self,
        commands: &mut Commands,
        freshness: SecretAge,
    ) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        if let Some(source) = &self.config.bearer {
            let token = self
                .reveal(source, commands, freshness)
                .await
                .map_err(|why| format!("bearer: {why}"))?;
            let value = header_value(&format!("Bearer {}", token.reveal()))
                .ok_or("bearer: the token has characters that no HTTP header can carry")?;
            headers.insert(AUTHORIZATION, value);
        }
        for (name, source) in &self.config.headers {
            let secret = self
                .reveal(source, commands, freshness)
                .await
                .map_err(|why| format!("header {name}: {why}"))?;
            let value = header_value(secret.reveal()).ok_or_else(|| {
                format!("header {name}: the value has characters that no HTTP header can carry")
            })?;
            headers.append(HeaderName::clone(name), value);
        }
        Ok(headers)
    }

    /// The secret of this source. Those that are written in the config are known to the scrubber.
    async fn reveal(
        &self,
        source: &SecretSource,
        commands: &mut Commands,
        freshness: SecretAge,
    ) -> Result<Secret, String> {
        let secret = match source {
            SecretSource::Value(secret) => return Ok(secret.clone()),
            SecretSource::Missing(why) => return Err(why.clone()),
            SecretSource::File(path) => first_line(path).await?,
            SecretSource::Command(command) => commands.run(command, freshness).await?,
        };
        let scrubber = &self.config.scrubber;
        scrubber.learn_header(secret.reveal(), Reach::Everywhere);
        Ok(secret)
    }
}

impl Commands {
    async fn run(&mut self, command: &[String], freshness: SecretAge) -> Result<Secret, String> {
        // A failure holds whoever asks.
        if let Some(last) = self.0.get(command)
            && (freshness == SecretAge::Cached || last.result.is_err())
            && last.at.elapsed() < last.holds
        {
            return last.result.clone();
        }
        let last = self.0.remove(command);
        let mut failures = last.map_or(Backoff::new(Series::COMMAND), |last| last.failures);
        let result = run(command).await;
        let holds = match &result {
            Ok(_) => MIN_AGE,
            Err(_) => failures.next_delay(&mut jitter()),
        };
        if result.is_ok() {
            failures.reset();
        }
        let last = LastRun {
            at: Instant::now(),
            result: result.clone(),
            failures,
            holds,
        };
        self.0.insert(command.to_vec(), last);
        result
    }
}

/// What a 401 led to.
#[derive(Debug)]
pub(crate) enum Renewal {
    /// The credentials are others now.
    Renewed,
    /// They are the same.
    Same,
    /// There are none to send.
    Impossible(BackendError),
}

fn without_token(error: AuthError) -> BackendError {
    match error {
        AuthError::SignIn(advice) => BackendError::sign_in(Arc::new(advice)),
        AuthError::Unavailable(why) => BackendError::SignInUnavailable(why),
    }
}

fn set_token(headers: &mut HeaderMap, token: Option<&Secret>) {
    // Its characters were checked when it came.
    let value = token.and_then(|token| header_value(&format!("Bearer {}", token.reveal())));
    match value {
        Some(value) => drop(headers.insert(AUTHORIZATION, value)),
        None => drop(headers.remove(AUTHORIZATION)),
    }
}

fn header_value(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[tokio::test]
    async fn a_secret_cannot_smuggle_in_a_header() {
        let command = ["sh", "-c", "printf 'canary\\r\\nX-Other: canary'"].map(String::from);
        let token = run(&command).await.unwrap();
        assert!(header_value(token.reveal()).is_none());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_command_runs_once_in_ten_seconds_unless_a_401_asks() {
        let folder = tempfile::tempdir().unwrap();
        let count = folder.path().join("count");
        let script = format!("echo x >> {0}; wc -l < {0}", count.display());
        let command = ["sh", "-c", &script].map(String::from);
        let mut commands = Commands::default();
        for (freshness, expected) in [
            (SecretAge::Cached, "1"),
            (SecretAge::Cached, "1"),
            (SecretAge::New, "2"),
            (SecretAge::Cached, "2"),
        ] {
            let secret = commands.run(&command, freshness).await.unwrap();
            assert_eq!(secret.reveal().trim(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn fault_98_a_command_that_fails_runs_less_and_less_often() {
        let failing = ["/no/such/program".to_owned()];
        let mut commands = Commands::default();
        let begun = Instant::now();
        let mut runs = Vec::new();
        while begun.elapsed() < Duration::from_secs(3600) {
            for freshness in [SecretAge::Cached, SecretAge::New] {
                assert!(commands.run(&failing, freshness).await.is_err());
            }
            runs.push(commands.0[&failing[..]].at);
            runs.dedup();
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(runs.len() < 20, "{} runs in an hour", runs.len());
        let waits: Vec<Duration> = runs.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(waits[0] >= MIN_AGE, "{waits:?}");
        assert!(waits[3] > waits[0] * 2, "{waits:?}");
    }
}
