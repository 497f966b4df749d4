//! The headers that let us in.
//!
//! Owns turning a backend's secret sources into request headers, at connect: files are read and
//! commands are run here and nowhere else. Values are marked sensitive and show in no message.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use tokio::process::Command;

use super::files;
use crate::config::{BackendConfig, Secret, SecretSource};

/// A command that prints a secret may ask a keychain or a person; it may not hang for ever.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// What a backend's credentials come to.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// `Authorization` and the configured headers.
    pub headers: HeaderMap,
    /// Every value among them, to be scrubbed from what the backend says.
    pub secrets: Vec<Secret>,
}

/// Resolves all secrets of a backend.
///
/// # Errors
/// In plain words, which of them can't be had and why.
pub async fn resolve(config: &BackendConfig) -> Result<Credentials, String> {
    let mut credentials = Credentials::default();
    if let Some(source) = &config.bearer {
        let token = reveal(source)
            .await
            .map_err(|why| format!("bearer: {why}"))?;
        let value = header_value(&format!("Bearer {}", token.reveal()))
            .ok_or("bearer: the token has characters that no HTTP header can carry")?;
        credentials.headers.insert(AUTHORIZATION, value);
        credentials.secrets.push(token);
    }
    for (name, source) in &config.headers {
        let secret = reveal(source)
            .await
            .map_err(|why| format!("header {name}: {why}"))?;
        let value = header_value(secret.reveal()).ok_or_else(|| {
            format!("header {name}: the value has characters that no HTTP header can carry")
        })?;
        credentials.headers.append(name, value);
        credentials.secrets.push(secret);
    }
    Ok(credentials)
}

fn header_value(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

async fn reveal(source: &SecretSource) -> Result<Secret, String> {
    match source {
        SecretSource::Value(secret) => Ok(secret.clone()),
        SecretSource::Missing(why) => Err(why.clone()),
        SecretSource::File(path) => first_line(path),
        SecretSource::Command(command) => run(command).await,
    }
}

fn first_line(path: &Path) -> Result<Secret, String> {
    let bytes = files::read(path).map_err(|why| format!("the file {why}"))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| format!("the file {} holds no UTF-8 text", path.display()))?;
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => Ok(Secret::new(line)),
        _ => Err(format!("the file {} is empty", path.display())),
    }
}

async fn run(command: &[String]) -> Result<Secret, String> {
    let (program, arguments) = command.split_first().ok_or("the command is empty")?;
    let child = Command::new(program)
        .args(arguments)
        // Our stdin is the client's: a command that reads must not eat its messages.
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(COMMAND_TIMEOUT, child)
        .await
        .map_err(|_| format!("the command {program} did not end within {COMMAND_TIMEOUT:?}"))?
        .map_err(|error| format!("the command {program} can't be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("the command {program} failed ({})", output.status));
    }
    match std::str::from_utf8(&output.stdout).map(|text| text.trim_end_matches(['\r', '\n'])) {
        Ok("") => Err(format!("the command {program} printed nothing")),
        Ok(text) => Ok(Secret::new(text)),
        Err(_) => Err(format!("the command {program} printed no UTF-8 text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_that_fails_or_is_missing_says_so_and_nothing_else() {
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
    async fn a_secret_cannot_smuggle_in_a_header() {
        let command = ["sh", "-c", "printf 'canary\\r\\nX-Other: canary'"].map(String::from);
        let token = run(&command).await.unwrap();
        assert!(header_value(token.reveal()).is_none());
    }

    #[tokio::test]
    async fn a_missing_file_is_named() {
        let why = reveal(&SecretSource::File("/no/such/file".into()))
            .await
            .unwrap_err();
        assert!(why.contains("/no/such/file can't be read"), "{why}");
    }
}
