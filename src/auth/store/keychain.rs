//! The key of `auth_store = "keychain"`, in the keychain of the platform, which its own tool speaks to.
//!
//! Owns the tools' command lines, and the note of which key is ours, a file beside the sign-ins. A key is
//! made only where there is no note: that a tool finds none may mean that the keychain is locked. Each has a
//! name of its own, so none is ever replaced. It must not know what is sealed.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::auth::secrets::{self, Ended};
use crate::config::Secret;
use crate::files::{self, Readers};
use crate::tasks;

/// What entries are found by, beside their names.
const SERVICE: &str = "sentinel-gateway";
const NOTE: &str = "keychain";
const MAX_NOTE: u64 = 16 * 1024;
/// Longest wait for another process that makes the key, which may ask a person, and between two looks.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);
const LOCK_INTERVAL: Duration = Duration::from_millis(50);
/// Most characters of a tool's stderr in a message.
const MAX_STDERR: usize = 200;

/// The keychain's key for the sign-ins in this folder. Makes it where there is none.
///
/// # Errors
/// For people: why there is none, and what to do.
pub(super) async fn key(folder: &Path) -> Result<Secret, String> {
    let tool = Tool::OF_SYSTEM;
    let keychain = Keychain {
        tool,
        program: tool.program(),
        folder: folder.to_owned(),
    };
    keychain.key().await
}

/// What speaks to a keychain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tool {
    /// `secret-tool` of libsecret: GNOME Keyring, KWallet, KeePassXC.
    Libsecret,
    /// `security` of macOS.
    Security,
    /// Protects data for the user; the note holds the key so protected.
    PowerShell,
}

impl Tool {
    const OF_SYSTEM: Self = if cfg!(windows) {
        Self::PowerShell
    } else if cfg!(target_os = "macos") {
        Self::Security
    } else {
        Self::Libsecret
    };

    fn program(self) -> PathBuf {
        match self {
            Self::Libsecret => "secret-tool".into(),
            Self::Security => "/usr/bin/security".into(),
            Self::PowerShell => {
                let system = std::env::var_os("SystemRoot").unwrap_or_else(|| r"C:\Windows".into());
                Path::new(&system).join(r"System32\WindowsPowerShell\v1.0\powershell.exe")
            }
        }
    }

    /// The arguments that put a key of this name into the keychain, and what the tool reads: no key is on a
    /// command line.
    fn keep(self, name: &str, key: &str) -> (Vec<String>, String) {
        match self {
            Self::Libsecret => {
                let label = "--label=Sentinel Gateway";
                let words = ["store", label, "service", SERVICE, "name", name];
                (words.map(str::to_owned).into(), key.to_owned())
            }
            Self::Security => {
                let add = format!("add-generic-password -s {SERVICE} -a {name} -w {key}\n");
                (vec!["-i".to_owned()], add)
            }
            Self::PowerShell => (
                power_shell(
                    "$input | ConvertTo-SecureString -AsPlainText -Force | ConvertFrom-SecureString",
                ),
                format!("{key}\n"),
            ),
        }
    }

    /// The arguments that make the tool print a key, and what the tool reads.
    fn look_up(self, note: &str) -> (Vec<String>, String) {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match self {
            Self::Libsecret => (
                words(&["lookup", "service", SERVICE, "name", note]),
                String::new(),
            ),
            Self::Security => (
                words(&["find-generic-password", "-s", SERVICE, "-a", note, "-w"]),
                String::new(),
            ),
            Self::PowerShell => (
                power_shell(
                    "(New-Object Management.Automation.PSCredential 'key', ($input | ConvertTo-SecureString)).GetNetworkCredential().Password",
                ),
                format!("{note}\n"),
            ),
        }
    }
}

fn power_shell(script: &str) -> Vec<String> {
    ["-NoProfile", "-NonInteractive", "-Command", script]
        .map(str::to_owned)
        .into()
}

/// The keychain, for one folder.
#[derive(Debug)]
struct Keychain {
    tool: Tool,
    program: PathBuf,
    folder: PathBuf,
}

impl Keychain {
    async fn key(&self) -> Result<Secret, String> {
        if let Some(note) = self.note().await? {
            return self.look_up(&note).await;
        }
        let _held = self.lock().await?;
        // Another process may have made it meanwhile.
        match self.note().await? {
            Some(note) => self.look_up(&note).await,
            None => self.make().await,
        }
    }

    /// Puts a new key into the keychain, and notes it when it has come back from there.
    async fn make(&self) -> Result<Secret, String> {
        let key = Secret::new(STANDARD.encode(rand::random::<[u8; 32]>()));
        let name = format!("{:016x}", rand::random::<u64>());
        let (arguments, input) = self.tool.keep(&name, key.reveal());
        let ended = self.run(&arguments, &input).await?;
        if !ended.status.success() {
            let why = stderr_line(&ended).replace(key.reveal(), "***");
            return Err(format!("the keychain takes no key{why}; unlock it"));
        }
        let note = match self.tool {
            Tool::PowerShell => first_line(&ended),
            Tool::Libsecret | Tool::Security => name,
        };
        if self.look_up(&note).await? != key {
            return Err("the keychain gives another key than it was given".to_owned());
        }
        let (path, text) = (self.note_file(), format!("{note}\n"));
        let written = move || files::replace(&path, text.as_bytes(), Readers::User);
        blocking(written)
            .await
            .map_err(|error| self.wrong(&error))?;
        Ok(key)
    }

    async fn look_up(&self, note: &str) -> Result<Secret, String> {
        let (arguments, input) = self.tool.look_up(note);
        let ended = self.run(&arguments, &input).await?;
        let key = first_line(&ended);
        if !ended.status.success() || key.is_empty() {
            let file = self.note_file();
            return Err(format!(
                "the keychain is locked, or no longer has the key that {} names{}; unlock it; if the key is gone for good, remove that file and sign in again",
                file.display(),
                stderr_line(&ended)
            ));
        }
        Ok(Secret::new(key))
    }

    async fn run(&self, arguments: &[String], input: &str) -> Result<Ended, String> {
        let mut command = Command::new(&self.program);
        command.args(arguments);
        #[cfg(unix)]
        find_session(&mut command);
        let shown = self.program.display();
        match secrets::output(&mut command, Some(input)).await {
            Ok(ended) => Ok(ended),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(format!(
                "{shown} is not there, which speaks to the keychain; install it (on Linux the package libsecret-tools or libsecret), or name another command in auth_store = {{ key_command = [\"…\"] }}"
            )),
            Err(error) => Err(format!("{shown} can't be run: {error}")),
        }
    }

    async fn note(&self) -> Result<Option<String>, String> {
        let path = self.note_file();
        let read = blocking(move || files::read(&path, MAX_NOTE)).await;
        let bytes = read.map_err(|error| self.wrong(&error))?;
        let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        Ok(text.filter(|text| !text.is_empty()))
    }

    /// Only one process makes a key.
    async fn lock(&self) -> Result<Option<File>, String> {
        let until = Instant::now() + LOCK_TIMEOUT;
        loop {
            let folder = self.folder.clone();
            let tried = move || {
                if let Some(ours) = folder.parent() {
                    files::private_folder(ours)?;
                }
                files::private_folder(&folder)?;
                files::try_lock(&folder.join(NOTE).with_extension("lock"))
            };
            match blocking(tried).await {
                Ok(Some(held)) => return Ok(Some(held)),
                Ok(None) if Instant::now() < until => sleep(LOCK_INTERVAL).await,
                Ok(None) => return Err("another gateway makes it and takes too long".to_owned()),
                Err(error) => return Err(self.wrong(&error)),
            }
        }
    }

    fn note_file(&self) -> PathBuf {
        self.folder.join(NOTE)
    }

    fn wrong(&self, error: &io::Error) -> String {
        format!("{} can't be used: {error}", self.note_file().display())
    }
}

/// MCP clients start servers with few variables, without those that name the session's message bus, where a
/// Linux keychain is found.
#[cfg(unix)]
fn find_session(command: &mut Command) {
    let names = ["DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"];
    if names.iter().all(|name| std::env::var_os(name).is_none()) {
        let user = rustix::process::geteuid().as_raw();
        command.env(names[0], format!("unix:path=/run/user/{user}/bus"));
    }
}

fn first_line(ended: &Ended) -> String {
    let printed = String::from_utf8_lossy(&ended.printed);
    printed.lines().next().map_or("", str::trim).to_owned()
}

/// The first line that the tool wrote to stderr, in parentheses; empty if it wrote none.
fn stderr_line(ended: &Ended) -> String {
    let stderr = String::from_utf8_lossy(&ended.stderr);
    let line = stderr.lines().map(str::trim).find(|line| !line.is_empty());
    line.map_or_else(String::new, |line| {
        let shown = line.chars().filter(|letter| !letter.is_control());
        format!(" ({})", shown.take(MAX_STDERR).collect::<String>())
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tasks::blocking(work).await;
    done.unwrap_or_else(|_| Err(io::Error::other("its task has ended")))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    /// Stand-ins for the tools: each keeps keys beside itself, and shows none that it was not given.
    const TOOLS: [(Tool, &str); 3] = [
        (
            Tool::Libsecret,
            "[ \"$1\" = store ] && exec cat > \"$6\"; exec cat \"$5\"",
        ),
        (
            Tool::Security,
            "[ \"$1\" = -i ] && { read -r _ _ _ _ name _ key; printf %s \"$key\" > \"$name\"; exit; }; exec cat \"$5\"",
        ),
        (
            Tool::PowerShell,
            "[ \"$1 $2 $3\" = \"-NoProfile -NonInteractive -Command\" ] && exec tr A-Za-z N-ZA-Mn-za-m",
        ),
    ];

    async fn keychain(folder: &Path, tool: Tool, script: &str) -> Keychain {
        let (text, program) = (folder.join("text"), folder.join("tool"));
        let script = format!("#!/bin/sh\ncd \"${{0%/*}}\"\necho >> runs\n{script}\n");
        std::fs::write(&text, script).unwrap();
        // By another program: one that this process has open for writing can't be run.
        let mut placing = Command::new("install");
        let placed = placing.arg("-m755").args([&text, &program]).status().await;
        assert!(placed.unwrap().success());
        let folder = folder.join("sentinel/auth");
        Keychain {
            tool,
            program,
            folder,
        }
    }

    #[tokio::test]
    async fn each_tool_keeps_one_key_for_all_who_ask_at_once() {
        for (tool, script) in TOOLS {
            let folder = tempfile::tempdir().unwrap();
            let keychain = keychain(folder.path(), tool, script).await;
            let asked = tokio::join!(keychain.key(), keychain.key(), keychain.key());
            let keys = [asked.0, asked.1, asked.2].map(Result::unwrap);
            assert_eq!(keys[0].reveal().len(), 44, "{tool:?}");
            assert!(keys.iter().all(|key| *key == keys[0]), "{tool:?}");
            assert_eq!(keychain.key().await.unwrap(), keys[0], "{tool:?}");
            // Made and looked up by one, looked up by the others.
            let runs = std::fs::read(folder.path().join("runs")).unwrap();
            assert_eq!(runs.len(), 5, "{tool:?}");
            let note = std::fs::read_to_string(keychain.note_file()).unwrap();
            assert!(!note.contains(keys[0].reveal()), "{tool:?}");
        }
    }

    #[tokio::test]
    async fn a_key_that_does_not_come_back_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let forgetful = "[ $1 = store ] || echo another-key-of-more-than-thirty-two-letters";
        let keychain = keychain(folder.path(), Tool::Libsecret, forgetful).await;
        let why = keychain.key().await.unwrap_err();
        assert_eq!(why, "the keychain gives another key than it was given");
        assert_eq!(keychain.note().await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_a_tool_says_of_a_failure_is_told_without_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let fails = "read -r key; printf 'no: %s\\033[1m\\nmore\\n' \"$key\" >&2; exit 1";
        let keychain = keychain(folder.path(), Tool::Libsecret, fails).await;
        let why = keychain.key().await.unwrap_err();
        assert_eq!(why, "the keychain takes no key (no: ***[1m); unlock it");
    }
}
