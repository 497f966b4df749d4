//! `sentinel.lock`: the accepted definitions of tools, in a file beside the config file.
//!
//! Owns the format of that file, reading and writing: JSON with one tool a line, sorted, so that a
//! diff shows which tool changed. Version 1 is read for ever. It must not know when a definition
//! counts as changed, nor how a name is chosen.

mod lock_file;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::files;
use crate::protocol::RawJson;
use crate::protocol::raw::quoted;
pub(crate) use lock_file::LockFile;

/// The accepted definition of one tool, or the accepted instructions of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The backend's name.
    pub backend: Arc<str>,
    /// What is pinned.
    pub subject: Subject,
    /// SHA-256 of the definition in canonical form, as 64 hex digits.
    pub sha256: Arc<str>,
    /// Which canonical form that is, and how the definition was cleaned.
    pub form: Form,
    /// Hashes of definitions accepted earlier, oldest first.
    pub earlier: Vec<Arc<str>>,
    /// The definition without members that don't count, for instructions an object with them alone;
    /// `None` where it is too large to keep.
    pub definition: Option<RawJson>,
    /// The name under which clients saw the tool last, if it was written down.
    pub name: Option<Arc<str>>,
    /// A name that it had before another backend's tool took it.
    pub lost: Option<Arc<str>>,
}

/// What of a backend is pinned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The `instructions` of its handshake.
    Instructions,
    /// A tool, by its own name.
    Tool(Arc<str>),
}

/// How a definition was made canonical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As in version 1: fewer characters were removed, and numbers were doubles in the hash.
    Rounded,
    /// With every digit as it is written.
    Exact,
}

impl Subject {
    /// The tool's own name, if it is one.
    pub fn tool(&self) -> Option<&Arc<str>> {
        match self {
            Self::Tool(own) => Some(own),
            Self::Instructions => None,
        }
    }
}

/// The tool's own name, or `instructions`.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tool().map_or("instructions", |own| own))
    }
}

/// All accepted definitions, by backend and subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock(BTreeMap<Arc<str>, BTreeMap<Subject, Pin>>);

/// The name under which clients see a tool.
#[derive(Debug, Clone)]
pub(crate) struct NamedTool {
    /// The backend's name.
    pub(crate) backend: Arc<str>,
    /// The tool's own name.
    pub(crate) tool: Arc<str>,
    /// The exposed name.
    pub(crate) name: Arc<str>,
    /// The lock has that name for another tool, whose reservation has ended.
    pub(crate) is_taken: bool,
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

    /// Parses the file's text, of this version or version 1.
    ///
    /// # Errors
    /// The line, counted from 1, and the problem there.
    pub fn parse(text: Bytes) -> Result<Self, (usize, String)> {
        let written: LockDocument<'_> = serde_json::from_slice(&text)
            .map_err(|error| (error.line(), without_position(&error)))?;
        let form = match written.version {
            1 => Form::Rounded,
            VERSION => Form::Exact,
            other => return Err((1, format!("version {other} is not supported"))),
        };
        let mut lock = Self::default();
        for (at, entry) in written.pins.into_iter().enumerate() {
            // One tool a line, after the first line.
            let line = at + 2;
            let pin = entry.pin(&text, form).map_err(|what| (line, what))?;
            let twice = format!("{}/{} is listed twice", pin.backend, pin.subject);
            if !lock.add(pin) {
                return Err((line, twice));
            }
        }
        Ok(lock)
    }

    /// The file's text, in the current version.
    pub fn text(&self) -> String {
        let mut text = format!("{{\"version\":{VERSION},\"pins\":[");
        for (at, pin) in self.pins().enumerate() {
            text.push_str(if at == 0 { "\n" } else { ",\n" });
            pin.write(&mut text);
        }
        text.push_str("\n]}\n");
        text
    }

    /// The pin of a backend's tool or instructions.
    pub(crate) fn get(&self, backend: &str, subject: &Subject) -> Option<&Pin> {
        self.0.get(backend)?.get(subject)
    }

    /// The pins of one backend, sorted.
    pub(crate) fn of(&self, backend: &str) -> impl Iterator<Item = &Pin> {
        self.0.get(backend).into_iter().flat_map(BTreeMap::values)
    }

    /// The number of pins of one backend.
    pub(crate) fn count(&self, backend: &str) -> usize {
        self.0.get(backend).map_or(0, BTreeMap::len)
    }

    /// Removes the pins that `other` has, too.
    pub(crate) fn remove_those_of(&mut self, other: &Self) {
        for (backend, pins) in &mut self.0 {
            pins.retain(|subject, _| other.get(backend, subject).is_none());
        }
    }

    /// All pins, sorted by backend and subject.
    pub fn pins(&self) -> impl Iterator<Item = &Pin> {
        self.0.values().flat_map(BTreeMap::values)
    }

    /// Adds a pin where there is none. Returns whether there was none.
    pub fn add(&mut self, pin: Pin) -> bool {
        let pins = self.0.entry(Arc::clone(&pin.backend)).or_default();
        match pins.entry(pin.subject.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(pin);
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// Adds a pin or replaces the current one, whose hash is appended to `earlier`, and whose names
    /// are kept.
    pub(crate) fn accept(&mut self, mut pin: Pin) {
        let pins = self.0.entry(Arc::clone(&pin.backend)).or_default();
        if let Some(before) = pins.remove(&pin.subject) {
            pin.earlier = before.earlier;
            if before.sha256 != pin.sha256 {
                pin.earlier.push(before.sha256);
            }
            (pin.name, pin.lost) = (before.name, before.lost);
        }
        pins.insert(pin.subject.clone(), pin);
    }
}

impl Lock {
    /// Writes down the names under which clients see tools. A name that another pin has is only
    /// given to a tool that has taken it: two gateways may each serve a part of the config.
    pub(crate) fn write_names(&mut self, names: &[NamedTool]) {
        let mut holders: HashMap<Arc<str>, (Arc<str>, Subject)> = HashMap::new();
        for pin in self.pins() {
            if let Some(name) = &pin.name {
                let holder = (Arc::clone(&pin.backend), pin.subject.clone());
                holders.entry(Arc::clone(name)).or_insert(holder);
            }
        }
        for named in names {
            let subject = Subject::Tool(Arc::clone(&named.tool));
            let holder = holders.get(&named.name);
            let other =
                holder.filter(|(backend, held)| (backend, held) != (&named.backend, &subject));
            if let Some((backend, held)) = other {
                if !named.is_taken {
                    continue;
                }
                if let Some(pin) = self.get_mut(backend, held) {
                    pin.lost = pin.name.take();
                }
            }
            if let Some(pin) = self.get_mut(&named.backend, &subject) {
                pin.name = Some(Arc::clone(&named.name));
                holders.insert(
                    Arc::clone(&named.name),
                    (Arc::clone(&named.backend), subject),
                );
            }
        }
    }

    /// Forgets that these names were taken: the user has seen it.
    pub(crate) fn accept_names(&mut self, is_meant: impl Fn(&str) -> bool) {
        for pin in self.0.values_mut().flat_map(BTreeMap::values_mut) {
            pin.lost = pin.lost.take().filter(|name| !is_meant(name));
        }
    }

    fn get_mut(&mut self, backend: &str, subject: &Subject) -> Option<&mut Pin> {
        self.0.get_mut(backend)?.get_mut(subject)
    }
}

impl Pin {
    fn write(&self, text: &mut String) {
        let earlier: Vec<_> = self.earlier.iter().map(|hash| json(hash)).collect();
        let tool = self.subject.tool();
        let members = [
            ("backend", Some(json(&self.backend))),
            ("tool", tool.map(|own| json(own))),
            ("sha256", Some(json(&self.sha256))),
            ("form", (self.form == Form::Rounded).then(|| "1".to_owned())),
            ("earlier", Some(format!("[{}]", earlier.join(",")))),
            ("name", self.name.as_deref().map(json)),
            ("lost", self.lost.as_deref().map(json)),
            (
                "definition",
                self.definition
                    .as_ref()
                    .map(|definition| definition.as_str().to_owned()),
            ),
        ];
        let mut separator = '{';
        for (key, value) in members {
            if let Some(value) = value {
                // Writing to a `String` can't fail.
                let _ = write!(text, "{separator}\"{key}\":{value}");
                separator = ',';
            }
        }
        text.push('}');
    }
}

const VERSION: u32 = 2;

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
    /// Not there for instructions.
    #[serde(default)]
    tool: Option<String>,
    sha256: String,
    #[serde(default)]
    form: Option<u32>,
    earlier: Vec<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    lost: Option<String>,
    #[serde(borrow, default)]
    definition: Option<&'a RawValue>,
}

impl PinEntry<'_> {
    /// The pin, whose definition shares the memory of the file's text.
    fn pin(self, text: &Bytes, form: Form) -> Result<Pin, String> {
        let subject = self
            .tool
            .map_or(Subject::Instructions, |own| Subject::Tool(own.into()));
        let backend = self.backend;
        let hashes = std::iter::once(&self.sha256).chain(&self.earlier);
        if !hashes.into_iter().all(|hash| is_hash(hash)) {
            return Err(format!("{backend}/{subject}: a sha256 has 64 hex digits"));
        }
        Ok(Pin {
            backend: backend.into(),
            subject,
            sha256: self.sha256.into(),
            form: match self.form {
                Some(1) => Form::Rounded,
                _ => form,
            },
            earlier: self.earlier.into_iter().map(Arc::from).collect(),
            definition: self.definition.map(|raw| slice_of(text, raw)),
            name: self.name.map(Into::into),
            lost: self.lost.map(Into::into),
        })
    }
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
