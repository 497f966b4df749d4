//! What each backend listed at last contact, in the user's folder for state.
//!
//! Owns the files: one for each config and backend, so that gateways side by side don't meet and
//! a bad file costs one backend. Their text is as little to be trusted as what a backend says:
//! it comes from there.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::config::{BackendConfig, Config};
use crate::files::{self, Readers};
use crate::hex::hex;
use crate::protocol::message::elements;
use crate::protocol::raw::quoted;
use crate::protocol::{Kind, Listing, RawJson};

/// Bytes of one file.
const MAX_BYTES: u64 = 64 << 20;
/// The time of last contact is this exact, so that not every start writes every file.
const EXACT_TO: Duration = Duration::from_secs(3600);
/// What a file's text begins with, before the time.
const HEAD: &str = "{\"listed_at\":";
/// Of the form described here.
const VERSION: u32 = 1;

/// The files of one config.
#[derive(Debug, Clone)]
pub struct ListingCache {
    folder: PathBuf,
    /// The config file; `None` where flags alone made the config.
    source: Option<Arc<Path>>,
}

/// A listing of an earlier run.
#[derive(Debug)]
pub struct CachedListing {
    /// As it was.
    pub listing: Listing,
    /// When it was had, within an hour.
    pub at: SystemTime,
}

/// How long ago a last contact was, for a person.
pub fn age(at: SystemTime) -> String {
    let seconds = at.elapsed().unwrap_or_default().as_secs();
    match seconds {
        0..7_200 => "less than two hours ago".to_owned(), // it is known within an hour
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

impl ListingCache {
    /// `None` where the config wants nothing remembered, or the machine has no place for it.
    pub fn of(config: &Config) -> Option<Self> {
        Some(Self {
            folder: config.state_folder.as_ref()?.join("catalog"),
            source: config.source.as_deref().map(Arc::from),
        })
    }

    /// What a backend listed at last contact. A file that can't be used is a line in the log.
    pub fn cached_listing(&self, backend: &BackendConfig) -> Option<CachedListing> {
        let fingerprint = fingerprint(backend)?;
        let path = self.path(backend, &fingerprint);
        let read = files::read(&path, MAX_BYTES).map_err(|error| error.to_string());
        match read.and_then(|bytes| {
            bytes
                .map(|bytes| parse(bytes.into(), &fingerprint))
                .transpose()
        }) {
            Ok(cached) => cached.flatten(),
            Err(why) => {
                let file = path.display().to_string();
                tracing::warn!(
                    backend = &*backend.name,
                    file,
                    error = why,
                    "what it listed at last contact can't be read and is not used"
                );
                None
            }
        }
    }

    /// Keeps what a backend lists now, if that isn't what is kept already.
    ///
    /// # Errors
    /// The file, and why it can't be written.
    pub(super) fn keep(
        &self,
        backend: &BackendConfig,
        listing: &Listing,
    ) -> Result<(), (PathBuf, io::Error)> {
        let Some(fingerprint) = fingerprint(backend) else {
            return Ok(());
        };
        let path = self.path(backend, &fingerprint);
        self.write(&path, &body(&fingerprint, listing))
            .map_err(|error| (path, error))
    }

    fn write(&self, path: &Path, body: &[u8]) -> io::Result<()> {
        let now = SystemTime::now();
        if is_kept(path, body, now) {
            return Ok(());
        }
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let text = [HEAD.as_bytes(), seconds.to_string().as_bytes(), body].concat();
        if text.len() as u64 > MAX_BYTES {
            let why = format!("it would have more than {MAX_BYTES} bytes");
            return Err(io::Error::other(why));
        }
        if let Some(ours) = self.folder.parent() {
            files::private_folder(ours)?;
        }
        files::private_folder(&self.folder)?;
        files::replace(path, &text, Readers::User)
    }

    fn path(&self, backend: &BackendConfig, fingerprint: &str) -> PathBuf {
        // Without a file there is nothing else that sets two configs apart.
        let config = match &self.source {
            Some(path) => digest(path.as_os_str().as_encoded_bytes()),
            None => fingerprint.to_owned(),
        };
        self.folder
            .join(format!("{}-{}.json", &config[..16], backend.name))
    }
}

/// What makes a backend the same one: where it listens, and the era it is spoken to in. Nothing
/// secret goes into it. `None` where the URL isn't known, for want of a variable.
fn fingerprint(backend: &BackendConfig) -> Option<String> {
    let url = backend.url.as_ref().ok()?;
    let place = format!(
        "{:?} {}://{}:{}{}",
        backend.protocol,
        url.scheme(),
        url.host_str().unwrap_or_default(),
        url.port_or_known_default().unwrap_or_default(),
        url.path()
    );
    Some(digest(place.as_bytes()))
}

/// All of a file but the time.
fn body(fingerprint: &str, listing: &Listing) -> Vec<u8> {
    let mut body = format!(
        ",\"version\":{VERSION},\"fingerprint\":\"{fingerprint}\",\"mirrors\":{}",
        listing.param_headers
    )
    .into_bytes();
    for kind in Kind::ALL {
        body.extend_from_slice(b",\n");
        body.extend_from_slice(&quoted(kind.member()));
        body.extend_from_slice(b":[");
        for (at, item) in listing.items(kind).iter().enumerate() {
            body.extend_from_slice(if at == 0 { b"\n" } else { b",\n" });
            body.extend_from_slice(item.as_bytes());
        }
        body.push(b']');
    }
    body.extend_from_slice(b"}\n");
    body
}

/// Whether this stands there already, not too long ago.
fn is_kept(path: &Path, body: &[u8], now: SystemTime) -> bool {
    let Ok(Some(bytes)) = files::read(path, MAX_BYTES) else {
        return false;
    };
    let Some(kept) = bytes.strip_suffix(body) else {
        return false;
    };
    let at = kept.strip_prefix(HEAD.as_bytes()).and_then(seconds);
    at.is_some_and(|at| now.duration_since(at).is_ok_and(|age| age < EXACT_TO))
}

/// The listing that a file holds; `None` if it is another backend's.
fn parse(bytes: Bytes, fingerprint: &str) -> Result<Option<CachedListing>, String> {
    let file = RawJson::parse(bytes).map_err(|error| format!("not JSON: {error}"))?;
    let of = |key: &str| file.get(key).ok_or_else(|| format!("it has no {key:?}"));
    if of("version")?.as_str() != VERSION.to_string() {
        return Err("it is of another version".into());
    }
    if of("fingerprint")?.text().as_deref() != Some(fingerprint) {
        return Ok(None);
    }
    let mut listing = Listing::new(of("mirrors")?.as_str() == "true");
    for kind in Kind::ALL {
        let items = elements(&of(kind.member())?);
        *listing.items_mut(kind) =
            items.ok_or_else(|| format!("{:?} is no list", kind.member()))?;
    }
    let at = seconds(of("listed_at")?.as_bytes()).ok_or("its \"listed_at\" is no time")?;
    Ok(Some(CachedListing { listing, at }))
}

fn seconds(text: &[u8]) -> Option<SystemTime> {
    let seconds = std::str::from_utf8(text).ok()?.parse().ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_as_exactly_as_it_is_known() {
        let told = |seconds| age(SystemTime::now() - Duration::from_secs(seconds));
        for (seconds, expected) in [
            (0, "less than two hours ago"),
            (7_100, "less than two hours ago"),
            (7_300, "2 h ago"),
            (172_700, "47 h ago"),
            (172_900, "2 days ago"),
        ] {
            assert_eq!(told(seconds), expected);
        }
        let future = SystemTime::now() + Duration::from_secs(9_999);
        assert_eq!(age(future), "less than two hours ago");
    }
}
