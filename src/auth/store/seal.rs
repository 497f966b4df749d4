//! Seals the files of tokens with a key of a command or of the keychain: AES-256-GCM, with the file's name
//! as associated data, so that no file can stand for another.
//!
//! Owns the form of a sealed file, and that the key is asked for once for all backends of a process. It must
//! not know what is sealed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use serde_json::{Value, json};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

use super::keychain;
use crate::auth::secrets;
use crate::clock;
use crate::config::{SealedBy, Secret};
use crate::sync::Mutex;

/// Version of a file that is sealed. Releases without seals refuse it.
const VERSION: u64 = 2;
/// Least characters of a key: what 24 random bytes are in Base64.
const LEAST_KEY: usize = 32;
const SALT: &[u8] = b"sentinel-gateway tokens";

/// The pause after a failed request for the key, before the next one.
const PAUSE: Duration = Duration::from_secs(30);

/// How far the time of a file may be behind.
const GRAIN: Duration = Duration::from_secs(2);

/// What has come of asking for a key.
#[derive(Debug, Default)]
struct Printed {
    key: Option<Secret>,
    /// When the last request for it failed, and why.
    failed: Option<(Instant, SystemTime, String)>,
    /// When it was last asked for again, though there was a key.
    renewed: Option<(Instant, SystemTime)>,
}

/// What has come of asking for a key, shared by all who need it.
type Shared = Arc<AsyncMutex<Printed>>;

/// The keys of this process by where they are from: a keychain asks its user each time.
static KEYS: Mutex<Vec<KeySource>> = Mutex::new(Vec::new());

/// Where the key comes from.
#[derive(Debug, Clone)]
pub(in crate::auth) struct KeySource {
    sealed_by: SealedBy,
    /// The folder of the sealed files.
    folder: PathBuf,
    printed: Shared,
}

impl KeySource {
    pub(super) fn new(sealed_by: &SealedBy, folder: &Path) -> Self {
        let mut keys = KEYS.lock();
        let is_same = |known: &&Self| known.sealed_by == *sealed_by && known.folder == folder;
        if let Some(known) = keys.iter().find(is_same) {
            return known.clone();
        }
        let new = Self {
            sealed_by: sealed_by.clone(),
            folder: folder.to_owned(),
            printed: Arc::default(),
        };
        keys.push(new.clone());
        new
    }

    /// The key, which is asked for if it has not been; for a file that was written then, or to write one.
    ///
    /// # Errors
    /// For people: why there is none.
    pub(super) async fn get(&self, written: Option<SystemTime>) -> Result<Secret, String> {
        let mut printed = self.printed.lock().await;
        match &printed.key {
            Some(key) => Ok(key.clone()),
            None => self.run_for(&mut printed, written).await,
        }
    }

    /// The key that there is now, for a file that was written then. What has come since is that for
    /// half a minute: to ask for it may ask a person.
    ///
    /// # Errors
    /// For people: why there is none.
    pub(super) async fn renewed(&self, written: Option<SystemTime>) -> Result<Secret, String> {
        let mut printed = self.printed.lock().await;
        let renewed = printed.renewed;
        let is_lately = renewed.is_some_and(|(at, time)| holds(at, time, written));
        if let Some(key) = printed.key.as_ref().filter(|_| is_lately) {
            return Ok(key.clone());
        }
        let begun = (Instant::now(), clock::wall());
        let key = self.run_for(&mut printed, written).await?;
        printed.renewed = Some(begun);
        Ok(key)
    }

    /// Asks for it, unless that failed a moment ago: who has written the file since had the key.
    async fn run_for(
        &self,
        printed: &mut Printed,
        written: Option<SystemTime>,
    ) -> Result<Secret, String> {
        if let Some((at, time, why)) = &printed.failed
            && holds(*at, *time, written)
        {
            return Err(why.clone());
        }
        let outcome = self.run().await;
        let failed = |why| (Instant::now(), clock::wall(), why);
        printed.failed = outcome.clone().err().map(failed);
        if let Ok(key) = &outcome {
            printed.key = Some(key.clone());
        }
        outcome
    }

    async fn run(&self) -> Result<Secret, String> {
        let key = match &self.sealed_by {
            SealedBy::Keychain => keychain::key(&self.folder).await,
            SealedBy::Command(command) => secrets::run(command).await.and_then(|key| {
                let program = command.first().map_or("", |program| program);
                match key.reveal().len() < LEAST_KEY {
                    true => Err(format!("the command {program} prints less than {LEAST_KEY} characters; `openssl rand -base64 32` makes a key")),
                    false => Ok(key),
                }
            }),
        };
        key.map_err(|why| format!("gateway.auth_store gives no key: {why}"))
    }
}

/// Whether what came of asking then says something about a file that was written at this time, for now.
fn holds(at: Instant, time: SystemTime, written: Option<SystemTime>) -> bool {
    let is_since = |written| time.duration_since(written).is_ok_and(|past| past > GRAIN);
    at.elapsed() < PAUSE && written.is_none_or(is_since)
}

/// A sealed file.
#[derive(Debug)]
pub(super) struct Sealed {
    nonce: [u8; NONCE_LEN],
    /// The sealed content, with its tag.
    content: Vec<u8>,
}

impl Sealed {
    /// `None` for a file that is not sealed.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let document: Value = serde_json::from_slice(bytes).ok()?;
        if document["version"] != VERSION {
            return None;
        }
        let sealed = STANDARD.decode(document["sealed"].as_str()?).ok()?;
        let (nonce, content) = sealed.split_first_chunk::<{ NONCE_LEN }>()?;
        Some(Self {
            nonce: *nonce,
            content: content.to_vec(),
        })
    }

    /// What is in it; `None` for another key, another file, or one that was changed.
    pub(super) fn open(&self, key: &Secret, name: &str) -> Option<Vec<u8>> {
        let mut content = self.content.clone();
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let opened = aead(key).ok()?;
        let opened = opened.open_in_place(nonce, Aad::from(name.as_bytes()), &mut content);
        opened.ok().map(|text| text.to_vec())
    }
}

/// The text of a file of this name and URL that holds `text` sealed.
///
/// # Errors
/// For people: if the system gives no random numbers.
pub(super) fn seal(key: &Secret, name: &str, url: &str, text: &str) -> Result<String, String> {
    let failed = |_| "the tokens can't be sealed".to_owned();
    let nonce: [u8; NONCE_LEN] = rand::random();
    let mut sealed = text.as_bytes().to_vec();
    let unique = Nonce::assume_unique_for_key(nonce);
    aead(key)
        .and_then(|key| {
            key.seal_in_place_append_tag(unique, Aad::from(name.as_bytes()), &mut sealed)
        })
        .map_err(failed)?;
    let sealed = STANDARD.encode([&nonce[..], &sealed].concat());
    let document = json!({ "version": VERSION, "url": url, "sealed": sealed });
    Ok(format!("{document}\n"))
}

/// The key proper, from what has come.
fn aead(key: &Secret) -> Result<LessSafeKey, ring::error::Unspecified> {
    let derived = Salt::new(HKDF_SHA256, SALT).extract(key.reveal().as_bytes());
    let derived = derived.expand(&[b"file"], &AES_256_GCM)?;
    Ok(LessSafeKey::new(UnboundKey::from(derived)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(letter: char) -> Secret {
        Secret::new(letter.to_string().repeat(LEAST_KEY))
    }

    #[test]
    fn only_the_same_key_opens_a_file_under_its_own_name() {
        let text = seal(&key('a'), "notes-1", "https://h/mcp", "hidden").unwrap();
        assert!(!text.contains("hidden"), "{text}");
        let sealed = Sealed::read(text.as_bytes()).unwrap();
        assert_eq!(sealed.open(&key('a'), "notes-1").unwrap(), b"hidden");
        assert_eq!(sealed.open(&key('b'), "notes-1"), None);
        assert_eq!(sealed.open(&key('a'), "notes-2"), None);
        for index in [0, sealed.content.len() - 1] {
            let mut content = sealed.content.clone();
            content[index] ^= 1;
            let changed = Sealed { content, ..sealed };
            assert_eq!(changed.open(&key('a'), "notes-1"), None);
        }
        let again = seal(&key('a'), "notes-1", "https://h/mcp", "hidden").unwrap();
        assert_ne!(text, again, "a nonce is used once");
    }

    /// A command that notes each of its runs, and prints what a file holds.
    #[cfg(unix)]
    fn counted(folder: &Path) -> (KeySource, impl Fn() -> usize) {
        let (runs, key) = (folder.join("runs"), folder.join("key"));
        let script = "echo >> \"$0\"; cat \"$1\"";
        let paths = [&runs, &key].map(|path| path.display().to_string());
        let words = ["sh", "-c", script, &paths[0], &paths[1]].map(str::to_owned);
        let count = move || std::fs::read(&runs).map_or(0, |noted| noted.len());
        let command = SealedBy::Command(words.into());
        (KeySource::new(&command, folder), count)
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_command_of_no_use_is_not_run_again_and_again() {
        let folder = tempfile::tempdir().unwrap();
        let (command, runs) = counted(folder.path());
        for _ in 0..3 {
            assert!(command.get(None).await.is_err());
            assert!(command.renewed(None).await.is_err());
        }
        assert_eq!(runs(), 1);
        // Who has written a file since had a key.
        assert!(command.get(Some(clock::wall())).await.is_err());
        assert_eq!(runs(), 2);
        command.printed.lock().await.failed = None;
        std::fs::write(folder.path().join("key"), "k".repeat(LEAST_KEY)).unwrap();
        let before = Some(clock::wall() - Duration::from_secs(60));
        for _ in 0..3 {
            command.get(None).await.unwrap();
            command.renewed(before).await.unwrap();
        }
        assert_eq!(runs(), 4);
        // A file that was written since may have another key.
        command.renewed(Some(clock::wall())).await.unwrap();
        assert_eq!(runs(), 5);
    }

    #[test]
    fn other_files_are_not_sealed() {
        for text in [
            "",
            "{",
            r#"{"version":1,"sealed":"AAAA"}"#,
            r#"{"version":2}"#,
            r#"{"version":2,"sealed":"AAAA"}"#,
        ] {
            assert!(Sealed::read(text.as_bytes()).is_none(), "{text}");
        }
    }
}
