//! The items of one kind as clients see them, and the text of their list.
//!
//! Owns what becomes of a candidate of a listing: an [`Entry`] with the definitions of both eras, or a
//! [`Blocked`] tool. It is given names and URIs, and must not know how they are assigned.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::backend_listing::{BackendListing, Candidate, exposed_definition};
use super::rejected::{RejectReason, Rejected};
use super::shapes::Promise;
use super::uris::{Pages, Uris, with_tool_uris, without_pages};
use crate::call_report::BackendId;
use crate::config::BackendConfig;
use crate::protocol::era::ParamHeader;
use crate::protocol::era::modern::key;
use crate::protocol::raw::quoted;
use crate::protocol::{Era, Freshness, Kind, RawJson};

/// Bytes that the name of its backend adds to a definition.
const ATTRIBUTION: usize = 40;

/// One backend's input to a build.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The backend.
    pub id: BackendId,
    /// Its entry of the config.
    pub config: &'a BackendConfig,
    /// What it listed last; `None` if it never connected.
    pub backend_listing: Option<&'a BackendListing>,
    /// Its tools were listed in this run, not only in an earlier one.
    pub confirmed: bool,
}

/// One item that clients see.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The backend that lists it.
    pub backend: BackendId,
    /// The kind of item.
    pub kind: Kind,
    /// The backend's own name or URI for it.
    pub own_name: Arc<str>,
    /// The name or URI that clients use.
    pub exposed: Arc<str>,
    /// A tool annotated `readOnlyHint` or `idempotentHint`, which may run twice.
    pub(crate) safe_to_repeat: bool,
    /// A tool that a legacy server runs only as a task.
    pub(crate) requires_task: bool,
    /// Its parameters that must also be sent as headers to a modern backend.
    pub(crate) param_headers: Arc<[ParamHeader]>,
    /// What its results are held against, if the backend lists an `outputSchema`.
    pub promise: Option<Arc<Promise>>,
    /// The definition as legacy clients see it.
    pub definition: RawJson,
    /// The definition as modern clients see it.
    pub modern_definition: RawJson,
}

/// A tool that keeps its name but is neither listed nor called.
#[derive(Debug)]
pub(crate) struct Blocked {
    /// The backend that lists it.
    pub(crate) backend: BackendId,
    /// The backend's own name for it.
    pub(crate) own_name: Arc<str>,
    /// Why it is blocked.
    pub(crate) reason: RejectReason,
}

/// The definitions of a kind as clients of an era see them.
#[derive(Debug, Clone)]
pub(super) struct List {
    /// The result of a list request of the legacy era: an object with the array as its member.
    pub(super) result: Bytes,
    pub(super) array: Bytes,
}

/// The entries of one kind.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) entries: Vec<Entry>,
    pub(super) by_name: HashMap<Arc<str>, usize>,
    /// Blocked tools, by the name they would be exposed under.
    pub(super) blocked: HashMap<Arc<str>, Blocked>,
    legacy: List,
    modern: List,
    pub(super) freshness: Freshness,
}

/// A candidate with its source.
pub(super) struct Found<'a> {
    pub(super) source: &'a Source<'a>,
    /// The place of the source among those of this build.
    pub(super) place: usize,
    candidate: &'a Candidate,
}

impl Section {
    pub(super) fn build(
        kind: Kind,
        sources: &[Source<'_>],
        found: &[Found<'_>],
        exposed: Vec<Arc<str>>,
        uris: &Uris,
        rejected: &mut Vec<Rejected>,
    ) -> Self {
        let mut entries = Vec::with_capacity(found.len());
        let mut blocked = HashMap::new();
        for (found, exposed) in found.iter().zip(exposed) {
            if found.candidate.is_hidden {
                continue;
            }
            let Some(reason) = &found.candidate.blocked else {
                entries.push(found.entry(kind, exposed, uris));
                continue;
            };
            blocked.insert(exposed, found.blocked(reason));
            let own = &found.candidate.item.own;
            let reason = reason.clone();
            rejected.push(Rejected::new(found.source.config, kind, own, reason));
        }
        let by_name = entries
            .iter()
            .enumerate()
            .map(|(at, entry)| (entry.exposed.clone(), at))
            .collect();
        let parts = sources.iter().map(|source| source.backend_listing);
        let freshness = parts.map(|backend_listing| {
            backend_listing
                .map(|backend_listing| backend_listing.freshness(kind))
                .unwrap_or_default()
        });
        // With one backend there is nothing to tell apart.
        let names: HashMap<BackendId, &str> = match uris.are_several() {
            true => sources.iter().map(|of| (of.id, &*of.config.name)).collect(),
            false => HashMap::new(),
        };
        let legacy = List::of(kind, &entries, &names, |entry| &entry.definition);
        let differs = |entry: &Entry| entry.definition != entry.modern_definition;
        let modern = match entries.iter().any(differs) {
            true => List::of(kind, &entries, &names, |entry| &entry.modern_definition),
            false => legacy.clone(),
        };
        Self {
            entries,
            by_name,
            blocked,
            legacy,
            modern,
            freshness: freshness.reduce(Freshness::and).unwrap_or_default(),
        }
    }
}

impl Section {
    pub(super) fn list(&self, era: Era) -> &List {
        match era {
            Era::Legacy => &self.legacy,
            Era::Modern => &self.modern,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self.legacy.result.as_ptr() == self.modern.result.as_ptr() {
            true => self.legacy.result.len(),
            false => self.legacy.result.len() + self.modern.result.len(),
        }
    }
}

impl<'a> Found<'a> {
    /// All candidates of a kind; adds the items that were rejected when a listing was read.
    pub(super) fn all(
        kind: Kind,
        sources: &'a [Source<'a>],
        rejected: &mut Vec<Rejected>,
    ) -> Vec<Self> {
        let mut found = Vec::new();
        for (place, source) in sources.iter().enumerate() {
            if let Some(listing) = source.backend_listing {
                rejected.extend_from_slice(listing.rejected(kind));
                let candidates = listing.items(kind).iter();
                found.extend(candidates.map(|candidate| Self {
                    source,
                    place,
                    candidate,
                }));
            }
        }
        found
    }

    pub(super) fn own(&self) -> &Arc<str> {
        &self.candidate.item.own
    }

    fn entry(&self, kind: Kind, exposed: Arc<str>, uris: &Uris) -> Entry {
        let Candidate {
            item,
            shaped,
            param_headers,
            named,
            ..
        } = self.candidate;
        let id = self.source.id;
        let has_alias = named
            .iter()
            .any(|own| uris.alias_of_tool(id, own).is_some());
        let hides_pages = uris.pages == Pages::Hidden && !named.is_empty();
        let definition = |definition: &RawJson| match has_alias {
            _ if hides_pages => without_pages(definition),
            true => with_tool_uris(definition, &mut |own| uris.alias_of_tool(id, own)),
            false => definition.clone(),
        };
        let name = (exposed != item.own).then_some(&*exposed);
        let description = (kind == Kind::Tool)
            .then(|| lookup(&self.source.config.tools.describe, &item.own))
            .flatten();
        let rules = shaped.rules.as_deref();
        Entry {
            backend: id,
            kind,
            own_name: item.own.clone(),
            // An annotation from an earlier run does not permit repeats in this one.
            safe_to_repeat: item.safe_to_repeat && self.source.confirmed,
            requires_task: item.requires_task,
            param_headers: Arc::clone(param_headers),
            promise: shaped.promise.clone(),
            definition: exposed_definition(
                kind,
                &definition(&shaped.legacy),
                name,
                description,
                rules,
            ),
            modern_definition: exposed_definition(
                kind,
                &definition(&shaped.modern),
                name,
                description,
                rules,
            ),
            exposed,
        }
    }

    fn blocked(&self, reason: &RejectReason) -> Blocked {
        Blocked {
            backend: self.source.id,
            own_name: Arc::clone(&self.candidate.item.own),
            reason: reason.clone(),
        }
    }
}

/// A definition that says in `_meta` which backend it is from.
fn attributed(definition: &RawJson, backend: &str) -> RawJson {
    let meta = definition.get("_meta").filter(RawJson::is_object);
    let meta = meta.unwrap_or_else(|| RawJson::trusted("{}"));
    let meta = meta.with_members(&[(key::BACKEND, quoted(backend))], &[]);
    definition.with_members(&[("_meta", meta.into_bytes())], &[])
}

/// The value of a backend's own name in a table of its config.
pub(super) fn lookup<'a>(table: &'a [(String, String)], own: &str) -> Option<&'a str> {
    table
        .iter()
        .find(|(name, _)| name == own)
        .map(|(_, value)| value.as_str())
}

impl List {
    /// Each definition says in `_meta` which of these backends it is from.
    fn of(
        kind: Kind,
        entries: &[Entry],
        names: &HashMap<BackendId, &str>,
        definition: impl Fn(&Entry) -> &RawJson,
    ) -> Self {
        let beginning = format!("{{\"{}\":[", kind.member());
        let length: usize = entries
            .iter()
            .map(|entry| {
                let name = names.get(&entry.backend);
                let name = name.map_or(0, |name| name.len() + ATTRIBUTION);
                definition(entry).as_bytes().len() + 1 + name
            })
            .sum();
        let mut result = BytesMut::with_capacity(beginning.len() + length + 2);
        result.extend_from_slice(beginning.as_bytes());
        for (at, entry) in entries.iter().enumerate() {
            if at > 0 {
                result.extend_from_slice(b",");
            }
            let own = definition(entry);
            match names.get(&entry.backend) {
                Some(name) => result.extend_from_slice(attributed(own, name).as_bytes()),
                None => result.extend_from_slice(own.as_bytes()),
            }
        }
        result.extend_from_slice(b"]}");
        let result = result.freeze();
        let array = beginning.len() - 1..result.len() - 1;
        Self {
            array: result.slice(array),
            result,
        }
    }
}
