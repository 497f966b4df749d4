//! The four kinds of items a server lists, and one server's listing of them (MCP 2026-07-28,
//! server/tools, server/prompts and server/resources).
//!
//! Owns which methods and members belong to a [`Kind`]. Pure; it must not know how a listing is
//! fetched or merged.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use super::contact::Contact;
use super::raw::RawJson;

/// A kind of item that a backend can list. Differences between kinds are methods of this type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `tools/list`
    Tool,
    /// `prompts/list`
    Prompt,
    /// `resources/list`
    Resource,
    /// `resources/templates/list`
    Template,
}

impl Kind {
    /// Every kind.
    pub(crate) const ALL: [Self; 4] = [Self::Tool, Self::Prompt, Self::Resource, Self::Template];

    /// The method that lists it.
    pub(crate) const fn list_method(self) -> &'static str {
        match self {
            Self::Tool => "tools/list",
            Self::Prompt => "prompts/list",
            Self::Resource => "resources/list",
            Self::Template => "resources/templates/list",
        }
    }

    /// The kind that this method lists; `None` for any other method.
    pub(crate) fn of_list_method(method: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.list_method() == method)
    }

    /// The member of a list result that holds the items.
    pub(crate) const fn member(self) -> &'static str {
        match self {
            Self::Tool => "tools",
            Self::Prompt => "prompts",
            Self::Resource => "resources",
            Self::Template => "resourceTemplates",
        }
    }

    /// The member of an item that identifies it.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Tool | Self::Prompt => "name",
            Self::Resource => "uri",
            Self::Template => "uriTemplate",
        }
    }

    /// The notification that its list has changed. Resources and templates share one.
    pub(crate) const fn list_changed(self) -> &'static str {
        match self {
            Self::Tool => "notifications/tools/list_changed",
            Self::Prompt => "notifications/prompts/list_changed",
            Self::Resource | Self::Template => "notifications/resources/list_changed",
        }
    }

    /// The member of a server's `capabilities` that declares this kind.
    pub(crate) const fn capability(self) -> &'static str {
        match self {
            Self::Tool => "tools",
            Self::Prompt => "prompts",
            Self::Resource | Self::Template => "resources",
        }
    }

    /// Whether items are identified by a URI or a URI template, which is never rewritten.
    pub const fn is_uri(self) -> bool {
        matches!(self, Self::Resource | Self::Template)
    }
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kinds([bool; Kind::ALL.len()]);

impl Kinds {
    /// Every kind.
    pub(crate) const ALL: Self = Self([true; Kind::ALL.len()]);

    /// The kinds for which this is so.
    pub(crate) fn that(mut is_so: impl FnMut(Kind) -> bool) -> Self {
        Self(Kind::ALL.map(&mut is_so))
    }

    /// Whether the kind is among them.
    pub(crate) fn has(self, kind: Kind) -> bool {
        self.0[kind as usize]
    }

    /// Adds a kind.
    pub(crate) fn add(&mut self, kind: Kind) {
        self.0[kind as usize] = true;
    }

    /// The kinds of both.
    pub(crate) fn or(self, other: Self) -> Self {
        Self::that(|kind| self.has(kind) || other.has(kind))
    }

    /// The kinds that are not in `other`.
    pub(crate) fn without(self, other: Self) -> Self {
        Self::that(|kind| self.has(kind) && !other.has(kind))
    }

    /// Whether these are all kinds.
    pub(crate) fn is_all(self) -> bool {
        self == Self::ALL
    }

    /// Whether there is none.
    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// The kinds, in the order of [`Kind::ALL`].
    pub(crate) fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| self.has(*kind))
    }
}

/// What one backend listed, each item byte for byte as received, and what it said of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Whether parameters of its tools may have to be repeated in headers, as modern HTTP requires.
    pub(crate) param_headers: bool,
    /// `instructions` of the handshake.
    pub(crate) instructions: Option<Arc<str>>,
    /// `extensions` and `experimental` of its capabilities, an object; `None` if it has neither.
    pub(crate) declared: Option<RawJson>,
    /// How a legacy server was connected; `None` where that is not certain.
    pub(crate) contact: Option<Contact>,
    items: [Vec<RawJson>; Kind::ALL.len()],
    freshness: [Freshness; Kind::ALL.len()],
}

/// How long a list may be cached, and by whom (MCP 2026-07-28, server/utilities/caching). The
/// default is not at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Freshness {
    /// `ttlMs`: milliseconds.
    pub ttl_ms: u64,
    /// Whether `cacheScope` is `public`.
    pub public: bool,
}

impl Freshness {
    /// Reads the hints of one page. Missing or invalid members count as their default.
    pub(crate) fn of(page: &RawJson) -> Self {
        let ttl = page.get("ttlMs").and_then(|ttl| ttl.as_str().parse().ok());
        let scope = page.get("cacheScope").and_then(|scope| scope.text());
        Self {
            ttl_ms: ttl.unwrap_or(0),
            public: scope.as_deref() == Some("public"),
        }
    }

    /// The hints of two parts together: the shorter time, and public only if both are.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            ttl_ms: self.ttl_ms.min(other.ttl_ms),
            public: self.public && other.public,
        }
    }
}

impl Listing {
    /// An empty listing.
    pub fn new(param_headers: bool) -> Self {
        Self {
            param_headers,
            ..Self::default()
        }
    }

    /// The raw items of a kind from all pages, in the backend's order.
    pub fn items(&self, kind: Kind) -> &[RawJson] {
        &self.items[kind as usize]
    }

    /// Bytes of all items.
    pub(crate) fn bytes(&self) -> usize {
        let items = self.items.iter().flatten();
        items.map(|item| item.as_bytes().len()).sum()
    }

    /// The raw items of a kind, mutable.
    pub fn items_mut(&mut self, kind: Kind) -> &mut Vec<RawJson> {
        &mut self.items[kind as usize]
    }

    /// Adds the items of a kind that it doesn't have, where it has only a part of them.
    pub(crate) fn complete(&mut self, kind: Kind, others: &[RawJson]) {
        let items = self.items_mut(kind);
        *items = completed(kind, std::mem::take(items), others);
    }

    /// The caching hints of all pages of a kind together.
    pub fn freshness(&self, kind: Kind) -> Freshness {
        self.freshness[kind as usize]
    }

    /// Sets the caching hints of a kind.
    pub(crate) fn set_freshness(&mut self, kind: Kind, freshness: Freshness) {
        self.freshness[kind as usize] = freshness;
    }
}

/// These items of a kind and those of the others that are not among them.
pub(crate) fn completed(kind: Kind, mut items: Vec<RawJson>, others: &[RawJson]) -> Vec<RawJson> {
    let key = |item: &RawJson| item.get(kind.key()).map(RawJson::into_bytes);
    let has: HashSet<Bytes> = items.iter().filter_map(key).collect();
    let is_new = |item: &&RawJson| key(item).is_none_or(|key| !has.contains(&key));
    items.extend(others.iter().filter(is_new).cloned());
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_list_is_completed_by_what_was_known() {
        let tool = |name: &str, text: &str| {
            RawJson::trusted(format!(r#"{{"name":"{name}","description":"{text}"}}"#))
        };
        let mut listing = Listing::new(false);
        *listing.items_mut(Kind::Tool) = vec![tool("a", "new")];
        listing.complete(Kind::Tool, &[tool("a", "old"), tool("b", "old")]);
        let expected = [tool("a", "new"), tool("b", "old")];
        assert_eq!(listing.items(Kind::Tool), expected);
    }

    #[test]
    fn a_list_has_the_shortest_lifetime_of_its_pages() {
        let page = |text: &'static str| Freshness::of(&RawJson::trusted(text));
        let fresh = |ttl_ms, public| Freshness { ttl_ms, public };
        let long = page(r#"{"ttlMs":60000,"cacheScope":"public"}"#);
        assert_eq!(long, fresh(60_000, true));
        for (text, alone, both) in [
            (
                r#"{"ttlMs":5,"cacheScope":"public"}"#,
                fresh(5, true),
                fresh(5, true),
            ),
            (
                r#"{"ttlMs":90000,"cacheScope":"private"}"#,
                fresh(90_000, false),
                fresh(60_000, false),
            ),
            ("{}", fresh(0, false), fresh(0, false)),
            (
                r#"{"ttlMs":-1,"cacheScope":1}"#,
                fresh(0, false),
                fresh(0, false),
            ),
            (r#"{"ttlMs":1.5}"#, fresh(0, false), fresh(0, false)),
        ] {
            assert_eq!(page(text), alone, "{text}");
            assert_eq!(page(text).and(long), both, "{text}");
        }
    }
}
