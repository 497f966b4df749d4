//! Items that clients do not see, or see in another form.
//!
//! Owns the limits on what a backend lists, the reasons for a rejection, and escaping a name for
//! printing. It must not know how a rejection is reported.

use std::sync::Arc;

use crate::config::BackendConfig;
use crate::protocol::Kind;
use crate::text::MAX_DEPTH;

/// Most items of one kind from one backend.
pub(super) const MAX_ITEMS: usize = 10_000;
/// Most templates from one backend: each may have to be matched against a URI.
pub(super) const MAX_TEMPLATES: usize = 1_000;
/// Most bytes of one definition.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// Most characters of a backend's own name for a tool or prompt (MCP 2025-11-25, server/tools).
pub(super) const MAX_NAME_CHARS: usize = 128;
/// Most characters of a URI or URI template.
pub(super) const MAX_URI_CHARS: usize = 8 * 1024;
/// Most characters of a rejected item's name in a log line.
const LABEL_CHARS: usize = 64;

/// An item that clients do not see, for the log and for `check`. Tools that `tools.allow` and
/// `tools.deny` exclude are not reported: the user excluded them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The backend's name.
    pub(crate) backend: Arc<str>,
    /// The kind of item.
    pub(crate) kind: Kind,
    /// Its name, escaped and shortened, or its position in the list: safe to print.
    pub name: String,
    /// Why it was rejected.
    pub reason: RejectReason,
}

impl Rejected {
    /// `name` is escaped: it may contain any characters.
    pub(super) fn new(
        backend: &BackendConfig,
        kind: Kind,
        name: &str,
        reason: RejectReason,
    ) -> Self {
        Self {
            backend: backend.name.clone(),
            kind,
            name: label(&backend.scrubber.message(name)),
            reason,
        }
    }
}

/// An item that clients see in another form than the backend lists it, for the log and for `check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// The backend's name.
    pub(crate) backend: Arc<str>,
    /// The kind of item.
    pub(crate) kind: Kind,
    /// Its name, escaped and shortened: safe to print.
    pub name: String,
    /// What is changed: safe to print.
    pub what: String,
}

impl Mended {
    /// `name` is escaped: it may contain any characters.
    pub(super) fn new(backend: &BackendConfig, kind: Kind, name: &str, what: String) -> Self {
        Self {
            backend: backend.name.clone(),
            kind,
            name: label(name),
            what,
        }
    }
}

/// Why clients do not see an item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RejectReason {
    /// An `x-mcp-header` annotation is invalid (MCP 2026-07-28, basic/transports/streamable-http,
    /// "Schema Extension").
    #[error("{0}")]
    ParamHeader(String),
    /// Not a JSON object, or one whose member names can't be read.
    #[error("it is not a readable JSON object")]
    NotAnObject,
    /// The identifying member is missing, empty or not a string.
    #[error("its `{0}` is missing, empty or not a string")]
    NoName(&'static str),
    /// The identifying member occurs more than once: readers differ on which one counts.
    #[error("it has more than one `{0}`")]
    TwoNames(&'static str),
    /// The name has characters that a person does not see.
    #[error("its `{0}` has control or invisible characters")]
    HostileName(&'static str),
    /// The name is longer than the limit, which is in characters.
    #[error("its `{0}` is longer than {1} characters")]
    LongName(&'static str, usize),
    /// The name has a secret of the backend: under another name it could not be called.
    #[error("its `{0}` contains a credential that is sent to this backend")]
    SecretName(&'static str),
    /// The name of a member, at any depth, has characters that a person does not see.
    #[error("a property name in its definition has control or invisible characters")]
    HostileKey,
    /// The name of a member, at any depth, has a secret of the backend.
    #[error("a property name in its definition contains a credential that is sent to this backend")]
    SecretKey,
    /// It has not the shape of its kind, and can't be meant in one way only.
    #[error("{0}; clients could not read their whole list with it")]
    Unreadable(String),
    /// Clients can't be shown what the config allows of its arguments.
    #[error("`tools.args` guards its arguments, and its `inputSchema` can't be narrowed: {0}")]
    Guarded(String),
    /// More than 1 MiB.
    #[error("its definition has {0} bytes, more than {MAX_BYTES}")]
    TooLarge(usize),
    /// Nested deeper than common parsers accept.
    #[error("its definition is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// The backend listed the same name earlier in the list.
    #[error("the backend lists it more than once; the first one is kept")]
    Duplicate,
    /// Its definition differs from the pinned one, and `tools.pin` is `block`.
    #[error("{0}")]
    Changed(String),
    /// The backend has too many pinned tools to pin another one, and `tools.pin` is `block`.
    #[error("no more than {0} tools of one backend can be pinned")]
    Unpinned(usize),
    /// The backend lists more items of this kind than are read from one backend.
    #[error("no more than {0} are taken from one backend")]
    TooMany(usize),
}

/// A name, escaped and shortened for printing.
pub(super) fn label(name: &str) -> String {
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
