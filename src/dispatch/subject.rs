//! What a request is about, and whose that is.
//!
//! Owns finding the backend of a name or a URI in the catalogue, and the words for what nobody
//! has. Reads of the params only the member that says where it goes.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::Snapshot;
use crate::backend::Backend;
use crate::catalog::Entry;
use crate::protocol::error::{INVALID_PARAMS, RESOURCE_NOT_FOUND};
use crate::protocol::{Class, Era, Executed, GatewayData, Kind, RawJson, RpcError};

/// What a call is about: the member of its params that says where it goes.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) kind: Kind,
    /// The client's name or URI for it.
    pub(super) name: String,
    /// Where the name stands in the params.
    pub(super) at: Range<usize>,
}

/// Where a call goes.
pub(super) struct Route<'a> {
    pub(super) backend: &'a Arc<Backend>,
    /// `None` for a resource that nobody listed under this URI.
    pub(super) entry: Option<&'a Entry>,
}

impl Subject {
    /// Reads what a call of this method is about.
    pub(super) fn read(method: &str, params: &RawJson) -> Result<Self, String> {
        let members = params.members().ok_or("params must be an object")?;
        let text = |members: &[(String, &RawValue)], key: &str| {
            let raw = members
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, raw)| *raw);
            let raw = raw.ok_or_else(|| format!("params need {key:?}"))?;
            let text = serde_json::from_str(raw.get());
            Ok::<(String, _), String>((
                text.map_err(|_| format!("{key:?} must be a string"))?,
                params.range_of(raw),
            ))
        };
        let (kind, (name, at)) = match method {
            "tools/call" => (Kind::Tool, text(&members, "name")?),
            "prompts/get" => (Kind::Prompt, text(&members, "name")?),
            "resources/read" => (Kind::Resource, text(&members, "uri")?),
            _ => {
                let reference = params.get("ref").ok_or("params need \"ref\"")?;
                let members = reference.members().ok_or("\"ref\" must be an object")?;
                match text(&members, "type")?.0.as_str() {
                    "ref/prompt" => (Kind::Prompt, text(&members, "name")?),
                    "ref/resource" => (Kind::Template, text(&members, "uri")?),
                    other => return Err(format!("unknown reference type {other:?}")),
                }
            }
        };
        Ok(Self { kind, name, at })
    }

    /// One that is about a resource.
    pub(super) fn of_resource(uri: &str) -> Self {
        Self {
            kind: Kind::Resource,
            name: uri.to_owned(),
            at: 0..0,
        }
    }

    /// Where it goes, if somebody has it: by index, then by template, then where there is no choice.
    pub(super) fn route<'a>(&self, snapshot: &'a Snapshot) -> Option<Route<'a>> {
        let catalog = &snapshot.catalog;
        let to = |entry: &'a Entry| Route {
            backend: &snapshot.backends[entry.backend],
            // A template that a URI fits is not that URI's name.
            entry: (entry.kind == self.kind).then_some(entry),
        };
        let listed = catalog.resolve(self.kind, &self.name);
        match self.kind {
            Kind::Tool | Kind::Prompt => listed.map(to),
            Kind::Template => listed
                .or_else(|| catalog.resolve(Kind::Resource, &self.name))
                .map(to),
            Kind::Resource => listed
                .or_else(|| catalog.resolve_template(&self.name))
                .map(to)
                .or_else(|| only_one_with_resources(snapshot)),
        }
    }

    /// Nobody has it. If a backend is down, that may be why.
    pub(super) fn unknown(&self, snapshot: &Snapshot, era: Era) -> RpcError {
        let (code, what) = match (self.kind, era) {
            (Kind::Tool, _) => (INVALID_PARAMS, "tool"),
            (Kind::Prompt, _) => (INVALID_PARAMS, "prompt"),
            (Kind::Resource, Era::Legacy) => (RESOURCE_NOT_FOUND, "resource"),
            (Kind::Resource, Era::Modern) => (INVALID_PARAMS, "resource"),
            (Kind::Template, _) => (INVALID_PARAMS, "resource template"),
        };
        let mut message = format!("unknown {what} {:?}", self.name);
        for (at, backend) in snapshot.backends.iter().enumerate() {
            let name = backend.name();
            if let Some(why) = backend.why_down() {
                let _ = write!(message, "; {name} is down: {why}");
            } else if snapshot.unlisted.contains(&at) {
                let _ = write!(message, "; {name} has not told yet what it has: try again");
            }
        }
        let data = GatewayData::new(None, Class::Refused, Executed::No, 0);
        let data = match self.kind {
            Kind::Resource => data.about(&self.name),
            _ => data,
        };
        RpcError::new(code, message).with_data(data)
    }
}

/// A resource that nobody listed can only be asked for where there is no choice.
fn only_one_with_resources(snapshot: &Snapshot) -> Option<Route<'_>> {
    let mut offering = snapshot
        .backends
        .iter()
        .filter(|backend| backend.capability(&["resources"]).is_some());
    match (offering.next(), offering.next()) {
        (Some(backend), None) => Some(Route {
            backend,
            entry: None,
        }),
        _ => None,
    }
}
