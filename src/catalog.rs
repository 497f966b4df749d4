//! The listings of all backends, merged into what clients see.
//!
//! A [`Catalog`] is built from listings, is never changed, and is the same for the same input. A
//! listing is read once into a [`BackendListing`]; a merge copies no definition that stays the
//! same. Owns the names that clients see ([`names`]), which definitions they see ([`item`],
//! [`shapes`]) and the mapping from a name or URI back to a backend. Pure; it must not know
//! connections, sessions or time, and identifies a backend by its [`BackendId`].

mod advice;
mod backend_listing;
mod item;
mod names;
mod pins;
mod portable;
mod rejected;
pub mod search;
mod shapes;
#[cfg(test)]
mod tests;
mod uris;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::call_report::BackendId;
use crate::config::{BackendConfig, GatewayConfig, PinMode};
use crate::protocol::era::ParamHeader;
use crate::protocol::era::modern::key;
use crate::protocol::raw::quoted;
use crate::protocol::{Era, Freshness, Kind, RawJson};

pub use backend_listing::BackendListing;
use backend_listing::Candidate;
pub(crate) use backend_listing::UnmatchedRule;
use item::exposed_definition;
use names::Claim;
pub use names::Names;
pub(crate) use names::Takeover;
pub use pins::Pins;
pub(crate) use pins::{Change, Findings};
pub use rejected::Mended;
pub(crate) use rejected::{RejectReason, Rejected};
pub use shapes::Promise;
pub(crate) use shapes::shape_unpromised;
use uris::{AssignedUris, BackendUris, with_tool_uris, without_pages};
pub(crate) use uris::{
    Form, Pages, Uris, Whose, may_have_uris, own_directory, with_skill_uris, with_uris,
};

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

/// A new catalog, and the items that were rejected or mended.
#[derive(Debug)]
pub struct Built {
    /// The catalog.
    pub catalog: Catalog,
    /// In the same order for the same sources.
    pub rejected: Vec<Rejected>,
    /// Names that another backend's item had before.
    pub(crate) takeovers: Vec<Takeover>,
    /// Items that clients see in another form than the backend lists them, likewise.
    pub mended: Vec<Mended>,
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

/// All items that clients see, and their backends. Made by [`Catalog::build`] and never changed.
#[derive(Debug)]
pub struct Catalog {
    sections: [Section; Kind::ALL.len()],
    uris: Uris,
    names: Names,
}

/// The definitions of a kind as clients of an era see them.
#[derive(Debug, Clone)]
struct List {
    /// The result of a list request of the legacy era: an object with the array as its member.
    result: Bytes,
    array: Bytes,
}

/// The entries of one kind.
#[derive(Debug)]
struct Section {
    entries: Vec<Entry>,
    by_name: HashMap<Arc<str>, usize>,
    /// Blocked tools, by the name they would be exposed under.
    blocked: HashMap<Arc<str>, Blocked>,
    legacy: List,
    modern: List,
    freshness: Freshness,
}

impl Catalog {
    /// Merges the sources, which are in config order.
    ///
    /// Names in `names` stay with their owners. Until a list has been served, build from
    /// [`Names::recorded`], so that names follow lock and config order and not the order of
    /// connecting; from then on, from the [`names`](Self::names) of the previous catalog.
    pub fn build(gateway: &GatewayConfig, sources: &[Source<'_>], names: &Names) -> Built {
        Self::build_with(gateway, sources, names, Pages::Shown)
    }

    /// The same, with the pages of user interfaces that tools name shown or not.
    pub(crate) fn build_with(
        gateway: &GatewayConfig,
        sources: &[Source<'_>],
        names: &Names,
        pages: Pages,
    ) -> Built {
        let mut names = names.clone();
        let (mut rejected, mut takeovers) = (Vec::new(), Vec::new());
        let AssignedUris {
            resources,
            templates,
            mut uris,
        } = names.assign_uris(&uris_of(sources));
        uris.pages = pages;
        let (mut resources, mut templates) = (Some(resources), Some(templates));
        let sections = Kind::ALL.map(|kind| {
            let found = Found::all(kind, sources, &mut rejected);
            let exposed = match kind {
                Kind::Resource => resources.take().unwrap_or_default(),
                Kind::Template => templates.take().unwrap_or_default(),
                _ => exposed(kind, gateway, sources, &found, &mut names, &mut takeovers),
            };
            Section::build(kind, sources, &found, exposed, &uris, &mut rejected)
        });
        Built {
            catalog: Self {
                sections,
                uris,
                names,
            },
            rejected,
            takeovers,
            mended: mended(sources),
        }
    }

    /// The entry of an exposed name or a listed URI.
    pub fn resolve(&self, kind: Kind, exposed: &str) -> Option<&Entry> {
        let section = self.section(kind);
        section.by_name.get(exposed).map(|&at| &section.entries[at])
    }

    /// The blocked tool that would have this exposed name.
    pub(crate) fn blocked(&self, kind: Kind, exposed: &str) -> Option<&Blocked> {
        self.section(kind).blocked.get(exposed)
    }

    /// The first template that can have expanded to this unlisted URI, and the backend's own URI where
    /// clients see another.
    pub(crate) fn resolve_template(&self, uri: &str) -> Option<(&Entry, Option<String>)> {
        let expansion = self.uris.expansion(uri)?;
        let entry = self
            .section(Kind::Template)
            .entries
            .get(expansion.template)?;
        Some((entry, expansion.own))
    }

    /// The mapping between the URIs of backends and those of clients.
    pub(crate) fn uris(&self) -> &Uris {
        &self.uris
    }

    /// All definitions of a kind, as clients of an era see them, as the text of a JSON array: in
    /// config order and within a backend in the order it listed them. Built once and shared.
    pub fn list(&self, kind: Kind, era: Era) -> &Bytes {
        &self.section(kind).list(era).array
    }

    /// The same as the result of a list request: an object with the array as its member.
    pub(crate) fn list_result(&self, kind: Kind, era: Era) -> &Bytes {
        &self.section(kind).list(era).result
    }

    /// Bytes of all lists.
    pub(crate) fn bytes(&self) -> usize {
        self.sections.iter().map(Section::bytes).sum()
    }

    /// How long the list may be cached: no longer than its shortest-lived part, and not at all
    /// while a backend has not listed (F-M-04).
    pub(crate) fn freshness(&self, kind: Kind) -> Freshness {
        self.section(kind).freshness
    }

    /// The entries of a kind in the order of the list.
    pub fn entries(&self, kind: Kind) -> impl Iterator<Item = &Entry> {
        self.section(kind).entries.iter()
    }

    /// The entry at this place of the list.
    pub(crate) fn entry(&self, kind: Kind, at: usize) -> Option<&Entry> {
        self.section(kind).entries.get(at)
    }

    /// The names assigned up to and including this catalog.
    pub fn names(&self) -> &Names {
        &self.names
    }

    fn section(&self, kind: Kind) -> &Section {
        &self.sections[kind as usize]
    }
}

/// The exposed names of the candidates. Tools that the lock has of a backend that has not listed in
/// this run get names too, so that no other backend gets them: names must not depend on who is up.
fn exposed(
    kind: Kind,
    gateway: &GatewayConfig,
    sources: &[Source<'_>],
    found: &[Found<'_>],
    names: &mut Names,
    takeovers: &mut Vec<Takeover>,
) -> Vec<Arc<str>> {
    let mut reserved: Vec<(usize, Arc<str>)> = Vec::new();
    for (place, source) in sources.iter().enumerate() {
        let config = source.config;
        if kind == Kind::Tool && !source.confirmed && config.tools.pin != PinMode::Off {
            let listed = source.backend_listing;
            let pinned = names.pinned_tools(&config.name).filter(|own| {
                config.tools.admits(own) && listed.is_none_or(|listed| !listed.has_tool(own))
            });
            reserved.extend(pinned.map(|own| (place, own)));
        }
    }
    let listed = found.iter().map(|found| (found.place, found.own(), true));
    let reserved = reserved.iter().map(|(place, own)| (*place, own, false));
    let claims: Vec<Claim<'_>> = listed
        .chain(reserved)
        .map(|(place, own, is_listed)| claim(kind, sources, place, own, is_listed))
        .collect();
    let backends = sources.iter().map(|source| &source.config.name);
    let mut exposed = names.assign(kind, gateway, backends, &claims, takeovers);
    exposed.truncate(found.len());
    exposed
}

fn claim<'a>(
    kind: Kind,
    sources: &'a [Source<'_>],
    place: usize,
    own: &'a Arc<str>,
    is_listed: bool,
) -> Claim<'a> {
    let config = sources[place].config;
    let renamed = (kind == Kind::Tool)
        .then(|| lookup(&config.tools.rename, own))
        .flatten();
    Claim {
        backend: &config.name,
        own,
        wanted: renamed.unwrap_or(own),
        place,
        is_pinned: config.tools.pin != PinMode::Off,
        is_listed,
    }
}

/// A candidate with its source.
struct Found<'a> {
    source: &'a Source<'a>,
    /// Of the source.
    place: usize,
    candidate: &'a Candidate,
}

impl Section {
    fn build(
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
    fn list(&self, era: Era) -> &List {
        match era {
            Era::Legacy => &self.legacy,
            Era::Modern => &self.modern,
        }
    }

    fn bytes(&self) -> usize {
        match self.legacy.result.as_ptr() == self.modern.result.as_ptr() {
            true => self.legacy.result.len(),
            false => self.legacy.result.len() + self.modern.result.len(),
        }
    }
}

impl<'a> Found<'a> {
    /// All candidates of a kind; adds the items that were rejected when a listing was read.
    fn all(kind: Kind, sources: &'a [Source<'a>], rejected: &mut Vec<Rejected>) -> Vec<Self> {
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

    fn own(&self) -> &Arc<str> {
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

/// The URIs and templates of each source.
fn uris_of<'a>(sources: &'a [Source<'a>]) -> Vec<BackendUris<'a>> {
    let of = |source: &'a Source<'a>| {
        let items = |kind| {
            let listing = source.backend_listing;
            listing
                .map(|listing| listing.items(kind))
                .unwrap_or_default()
        };
        let own = |kind| items(kind).iter().map(|candidate| &candidate.item.own);
        let mut seen: HashSet<&Arc<str>> = own(Kind::Resource).collect();
        let named = items(Kind::Tool).iter().flat_map(|tool| tool.named.iter());
        BackendUris {
            id: source.id,
            name: &source.config.name,
            resources: own(Kind::Resource).collect(),
            templates: own(Kind::Template).collect(),
            named: named.filter(|own| seen.insert(*own)).collect(),
        }
    };
    sources.iter().map(of).collect()
}

fn lookup<'a>(table: &'a [(String, String)], own: &str) -> Option<&'a str> {
    table
        .iter()
        .find(|(name, _)| name == own)
        .map(|(_, value)| value.as_str())
}

/// The items of all sources that clients see in another form.
fn mended(sources: &[Source<'_>]) -> Vec<Mended> {
    let listings = sources.iter().filter_map(|source| source.backend_listing);
    let of = |listing: &BackendListing| Kind::ALL.map(|kind| listing.mended(kind).to_vec());
    listings.flat_map(of).flatten().collect()
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
