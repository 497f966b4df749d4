//! The last listing of each backend, in the user's state folder.
//!
//! Owns the files: one for each config and backend, so that gateways don't overwrite each other's
//! files and a damaged file affects one backend. Their content comes from a backend and is not
//! trusted. It must not know how a listing is used.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::clock;
use crate::config::{BackendConfig, Config};
use crate::files::{self, Readers};
use crate::hex::hex;
use crate::protocol::message::elements;
use crate::protocol::raw::quoted;
use crate::protocol::{Contact, Kind, Listing, RawJson};

/// Most bytes of one file.
const MAX_BYTES: u64 = 64 << 20;
/// Precision of the time of last contact: an unchanged file is rewritten only after this time.
const PRECISION: Duration = Duration::from_secs(3600);
/// The text of a file before the time.
const HEAD: &str = "{\"listed_at\":";
/// Most bytes of its first line, which says whose file it is.
const MAX_FIRST_LINE: usize = 4 << 10;
/// Most bytes of a line that holds what the backend said of itself.
const MAX_LINE: usize = 1 << 20;
/// Version of the file format.
const VERSION: u32 = 1;

/// The files of one config.
#[derive(Debug, Clone)]
pub(crate) struct ListingCache {
    folder: PathBuf,
    /// The config file; `None` where flags alone made the config.
    source: Option<Arc<Path>>,
}

/// A listing of an earlier run.
#[derive(Debug)]
pub(crate) struct CachedListing {
    /// The listing.
    pub(crate) listing: Listing,
    /// When it was fetched, to the hour.
    pub(crate) at: SystemTime,
}

/// A file of the cache, as it was read.
#[derive(Debug)]
pub(super) struct CacheFile {
    path: PathBuf,
    fingerprint: String,
    /// Its content, or why it can't be read.
    text: Result<Bytes, String>,
}

impl CacheFile {
    /// Bytes of its content.
    pub(super) fn bytes(&self) -> usize {
        self.text.as_ref().map_or(0, Bytes::len)
    }

    /// How the backend was connected, if it is this one's file and says so. It is in the first line.
    pub(super) fn contact(&self) -> Option<Contact> {
        let text = self.text.as_ref().ok()?;
        let line = text.iter().take(MAX_FIRST_LINE);
        let end = line.copied().position(|byte| byte == b'\n')?;
        let members = text[..end].strip_suffix(b",")?;
        let head = RawJson::parse([members, b"}"].concat().into()).ok()?;
        let fingerprint = head.get("fingerprint")?.text()?;
        let contact = Contact::read(&head.get("initialize")?)?;
        (fingerprint == self.fingerprint).then_some(contact)
    }

    /// What the backend said of itself, if it is this one's file: the lines before the first list. It
    /// is a listing without items.
    pub(super) fn introduction(&self) -> Option<Listing> {
        let text = self.text.as_ref().ok()?;
        let line = |from: usize| {
            let rest = text.get(from..)?;
            let end = rest.iter().take(MAX_LINE).position(|byte| *byte == b'\n')?;
            Some(from + end + 1)
        };
        let mut end = line(0)?;
        while let Some(next) = line(end).filter(|_| {
            ["instructions", "declared"].iter().any(|key| {
                let key = format!("\"{key}\":");
                text[end..].starts_with(key.as_bytes())
            })
        }) {
            end = next;
        }
        let members = text[..end].strip_suffix(b",\n")?;
        let head = RawJson::parse([members, b"}"].concat().into()).ok()?;
        if head.get("fingerprint")?.text()? != self.fingerprint {
            return None;
        }
        let mut introduction = Listing::default();
        let instructions = head.get("instructions").and_then(|text| text.text());
        introduction.instructions = instructions.map(Into::into);
        introduction.declared = head.get("declared").filter(RawJson::is_object);
        Some(introduction)
    }

    /// The listing in it; `None` if it can't be used, which is logged, or is another backend's.
    pub(super) fn parse(self, backend: &str) -> Option<CachedListing> {
        let parsed = self.text.and_then(|text| parse(text, &self.fingerprint));
        parsed.unwrap_or_else(|error| {
            let file = self.path.display().to_string();
            tracing::warn!(
                backend,
                file,
                error,
                "its last listing can't be read and is not used"
            );
            None
        })
    }
}

/// How long ago a last contact was, for a message.
pub(crate) fn age(at: SystemTime) -> String {
    let elapsed = clock::wall().duration_since(at).unwrap_or_default();
    let seconds = elapsed.as_secs();
    match seconds {
        0..7_200 => "less than two hours ago".to_owned(), // the time is known to the hour
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

impl ListingCache {
    /// `None` if the config disables state, or the machine has no state folder.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        Some(Self {
            folder: config.state_folder.as_ref()?.join("catalog"),
            source: config.source.as_deref().map(Arc::from),
        })
    }

    /// The last listing of a backend, if there is one. A file that can't be used is logged. Blocks.
    pub(crate) fn cached_listing(&self, backend: &BackendConfig) -> Option<CachedListing> {
        self.read(backend)?.parse(&backend.name)
    }

    /// The file of a backend, unparsed. Blocks.
    pub(super) fn read(&self, backend: &BackendConfig) -> Option<CacheFile> {
        let fingerprint = fingerprint(backend)?;
        let path = self.path(backend, &fingerprint);
        let text = match files::read(&path, MAX_BYTES) {
            Ok(None) => return None,
            Ok(Some(bytes)) => Ok(bytes.into()),
            Err(error) => Err(error.to_string()),
        };
        Some(CacheFile {
            path,
            fingerprint,
            text,
        })
    }

    /// Writes a backend's listing, if it differs from the file.
    ///
    /// # Errors
    /// The file that can't be written, and why.
    pub(super) fn keep(
        &self,
        backend: &BackendConfig,
        listing: &Listing,
    ) -> Result<(), (PathBuf, io::Error)> {
        let Some(fingerprint) = fingerprint(backend) else {
            return Ok(());
        };
        let path = self.path(backend, &fingerprint);
        let body = Body {
            fingerprint: &fingerprint,
            listing,
        };
        self.write(&path, &body).map_err(|error| (path, error))
    }

    fn write(&self, path: &Path, body: &Body<'_>) -> io::Result<()> {
        let now = clock::wall();
        if body.is_kept(path, now).unwrap_or(false) {
            return Ok(());
        }
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let head = format!("{HEAD}{seconds}");
        if head.len() as u64 + body.length() > MAX_BYTES {
            let why = format!("it would have more than {MAX_BYTES} bytes");
            return Err(io::Error::other(why));
        }
        if let Some(ours) = self.folder.parent() {
            files::private_folder(ours)?;
        }
        files::private_folder(&self.folder)?;
        files::replace_with(path, Readers::User, |file| {
            file.write_all(head.as_bytes())?;
            body.pieces(|piece| file.write_all(piece))
        })
    }

    fn path(&self, backend: &BackendConfig, fingerprint: &str) -> PathBuf {
        // Without a config file, only the backend identifies the config.
        let config = match &self.source {
            Some(path) => digest(path.as_os_str().as_encoded_bytes()),
            None => fingerprint.to_owned(),
        };
        self.folder
            .join(format!("{}-{}.json", &config[..16], backend.name))
    }
}

/// Identifies a backend by its URL without query and its configured protocol. Contains no secrets.
/// `None` if the URL is unknown because a variable is not set.
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

/// The text of a file after the time. It is never in memory as a whole: a listing is large enough.
struct Body<'a> {
    fingerprint: &'a str,
    listing: &'a Listing,
}

impl Body<'_> {
    /// Passes on the text piece by piece.
    fn pieces(&self, mut next: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let beginning = format!(
            ",\"version\":{VERSION},\"fingerprint\":\"{}\",\"mirrors\":{}",
            self.fingerprint, self.listing.param_headers
        );
        next(beginning.as_bytes())?;
        if let Some(contact) = &self.listing.contact {
            next(b",\"initialize\":")?;
            next(contact.to_json().as_bytes())?;
        }
        if let Some(instructions) = &self.listing.instructions {
            next(b",\n\"instructions\":")?;
            next(&quoted(instructions))?;
        }
        if let Some(declared) = &self.listing.declared {
            next(b",\n\"declared\":")?;
            next(declared.as_bytes())?;
        }
        for kind in Kind::ALL {
            next(b",\n")?;
            next(&quoted(kind.member()))?;
            next(b":[")?;
            for (at, item) in self.listing.items(kind).iter().enumerate() {
                next(if at == 0 { b"\n" } else { b",\n" })?;
                next(item.as_bytes())?;
            }
            next(b"]")?;
        }
        next(b"}\n")
    }

    fn length(&self) -> u64 {
        let mut length = 0;
        let counted = self.pieces(|piece| {
            length += piece.len() as u64;
            Ok(())
        });
        counted.map_or(u64::MAX, |()| length)
    }

    /// Whether the file has this content already and is recent enough.
    fn is_kept(&self, path: &Path, now: SystemTime) -> io::Result<bool> {
        let Some(mut file) = files::open(path)? else {
            return Ok(false);
        };
        let mut head = vec![0; HEAD.len()];
        file.read_exact(&mut head)?;
        let mut digits = Vec::new();
        // A time has fewer digits; the comma after it begins the rest.
        (&mut file).take(32).read_until(b',', &mut digits)?;
        let at = digits.strip_suffix(b",").and_then(seconds);
        let is_recent = |at| now.duration_since(at).is_ok_and(|age| age < PRECISION);
        if head != HEAD.as_bytes() || !at.is_some_and(is_recent) {
            return Ok(false);
        }
        let mut rest = (&b","[..]).chain(file);
        let mut buffer = Vec::new();
        self.pieces(|piece| {
            buffer.resize(piece.len(), 0);
            rest.read_exact(&mut buffer)?;
            match buffer == piece {
                true => Ok(()),
                false => Err(io::ErrorKind::InvalidData.into()),
            }
        })?;
        Ok(rest.read(&mut [0])? == 0)
    }
}

/// The listing in a file; `None` if it is another backend's.
fn parse(bytes: Bytes, fingerprint: &str) -> Result<Option<CachedListing>, String> {
    let file = RawJson::parse(bytes).map_err(|error| format!("not JSON: {error}"))?;
    let of = |key: &str| file.get(key).ok_or_else(|| format!("it has no {key:?}"));
    if of("version")?.as_str() != VERSION.to_string() {
        return Err("it has another version".into());
    }
    if of("fingerprint")?.text().as_deref() != Some(fingerprint) {
        return Ok(None);
    }
    let mut listing = Listing::new(of("mirrors")?.as_str() == "true");
    // Version 0.1 did not keep them.
    let instructions = file.get("instructions").and_then(|text| text.text());
    listing.instructions = instructions.map(Into::into);
    listing.declared = file.get("declared").filter(RawJson::is_object);
    for kind in Kind::ALL {
        let items = elements(&of(kind.member())?);
        *listing.items_mut(kind) =
            items.ok_or_else(|| format!("{:?} is not a list", kind.member()))?;
    }
    let at = seconds(of("listed_at")?.as_bytes()).ok_or("its \"listed_at\" is not a time")?;
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
    fn an_age_is_as_precise_as_the_stored_time() {
        let age_of = |seconds| age(clock::wall() - Duration::from_secs(seconds));
        for (seconds, expected) in [
            (0, "less than two hours ago"),
            (7_100, "less than two hours ago"),
            (7_300, "2 h ago"),
            (172_700, "47 h ago"),
            (172_900, "2 days ago"),
        ] {
            assert_eq!(age_of(seconds), expected);
        }
        let future = clock::wall() + Duration::from_secs(9_999);
        assert_eq!(age(future), "less than two hours ago");
    }
}
