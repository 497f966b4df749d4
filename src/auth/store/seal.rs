//! Seals the files of tokens with a key that a command prints: AES-256-GCM, with the file's name as
//! associated data, so that no file can stand for another.
//!
//! Owns the form of a sealed file, and that the command is run once for all backends of a process. It must
//! not know what is sealed.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use serde_json::{Value, json};
use tokio::sync::Mutex as AsyncMutex;

use crate::auth::secrets;
use crate::config::Secret;
use crate::sync::Mutex;

/// Version of a file that is sealed. Releases without seals refuse it.
const VERSION: u64 = 2;
/// Least characters of a key: what 24 random bytes are in Base64.
const LEAST_KEY: usize = 32;
const SALT: &[u8] = b"sentinel-gateway tokens";

/// What a command has printed, once it has.
type Printed = Arc<AsyncMutex<Option<Secret>>>;

/// The keys of this process by their commands: a keychain asks its user each time.
static KEYS: Mutex<Vec<(Arc<[String]>, Printed)>> = Mutex::new(Vec::new());

/// The command that prints the key.
#[derive(Debug, Clone)]
pub(in crate::auth) struct KeyCommand {
    command: Arc<[String]>,
    printed: Printed,
}

impl KeyCommand {
    pub(super) fn new(command: Arc<[String]>) -> Self {
        let mut keys = KEYS.lock();
        let known = keys.iter().find(|(known, _)| *known == command);
        let printed = match known {
            Some((_, printed)) => Arc::clone(printed),
            None => {
                let printed = Printed::default();
                keys.push((Arc::clone(&command), Arc::clone(&printed)));
                printed
            }
        };
        Self { command, printed }
    }

    /// The key, for which the command is run if it has not been.
    ///
    /// # Errors
    /// For people: why there is none.
    pub(super) async fn get(&self) -> Result<Secret, String> {
        let mut printed = self.printed.lock().await;
        if let Some(key) = &*printed {
            return Ok(key.clone());
        }
        let key = self.run().await?;
        *printed = Some(key.clone());
        Ok(key)
    }

    /// The key that the command prints now.
    ///
    /// # Errors
    /// For people: why there is none.
    pub(super) async fn renewed(&self) -> Result<Secret, String> {
        let mut printed = self.printed.lock().await;
        let key = self.run().await?;
        *printed = Some(key.clone());
        Ok(key)
    }

    async fn run(&self) -> Result<Secret, String> {
        let key = secrets::run(&self.command).await;
        let key = key.map_err(|why| format!("gateway.auth_store gives no key: {why}"))?;
        match key.reveal().len() < LEAST_KEY {
            true => Err(format!(
                "gateway.auth_store gives no key: the command {} prints less than {LEAST_KEY} characters; `openssl rand -base64 32` makes a key",
                self.command.first().map_or("", |program| program)
            )),
            false => Ok(key),
        }
    }
}

/// A sealed file.
#[derive(Debug)]
pub(super) struct Sealed {
    nonce: [u8; NONCE_LEN],
    /// With its tag.
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

/// The key proper, from what the command prints.
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
