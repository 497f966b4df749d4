//! The error for a name or URI that no backend has.
//!
//! Owns its words: what was probably meant, and which backends are missing, in one short line
//! however many there are.

use super::CallTarget;
use crate::backend::{HttpBackend, State};
use crate::nearest::nearest_name;
use crate::protocol::error::{INVALID_PARAMS, RESOURCE_NOT_FOUND};
use crate::protocol::{Class, Era, GatewayData, Kind, RpcError, Tally};
use crate::snapshot::Snapshot;

/// Most missing backends that are named.
const MAX_NAMED: usize = 3;
/// Most characters of the reason why one of several backends is missing.
const MAX_REASON_CHARS: usize = 80;
/// Most characters of the unknown name or URI.
const MAX_NAME_CHARS: usize = 200;

impl CallTarget {
    /// The error where no backend has it. Names the listed item that was probably meant, and
    /// backends that are missing, which may be why.
    pub(in crate::dispatch) fn unknown(&self, snapshot: &Snapshot, era: Era) -> RpcError {
        let (code, what) = match (self.kind, era) {
            (Kind::Tool, _) => (INVALID_PARAMS, "tool"),
            (Kind::Prompt, _) => (INVALID_PARAMS, "prompt"),
            (Kind::Resource, Era::Legacy) => (RESOURCE_NOT_FOUND, "resource"),
            (Kind::Resource, Era::Modern) => (INVALID_PARAMS, "resource"),
            (Kind::Template, _) => (INVALID_PARAMS, "resource template"),
        };
        let mut message = format!("unknown {what} {:?}", beginning(&self.name, MAX_NAME_CHARS));
        let known = snapshot.catalog.entries(self.kind);
        let known = known.map(|entry| &*entry.exposed);
        if let Some(meant) = nearest_name(&self.name, known).filter(|_| !self.kind.is_uri()) {
            message += &format!("; did you mean {meant:?}?");
        }
        message += &missing(snapshot, self.kind);
        let data = GatewayData::new(None, Class::Refused, Tally::NONE);
        let data = match self.kind {
            Kind::Resource => data.about(&self.name),
            _ => data,
        };
        RpcError::new(code, message).with_data(data)
    }
}

/// The backends that are down or haven't listed yet; empty if there are none.
pub(in crate::dispatch) fn missing(snapshot: &Snapshot, kind: Kind) -> String {
    let is_missing = |backend: &HttpBackend| {
        backend.why_down().is_some()
            || backend.list_error(kind).is_some()
            || snapshot.awaits(backend.id, kind)
    };
    let missing: Vec<&HttpBackend> = (snapshot.backends.iter())
        .map(AsRef::as_ref)
        .filter(|backend| is_missing(backend))
        .collect();
    match missing.as_slice() {
        [] => String::new(),
        [one] => match (one.why_down(), one.list_error(kind)) {
            (Some(why), _) => format!("; {} is down: {why}", one.name()),
            (None, Some(why)) => format!("; {}: {why}", one.name()),
            (None, None) => format!("; {} has not listed yet: try again", one.name()),
        },
        several => {
            let named = several.iter().take(MAX_NAMED);
            let named: Vec<String> = named
                .map(|backend| format!("{} ({})", backend.name(), reason(backend, kind)))
                .collect();
            let more = match several.len() - named.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!(
                "; {} backends are down: {}{more}",
                several.len(),
                named.join(", ")
            )
        }
    }
}

/// Why a backend is missing, without what to do.
fn reason(backend: &HttpBackend, kind: Kind) -> String {
    match backend.state() {
        State::Down { error, .. } => beginning(&error.to_string(), MAX_REASON_CHARS),
        State::Connecting { .. } => "not connected yet".to_owned(),
        State::Ready(_) => match backend.list_error(kind) {
            Some(why) => beginning(&why, MAX_REASON_CHARS),
            None => "not listed yet".to_owned(),
        },
    }
}

fn beginning(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
