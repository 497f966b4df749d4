//! `sentinel.lock`: the accepted definitions of tools, in a file beside the config file.
//!
//! Owns the format of that file, reading and writing: JSON with one tool a line, sorted, so that a
//! diff shows which tool changed. It must not know when a definition counts as changed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::files;
use crate::protocol::RawJson;
use crate::protocol::raw::quoted;

/// The accepted definition of one tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The backend's name.
    pub backend: Arc<str>,
    /// The tool's own name.
    pub tool: Arc<str>,
    /// SHA-256 of the definition in canonical form, as 64 hex digits.
    pub sha256: Arc<str>,
    /// Hashes of definitions accepted earlier, oldest first.
    pub earlier: Vec<Arc<str>>,
    /// The definition without members that don't count; `None` where it is too large to keep.
    pub definition: Option<RawJson>,
}

/// All accepted definitions, by backend and tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock(BTreeMap<Arc<str>, BTreeMap<Arc<str>, Pin>>);

/// The lock that belongs to a configuration.
#[derive(Debug, Clone)]
pub(crate) struct LockFile {
    /// The file's path, or a message saying why there is none to write to.
    pub(crate) path: Result<PathBuf, String>,
    /// Whether tools that are seen for the first time are recorded in it as accepted.
    pub(crate) records_new: bool,
    /// Its content; empty if there is no file.
    pub(crate) lock: Arc<Lock>,
}

impl LockFile {
    /// No file: definitions are only kept while the gateway runs. `why` is a message for people.
    pub(super) fn none(why: impl Into<String>) -> Self {
        Self {
            path: Err(why.into()),
            records_new: false,
            lock: Arc::default(),
        }
    }

    /// Reads the lock of the config file at `config`.
    ///
    /// # Errors
    /// File, line and problem, in one line, if there is a lock that can't be read.
    pub(super) fn beside(config: &Path) -> Result<Self, String> {
        let path = config.with_extension("lock");
        Ok(Self {
            lock: Arc::new(Lock::read(&path)?),
            path: Ok(path),
            records_new: true,
        })
    }
}

impl Lock {
    /// Most bytes of the file. Backends determine how much there is to keep.
    pub(crate) const MAX_BYTES: u64 = 64 << 20;

    /// Reads the file at `path`; empty if there is none.
    ///
    /// # Errors
    /// File, line and problem, in one line.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        match files::read(path, Self::MAX_BYTES) {
            Ok(None) => Ok(Self::default()),
            Ok(Some(bytes)) => Self::parse(bytes.into()).map_err(|(line, what)| {
                format!("{shown}:{line}: not a lock of tool definitions: {what}; restore it, or delete it to accept every tool as it is now")
            }),
            Err(error) => Err(format!("{shown}: can't be read: {error}")),
        }
    }

    /// Parses the file's text.
    ///
    /// # Errors
    /// The line, counted from 1, and the problem there.
    pub fn parse(text: Bytes) -> Result<Self, (usize, String)> {
        let written: LockDocument<'_> = serde_json::from_slice(&text)
            .map_err(|error| (error.line(), without_position(&error)))?;
        if written.version != VERSION {
            let what = format!("version {} is not supported", written.version);
            return Err((1, what));
        }
        let mut lock = Self::default();
        for (at, pin) in written.pins.into_iter().enumerate() {
            // One tool a line, after the first line.
            let line = at + 2;
            let definition = pin.definition.map(|raw| slice_of(&text, raw));
            let (backend, tool) = (pin.backend, pin.tool);
            let hashes = std::iter::once(&pin.sha256).chain(&pin.earlier);
            if !hashes.into_iter().all(|hash| is_hash(hash)) {
                return Err((
                    line,
                    format!("{backend}/{tool}: a sha256 has 64 hex digits"),
                ));
            }
            let pin = Pin {
                backend: backend.as_str().into(),
                tool: tool.as_str().into(),
                sha256: pin.sha256.into(),
                earlier: pin.earlier.into_iter().map(Arc::from).collect(),
                definition,
            };
            if !lock.add(pin) {
                return Err((line, format!("{backend}/{tool} is listed twice")));
            }
        }
        Ok(lock)
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let mut text = format!("{{\"version\":{VERSION},\"pins\":[");
        for (at, pin) in self.pins().enumerate() {
            text.push_str(if at == 0 { "\n" } else { ",\n" });
            let earlier: Vec<_> = pin.earlier.iter().map(|hash| json(hash)).collect();
            // Writing to a `String` can't fail.
            let _ = write!(
                text,
                r#"{{"backend":{},"tool":{},"sha256":{},"earlier":[{}]"#,
                json(&pin.backend),
                json(&pin.tool),
                json(&pin.sha256),
                earlier.join(","),
            );
            if let Some(definition) = &pin.definition {
                let _ = write!(text, r#","definition":{}"#, definition.as_str());
            }
            text.push('}');
        }
        text.push_str("\n]}\n");
        text
    }

    /// The pin of a backend's tool.
    pub(crate) fn get(&self, backend: &str, tool: &str) -> Option<&Pin> {
        self.0.get(backend)?.get(tool)
    }

    /// The pins of one backend, sorted by tool.
    pub(crate) fn of(&self, backend: &str) -> impl Iterator<Item = &Pin> {
        self.0.get(backend).into_iter().flat_map(BTreeMap::values)
    }

    /// The number of pins of one backend.
    pub(crate) fn count(&self, backend: &str) -> usize {
        self.0.get(backend).map_or(0, BTreeMap::len)
    }

    /// All pins, sorted by backend and tool.
    pub fn pins(&self) -> impl Iterator<Item = &Pin> {
        self.0.values().flat_map(BTreeMap::values)
    }

    /// Adds the pin of a tool that has none. Returns whether it had none.
    pub fn add(&mut self, pin: Pin) -> bool {
        let pins = self.0.entry(Arc::clone(&pin.backend)).or_default();
        match pins.entry(Arc::clone(&pin.tool)) {
            Entry::Vacant(entry) => {
                entry.insert(pin);
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// Adds a pin or replaces the tool's current one, whose hash is appended to `earlier`.
    pub(crate) fn accept(&mut self, mut pin: Pin) {
        let pins = self.0.entry(Arc::clone(&pin.backend)).or_default();
        if let Some(before) = pins.remove(&pin.tool) {
            pin.earlier = before.earlier;
            if before.sha256 != pin.sha256 {
                pin.earlier.push(before.sha256);
            }
        }
        pins.insert(Arc::clone(&pin.tool), pin);
    }
}

const VERSION: u32 = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LockDocument<'a> {
    version: u32,
    #[serde(borrow)]
    pins: Vec<PinEntry<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PinEntry<'a> {
    backend: String,
    tool: String,
    sha256: String,
    earlier: Vec<String>,
    #[serde(borrow, default)]
    definition: Option<&'a RawValue>,
}

/// The error's message without its position, which callers print first.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    text.trim_end_matches(&position).to_owned()
}

fn slice_of(text: &Bytes, raw: &RawValue) -> RawJson {
    RawJson::trusted(text.slice_ref(raw.get().as_bytes()))
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn json(text: &str) -> String {
    String::from_utf8_lossy(&quoted(text)).into_owned()
}
