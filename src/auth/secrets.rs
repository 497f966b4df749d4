//! Reads a secret from where the config says that it is.
//!
//! Owns reading files and running commands for secrets, within bounds. It must not know what a secret
//! is for.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::config::{Secret, SecretSource};
use crate::files::{MAX_SECRET, read_configured};

/// Time for a command that prints a secret. It may ask a keychain or a person.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// How often an empty file is read before it counts as empty, and the time between: a program that writes
/// a file in place empties it first.
const READS_OF_AN_EMPTY_FILE: u32 = 4;
const BETWEEN_READS: Duration = Duration::from_millis(50);

/// The secret of this source.
///
/// # Errors
/// A message for people, without secrets.
pub(crate) async fn reveal(source: &SecretSource) -> Result<Secret, String> {
    match source {
        SecretSource::Value(secret) => Ok(secret.clone()),
        SecretSource::Missing(why) => Err(why.clone()),
        SecretSource::File(path) => first_line(path).await,
        SecretSource::Command(command) => run(command).await,
    }
}

/// The first line of a file, without white space around it. A file that is empty is perhaps being written,
/// and is read again within 150 ms.
///
/// # Errors
/// A message for people, without what is in the file.
pub(crate) async fn first_line(path: &Path) -> Result<Secret, String> {
    for _ in 1..READS_OF_AN_EMPTY_FILE {
        if let Some(line) = read_line(path).await? {
            return Ok(line);
        }
        tokio::time::sleep(BETWEEN_READS).await;
    }
    let line = read_line(path).await?;
    line.ok_or_else(|| format!("the file {} is empty", path.display()))
}

/// The first line of a file; `None` if nothing is in it.
async fn read_line(path: &Path) -> Result<Option<Secret>, String> {
    let bytes = read_configured(path, MAX_SECRET)
        .await
        .map_err(|why| format!("the file {why}"))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| format!("the file {} holds no UTF-8 text", path.display()))?;
    let line = text.lines().next().map_or("", str::trim);
    Ok((!line.is_empty()).then(|| Secret::new(line)))
}

/// What a command prints, without its last line end.
///
/// # Errors
/// A message for people, without what it printed.
pub(crate) async fn run(command: &[String]) -> Result<Secret, String> {
    let (program, arguments) = command.split_first().ok_or("the command is empty")?;
    let ended = output(Command::new(program).args(arguments), None)
        .await
        .map_err(|error| match error.kind() {
            ErrorKind::TimedOut => format!("the command {program} {error}"),
            _ => format!("the command {program} can't be run: {error}"),
        })?;
    if !ended.status.success() {
        return Err(format!("the command {program} failed ({})", ended.status));
    }
    match std::str::from_utf8(&ended.printed).map(|text| text.trim_end_matches(['\r', '\n'])) {
        Ok("") => Err(format!("the command {program} printed nothing")),
        Ok(text) => Ok(Secret::new(text)),
        Err(_) => Err(format!("the command {program} printed no UTF-8 text")),
    }
}

/// How a program has ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) printed: Vec<u8>,
    /// What it wrote to stderr, where the program was given an input.
    pub(crate) stderr: Vec<u8>,
}

/// Runs a program to its end, within 30 s, with this input or none. One that prints too much for a secret is
/// ended.
///
/// # Errors
/// If it can't be run, prints too much, or takes too long.
pub(crate) async fn output(command: &mut Command, input: Option<&str>) -> io::Result<Ended> {
    let piped = |is_wanted| match is_wanted {
        true => Stdio::piped(),
        false => Stdio::null(),
    };
    let mut child = command
        // Our stdin is the client's: a command that reads must not take its messages.
        .stdin(piped(input.is_some()))
        .stdout(Stdio::piped())
        .stderr(piped(input.is_some()))
        .kill_on_drop(true)
        .spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let give = async {
        if let Some((mut stdin, input)) = stdin.zip(input) {
            // A program that doesn't read says itself what is wrong.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        Ok(())
    };
    let run = async {
        let (printed, stderr, ()) = tokio::try_join!(read(stdout), read(stderr), give)?;
        let status = child.wait().await?;
        Ok(Ended {
            status,
            printed,
            stderr,
        })
    };
    let late = |_| {
        let why = format!("did not end within {COMMAND_TIMEOUT:?}");
        io::Error::new(ErrorKind::TimedOut, why)
    };
    tokio::time::timeout(COMMAND_TIMEOUT, run)
        .await
        .map_err(late)?
}

async fn read(from: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        from.take(MAX_SECRET + 1).read_to_end(&mut bytes).await?;
    }
    if bytes.len() as u64 > MAX_SECRET {
        let why = format!("it prints more than {MAX_SECRET} bytes");
        return Err(io::Error::new(ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
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

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_being_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "").unwrap();
        // The paused clock stands still while the first read is under way.
        let written_later = async {
            tokio::time::sleep(BETWEEN_READS / 2).await;
            std::fs::write(&path, "tok-en\n").unwrap();
        };
        let (line, ()) = tokio::join!(first_line(&path), written_later);
        assert_eq!(line.unwrap().reveal(), "tok-en");

        std::fs::write(&path, "\n").unwrap();
        let why = first_line(&path).await.unwrap_err();
        assert!(why.ends_with("token is empty"), "{why}");
    }

    #[tokio::test]
    async fn a_missing_file_is_named() {
        let why = first_line(Path::new("/no/such/file")).await.unwrap_err();
        assert!(why.contains("/no/such/file can't be read"), "{why}");
    }
}
