//! What clients are not shown, and why: the bounds on what a backend lists, the reasons, and
//! names made safe to print.

use std::sync::Arc;

use crate::config::BackendConfig;
use crate::protocol::Kind;

/// Items of one kind that are taken from one backend.
pub(super) const MAX_ITEMS: usize = 10_000;
/// The same for templates, each of which may have to be tried on a URI.
pub(super) const MAX_TEMPLATES: usize = 1_000;
/// Bytes of one definition.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// Levels of arrays and objects in one definition. Parsers commonly stop at 128 levels of a
/// whole message, and a list result wraps each definition in three of its own: one deeper
/// definition would cost the client the entire list.
pub(super) const MAX_DEPTH: usize = 120;
/// Characters of a backend's own name for a tool or prompt, as the specification has it.
pub(super) const MAX_NAME_CHARS: usize = 128;
/// Characters of a URI or URI template.
pub(super) const MAX_URI_CHARS: usize = 8 * 1024;
/// Characters of a withheld item's name that a log line shows.
const LABEL_CHARS: usize = 64;

/// An item that clients are not shown, for the log and for `check`. What `tools.allow` and
/// `tools.deny` leave out is no such item: the user knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The backend's name.
    pub backend: Arc<str>,
    /// What it is.
    pub kind: Kind,
    /// Its name, escaped and shortened, or its place in the list: safe to print.
    pub name: String,
    /// Why.
    pub reason: RejectReason,
}

impl Rejected {
    /// `name` may be as hostile as it likes.
    pub(super) fn new(
        backend: &BackendConfig,
        kind: Kind,
        name: &str,
        reason: RejectReason,
    ) -> Self {
        Self {
            backend: backend.name.clone(),
            kind,
            name: label(name),
            reason,
        }
    }
}

/// Why a client is not shown an item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RejectReason {
    /// A parameter can't be repeated in a header as the definition asks for (S26
    /// `basic/transports/streamable-http`, "Schema Extension").
    #[error("{0}")]
    ParamHeader(String),
    /// Not a JSON object, or one whose member names can't be read.
    #[error("it is not a readable JSON object")]
    NotAnObject,
    /// The identifying member is missing, empty or no text.
    #[error("its `{0}` is missing, empty or not a text")]
    NoName(&'static str),
    /// The identifying member stands there more than once: readers would differ on its name.
    #[error("it has more than one `{0}`")]
    TwoNames(&'static str),
    /// The name has control, bidirectional, zero-width or tag characters.
    #[error("its `{0}` has control or invisible characters")]
    HostileName(&'static str),
    /// The name is longer than the limit, in characters.
    #[error("its `{0}` is longer than {1} characters")]
    LongName(&'static str, usize),
    /// A member name somewhere inside has such characters.
    #[error("a property name in its definition has control or invisible characters")]
    HostileKey,
    /// More than 1 MiB.
    #[error("its definition has {0} bytes, more than {MAX_BYTES}")]
    TooLarge(usize),
    /// Nested deeper than a client's parser would follow.
    #[error("its definition is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// The backend listed the same name before.
    #[error("the backend lists it more than once; the first one is kept")]
    Duplicate,
    /// Another backend, named here, owns this URI, which can't be rewritten.
    #[error("backend `{0}` lists it too and owns it; a URI can't be renamed")]
    Taken(Arc<str>),
    /// It is not what was accepted, and `tools.pin` is `block`.
    #[error("{0}; `sentinel-gateway pin --dry-run` shows it, `sentinel-gateway pin` accepts it")]
    Changed(String),
    /// The backend has had too many tools to hold another against anything, and `tools.pin` is
    /// `block`.
    #[error("no more than {0} tools of one backend can be pinned")]
    Unpinned(usize),
    /// The backend lists more items of this kind than are taken from one.
    #[error("no more than {0} are taken from one backend")]
    TooMany(usize),
}

/// A name that is safe to print.
fn label(name: &str) -> String {
    let mut chars = name.chars();
    let mut label: String = chars
        .by_ref()
        .take(LABEL_CHARS)
        .flat_map(char::escape_debug)
        .collect();
    if chars.next().is_some() {
        label.push('…');
    }
    label
}
