//! Resolves credentials into request headers.
//!
//! Owns the secrets of one backend while the process runs: reading them from their sources,
//! attaching them to each request, and reading them again after a 401. Files are read and commands
//! are run here and nowhere else. Values are marked sensitive, and the scrubber learns each.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::Instant;

use crate::backend::backoff::{Backoff, Series, jitter};
use crate::config::{BackendConfig, Secret, SecretSource};
use crate::files::{MAX_SECRET, read_configured};
use crate::sync::Mutex;
use crate::text::Reach;

/// Time for a command that prints a secret. It may ask a keychain or a person.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// The result of a command holds at least this long across reconnects, and that of one that fails
/// again and again longer; a 401 reads secrets again at most once in this time.
const MIN_AGE: Duration = Duration::from_secs(10);

/// The credentials of one backend, shared by its sessions.
#[derive(Debug)]
pub struct Credentials {
    config: Arc<BackendConfig>,
    current: Mutex<Current>,
    /// Held while sources are read, so that they are read once for all who wait.
    reading: tokio::sync::Mutex<Commands>,
}

/// What requests carry now.
#[derive(Debug, Default)]
struct Current {
    /// `Authorization` and the configured headers.
    headers: HeaderMap,
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
    pub fn new(config: Arc<BackendConfig>) -> Self {
        Self {
            config,
            current: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// Reads all secrets, before a connection is made. A command runs at most once in 10 s, one that
    /// fails less and less often.
    ///
    /// # Errors
    /// A message for people: which secret can't be read and why.
    pub async fn resolve(&self) -> Result<(), String> {
        let mut commands = self.reading.lock().await;
        let headers = self.read(&mut commands, SecretAge::Cached).await?;
        self.replace(headers);
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

    /// Reads files and commands again after a 401, at most once in 10 s, for all callers together. Returns
    /// whether the credentials now differ from those of generation `used`.
    pub(crate) async fn renew(&self, used: u64) -> bool {
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
        let read = self.read(&mut commands, SecretAge::New).await;
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

    /// The beginning of a text of the backend: short, escaped, without secrets.
    pub fn snippet(&self, text: &[u8]) -> String {
        self.config.scrubber.snippet(text)
    }

    fn is_renewable(&self) -> bool {
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

fn header_value(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

async fn first_line(path: &Path) -> Result<Secret, String> {
    let bytes = read_configured(path, MAX_SECRET)
        .await
        .map_err(|why| format!("the file {why}"))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| format!("the file {} holds no UTF-8 text", path.display()))?;
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => Ok(Secret::new(line)),
        _ => Err(format!("the file {} is empty", path.display())),
    }
}

async fn run(command: &[String]) -> Result<Secret, String> {
    let (program, arguments) = command.split_first().ok_or("the command is empty")?;
    let (status, printed) = tokio::time::timeout(COMMAND_TIMEOUT, output(program, arguments))
        .await
        .map_err(|_| format!("the command {program} did not end within {COMMAND_TIMEOUT:?}"))?
        .map_err(|error| format!("the command {program} can't be run: {error}"))?;
    if !status.success() {
        return Err(format!("the command {program} failed ({status})"));
    }
    match std::str::from_utf8(&printed).map(|text| text.trim_end_matches(['\r', '\n'])) {
        Ok("") => Err(format!("the command {program} printed nothing")),
        Ok(text) => Ok(Secret::new(text)),
        Err(_) => Err(format!("the command {program} printed no UTF-8 text")),
    }
}

/// Runs a program to its end. One that prints too much for a secret is ended.
async fn output(program: &str, arguments: &[String]) -> io::Result<(ExitStatus, Vec<u8>)> {
    let mut child = Command::new(program)
        .args(arguments)
        // Our stdin is the client's: a command that reads must not take its messages.
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut printed = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout
            .take(MAX_SECRET + 1)
            .read_to_end(&mut printed)
            .await?;
    }
    if printed.len() as u64 > MAX_SECRET {
        let why = format!("it prints more than {MAX_SECRET} bytes");
        return Err(io::Error::new(ErrorKind::FileTooLarge, why));
    }
    Ok((child.wait().await?, printed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn command_errors_do_not_include_its_output() {
        let why = run(&["/no/such/program".into()]).await.unwrap_err();
        assert!(why.contains("/no/such/program can't be run"), "{why}");
        assert_eq!(run(&[]).await.unwrap_err(), "the command is empty");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_command_gives_its_output_without_the_line_end() {
        let command = ["sh", "-c", "echo tok-en"].map(String::from);
        assert_eq!(run(&command).await.unwrap().reveal(), "tok-en");
        let why = run(&["sh", "-c", "exit 3"].map(String::from))
            .await
            .unwrap_err();
        assert!(why.contains("exit status: 3"), "{why}");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_command_that_prints_without_end_is_ended() {
        let why = run(&["yes".to_owned()]).await.unwrap_err();
        assert!(why.contains("prints more than 65536 bytes"), "{why}");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_secret_cannot_smuggle_in_a_header() {
        let command = ["sh", "-c", "printf 'canary\\r\\nX-Other: canary'"].map(String::from);
        let token = run(&command).await.unwrap();
        assert!(header_value(token.reveal()).is_none());
    }

    #[tokio::test]
    async fn a_missing_file_is_named() {
        let why = first_line(Path::new("/no/such/file")).await.unwrap_err();
        assert!(why.contains("/no/such/file can't be read"), "{why}");
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
