//! The tokens of this user, in the state folder: one file for each backend, by its name and URL.
//!
//! Owns the files (0600 in a folder of 0700, replaced whole and synced) and the locks that let one
//! process at a time change them. A killed process leaves the old or the new file, and no lock. It
//! must not know how a token is got. `mcp_remote` is the store of another program.

mod keychain;
pub(crate) mod mcp_remote;
mod record;
mod seal;

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use rand::RngExt;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};
use url::Url;

use crate::config::SignIn;
use crate::files::{self, Readers, Stamp};
use crate::hex::hex;
use crate::tasks;
pub(crate) use record::{ClientSource, Reason, Record, StoredClient, StoredToken};
use seal::{KeySource, Sealed, seal};

/// Most bytes of one file.
const MAX_BYTES: u64 = 1 << 20;
/// The pause between two attempts to get a lock.
const LOCK_INTERVAL: Duration = Duration::from_millis(50);

/// The file of one backend, whether or not it exists.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    folder: PathBuf,
    /// File name without extension.
    stem: String,
    /// The backend's URL without query, which the file names.
    url: String,
    /// What seals the file.
    key: Option<KeySource>,
}

/// Which of the two locks of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The file is changed.
    Change,
    /// A person signs in.
    Login,
}

/// A held lock.
#[derive(Debug)]
pub(crate) struct Held {
    /// `None` where the file system has no locks.
    _file: Option<File>,
    /// Why there is no lock.
    pub(crate) unlocked: Option<String>,
}

impl Store {
    /// The store for the backend of this name and URL.
    pub(crate) fn of(sign_in: &SignIn, name: &str, url: &Url) -> Self {
        let key = sign_in.sealed_by.as_ref();
        let key = key.map(|by| KeySource::new(by, &sign_in.folder));
        Self::new(sign_in.folder.clone(), name, url, key)
    }

    /// The store in this folder, sealed by this key if there is one.
    pub(super) fn new(folder: PathBuf, name: &str, url: &Url, key: Option<KeySource>) -> Self {
        let place = format!(
            "{}://{}:{}{}",
            url.scheme(),
            url.host_str().unwrap_or_default(),
            url.port_or_known_default().unwrap_or_default(),
            url.path()
        );
        let digest = hex(&Sha256::digest(place.as_bytes()));
        let mut shown = url.clone();
        shown.set_query(None);
        shown.set_fragment(None);
        Self {
            folder,
            stem: format!("{name}-{}", &digest[..12]),
            url: shown.into(),
            key,
        }
    }

    /// Whether the file can be sealed, before there is anything to seal.
    ///
    /// # Errors
    /// For people: why the key is not to be had.
    pub(crate) async fn ready(&self) -> Result<(), String> {
        match &self.key {
            Some(key) => key.get(None).await.map(drop),
            None => Ok(()),
        }
    }

    /// An empty record of this backend.
    pub(crate) fn empty(&self) -> Record {
        Record::new(self.url.clone())
    }

    /// What changes whenever the file does.
    pub(crate) async fn stamp(&self) -> Option<Stamp> {
        let path = self.file();
        tasks::blocking(move || Stamp::of(&path)).await.ok()?
    }

    /// What the file holds; `None` where there is none. Of one that is sealed with a key that we don't
    /// have, only that a person has to sign in again.
    ///
    /// # Errors
    /// A message for people, without what is in the file.
    pub(crate) async fn read(&self) -> Result<Option<Record>, String> {
        let path = self.file();
        let shown = path.display().to_string();
        let bytes = blocking(move || {
            files::read(&path, MAX_BYTES)
                .map_err(|error| format!("{} can't be read: {error}", path.display()))
        });
        let Some(bytes) = bytes.await? else {
            return Ok(None);
        };
        let unusable = |why: String| format!("{shown} can't be used: {why}");
        let bytes = match Sealed::read(&bytes) {
            Some(sealed) => match self.open(&sealed).await.map_err(unusable)? {
                Ok(bytes) => bytes,
                Err(why) => return Ok(Some(self.closed(why))),
            },
            None => bytes,
        };
        let record = Record::read(&bytes).map_err(unusable)?;
        match record.url == self.url {
            true => Ok(Some(record)),
            false => Err(unusable(format!("it is of {}", record.url))),
        }
    }

    /// The content of a sealed file, or why it stays closed.
    async fn open(&self, sealed: &Sealed) -> Result<Result<Vec<u8>, &'static str>, String> {
        let Some(key) = &self.key else {
            return Ok(Err(
                "the tokens are sealed, and gateway.auth_store names no key",
            ));
        };
        let path = self.file();
        let written = blocking(move || Ok(files::modified(&path))).await?;
        if let Some(bytes) = sealed.open(&key.get(written).await?, &self.stem) {
            return Ok(Ok(bytes));
        }
        // The key may have been replaced while we run.
        let opened = sealed.open(&key.renewed(written).await?, &self.stem);
        Ok(opened.ok_or("the tokens are sealed with another key than gateway.auth_store gives"))
    }

    /// What is known of a file that stays closed.
    fn closed(&self, why: &str) -> Record {
        let mut record = self.empty();
        record.is_closed = true;
        record.sign_in = Some(Reason {
            since: 0,
            why: why.to_owned(),
        });
        record
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// A message for people.
    pub(crate) async fn write(&self, record: &Record) -> Result<(), String> {
        let text = match &self.key {
            Some(key) => seal(&key.get(None).await?, &self.stem, &self.url, &record.text())?,
            None => record.text(),
        };
        let store = self.clone();
        blocking(move || {
            let path = store.file();
            let wrong = |error| format!("{} can't be written: {error}", path.display());
            store.make_folders().map_err(wrong)?;
            files::remove_leftovers(&store.folder);
            files::replace(&path, text.as_bytes(), Readers::User).map_err(wrong)
        })
        .await
    }

    /// Removes the file.
    ///
    /// # Errors
    /// A message for people.
    pub(crate) async fn remove(&self) -> Result<(), String> {
        let path = self.file();
        blocking(move || {
            files::remove(&path)
                .map_err(|error| format!("{} can't be removed: {error}", path.display()))
        })
        .await
    }

    /// The lock, if it is free now.
    ///
    /// # Errors
    /// If the folder can't be made.
    pub(crate) async fn try_lock(&self, purpose: Purpose) -> Result<Option<Held>, String> {
        let store = self.clone();
        blocking(move || {
            let extension = match purpose {
                Purpose::Change => "lock",
                Purpose::Login => "login.lock",
            };
            let path = store.folder.join(format!("{}.{extension}", store.stem));
            store
                .make_folders()
                .map_err(|error| format!("{} can't be made: {error}", store.folder.display()))?;
            Ok(match files::try_lock(&path) {
                Ok(None) => None,
                Ok(file) => Some(Held {
                    _file: file,
                    unlocked: None,
                }),
                // The file's generation is what is left then.
                Err(error) => Some(Held {
                    _file: None,
                    unlocked: Some(format!("{} can't be locked: {error}", path.display())),
                }),
            })
        })
        .await
    }

    /// The lock, when it is free; `None` after `limit`.
    ///
    /// # Errors
    /// If the folder can't be made.
    pub(crate) async fn lock(
        &self,
        purpose: Purpose,
        limit: Duration,
    ) -> Result<Option<Held>, String> {
        let until = Instant::now() + limit;
        loop {
            if let Some(held) = self.try_lock(purpose).await? {
                return Ok(Some(held));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            let jitter = rand::rng().random_range(0.5..1.5);
            sleep(LOCK_INTERVAL.mul_f64(jitter)).await;
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.stem))
    }

    fn make_folders(&self) -> std::io::Result<()> {
        if let Some(ours) = self.folder.parent() {
            files::private_folder(ours)?;
        }
        files::private_folder(&self.folder)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tasks::blocking(work)
        .await
        .unwrap_or_else(|_| Err("the file can't be used: its task has ended".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Secret;

    fn store(folder: &Path) -> Store {
        let url = Url::parse("https://h.example/mcp?key=hidden").unwrap();
        Store::new(folder.join("sentinel/auth"), "notes", &url, None)
    }

    fn record(store: &Store, access: &str) -> Record {
        let mut record = store.empty();
        record.token = Some(StoredToken {
            access: Secret::new(access),
            refresh: Some(Secret::new("r")),
            obtained_at: 7,
            expires_at: Some(9),
            scope: vec!["a".to_owned()],
        });
        record
    }

    #[tokio::test]
    async fn a_record_comes_back_and_no_path_has_the_query() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        assert!(store.read().await.unwrap().is_none());
        assert_eq!(store.stamp().await, None);
        let mut written = record(&store, "one");
        store.write(&written).await.unwrap();
        let stamp = store.stamp().await;
        let read = store.read().await.unwrap().unwrap();
        assert_eq!(
            (&read.token, read.url),
            (&written.token, written.url.clone())
        );
        written.generation += 1;
        store.write(&written).await.unwrap();
        assert_ne!(store.stamp().await, stamp);
        assert!(!store.file().display().to_string().contains("hidden"));
        assert!(
            !std::fs::read_to_string(store.file())
                .unwrap()
                .contains("hidden")
        );
        store.remove().await.unwrap();
        assert!(store.read().await.unwrap().is_none());
    }

    #[test]
    fn another_name_or_another_url_is_another_file() {
        let file = |name, url: &str| {
            Store::new(PathBuf::new(), name, &Url::parse(url).unwrap(), None).file()
        };
        let one = file("a", "https://h/mcp");
        assert_eq!(one, file("a", "https://H:443/mcp?x=y"));
        for (name, url) in [
            ("b", "https://h/mcp"),
            ("a", "https://h/mcp/"),
            ("a", "http://h/mcp"),
            ("a", "https://h:1/mcp"),
        ] {
            assert_ne!(one, file(name, url), "{name} {url}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn only_the_user_can_read_file_lock_and_folder() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        store.write(&record(&store, "one")).await.unwrap();
        let _held = store.try_lock(Purpose::Change).await.unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&store.folder), 0o700);
        assert_eq!(mode(store.folder.parent().unwrap()), 0o700);
        let files: Vec<u32> = std::fs::read_dir(&store.folder)
            .unwrap()
            .map(|entry| mode(&entry.unwrap().path()))
            .collect();
        assert_eq!(files, [0o600, 0o600]);
    }

    #[tokio::test(start_paused = true)]
    async fn each_purpose_has_a_lock_of_its_own_and_waiting_ends() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let held = store.try_lock(Purpose::Change).await.unwrap();
        assert!(held.is_some_and(|held| held.unlocked.is_none()));
        let held = store.try_lock(Purpose::Change).await.unwrap();
        assert!(store.try_lock(Purpose::Login).await.unwrap().is_some());
        let limit = Duration::from_secs(1);
        assert!(store.lock(Purpose::Change, limit).await.unwrap().is_none());
        drop(held);
        assert!(store.lock(Purpose::Change, limit).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_used_is_named_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        store.write(&store.empty()).await.unwrap();
        for (text, expected) in [
            ("{\"access\":\"hidden", "it is no JSON object"),
            (
                r#"{"version":2,"url":"hidden"}"#,
                "it is of version 2, of a newer release",
            ),
            (
                r#"{"version":1,"url":"https://other/"}"#,
                "it is of https://other/",
            ),
        ] {
            std::fs::write(store.file(), text).unwrap();
            let why = store.read().await.map(|_| ()).unwrap_err();
            assert!(why.ends_with(expected), "{why}");
            assert!(!why.contains("hidden"), "{why}");
        }
    }
}
