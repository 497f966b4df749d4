//! The listings of all backends, merged into what clients see.
//!
//! A [`Catalog`] is built from listings, is never changed, and is the same for the same input. A
//! listing is read once into a [`BackendListing`]; a merge copies no definition that stays the
//! same. Owns the names that clients see ([`names`]), which definitions they see ([`section`],
//! [`shapes`]) and the mapping from a name or URI back to a backend. Pure; it must not know
//! connections, sessions or time, and identifies a backend by its [`BackendId`].

mod advice;
mod backend_listing;
mod names;
mod pins;
mod portable;
mod rejected;
pub mod search;
mod section;
mod shapes;
#[cfg(test)]
mod tests;
mod uris;

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::config::{GatewayConfig, PinMode};
use crate::protocol::{Era, Freshness, Kind};

pub use backend_listing::BackendListing;
pub(crate) use backend_listing::UnmatchedRule;
use names::Claim;
pub use names::Names;
pub(crate) use names::Takeover;
pub use pins::Pins;
pub(crate) use pins::{Change, Findings};
pub use rejected::Mended;
pub(crate) use rejected::{RejectReason, Rejected};
pub(crate) use section::Blocked;
pub use section::{Entry, Source};
use section::{Found, Section, lookup};
pub use shapes::Promise;
pub(crate) use shapes::shape_unpromised;
pub(crate) use uris::{
    Around, Form, Pages, Uris, Whose, in_directory, may_have_uris, own_directory, with_skill_uris,
    with_uris,
};
use uris::{AssignedUris, BackendUris};

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

/// All items that clients see, and their backends. Made by [`Catalog::build`] and never changed.
#[derive(Debug)]
pub struct Catalog {
    sections: [Section; Kind::ALL.len()],
    uris: Uris,
    names: Names,
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

    /// Merges the sources, as [`build`](Self::build) does, with the pages of user interfaces that
    /// tools name shown or not.
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

    /// All definitions of a kind as the result of a list request: an object with the array of
    /// [`list`](Self::list) as its member.
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

/// The items of all sources that clients see in another form.
fn mended(sources: &[Source<'_>]) -> Vec<Mended> {
    let listings = sources.iter().filter_map(|source| source.backend_listing);
    let of = |listing: &BackendListing| Kind::ALL.map(|kind| listing.mended(kind).to_vec());
    listings.flat_map(of).flatten().collect()
}
